"""A second, slow opinion: the agreement simulated minute by minute, written from docs/policy.md and not from the core.

It walks time over a history whose facts lie at whole minutes: who holds the ball in this minute, is it a working minute of
whoever owes, does the clock run. `python -m tests.oracle 10000` compares it with `evaluate`, each history under a policy of
its own, prints how often they agree, and in which share of the histories each rule decided something.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import timedelta
from fractions import Fraction

from schemas.policy import Policy as Agreed
from streams.obligations import Evaluation, evaluate
from tests.oracle_clock import Policy
from tests.oracle_judge import Judge, Said
from tests.oracle_life import Life, told_once
from tests.oracle_week import EPOCH, minute_of
from tests.random_histories import Histories, History
from tests.stories import agreement, policy_file

BASE = agreement()
SECOND, MICROSECOND = 1_000_000, timedelta(microseconds=1)


Holders = dict[str, list[tuple[int, str, str | None]]]


def simulated(history: History, seen: set[str]) -> tuple[dict[str, Said], Holders]:
    """Obligations by id, and the changes of holder of each application."""
    now = minute_of(history.as_of)
    known = minute_of(history.known_at) if history.known_at else 10**9
    if history.known_at and any(history.known_at < f.received_at and f.occurred_at <= history.as_of for f in history.facts):
        seen.add("a fact that was not known yet")
    facts = told_once([f for f in history.facts if minute_of(f.received_at) <= known])
    if len(facts) < len({id(f) for f in history.facts if minute_of(f.received_at) <= known}):
        seen.add("a fact told more than once")
    policy = Policy(policy_file(history.policy))
    names = [None, *sorted({f.application_id for f in facts if f.application_id})]
    lives = {name: Life(facts, name, now, policy.holders, seen) for name in names}
    changes = {name: life.changes_of_holder() for name, life in lives.items() if name and any(life.holders)}
    return Judge(policy, history.marks, now, known, seen).obligations(lives), changes


def judged_by_core(history: History) -> Evaluation:
    policy = Agreed.model_validate(policy_file(history.policy))
    return evaluate(history.facts, policy, BASE.calendars, BASE.people, history.marks, history.as_of, history.known_at)


def said_by_core(found: Evaluation) -> tuple[dict[str, Said], Holders]:
    obligations = {}
    for o in found.obligations:
        deadline, soon = (
            None if at is None else Fraction((at - EPOCH) // MICROSECOND, 60 * SECOND) for at in (o.deadline, o.due_soon_at)
        )
        ended, worked = None if o.ended_at is None else minute_of(o.ended_at), o.business_us // (60 * SECOND)
        obligations[o.obligation_id] = Said(
            str(o.verdict),
            minute_of(o.started_at),
            deadline,
            ended,
            str(o.side),
            o.owner,
            worked,
            soon,
            o.commitment_version,
            o.uncertain,
        )
    changes: Holders = {}
    for application in found.applications:
        mine = changes.setdefault(application.application_id, [])
        for h in application.holdings:
            if not mine or mine[-1][1:] != (h.holder, h.person):
                mine.append((minute_of(h.start), h.holder, h.person))
    return obligations, changes


def disagreements(history: History, seen: set[str]) -> tuple[int, list[str]]:
    """How many obligations the oracle sees, and each difference from the core as a line; rules that decided go to `seen`."""
    core, core_holders = said_by_core(judged_by_core(history))
    mine, my_holders = simulated(history, seen)
    lines = [
        f"{name}\n  oracle {mine.get(name)}\n  core   {core.get(name)}"
        for name in sorted({*core, *mine})
        if not _same(core.get(name), mine.get(name))
    ]
    if core_holders != my_holders:
        lines.append(f"holders\n  oracle {my_holders}\n  core   {core_holders}")
    seen |= {said.verdict for said in mine.values()} | {"uncertain" for said in mine.values() if said.uncertain}
    return len(mine), lines


def _same(core: Said | None, mine: Said | None) -> bool:
    if not core or not mine:
        return core is mine
    if core.verdict == mine.verdict == "cancelled":  # nobody is charged: only when it began and ended counts
        return (core.started, core.ended) == (mine.started, mine.ended)
    one, two = ([said.__dict__[n] for n in said.__dict__ if n not in ("deadline", "soon")] for said in (core, mine))
    return one == two and _near(core.deadline, mine.deadline) and _near(core.soon, mine.soon)


def _near(one: Fraction | None, two: Fraction | None) -> bool:
    """The core counts whole microseconds."""
    return one is two if one is None or two is None else abs(one - two) * 60 * SECOND <= 1


def run(histories: int, seed: int = 1, show: int = 5) -> int:
    """Compare, print, and return the number of histories in which the two disagree."""
    began, drawn, features = time.perf_counter(), Histories(seed), Counter[str]()
    obligations = differ = 0
    for number in range(histories):
        history, seen = drawn.draw(), set[str]()
        count, lines = disagreements(history, seen)
        features.update(seen)
        obligations += count
        differ += bool(lines)
        if lines and show > 0:
            show -= 1
            print(f"history {number} as of {history.as_of} (minute {minute_of(history.as_of)}):", *lines, sep="\n")
            print(history.policy, history.known_at)
            print(*(f.to_json().decode() for f in sorted(history.facts, key=lambda f: f.occurred_at)), sep="\n")
    seconds = time.perf_counter() - began
    for name, times in sorted(features.items(), key=lambda feature: -feature[1]):
        print(f"{times / histories:7.1%} {name}")
    print(f"{histories} histories, {obligations} obligations: {histories - differ} agree, {differ} differ, {seconds:.1f} s")
    return differ


if __name__ == "__main__":
    sys.exit(bool(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)))
