"""Deadlines: where a clock that starts, runs, stands still and runs again reaches its target. Pure and exact.

A gap is a stretch [start, end) in which the clock does not run (a pause, or another side holds the ball); its end is None
while it goes on. Gaps are disjoint and in order. A gap that starts at or after the deadline does not move it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any

from schemas.policy import Target
from streams.calendars import Calendar
from streams.wall_clock import instant_at, instant_of, instant_told, zone_of

Gap = tuple[datetime, datetime | None]
HOUR_US = 3_600_000_000
MICROSECOND = timedelta(microseconds=1)
REMEMBERED = 50_000  #: deadlines a calendar keeps at hand


class Due:
    """A deadline and its warning; both None while the clock stands still and they cannot be known."""

    def __init__(
        self,
        deadline: datetime | None,
        due_soon_at: datetime | None,
        base: datetime,
        extended_us: int,
        measure: Working | Wall,
    ) -> None:
        self.deadline = deadline
        self.due_soon_at = due_soon_at
        self.base = base  #: the deadline as it would be without gaps
        self.extended_us = extended_us  #: how far gaps moved it: working time, or wall-clock for elapsed and calendar targets
        self.measure = measure

    def left_after(self, start: datetime, change: datetime, used: Fraction, warn_at: float, gaps: Sequence[Gap]) -> Due:
        """The same target with the share `used` of it gone at `change`: what is left of it runs from there."""
        left = self.measure.between(start, self.base) * (1 - used)
        later = [(max(begin, change), end) for begin, end in gaps if end is None or end > change]
        soon = _consume(change, max(0, round(left * Fraction(warn_at))), later, self.measure)
        return Due(_consume(change, round(left), later, self.measure), soon, self.base, self.extended_us, self.measure)


def due(
    start: datetime, target: Target, warn_at: float, gaps: Sequence[Gap], calendar: Calendar, attributes: Mapping[str, Any]
) -> Due:
    """Deadline of `target` for a clock started at `start`, and the warning after the share `warn_at` of it.

    Hours are consumed while the clock runs. Days are counted first; each gap then extends the deadline by the working
    time it took (wall-clock time for calendar days), so a handover costs the debtor nothing and gives them nothing. Nothing is
    due while the clock stands still: what has no time left when it runs again is due then, or at the next opening.
    `attributes` are those of the starting fact, for `until` targets; gaps do not move such a date.
    """
    if target.until is not None:
        base = max(start, _instant(attributes.get(target.until), calendar) or start)
        return Due(base, _consume(start, int(WALL.between(start, base) * warn_at), (), WALL), base, 0, WALL)
    plain = _without_gaps(start, target, warn_at, calendar)
    if not gaps:
        return plain
    measure, base = plain.measure, plain.base
    deadline, extended = base, 0
    for begin, end in gaps:
        if begin >= deadline:
            break
        if end is None:
            return Due(None, _soon(start, warn_at, gaps, plain), base, extended, measure)
        length = measure.between(begin, end)
        deadline, extended = measure.add(deadline, length), extended + length
        if deadline < end:  # there was no time left, and it came back when nobody works
            deadline = calendar.next_opening(end)
    return Due(deadline, _soon(start, warn_at, gaps, plain), base, extended, measure)


def _without_gaps(start: datetime, target: Target, warn_at: float, calendar: Calendar) -> Due:
    """A deadline where the clock never stands still, remembered: siblings, panels and the next evaluation ask for it again."""
    remembered = calendar.remembered
    key = id(target), start, warn_at
    found = remembered.get(key)
    if found is not None and found[0] is target:  # an id alone may be that of another target by now
        known: Due = found[1]
        return known
    measure = WALL if target.elapsed_hours or target.calendar_days else Working(calendar)
    base = _base(start, target, calendar)
    plain = Due(base, _consume(start, int(measure.between(start, base) * warn_at), (), measure), base, 0, measure)
    if len(remembered) >= REMEMBERED:
        remembered.clear()
    remembered[key] = target, plain
    return plain


def _soon(start: datetime, warn_at: float, gaps: Sequence[Gap], plain: Due) -> datetime | None:
    return _consume(start, int(plain.measure.between(start, plain.base) * warn_at), gaps, plain.measure)


def used_share(start: datetime, since: datetime, at: datetime, whole: Due, gaps: Sequence[Gap]) -> Fraction:
    """The share of its target, counted from `start`, that a clock ran through in [since, at)."""
    measure, total = whole.measure, whole.measure.between(start, whole.base)
    stood = sum(
        measure.between(max(begin, since), min(end or at, at))
        for begin, end in gaps
        if begin < at and (end is None or end > since)
    )
    return Fraction(measure.between(since, at) - stood, total) if total else Fraction(1)


def delayed(start: datetime, target: Target, calendar: Calendar) -> datetime:
    """`start` moved by a target, as for a start that counts some days after a fact."""
    return start if target.until is not None else _base(start, target, calendar)


def _base(start: datetime, target: Target, calendar: Calendar) -> datetime:
    if target.business_days is not None:
        return calendar.add_business_days(start, target.business_days)
    if target.business_hours is not None:
        return calendar.add_working(start, round(target.business_hours * HOUR_US))
    if target.calendar_days is not None:
        return calendar.add_calendar_days(start, target.calendar_days)
    assert target.elapsed_hours is not None
    return start + round(target.elapsed_hours * HOUR_US) * MICROSECOND


def _instant(value: object, calendar: Calendar) -> datetime | None:
    """A day or an instant as a fact's attribute has it; a day is its first instant in the debtor's zone."""
    if not isinstance(value, str):
        return None
    if len(value) == len("2026-01-31"):
        return instant_of(instant_at(zone_of(calendar.zone), date.fromisoformat(value), time()))
    return instant_told(value)


def _consume(start: datetime, amount: int, gaps: Sequence[Gap], measure: Working | Wall) -> datetime | None:
    """The instant at which `amount` has run since `start`, outside the gaps; None if an open gap comes first."""
    at = start
    for begin, end in gaps:
        runs = measure.between(at, begin) if begin > at else 0
        if runs >= amount:
            break
        if end is None:
            return None
        amount, at = amount - runs, max(at, end)
    return measure.add(at, amount)


class Working:
    """Time inside the debtor's windows."""

    def __init__(self, calendar: Calendar) -> None:
        self.between, self.add = calendar.working_us, calendar.add_working


class Wall:
    """Wall-clock time."""

    @staticmethod
    def between(start: datetime, end: datetime) -> int:
        return (end - start) // MICROSECOND

    @staticmethod
    def add(start: datetime, amount: int) -> datetime:
        return start + amount * MICROSECOND


WALL = Wall()
