"""A second, slow opinion: the agreement simulated minute by minute, written from docs/policy.md and not from the core.

It walks time over a history whose facts lie at whole minutes: who holds the ball in this minute, is it a working minute of
whoever owes, does the clock run. It knows the rules that the default commitments and their quality siblings use (no
`targets`, no `latest`). `python -m tests.oracle 10000` compares it with `evaluate` and prints how often they agree.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.fact import Fact, Watermark
from streams.obligations import Evaluation, evaluate
from tests.oracle_life import CAUSE, OVER, POLICY, SIDES, Life, Moment, Week, fits, minute_of, week_of
from tests.random_histories import Histories
from tests.stories import agreement

AGREEMENT = agreement({"inform_candidate": {"enabled": True}, "no_silence": {"enabled": True}})
STANZAS = {
    c["name"]: c for c in POLICY["commitments"] if c.get("enabled", True) or c["name"] in ("inform_candidate", "no_silence")
}


# -- clocks and what became of them --------------------------------------------------------------------------------------


@dataclass
class Clock:
    stanza: dict[str, Any]
    cycle: int
    start: Moment
    started: int
    stops: list[Moment]
    cancel: Moment | None
    person: str | None = None


def clocks(stanza: dict[str, Any], life: Life) -> Iterator[Clock]:  # noqa: C901, the rules of starting and ending in one place
    moments = life.moments
    wait: Moment | None = None
    if stanza.get("contingent_on"):
        kept = [m for m in moments if fits(STANZAS[stanza["contingent_on"]]["stop"], m)]
        if not kept:
            return
        wait = kept[0]
    cancels = [m for m in moments if fits(stanza.get("cancel", []), m) and _about(stanza, m)]
    starts = [m for m in moments if fits(stanza["start"], m) and not _dead(stanza, life, m)]
    delay = None
    if stanza.get("cycles") == "once":
        preferred = next((c for c in stanza["start"] if any(fits([c], m) for m in starts)), None)
        starts = [m for m in starts if preferred and fits([preferred], m)][:1]
        delay = preferred.get("delay") if preferred else None
    if stanza["subject"] == "interviewer":
        for start in starts:
            off = [m for m in cancels if m.order > start.order]
            off = [m for m in off if m.interview in (None, start.interview)]
            for person in start.said["interviewers"]:
                given = [m for m in moments if fits(stanza["stop"], m) and (m.interview, m.person) == (start.interview, person)]
                yield Clock(stanza, 1, start, start.minute, given, off[0] if off else None, person)
        return
    running: Clock | None = None
    cycle = 0
    for moment in moments:  # the clock that runs is ended by the first stop or cancel; what starts while it runs is not heard
        if running is not None and moment.order > running.start.order:
            stops = fits(stanza["stop"], moment) and stanza["subject"] != "requisition"
            if stops or moment in cancels:
                running.stops, running.cancel = ([moment], None) if stops else ([], moment)
                yield running
                running = None
                if stanza.get("cycles") != "repeats":
                    continue
        if running is None and moment in starts:
            cycle += 1
            started = moment.minute
            if delay:
                owner = life.who(stanza["owner"], started) or life.who(stanza.get("fallback_owner"), started) or "unassigned"
                started = week_of(owner, started).days_on(started, delay["business_days"])
            running = Clock(stanza, cycle, moment, max(started, wait.minute if wait else 0), [], None)
    if running is not None:
        yield running


def _about(stanza: dict[str, Any], moment: Moment) -> bool:
    """A declined request may name the one commitment that it is about."""
    return moment.kind != "request.declined" or moment.said.get("commitment") in (None, stanza["name"])


def _dead(stanza: dict[str, Any], life: Life, moment: Moment) -> bool:
    """What is over starts nothing: no derived moment, and no further silence."""
    if moment.kind not in CAUSE and stanza.get("cycles") != "repeats":
        return False
    return bool(life.holders) and life.holders[moment.minute] == OVER


@dataclass
class Said:
    """What is compared."""

    verdict: str
    started: int
    deadline: int | None
    ended: int | None
    side: str
    owner: str
    worked: int
    uncertain: bool = False


class Judge:
    def __init__(self, facts: list[Fact], marks: list[Watermark], now: int) -> None:
        self.facts, self.now = facts, now
        self.read: dict[str, int] = {}
        for mark in marks:
            for kind in mark.kinds:
                self.read[kind] = max(minute_of(mark.complete_until), self.read.get(kind, 0))

    def obligations(self, lives: dict[str | None, Life]) -> dict[str, Said]:
        found = {}
        for application, life in lives.items():
            for stanza in STANZAS.values():
                if (application is None) != (stanza["subject"] == "requisition"):
                    continue
                for clock in clocks(stanza, life):
                    if clock.started > self.now:
                        continue
                    interview = clock.start.interview if clock.person else None
                    ids = [x.split("/")[1] for x in (application, interview) if x]
                    name = ":".join(
                        [stanza["name"], "acme/r1", *ids, *([clock.person] if clock.person else []), str(clock.cycle)]
                    )
                    if application is None:
                        clock.stops = self._delivered(stanza, lives)
                    found[name] = self._judge(clock, life)
        return found

    @staticmethod
    def _delivered(stanza: dict[str, Any], lives: dict[str | None, Life]) -> list[Moment]:
        """For a requisition the n-th different application, whenever it was delivered."""
        seen: set[str] = set()
        every = {m.order: m for life in lives.values() for m in life.moments if fits(stanza["stop"], m)}
        for moment in (every[order] for order in sorted(every)):
            seen.add(moment.application or moment.fact_id)
            if len(seen) >= stanza.get("stop_count", 1):
                return [moment]
        return []

    def _judge(self, clock: Clock, life: Life) -> Said:
        stanza, started = clock.stanza, clock.started
        ends = [m.minute for m in (*clock.stops[:1], clock.cancel) if m]
        end = max(started, min(ends)) if ends else None
        timed = STANZAS[stanza["sibling"]] if stanza.get("sibling") else stanza
        owner, known = self._owner(timed, clock, life, started), started
        while True:
            calendar = week_of(owner, known)
            deadline, base, _ = self._walk(timed, started, self.now if end is None else end, end is not None, calendar, life)
            later = max(started, base if deadline is None else deadline)
            if week_of(owner, later) is calendar:
                break
            known = later
        verdict, ended_by, uncertain = self._verdict(clock, life, deadline)
        ended = max(started, ended_by.minute) if ended_by else None
        until = self.now if ended is None else ended
        decided = until if deadline is None else min(until, deadline)
        worked = self._walk(timed, started, until, ended is not None, calendar, life)[2]
        side = self._side(stanza, life, decided)
        return Said(verdict, started, deadline, ended, side, self._owner(stanza, clock, life, decided), worked, uncertain)

    def _walk(
        self, stanza: dict[str, Any], start: int, until: int, ended: bool, calendar: Week, life: Life
    ) -> tuple[int | None, int, int]:
        """Minute by minute: the deadline (None while the clock stands still), what it would be without, the minutes worked."""
        base = deadline = calendar.days_on(start, stanza["target"]["business_days"])
        worked, since = 0, None
        sides = set(SIDES) if stanza["side"] == "holder" else {stanza["side"]}
        of_holder, pauses = stanza.get("clock") == "holder" and bool(life.holders), bool(stanza.get("pause"))
        works, holders, paused = calendar.works, life.holders, life.paused
        for minute in range(start, until + (not ended)):
            if (pauses and paused[minute]) or (of_holder and holders[minute] not in sides):
                since = minute if since is None else since
                if minute == until:
                    return (None if since < deadline else deadline), base, worked
                if works[minute] and since < deadline:
                    deadline = calendar.one_more(deadline)
            else:
                since = None
                worked += works[minute] if minute < until else 0
        return deadline, base, worked

    @staticmethod
    def _side(stanza: dict[str, Any], life: Life, at: int) -> str:
        if stanza["side"] != "holder":
            return str(stanza["side"])
        for minute in range(at, -1, -1):
            holder = life.holders[minute]
            if holder in SIDES:
                return str(holder)
        return "talent_acquisition"

    def _owner(self, stanza: dict[str, Any], clock: Clock, life: Life, at: int) -> str:
        if clock.person:
            return clock.person
        role = stanza.get("owner") or SIDES[self._side(stanza, life, at)]
        return life.who(role, at) or life.who(stanza.get("fallback_owner"), at) or "unassigned"

    def _verdict(self, clock: Clock, life: Life, deadline: int | None) -> tuple[str, Moment | None, bool]:
        stanza, cancel = clock.stanza, clock.cancel
        for m in life.moments:
            if m.kind == "request.declined" and _about(stanza, m) and {"kind": m.kind} in stanza.get("cancel", []):
                return "cancelled", m, False
        stop = next((m for m in clock.stops if m.undone is None or (deadline is not None and m.undone > deadline)), None)
        if cancel and (stop is None or cancel.order < stop.order):
            if deadline is None or cancel.minute < deadline:
                return "cancelled", cancel, False
            if stanza.get("quality"):  # it ended with nothing to judge
                return "cancelled", cancel, False
            return ("excused" if self._excused(stanza, life, deadline) else "missed"), cancel, False
        if stanza.get("quality"):
            return self._quality(clock, life, stop, deadline)
        if stop is not None:
            if deadline is None or stop.minute <= deadline:
                return "met", stop, False
            if stop.not_before is not None and stop.not_before <= deadline:
                return "met", stop, True
            return ("excused" if self._excused(stanza, life, deadline) else "missed"), stop, False
        if deadline is None or self.now <= deadline:
            return "open", None, False
        if self._excused(stanza, life, deadline):
            return "excused", None, False
        kinds = {kind for c in stanza["stop"] for kind in CAUSE.get(c["kind"], (c["kind"],))}
        silent = any(self.read[kind] < deadline for kind in kinds if kind in self.read)
        return ("unverified" if silent else "overdue"), None, False

    def _quality(self, clock: Clock, life: Life, stop: Moment | None, deadline: int | None) -> tuple[str, Moment | None, bool]:
        quality = clock.stanza["quality"]
        if stop is None:
            return ("open" if deadline is None or self.now <= deadline else "cancelled"), None, False
        bad = ("excused" if self._excused(clock.stanza, life, stop.minute) else "missed"), stop, False
        if any(fits(quality.get("before", []), m) and clock.start.order < m.order < stop.order for m in life.moments):
            return bad
        if fits(quality["good"], stop):
            return "met", stop, False
        for condition in quality["good"]:
            told = {n: w for n, w in condition.get("where", {}).items() if stop.said.get(n) is not None}
            if len(told) < len(condition.get("where", {})) and fits([{"kind": condition["kind"], "where": told}], stop):
                return "unverified", stop, False
        return bad

    @staticmethod
    def _excused(stanza: dict[str, Any], life: Life, at: int) -> bool:
        asked: dict[str, Moment] = {}
        for m in life.moments:
            if m.kind == "exception.requested":
                asked.setdefault(m.said["exception_id"], m)
        for m in life.moments:
            request = asked.get(m.said["exception_id"]) if m.kind == "exception.approved" else None
            if request is None or request.actor == m.actor:
                continue
            about = request.said.get("commitment") in (None, "any", stanza["name"])
            if about and minute_of(request.said["from"]) <= at <= minute_of(request.said["until"]):
                return True
        return False


# -- the comparison ------------------------------------------------------------------------------------------------------


def simulated(facts: list[Fact], marks: list[Watermark], as_of: datetime) -> tuple[dict[str, Said], dict[str, list[Any]]]:
    """Obligations by id, and the changes of holder of each application."""
    now = minute_of(as_of)
    names = [None, *sorted({f.application_id for f in facts if f.application_id})]
    lives = {name: Life(facts, name, now) for name in names}
    changes: dict[str, list[Any]] = {}
    for name, life in lives.items():
        for minute, holder in enumerate(life.holders):
            if name and holder and (name not in changes or changes[name][-1][1] != holder):
                changes.setdefault(name, []).append((minute, holder))
    return Judge(facts, marks, now).obligations(lives), changes


def said_by_core(found: Evaluation) -> tuple[dict[str, Said], dict[str, list[Any]]]:
    obligations = {}
    for o in found.obligations:
        times = [None if at is None else minute_of(at) for at in (o.started_at, o.deadline, o.ended_at)]
        worked = o.business_us // 60_000_000
        assert times[0] is not None
        obligations[o.obligation_id] = Said(
            str(o.verdict), times[0], times[1], times[2], str(o.side), o.owner, worked, o.uncertain
        )
    changes: dict[str, list[Any]] = {}
    for application in found.applications:
        mine = changes.setdefault(application.application_id, [])
        for h in application.holdings:
            if not mine or mine[-1][1] != h.holder:
                mine.append((minute_of(h.start), h.holder))
    return obligations, changes


def disagreements(facts: list[Fact], marks: list[Watermark], as_of: datetime) -> tuple[int, list[str]]:
    """How many obligations the oracle sees, and each difference between it and the core, as a line."""
    evaluation = evaluate(facts, AGREEMENT.policy, AGREEMENT.calendars, AGREEMENT.people, marks, as_of)
    core, core_holders = said_by_core(evaluation)
    mine, my_holders = simulated(facts, marks, as_of)
    lines = [
        f"{name}\n  oracle {mine.get(name)}\n  core   {core.get(name)}"
        for name in sorted({*core, *mine})
        if not _same(core.get(name), mine.get(name))
    ]
    if core_holders != my_holders:
        lines.append(f"holders\n  oracle {my_holders}\n  core   {core_holders}")
    return len(mine), lines


def _same(core: Said | None, mine: Said | None) -> bool:
    if core and mine and core.verdict == mine.verdict == "cancelled":  # nobody is charged: only when it began and ended counts
        return (core.started, core.ended) == (mine.started, mine.ended)
    return core == mine


def run(histories: int, seed: int = 1, show: int = 5) -> int:
    """Compare, print, and return the number of histories in which the two disagree."""
    began, drawn = time.perf_counter(), Histories(seed)
    obligations = differ = 0
    for number in range(histories):
        facts, marks, as_of = drawn.draw()
        count, lines = disagreements(facts, marks, as_of)
        obligations += count
        differ += bool(lines)
        if lines and show > 0:
            show -= 1
            print(f"history {number} as of {as_of} (minute {minute_of(as_of)}):", *lines, sep="\n")
            print(*(f.to_json().decode() for f in sorted(facts, key=lambda f: f.occurred_at)), sep="\n")
    seconds = time.perf_counter() - began
    print(f"{histories} histories, {obligations} obligations: {histories - differ} agree, {differ} differ, {seconds:.1f} s")
    return differ


if __name__ == "__main__":
    sys.exit(bool(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)))
