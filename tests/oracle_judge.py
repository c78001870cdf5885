"""What becomes of each clock, for tests/oracle.py: verdict, deadline, warning, and who owes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from schemas.fact import Watermark
from tests.oracle_clock import Clock, Policy, Terms, about, clocks
from tests.oracle_life import CAUSE, HELD, SIDES, Life, Moment, Stanza, fits, wanted
from tests.oracle_week import Week, minute_of, week_of


@dataclass
class Said:
    """What is compared; times in minutes, `deadline` and `soon` perhaps broken."""

    verdict: str
    started: int
    deadline: Fraction | None
    ended: int | None
    side: str
    owner: str
    worked: int
    soon: Fraction | None
    version: str
    uncertain: bool = False


class Judge:
    """The obligations of one history as of `now`."""

    def __init__(self, policy: Policy, marks: Iterable[Watermark], now: int, known: int, seen: set[str]) -> None:
        self.policy, self.now, self.seen = policy, now, seen
        self.read: dict[str, int] = {}
        for mark in marks:  # a source that is known of and has told nothing yet is silent
            until = minute_of(mark.complete_until) if minute_of(mark.received_at) <= known else -1
            for kind in mark.kinds:
                self.read[kind] = max(until, self.read.get(kind, -1))

    def obligations(self, lives: dict[str | None, Life]) -> dict[str, Said]:
        found = {}
        for application, life in lives.items():
            for stanza in self.policy.stanzas:
                if (application is None) != (stanza["subject"] == "requisition"):
                    continue
                for clock in clocks(stanza, life, self.policy):
                    if clock.started > self.now or not self._meant(clock, life):
                        continue
                    interview = clock.start.interview if clock.person else None
                    ids = [x.split("/")[1] for x in (application, interview) if x]
                    person = [clock.person] if clock.person else []
                    name = ":".join([stanza["name"], "acme/r1", *ids, *person, str(clock.cycle)])
                    if application is None:
                        clock.stops = self._delivered(stanza, lives)
                    found[name] = self._judge(clock, life)
        return found

    def _meant(self, clock: Clock, life: Life) -> bool:
        """Whether this version of the stanza judges the clock, and applies to the requisition as it was when it started."""
        stanza = clock.stanza
        if self.policy.in_force(stanza["name"], clock.started) is not stanza:
            return False
        if stanza.get("effective_from") is not None:
            self.seen.add("a later version of a stanza")
        if stanza.get("requires"):
            self.seen.add("a clock that requires")
        if not stanza.get("applies"):
            return True
        fitting = wanted(stanza["applies"], life.like(clock.started, clock.started))
        self.seen.add("applies" if fitting else "does not apply")
        return fitting

    @staticmethod
    def _delivered(stanza: Stanza, lives: dict[str | None, Life]) -> list[Moment]:
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
        for stop in (*clock.stops, None):  # the first that was not taken back before it was due
            terms = self._terms(clock, life, stop)
            deadline = terms.deadline
            if stop is None or stop.undone is None or (deadline is not None and stop.undone > deadline):
                break
            self.seen.add("a scorecard deleted before it was due")
        # nothing is due while the clock stands still
        verdict, ended_by, uncertain = self._verdict(clock, life, stop, None if terms.stood else deadline)
        ended = max(started, ended_by.minute) if ended_by else None
        until = self.now if ended is None else ended
        decided = until if deadline is None else min(until, int(deadline))
        soon = None if stanza.get("quality") else terms.soon()
        side, version = self._side(stanza, life, decided), stanza.get("version", "1")
        owes, worked = self._owner(stanza, clock, life, decided), terms.worked(started, until)
        return Said(verdict, started, deadline, ended, side, owes, worked, soon, version, uncertain)

    def _terms(self, clock: Clock, life: Life, stop: Moment | None) -> Terms:
        """As the stanza (or the sibling it is due with) sets them, if `stop` is what ended it."""
        stanza, started = clock.stanza, clock.started
        ends = [m.minute for m in (stop, clock.cancel) if m]
        end = max(started, min(ends)) if ends else None
        timed = stanza
        if stanza.get("sibling"):
            timed = self.policy.in_force(stanza["sibling"], started) or stanza
        owner, team, known = self._owner(timed, clock, life, started), life.team(started), started
        while True:
            calendar = week_of(owner, team, started, known)
            terms = Terms(timed, clock, life, calendar, self.now if end is None else end, ended=end is not None)
            later = max(started, int(terms.base if terms.deadline is None else terms.deadline))
            if week_of(owner, team, started, later) is calendar:
                break
            self.seen.add("leave that moves a deadline")
            known = later
        self._note(calendar, clock)
        return terms

    def _note(self, calendar: Week, clock: Clock) -> None:
        if calendar.version:
            self.seen.add("a later version of a calendar")
        elif calendar.name == "shifts":
            self.seen.add("the first version of a calendar")
        if clock.stanza["side"] == "holder":
            self.seen.add("whoever holds the ball owes")

    @staticmethod
    def _side(stanza: Stanza, life: Life, at: int) -> str:
        if stanza["side"] != "holder":
            return str(stanza["side"])
        last = max(SIDES, key=lambda side: life.holders.rfind(HELD.index(side), 0, at + 1))
        return last if HELD.index(last) in life.holders[: at + 1] else "talent_acquisition"

    def _owner(self, stanza: Stanza, clock: Clock, life: Life, at: int) -> str:
        if clock.person:
            return clock.person
        role = stanza.get("owner") or SIDES[self._side(stanza, life, at)]
        return life.who(role, at) or life.who(stanza.get("fallback_owner"), at) or "unassigned"

    def _verdict(
        self, clock: Clock, life: Life, stop: Moment | None, deadline: Fraction | None
    ) -> tuple[str, Moment | None, bool]:
        verdict, ended_by, uncertain = self._undeclined(clock, life, stop, deadline)
        for m in life.moments:
            if m.kind == "request.declined" and about(clock.stanza, m) and {"kind": m.kind} in clock.stanza.get("cancel", []):
                if verdict in ("met", "cancelled") and ended_by and ended_by.order < m.order:
                    self.seen.add("declined after it was over")
                    break
                return "cancelled", m, False
        return verdict, ended_by, uncertain

    def _silent(self, stanza: Stanza, deadline: Fraction) -> bool:
        kinds = {kind for c in stanza["stop"] for kind in CAUSE.get(c["kind"], (c["kind"],))}
        return any(self.read[kind] < deadline for kind in kinds if kind in self.read)

    def _undeclined(
        self, clock: Clock, life: Life, stop: Moment | None, deadline: Fraction | None
    ) -> tuple[str, Moment | None, bool]:
        stanza, cancel = clock.stanza, clock.cancel
        if cancel and (stop is None or cancel.order < stop.order):
            if deadline is None or cancel.minute < deadline:
                return "cancelled", cancel, False
            if cancel.not_before is not None and cancel.not_before < deadline:
                self.seen.add("a cancel between two polls")
                return "cancelled", cancel, True
            if stanza.get("quality"):  # it ended with nothing to judge
                return "cancelled", cancel, False
            if self._excused(stanza, life, deadline):
                return "excused", cancel, False
            silent = self._silent(stanza, deadline)
            self.seen |= {"a late cancel while the source is silent"} if silent else set()
            return ("unverified" if silent else "missed"), cancel, False
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
        return ("unverified" if self._silent(stanza, deadline) else "overdue"), None, False

    def _quality(
        self, clock: Clock, life: Life, stop: Moment | None, deadline: Fraction | None
    ) -> tuple[str, Moment | None, bool]:
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
    def _excused(stanza: Stanza, life: Life, at: Fraction | int) -> bool:
        asked: dict[str, Moment] = {}
        for m in life.moments:
            if m.kind == "exception.requested" and m.said.get("exception_id") and m.actor:
                asked.setdefault(m.said["exception_id"], m)
        for m in life.moments:
            request = asked.get(m.said.get("exception_id", "")) if m.kind == "exception.approved" else None
            if request is None or not m.actor or request.actor == m.actor:
                continue
            concerned = request.said.get("commitment") in (None, "any", stanza["name"])
            if concerned and minute_of(request.said["from"]) <= at <= minute_of(request.said["until"]):
                return True
        return False
