"""Business time by example: each rule of design "Business time", and each tie of streams/calendars.py, once."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from schemas.calendar import CalendarFile, CalendarSpec
from schemas.directory import Leave
from streams.calendars import Calendar, Calendars, public_holidays
from streams.errors import InvalidConfiguration

HOUR = 3_600_000_000
WEEK = ("mon", "tue", "wed", "thu", "fri")
SPLIT = {day: ["09:00-12:30", "13:30-17:30"] for day in WEEK}


def calendar(zone: str = "Europe/Berlin", windows: dict[str, list[str]] | None = None, **more: Any) -> Calendar:
    return Calendar.of(CalendarSpec.model_validate({"name": "example", "zone": zone, "windows": windows or SPLIT, **more}))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def berlin(text: str) -> datetime:
    """A summer time of 2026 in Berlin."""
    return utc(f"2026-{text}+02:00")


BERLIN = calendar(holidays={"country": "DE", "region": "BE"})


@pytest.mark.parametrize(
    ("start", "days", "due", "why"),
    [
        ("05-04T10:00", 1, "05-05T10:00", "the same local time on the next working day"),
        ("05-08T10:00", 1, "05-11T10:00", "over a weekend"),
        ("05-08T18:30", 1, "05-12T09:00", "Friday evening counts from Monday's opening"),
        ("05-09T11:00", 2, "05-13T09:00", "so does Saturday"),
        ("05-12T10:00", 3, "05-18T10:00", "Thursday the 14th is Ascension, a holiday"),
        ("05-04T12:30", 1, "05-05T13:30", "the very end of a window is outside it: the start moves to the next opening"),
        ("05-04T17:30", 1, "05-06T09:00", "also at the end of the day"),
        ("05-04T13:30", 1, "05-05T13:30", "an opening stays an opening"),
        ("05-04T09:00", 2, "05-06T09:00", "the first opening of a day"),
        ("05-04T07:00", 0, "05-04T09:00", "no days: the opening itself"),
    ],
)
def test_business_days(start: str, days: int, due: str, why: str) -> None:
    assert BERLIN.add_business_days(berlin(start), days) == berlin(due), why


@pytest.mark.parametrize(
    ("windows", "due", "why"),
    [
        (["09:00-12:00"], "05-05T12:00", "the last working instant before it on that day"),
        (["09:00-12:00", "16:00-18:00"], "05-05T12:00", "before it, though the next opening is nearer"),
        (["16:00-18:00"], "05-05T16:00", "else that day's next opening"),
        (["14:00-15:30"], "05-05T15:00", "the same local time where it is inside"),
        (["09:00-15:00"], "05-05T15:00", "an end belongs to its window when something is due"),
        ([], "05-06T15:00", "a date without windows is no working day"),
    ],
)
def test_a_local_time_outside_the_windows_of_its_day(windows: list[str], due: str, why: str) -> None:
    part_day = calendar(exceptions={"2026-05-05": windows})
    assert part_day.add_business_days(berlin("05-04T15:00"), 1) == berlin(due), why


@pytest.mark.parametrize(
    ("start", "hours", "end", "why"),
    [
        ("05-04T09:00", 7.5, "05-04T17:30", "used up at the end of the day, not at the next opening"),
        ("05-04T09:00", 3.5, "05-04T12:30", "and at the end of the morning"),
        ("05-04T12:00", 1, "05-04T14:00", "lunch does not count"),
        ("05-08T17:00", 1, "05-11T09:30", "neither does the weekend"),
        ("05-09T12:00", 1, "05-11T10:00", "a start outside waits for the opening"),
        ("05-04T12:30", 0, "05-04T12:30", "nothing to add: the start, wherever it is"),
    ],
)
def test_hours_are_consumed_inside_windows(start: str, hours: float, end: str, why: str) -> None:
    assert BERLIN.add_working(berlin(start), int(hours * HOUR)) == berlin(end), why


def test_windows_are_half_open() -> None:
    assert BERLIN.is_working(berlin("05-04T09:00"))
    assert BERLIN.is_working(berlin("05-04T12:30") - timedelta(microseconds=1))
    assert not BERLIN.is_working(berlin("05-04T12:30"))
    assert BERLIN.next_opening(berlin("05-04T12:30")) == berlin("05-04T13:30")
    assert BERLIN.next_opening(berlin("05-04T10:00:00.000001")) == berlin("05-04T10:00:00.000001")


@pytest.mark.parametrize(
    ("window", "date_of_change", "hours", "why"),
    [
        ("00:00-24:00", "2026-03-29", 23, "the day in spring is an hour short"),
        ("00:00-24:00", "2026-10-25", 25, "the one in autumn an hour long"),
        ("01:30-03:30", "2026-03-29", 1, "across the gap"),
        ("02:15-02:45", "2026-03-29", 0, "inside the gap: nothing"),
        ("02:15-03:30", "2026-03-29", 0.5, "begins in the gap"),
        ("01:00-02:30", "2026-03-29", 1, "ends in the gap"),
        ("01:30-03:30", "2026-10-25", 3, "across the doubled hour"),
        ("02:15-02:45", "2026-10-25", 1, "inside it: both passes"),
        ("02:30-04:00", "2026-10-25", 2, "begins in it: half an hour of each pass, then one"),
        ("09:00-17:00", "2026-03-29", 8, "an ordinary working day does not notice"),
    ],
)
def test_windows_have_their_real_length_when_clocks_change(window: str, date_of_change: str, hours: float, why: str) -> None:
    sunday = utc(date_of_change + "T00:00+00:00")
    shop = calendar(windows={"sun": [window]})
    assert shop.working_us(sunday - timedelta(days=1), sunday + timedelta(days=2)) == hours * HOUR, why


def test_the_same_local_time_across_a_change_of_clocks() -> None:
    friday = utc("2026-03-27T10:00+01:00")
    assert BERLIN.add_business_days(friday, 1) == utc("2026-03-30T10:00+02:00")
    assert BERLIN.add_calendar_days(friday, 3) == utc("2026-03-30T10:00+02:00")


def test_a_day_count_into_the_gap_ends_with_it_and_into_the_doubled_hour_takes_the_first_pass() -> None:
    assert BERLIN.add_calendar_days(utc("2026-03-28T02:30+01:00"), 1) == utc("2026-03-29T03:00+02:00")
    assert BERLIN.add_calendar_days(utc("2026-10-24T02:30+02:00"), 1) == utc("2026-10-25T02:30+02:00")


def test_calendar_days_count_every_day() -> None:
    assert BERLIN.add_calendar_days(berlin("05-08T18:30"), 2) == berlin("05-10T18:30")


def test_no_time_at_all_ends_where_it_starts_or_at_the_next_opening_of_a_working_day() -> None:
    evening = berlin("05-08T18:30")
    assert BERLIN.add_calendar_days(evening, 0) == BERLIN.add_working(evening, 0) == evening
    assert BERLIN.add_business_days(evening, 0) == berlin("05-11T09:00")


def test_a_date_that_a_zone_left_out_is_no_working_day() -> None:
    samoa = calendar("Pacific/Apia", {day: ["09:00-17:00"] for day in WEEK})
    assert samoa.add_business_days(utc("2011-12-29T10:00-10:00"), 1) == utc("2012-01-02T10:00+14:00")


def test_public_holidays_follow_the_region() -> None:
    assert date(2026, 3, 8) in public_holidays("DE", "BE", 2026)  # Women's Day, in Berlin but not in Bavaria
    assert date(2026, 3, 8) not in public_holidays("DE", "BY", 2026)
    assert date(2026, 11, 1) in public_holidays("IN", "KA", 2026)
    assert date(2026, 11, 26) in public_holidays("US", "NY", 2026)
    assert public_holidays("IN", "KA", 1971) is not None  # years without data warn; warnings are errors here


def test_the_first_source_that_speaks_about_a_date_wins() -> None:
    spec = {
        "holidays": {"country": "DE", "region": "BE"},
        "closed": ["2026-05-05", "2026-05-06"],
        "exceptions": {"2026-05-01": ["10:00-11:00"], "2026-05-06": ["10:00-12:00"], "2026-05-09": ["10:00-13:00"]},
    }
    own = calendar(**spec)

    def hours(of: Calendar, day: str) -> float:
        return of.working_us(berlin(day + "T00:00"), berlin(day + "T23:59")) / HOUR

    assert hours(own, "05-01") == 1, "an exception wins over a public holiday"
    assert hours(own, "05-05") == 0, "a closed day"
    assert hours(own, "05-06") == 2, "an exception wins over a closed day"
    assert hours(own, "05-09") == 3, "and over the weekday"
    assert hours(own, "05-07") == 7.5
    leave = Leave(first=date(2026, 5, 6), last=date(2026, 5, 7), learned_at=datetime(2026, 1, 1, tzinfo=UTC))
    away = own.with_leave([leave])
    assert [hours(away, f"05-0{day}") for day in (6, 7, 8, 9)] == [0, 0, 7.5, 3], "leave wins over all of them"


def test_shares_of_working_time_warn_early_and_of_the_clock_where_nobody_works() -> None:
    assert BERLIN.share_instant(berlin("05-04T09:00"), berlin("05-05T17:30"), 0.75) == berlin("05-05T13:45")
    assert BERLIN.share_instant(berlin("05-09T00:00"), berlin("05-10T00:00"), 0.75) == berlin("05-09T18:00")
    assert BERLIN.share_instant(berlin("05-04T09:00"), berlin("05-04T09:00"), 0.75) == berlin("05-04T09:00")


def test_no_working_time_is_an_error_and_not_a_loop() -> None:
    never = calendar(windows={"mon": []})
    start = berlin("05-04T10:00")
    for call in (never.next_opening, lambda at: never.add_working(at, 1), lambda at: never.add_business_days(at, 1)):
        with pytest.raises(InvalidConfiguration, match="calendar 'example' has no working time within 400 days after 2026-05-04"):
            call(start)
    assert never.working_us(start, start + timedelta(days=30)) == 0


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="backwards"):
        BERLIN.add_working(berlin("05-04T10:00"), -1)
    with pytest.raises(ValueError, match="backwards"):
        BERLIN.add_business_days(berlin("05-04T10:00"), -1)
    with pytest.raises(ValueError, match="backwards"):
        BERLIN.add_calendar_days(berlin("05-04T10:00"), -1)
    with pytest.raises(TypeError):
        BERLIN.is_working(datetime(2026, 5, 4, 10))  # noqa: DTZ001 - a time without a zone is the point
    with pytest.raises(InvalidConfiguration, match="'Europe/Atlantis' is not an IANA time zone"):
        calendar("Europe/Atlantis")


def test_the_version_changes_with_what_it_says_and_only_then() -> None:
    leave = Leave(first=date(2026, 5, 6), last=date(2026, 5, 6), learned_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert calendar().version == calendar().version
    assert len({calendar().version, calendar(closed=["2026-05-05"]).version, calendar().with_leave([leave]).version}) == 3
    assert calendar().with_leave([]).version == calendar().version
    assert calendar() == calendar() and calendar() != calendar(closed=["2026-05-05"])


def test_the_version_in_force_counts_and_the_first_one_before_it() -> None:
    stanza = {"name": "x", "zone": "Europe/Berlin"}
    file = CalendarFile.model_validate(
        {
            "version": "1",
            "calendars": [
                {**stanza, "windows": {"mon": ["08:00-12:00"]}, "effective_from": "2026-06-01T00:00:00Z"},
                {**stanza, "windows": {"mon": ["09:00-12:00"]}, "effective_from": "2026-01-01T00:00:00Z"},
            ],
        }
    )
    calendars = Calendars.from_file(file)

    def opens(at: str) -> int:
        day = calendars.at("x", utc(at))
        return day.next_opening(utc("2026-07-06T00:00+02:00")).astimezone(day.tz).hour

    assert opens("2026-05-31T23:59:59.999999+00:00") == 9
    assert opens("2026-06-01T00:00+00:00") == 8
    assert opens("2020-01-01T00:00+00:00") == 9
    assert calendars.names == {"x"}
    with pytest.raises(InvalidConfiguration, match="no calendar 'y'; there are x"):
        calendars.at("y", utc("2026-05-31T00:00+00:00"))


def test_weeks_are_added_in_microseconds() -> None:
    """A bound a hundred times above what was measured (3-10 us a call), so that only minute walking fails it."""
    start = berlin("05-08T16:30")
    calls = 200
    for call in (
        lambda: BERLIN.add_working(start, 150 * HOUR),
        lambda: BERLIN.add_business_days(start, 20),
        lambda: BERLIN.working_us(start, start + timedelta(days=60)),
    ):
        call()  # the days are computed once
        begun = time.process_time()
        for _ in range(calls):
            call()
        assert (time.process_time() - begun) / calls < 0.001
