"""Deadlines against a slow clock that is stepped minute by minute, over zones, holidays and the change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.policy import Target
from streams.calendars import Calendar
from streams.deadline import Gap, due
from tests.property.test_calendar_properties import Oracle, situations
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


@settings(deadline=None)
@given(starts, names)
def test_an_open_gap_leaves_no_deadline(start: datetime, name: str) -> None:
    gaps: list[Gap] = [(start, None)]
    found = due(start, Target(business_days=2), 0.5, gaps, CALENDARS.at(name, start), {})
    assert (found.deadline, found.due_soon_at) == (None, None)


units = st.sampled_from(["business_hours", "elapsed_hours", "business_days", "calendar_days"])


@settings(max_examples=120, deadline=None)
@given(situations(), units, st.integers(1, 5), st.integers(0, 59))
def test_what_lies_between_start_and_deadline_is_the_target_in_every_zone(
    situation: tuple[Calendar, Oracle, datetime], unit: str, n: int, second: int
) -> None:
    """Near holidays, leave, part-days and both changes of clocks: hours are counted by the minute, days by their local dates."""
    calendar, wall, start = situation
    opening = wall.opening(start)
    assume(opening is not None or unit in ("elapsed_hours", "calendar_days"))
    start += timedelta(seconds=second)
    assume(any(wall.weekly.values()))
    deadline = due(start, Target.model_validate({unit: n}), 0.5, [], calendar, {}).deadline
    assert deadline is not None
    if unit == "elapsed_hours":
        assert deadline - start == timedelta(hours=n)
    elif unit == "business_hours":
        seconds = [start + timedelta(seconds=s) for s in range(60 - second)]  # the minute that has begun, and whole ones after it
        whole = start + timedelta(seconds=60 - second) if second else start
        counted = sum(map(wall.works, seconds)) if second else 0
        while whole < deadline:
            counted += wall.works(whole) * min(60, int((deadline - whole).total_seconds()))
            whole += MINUTE
        assert counted == n * 3600
    elif unit == "calendar_days":
        begun, ended = wall.reads(start), wall.reads(deadline)
        skipped = ended > begun + timedelta(days=n)  # such a time is not there, or not even such a date
        assert skipped or ended == begun + timedelta(days=n)
        assert not skipped or wall.reads(deadline - timedelta(microseconds=1)) < begun + timedelta(days=n)
    else:
        assert opening is not None
        first, last = wall.reads(opening).date(), wall.reads(deadline).date()
        every = [opening + m * MINUTE for m in range(-1440, int((deadline - opening) / MINUTE) + 1500)]
        worked = {wall.reads(at).date() for at in every if wall.works(at)}
        assert len({day for day in worked if first < day <= last}) == n
        assert last in worked
