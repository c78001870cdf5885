"""Deadlines against a slow clock that is stepped minute by minute, over zones, holidays and the change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.policy import Target
from streams.calendars import Calendar
from streams.deadline import Gap, due
from tests.stories import agreement

CALENDARS = agreement().calendars
BASE = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday; both zones change their clocks within the month
MINUTE = timedelta(minutes=1)

starts = st.integers(0, 35 * 24 * 60).map(lambda m: BASE + m * MINUTE)
names = st.sampled_from(["berlin", "new-york"])


@st.composite
def gaps_after(draw: st.DrawFn, start: datetime) -> list[Gap]:
    found: list[Gap] = []
    at = start + draw(st.integers(0, 600)) * MINUTE
    for _ in range(draw(st.integers(0, 3))):
        end = at + draw(st.integers(1, 4000)) * MINUTE
        found.append((at, end))
        at = end + draw(st.integers(1, 3000)) * MINUTE
    return found


def minutes_that_count(start: datetime, end: datetime, gaps: list[Gap], calendar: Calendar) -> int:
    """The oracle: every minute in [start, end) that is worked and in no gap."""
    total, at = 0, start
    while at < end:
        standing = any(begin <= at and (stop is None or at < stop) for begin, stop in gaps)
        total += calendar.is_working(at) and not standing
        at += MINUTE
    return total


@settings(max_examples=80, deadline=None)
@given(st.data(), starts, names, st.integers(1, 60))
def test_business_hours_until_the_deadline_are_the_target(data: st.DataObject, start: datetime, name: str, hours: int) -> None:
    calendar = CALENDARS.at(name, start)
    gaps = data.draw(gaps_after(start))
    found = due(start, Target(business_hours=hours), 0.5, gaps, calendar, {})
    assert found.deadline is not None
    assert found.due_soon_at is not None
    assert minutes_that_count(start, found.deadline, gaps, calendar) == hours * 60
    assert minutes_that_count(start, found.due_soon_at, gaps, calendar) == hours * 30


@settings(max_examples=80, deadline=None)
@given(st.data(), starts, names, st.integers(1, 10))
def test_a_gap_moves_a_deadline_in_days_by_the_working_time_it_took(
    data: st.DataObject, start: datetime, name: str, days: int
) -> None:
    calendar = CALENDARS.at(name, start)
    gaps = data.draw(gaps_after(start))
    plain = due(start, Target(business_days=days), 0.5, [], calendar, {})
    moved = due(start, Target(business_days=days), 0.5, gaps, calendar, {})
    assert plain.deadline is not None
    assert moved.deadline is not None
    counted = minutes_that_count(start, moved.deadline, [], calendar) - minutes_that_count(start, plain.deadline, [], calendar)
    taken = [g for g in gaps if g[0] < moved.deadline]
    assert counted == sum(minutes_that_count(b, min(e or b, moved.deadline), [], calendar) for b, e in taken)
    assert moved.extended_us == counted * 60_000_000


@settings(max_examples=50, deadline=None)
@given(starts, names, st.integers(1, 500))
def test_elapsed_hours_run_at_night_too(start: datetime, name: str, hours: int) -> None:
    found = due(start, Target(elapsed_hours=hours), 0.5, [], CALENDARS.at(name, start), {})
    assert found.deadline == start + timedelta(hours=hours)


@given(starts, names)
def test_an_open_gap_leaves_no_deadline(start: datetime, name: str) -> None:
    gaps: list[Gap] = [(start, None)]
    found = due(start, Target(business_days=2), 0.5, gaps, CALENDARS.at(name, start), {})
    assert (found.deadline, found.due_soon_at) == (None, None)
