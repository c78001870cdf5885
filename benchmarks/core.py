"""How fast the pure core judges, on one core, with every enabled commitment of deploy/policy.yaml.

    python benchmarks/core.py [--seconds 2] [--facts 15 150 1500]

Evaluations are of one application (`evaluate_application`): its facts and the three of its requisition, all obligations, the
holders, everything that the tracker asks for on each event. Hired, so that every clock has ended, and still open. Then one
requisition (`evaluate_requisition`) with digests of 50 applications, and deadlines by kind of target, each of another start.
Processor time, best of five rounds, since others use the machine too; the median is printed beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count

from material.histories import FIRST, HOUR, application, requisition
from material.machine import machine
from schemas.fact import Fact
from schemas.policy import Target
from streams.agreement import Agreement
from streams.check import load_agreement
from streams.deadline import Gap, due
from streams.obligations import digest, evaluate_application, evaluate_requisition
from streams.settings import ROOT
from streams.timeline import merge

ROUNDS = 5
MICROSECOND = timedelta(microseconds=1)


def microseconds(work: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Best and median time of one call in µs, over rounds that together take about `seconds`."""
    begun = time.process_time()
    work()
    once = max(time.process_time() - begun, 1e-7)
    calls = max(1, int(seconds / ROUNDS / once))
    took = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(calls):
            work()
        took.append((time.process_time() - begun) / calls * 1e6)
    return min(took), statistics.median(took)


def line(what: str, work: Callable[[], object], seconds: float, facts: int = 0, more: str = "") -> None:
    best, median = microseconds(work, seconds)
    each = f"{best / facts:8.2f} µs/fact" if facts else " " * 16
    print(f"{what:44s} {1e6 / best:10,.0f}/s {best:11,.1f} µs (median {median:,.1f}) {each}  {more}", flush=True)


def applications(agreement: Agreement, sizes: list[int], seconds: float) -> None:
    own = merge(requisition("r1"))
    for size in sizes:
        them = merge(application("r1", "a1", size))
        end = max(fact.occurred_at for fact in them)
        for name, facts, as_of in (
            ("hired", them, end + timedelta(days=30)),
            ("open", [f for f in them if not f.kind.startswith(("offer.", "application.hired"))], end - 50 * HOUR),
        ):
            found = evaluate_application(own, facts, agreement, {}, as_of)
            more = f"{len(found.obligations)} obligations, {len(found.applications[0].holdings)} intervals"

            def work(facts: list[Fact] = facts, as_of: datetime = as_of) -> object:
                return evaluate_application(own, facts, agreement, {}, as_of)

            line(f"application, {len(facts)} facts + {len(own)}, {name}", work, seconds, len(facts), more)


def requisitions(agreement: Agreement, seconds: float) -> None:
    own = merge(requisition("r1"))
    digests = []
    for number in range(50):
        them = merge(application("r1", f"a{number}", 15, FIRST + (60 + number) * HOUR))
        digests += [slim for fact in them if (slim := digest(fact, agreement)) is not None]
    as_of = FIRST + timedelta(days=60)
    found = evaluate_requisition(own, digests, agreement, {}, as_of)
    line(
        f"requisition, {len(own)} facts + {len(digests)} digests of 50",
        lambda: evaluate_requisition(own, digests, agreement, {}, as_of),
        seconds,
        more=f"{len(found.obligations)} obligations",
    )
    them = application("r1", "a1", 15)
    line("merge of 15 facts", lambda: merge(them), seconds / 4)


def deadlines(agreement: Agreement, seconds: float) -> None:
    calendar, _ = agreement.people.calendar_for("p-011", "platform", agreement.calendars, FIRST, FIRST)
    gap: Sequence[Gap] = ((FIRST + 5 * HOUR, FIRST + 30 * HOUR), (FIRST + 50 * HOUR, FIRST + 99 * HOUR))
    for target in ({"business_days": 2}, {"business_hours": 16}, {"elapsed_hours": 48}, {"calendar_days": 3}):
        for gaps in ((), gap):
            starts = (FIRST + number % 700 * timedelta(hours=24.7) + number * MICROSECOND for number in count())
            wanted = Target.model_validate(target)

            def work(starts: Iterator[datetime] = starts, wanted: Target = wanted, gaps: Sequence[Gap] = gaps) -> object:
                return due(next(starts), wanted, 0.75, gaps, calendar, {})

            name = " ".join(f"{count} {unit}" for unit, count in target.items())
            line(f"deadline and warning, {name}, {len(gaps)} gaps", work, seconds / 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="that each figure takes")
    parser.add_argument("--facts", type=int, nargs="+", default=[15, 150, 1500])
    options = parser.parse_args()
    print(machine())
    agreement = load_agreement(ROOT / "deploy")
    applications(agreement, options.facts, options.seconds)
    requisitions(agreement, options.seconds)
    deadlines(agreement, options.seconds)


if __name__ == "__main__":
    main()
