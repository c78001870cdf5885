"""The terms of one clock: who owes, on which calendar, which target applies, and so when it is due.

Pure. Everything is pinned at the start, but for two things the policy may want otherwise: leave that was learned before the
deadline moves it, and a target may follow attributes that change on the way (`on_change`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from schemas.outcome import Side
from schemas.policy import Target
from streams.agreement import Agreement, Promise
from streams.calendars import Calendar
from streams.conditions import fits
from streams.cycles import Clock
from streams.deadline import Due, Gap, due, used_share
from streams.life import Life
from streams.standstill import gaps_of

ROLES = {Side.TALENT_ACQUISITION: "recruiter", Side.HIRING_MANAGER: "hiring_manager"}
SIDES = {str(side): side for side in Side}


class Terms:
    """When a clock is due, and on whose calendar that was counted."""

    def __init__(self, calendar: Calendar, calendar_source: str, when: Due, target: Target, started_at: datetime) -> None:
        self.calendar = calendar
        self.calendar_source = calendar_source
        self.when = when
        self.target = target
        self.started_at = started_at  #: later than the clock's start where a change started it anew


class Owed:
    """Where a clock stands still, and its terms."""

    def __init__(self, gaps: Sequence[Gap], terms: Terms) -> None:
        self.gaps = gaps
        self.terms = terms


def side_at(promise: Promise, life: Life, at: datetime) -> Side:
    """The side that owes at `at`; with `side: holder` the one that holds the ball then, or held it last."""
    if promise.side is not None:
        return promise.side
    for place in range(life.place(at), -1, -1):
        side = SIDES.get(life.holdings[place].holder)
        if side is not None:
            return side
    return Side.TALENT_ACQUISITION


def owner_at(promise: Promise, person: str | None, life: Life, at: datetime) -> str:
    """The key of who owes at `at`: `person`, the interviewer of a clock of theirs, else whoever has the role then."""
    if person is not None:
        return person
    role = promise.owner or ROLES[side_at(promise, life, at)]
    return life.roster.owner(role, promise.fallback_owner, at)


def applies(promise: Promise, life: Life, agreement: Agreement, at: datetime) -> bool:
    """Whether the commitment is for requisitions like this one, as it was at `at`."""
    return not promise.applies or fits(promise.applies, _traits(life, agreement, at, at))


def owed(promise: Promise, clock: Clock, life: Life, agreement: Agreement, until: datetime, *, ended: bool) -> Owed:
    """Gaps and terms of a clock as `promise` sets them: its own, or its sibling's where it has no clock of its own.

    `until`: the clock's end, or as_of. The clocks of siblings for one person share what is found.
    """
    shared = promise is not clock.promise or clock.person is not None
    key = (promise, clock.start.event_id, clock.started_at, clock.person, until, ended) if shared else None
    found = life.owed.get(key) if shared else None
    if found is None:
        gaps = gaps_of(promise, life, clock.started_at, until, ended=ended)
        found = Owed(gaps, _terms(promise, clock, life, agreement, gaps, until))
        if shared:
            life.owed[key] = found
    return found


def _terms(promise: Promise, clock: Clock, life: Life, agreement: Agreement, gaps: Sequence[Gap], until: datetime) -> Terms:
    at, people = clock.started_at, agreement.people
    debtor, team = owner_at(promise, clock.person, life, at), life.roster.team(at)
    calendar, source = people.calendar_for(debtor, team, agreement.calendars, at, at)
    while True:
        found = _on(calendar, source, promise, clock, life, agreement, gaps, until)
        known_at = max(at, found.when.deadline or found.when.base)
        moved, source = people.calendar_for(debtor, team, agreement.calendars, at, known_at)
        if moved is calendar or moved.version == calendar.version:
            return found
        calendar = moved  # only ever by more leave, so this ends


def _on(
    calendar: Calendar,
    source: str,
    promise: Promise,
    clock: Clock,
    life: Life,
    agreement: Agreement,
    gaps: Sequence[Gap],
    until: datetime,
) -> Terms:
    start = clock.started_at
    target = _target(promise, life, agreement, start, start)
    when = due(start, target, promise.warn_at, gaps, calendar, clock.start.attributes)
    if not promise.targets or promise.on_change == "pinned":
        return Terms(calendar, source, when, target, start)
    passed_on = (at for at, _ in life.roster.changes("hiring_manager"))  # to another team, perhaps
    used, since = Fraction(0), start
    for change in sorted({*life.traits.changes(start, until), *(at for at in passed_on if start < at <= until)}):
        new = _target(promise, life, agreement, change, clock.started_at)
        if when.deadline is not None and change >= when.deadline:
            break  # what changes after the deadline does not undo a breach
        if new == target:
            continue
        used, since = min(Fraction(1), used + used_share(start, since, change, when, gaps)), change
        if promise.on_change == "reset":  # what stood still before does not count any more, either
            start, gaps = change, [(max(begin, change), end) for begin, end in gaps if end is None or end > change]
        target = new
        when = due(start, target, promise.warn_at, gaps, calendar, clock.start.attributes)
        if promise.on_change == "forward":
            when = when.left_after(start, change, used, promise.warn_at, gaps)
    return Terms(calendar, source, when, target, start)


def _target(promise: Promise, life: Life, agreement: Agreement, at: datetime, started_at: datetime) -> Target:
    if promise.targets:
        traits = _traits(life, agreement, at, started_at)
        for rule in promise.targets:
            if fits(rule.when, traits):
                return rule.target
    assert promise.target is not None  # a sibling has a target, `check` holds that
    return promise.target


def _traits(life: Life, agreement: Agreement, at: datetime, started_at: datetime) -> dict[str, object]:
    """What the requisition is like at `at`; of the people file what was in force at the start."""
    team = agreement.people.team(life.roster.team(at, started_at), started_at)
    known = {"team": team.key, "department": team.department, "location": team.location} if team else {}
    return {**known, **life.traits.at(at)}
