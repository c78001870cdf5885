"""Deadlines at their edges: gaps that touch them, warnings, what is left of a target that changed, and what is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from schemas.policy import Target
from streams import deadline
from streams.calendars import Calendar
from streams.deadline import MICROSECOND, WALL, Gap, Wall, Working, delayed, due, used_share
from tests.stories import agreement

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)  # 09:00 in Berlin, where people work until 17:00
HOUR = timedelta(hours=1)
ODD = 7 * MICROSECOND


def berlin() -> Calendar:
    return agreement().calendars.at("berlin", MONDAY)


def test_the_units_are_what_they_say() -> None:
    assert timedelta(microseconds=1) == MICROSECOND
    assert deadline.HOUR_US * MICROSECOND == HOUR
    assert (Wall.between(MONDAY, MONDAY + HOUR), Wall.add(MONDAY, 5)) == (deadline.HOUR_US, MONDAY + 5 * MICROSECOND)


@pytest.mark.parametrize(
    ("target", "length"),
    [
        pytest.param(Target(elapsed_hours=30), 30 * HOUR, id="elapsed hours run through the night"),
        pytest.param(Target(calendar_days=2), 48 * HOUR, id="calendar days run at night too"),
        pytest.param(Target(business_hours=6.5), 6.5 * HOUR, id="business hours inside one window"),
        pytest.param(Target(business_days=1), 24 * HOUR, id="the same time on the next working day"),
    ],
)
def test_a_target_without_gaps(target: Target, length: timedelta) -> None:
    found = due(MONDAY, target, 0.5, (), berlin(), {})
    assert (found.deadline, found.base, found.extended_us) == (MONDAY + length, MONDAY + length, 0)
    assert delayed(MONDAY, target, berlin()) == MONDAY + length


def test_the_warning_of_wall_clock_targets_comes_after_its_share_of_the_wall_clock() -> None:
    for target in (Target(elapsed_hours=40), Target(calendar_days=4)):
        found = due(MONDAY, target, 0.25, (), berlin(), {})
        assert found.deadline is not None
        assert found.due_soon_at == MONDAY + (found.deadline - MONDAY) / 4
        assert found.measure is WALL


def test_wall_clock_targets_are_moved_by_all_of_a_gap_and_others_by_its_working_time() -> None:
    night: list[Gap] = [(MONDAY + 7 * HOUR, MONDAY + 25 * HOUR)]  # 16:00 to 10:00: two working hours
    wall = due(MONDAY, Target(elapsed_hours=8), 0.5, night, berlin(), {})
    assert (wall.deadline, wall.extended_us) == (MONDAY + 26 * HOUR, 18 * deadline.HOUR_US)
    working = due(MONDAY, Target(business_hours=8), 0.5, night, berlin(), {})
    assert (working.deadline, working.extended_us) == (MONDAY + 26 * HOUR, 2 * deadline.HOUR_US)


def test_every_gap_before_the_deadline_adds_up_and_one_at_it_moves_nothing() -> None:
    two: list[Gap] = [(MONDAY + HOUR, MONDAY + 2 * HOUR), (MONDAY + 3 * HOUR, MONDAY + 5 * HOUR)]
    found = due(MONDAY, Target(elapsed_hours=4), 0.75, two, berlin(), {})
    assert (found.deadline, found.extended_us) == (MONDAY + 7 * HOUR, 3 * deadline.HOUR_US)
    assert found.due_soon_at == MONDAY + 6 * HOUR
    at_it: list[Gap] = [(MONDAY + 4 * HOUR, MONDAY + 6 * HOUR), (MONDAY + 9 * HOUR, None)]
    found = due(MONDAY, Target(elapsed_hours=4), 0.5, at_it, berlin(), {})
    assert (found.deadline, found.extended_us) == (MONDAY + 4 * HOUR, 0)
    still: list[Gap] = [(MONDAY + 4 * HOUR, None)]
    assert due(MONDAY, Target(elapsed_hours=4), 0.5, still, berlin(), {}).deadline == MONDAY + 4 * HOUR


def test_of_an_open_gap_the_receipt_keeps_what_earlier_gaps_took() -> None:
    gaps: list[Gap] = [(MONDAY + HOUR, MONDAY + 2 * HOUR), (MONDAY + 3 * HOUR, None)]
    found = due(MONDAY, Target(elapsed_hours=4), 0.25, gaps, berlin(), {})
    assert (found.deadline, found.extended_us, found.base) == (None, deadline.HOUR_US, MONDAY + 4 * HOUR)
    assert found.due_soon_at == MONDAY + HOUR, "a quarter had run before the first gap"
    later = due(MONDAY, Target(elapsed_hours=4), 0.75, gaps, berlin(), {})
    assert later.due_soon_at is None, "two hours of the three have run, the rest nobody knows"


def test_a_warning_that_falls_on_the_begin_of_a_gap_comes_there() -> None:
    gap: list[Gap] = [(MONDAY + 2 * HOUR, MONDAY + 3 * HOUR)]
    assert due(MONDAY, Target(elapsed_hours=4), 0.5, gap, berlin(), {}).due_soon_at == MONDAY + 2 * HOUR
    still: list[Gap] = [(MONDAY + 2 * HOUR, None)]
    assert due(MONDAY, Target(elapsed_hours=4), 0.5, still, berlin(), {}).due_soon_at == MONDAY + 2 * HOUR


def test_a_gap_at_the_very_start_costs_nothing() -> None:
    gap: list[Gap] = [(MONDAY, MONDAY + HOUR)]
    found = due(MONDAY, Target(business_hours=2), 0.5, gap, berlin(), {})
    assert (found.deadline, found.due_soon_at) == (MONDAY + 3 * HOUR, MONDAY + 2 * HOUR)


@pytest.mark.parametrize(
    ("told", "day"),
    [
        pytest.param("2026-03-05", datetime(2026, 3, 4, 23, tzinfo=UTC), id="a day: its first instant in the debtor's zone"),
        pytest.param("2026-03-04T08:00:00+00:00", MONDAY + 48 * HOUR, id="an instant"),
        pytest.param("2026-02-01", MONDAY, id="before the start: at once"),
        pytest.param(None, MONDAY, id="not told: at once"),
    ],
)
def test_until_a_day_or_an_instant_that_the_starting_fact_tells(told: str | None, day: datetime) -> None:
    gap: list[Gap] = [(MONDAY, MONDAY + HOUR)]
    found = due(MONDAY, Target(until="due_on"), 0.5, gap, berlin(), {"due_on": told})
    assert (found.deadline, found.base, found.extended_us, found.measure) == (day, day, 0, WALL)
    assert found.due_soon_at == MONDAY + (day - MONDAY) / 2
    assert delayed(MONDAY, Target(until="due_on"), berlin()) == MONDAY


def test_what_is_left_of_a_new_target_runs_from_the_change_outside_the_gaps_that_follow() -> None:
    whole = due(MONDAY, Target(elapsed_hours=8), 0.5, (), berlin(), {})
    change = MONDAY + 2 * HOUR
    gaps: list[Gap] = [
        (MONDAY, MONDAY + HOUR),  # over before the change
        (MONDAY + HOUR, change),  # ends with it
        (change - ODD, change + ODD),  # lies across it
        (change + HOUR, change + 2 * HOUR),
    ]
    found = whole.left_after(MONDAY, change, Fraction(1, 2), 0.5, gaps)
    assert found.deadline == change + ODD + 5 * HOUR, "four hours, one of standing still, and the rest of the gap across"
    assert found.due_soon_at == change + ODD + 3 * HOUR
    standing = whole.left_after(MONDAY, change, Fraction(1, 2), 0.5, [(change + HOUR, None)])
    assert (standing.deadline, standing.due_soon_at) == (None, None)
    gone = whole.left_after(MONDAY, change, Fraction(1), 0.5, ())
    assert (gone.deadline, gone.due_soon_at) == (change, change)


def test_the_share_of_a_target_that_has_run_leaves_out_where_it_stood_still() -> None:
    whole = due(MONDAY, Target(elapsed_hours=8), 0.5, (), berlin(), {})
    at = MONDAY + 4 * HOUR
    assert used_share(MONDAY, MONDAY, at, whole, ()) == Fraction(1, 2)
    assert used_share(MONDAY, MONDAY, at, whole, [(MONDAY + HOUR, MONDAY + 2 * HOUR)]) == Fraction(3, 8)
    assert used_share(MONDAY, MONDAY, at, whole, [(MONDAY + 3 * HOUR, None)]) == Fraction(3, 8)
    assert used_share(MONDAY, MONDAY, at, whole, [(MONDAY + 3 * HOUR, MONDAY + 6 * HOUR)]) == Fraction(3, 8)
    assert used_share(MONDAY, MONDAY, at, whole, [(at + HOUR, None)]) == Fraction(1, 2), "a gap that comes later"
    since = MONDAY + 2 * HOUR
    assert used_share(MONDAY, since, at, whole, [(MONDAY, MONDAY + HOUR)]) == Fraction(1, 4), "a gap that was over"
    assert used_share(MONDAY, since, at, whole, [(MONDAY + HOUR, MONDAY + 3 * HOUR)]) == Fraction(1, 8)
    none = due(MONDAY, Target(until="due_on"), 0.5, (), berlin(), {})
    assert used_share(MONDAY, MONDAY, at, none, ()) == Fraction(1), "of nothing all has run"


def test_a_remembered_deadline_is_that_of_its_own_target_start_and_warning() -> None:
    calendar, two, three = berlin(), Target(business_hours=2), Target(business_hours=3)
    for _ in range(2):
        assert due(MONDAY, two, 0.5, (), calendar, {}).deadline == MONDAY + 2 * HOUR
        assert due(MONDAY, three, 0.5, (), calendar, {}).deadline == MONDAY + 3 * HOUR
        assert due(MONDAY + HOUR, two, 0.5, (), calendar, {}).deadline == MONDAY + 3 * HOUR
        assert due(MONDAY, two, 0.25, (), calendar, {}).due_soon_at == MONDAY + HOUR / 2
    assert due(MONDAY, two, 0.5, (), calendar, {}) is due(MONDAY, two, 0.5, (), calendar, {})


def test_an_id_that_another_target_had_before_finds_nothing() -> None:
    calendar, target = berlin(), Target(business_hours=2)
    other = due(MONDAY, Target(business_hours=5), 0.5, (), calendar, {})
    calendar.remembered[id(target), MONDAY, 0.5] = Target(business_hours=5), other
    assert due(MONDAY, target, 0.5, (), calendar, {}).deadline == MONDAY + 2 * HOUR


def test_no_more_than_so_many_deadlines_are_remembered() -> None:
    calendar, target = berlin(), Target(business_hours=2)
    calendar.remembered.update(dict.fromkeys(range(deadline.REMEMBERED - 2)))
    sizes = []
    for number in range(4):
        due(MONDAY + number * HOUR, target, 0.5, (), calendar, {})
        sizes.append(len(calendar.remembered))
    assert sizes == [deadline.REMEMBERED - 1, deadline.REMEMBERED, 1, 2]


def test_time_runs_on_the_calendar_of_the_debtor() -> None:
    working = Working(berlin())
    assert working.between(MONDAY, MONDAY + 24 * HOUR) == 8 * deadline.HOUR_US
    assert working.add(MONDAY, 9 * deadline.HOUR_US) == MONDAY + 25 * HOUR
