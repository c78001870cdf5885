"""Business time against an independent oracle: a calendar that walks minute by minute and only knows `zoneinfo`.

The oracle has its own reading of windows and its own list of Berlin's public holidays; it shares no code with the calendar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.calendar import CalendarSpec
from schemas.directory import Leave
from streams.calendars import Calendar

MINUTE = timedelta(minutes=1)
MINUTE_US = 60_000_000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Each zone with days around which its clocks change (or, for India, around which Berlin's do).
ZONES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25), date(2026, 5, 1), date(2026, 12, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Asia/Kolkata": (date(2026, 3, 29),),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),  # half an hour
    "America/Sao_Paulo": (date(2018, 2, 17), date(2018, 11, 4)),  # at midnight
    "America/St_Johns": (date(2010, 3, 14), date(2010, 11, 7)),  # at 00:01, back into the day before
    "Pacific/Apia": (date(2011, 12, 30),),  # a date left out
}
FIXED = ((1, 1), (3, 8), (5, 1), (10, 3), (12, 25), (12, 26))
#: Good Friday, Easter Monday, Ascension, Whit Monday, as printed calendars have them; a walk from late December goes on in 2027.
MOVABLE = {2026: ((4, 3), (4, 6), (5, 14), (5, 25)), 2027: ((3, 26), (3, 29), (5, 6), (5, 17))}
BERLIN_HOLIDAYS = {date(year, month, day) for year, days in MOVABLE.items() for month, day in (*FIXED, *days)}


@dataclass(frozen=True)
class Oracle:
    """Every minute by itself: what does the clock on the wall read, and is that a time of work?"""

    zone: ZoneInfo
    weekly: dict[int, list[tuple[int, int]]]  # weekday -> (first, last) minute of the day
    single: dict[date, list[tuple[int, int]]]
    off: set[date]
    away: set[date]

    def reads(self, at: datetime) -> datetime:
        return at.astimezone(self.zone).replace(tzinfo=None)

    def works(self, at: datetime) -> bool:
        read = self.reads(at)
        minute = read.hour * 60 + read.minute
        today = read.date()
        if today in self.away:
            return False
        windows = self.single.get(today)
        if windows is None:
            windows = [] if today in self.off else self.weekly.get(today.weekday(), [])
        return any(first <= minute < last for first, last in windows)

    def worked(self, start: datetime, end: datetime) -> int:
        return sum(self.works(at) for at in minutes(start, end)) * MINUTE_US

    def opening(self, start: datetime) -> datetime | None:
        return next((at for at in minutes(start, start + timedelta(days=12)) if self.works(at)), None)

    def after(self, start: datetime, us: int) -> datetime | None:
        for at in minutes(start, start + timedelta(days=12)):
            if self.works(at):
                if us <= MINUTE_US:
                    return at + timedelta(microseconds=us)
                us -= MINUTE_US
        return None

    def business_days(self, start: datetime, n: int) -> datetime | None:
        opening = self.opening(start)
        if opening is None:
            return None
        read = self.reads(opening)
        by_date: dict[date, list[datetime]] = {}
        stretch = list(minutes(opening - timedelta(days=1), opening + timedelta(days=14)))
        for at in stretch:
            if self.works(at):
                by_date.setdefault(self.reads(at).date(), []).append(at)
        later = sorted(day for day in by_date if day > read.date())
        if len(later) < n or (later[n - 1] - read.date()).days > 11:
            return None
        wanted = datetime.combine(later[n - 1], read.time())
        due = next(at for at in stretch if self.reads(at) >= wanted)
        work = by_date[later[n - 1]]
        if due in work or due - MINUTE in work:
            return due
        before = [at for at in work if at < due]
        return before[-1] + MINUTE if before else work[0]


def minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += MINUTE


def written(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def windows(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Up to three windows of one day, in order; often at the hours where clocks change."""
    edge = st.one_of(st.integers(0, 1440), st.sampled_from([0, 1, 60, 90, 120, 150, 180, 540, 1020, 1380, 1440]))
    edges = sorted(set(draw(st.lists(edge, min_size=0, max_size=6))))
    return list(zip(edges[::2], edges[1::2], strict=False))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Calendar, Oracle, datetime]:
    """A calendar, the same as an oracle, and a whole minute near a day on which something is special."""
    zone = draw(st.sampled_from(sorted(ZONES)))
    special = draw(st.sampled_from(ZONES[zone]))
    near = [special + timedelta(days=n) for n in range(-3, 9)]
    weekly = {day: draw(windows()) for day in range(7)}
    single = draw(st.dictionaries(st.sampled_from(near), windows(), max_size=2))
    closed = draw(st.sets(st.sampled_from(near), max_size=2))
    away = draw(st.sets(st.sampled_from(near), max_size=2))
    public = zone == "Europe/Berlin" and draw(st.booleans())
    spec = CalendarSpec.model_validate(
        {
            "name": "random",
            "zone": zone,
            "windows": {DAYS[day]: [f"{written(a)}-{written(b)}" for a, b in spans] for day, spans in weekly.items()},
            "exceptions": {day: [f"{written(a)}-{written(b)}" for a, b in spans] for day, spans in single.items()},
            "closed": sorted(closed),
            "holidays": {"country": "DE", "region": "BE"} if public else None,
        }
    )
    leaves = [Leave(first=day, last=day, learned_at=datetime(2000, 1, 1, tzinfo=UTC)) for day in sorted(away)]
    start = datetime.combine(special, datetime.min.time(), tzinfo=UTC) + timedelta(minutes=draw(st.integers(-2880, 2880)))
    off = closed | (BERLIN_HOLIDAYS if public else set())
    return Calendar.of(spec).with_leave(leaves), Oracle(ZoneInfo(zone), weekly, single, off, away), start


@settings(max_examples=150, deadline=None)
@given(situations(), st.integers(0, 5 * 1440))
def test_working_time_is_the_sum_of_its_minutes(situation: tuple[Calendar, Oracle, datetime], length: int) -> None:
    calendar, oracle, start = situation
    end = start + length * MINUTE
    assert calendar.is_working(start) == oracle.works(start)
    assert calendar.working_us(start, end) == oracle.worked(start, end)


@settings(max_examples=150, deadline=None)
@given(situations(), st.integers(1, 2 * 24 * 3600 * 1_000_000))
def test_time_is_added_minute_by_minute(situation: tuple[Calendar, Oracle, datetime], us: int) -> None:
    calendar, oracle, start = situation
    opening, after = oracle.opening(start), oracle.after(start, us)
    if opening is not None:
        assert calendar.next_opening(start) == opening
    if after is not None:
        assert calendar.add_working(start, us) == after


@settings(max_examples=150, deadline=None)
@given(situations(), st.integers(1, 5))
def test_business_days_are_found_by_walking(situation: tuple[Calendar, Oracle, datetime], n: int) -> None:
    calendar, oracle, start = situation
    due = oracle.business_days(start, n)
    assume(due is not None)
    assert calendar.add_business_days(start, n) == due


@settings(max_examples=300, deadline=None)
@given(situations(), st.integers(0, 999_999), st.integers(1, 30 * 24 * 3600 * 1_000_000))
def test_adding_and_measuring_are_inverse_to_the_microsecond(
    situation: tuple[Calendar, Oracle, datetime], offset: int, us: int
) -> None:
    calendar, oracle, start = situation
    assume(any(oracle.weekly.values()))
    start += timedelta(microseconds=offset)
    end = calendar.add_working(start, us)
    assert calendar.working_us(start, end) == us
    assert calendar.working_us(start, end - timedelta(microseconds=1)) == us - 1  # the earliest such instant
    assert calendar.working_us(start, start) == 0


@settings(max_examples=200, deadline=None)
@given(situations(), st.integers(0, 20_000), st.integers(0, 20_000), st.floats(0, 1))
def test_working_time_adds_up_and_shares_lie_inside(
    situation: tuple[Calendar, Oracle, datetime], first: int, second: int, share: float
) -> None:
    calendar, _, start = situation
    middle = start + timedelta(seconds=first)
    end = middle + timedelta(seconds=second)
    whole = calendar.working_us(start, end)
    assert whole == calendar.working_us(start, middle) + calendar.working_us(middle, end)
    moment = calendar.share_instant(start, end, share)
    assert start <= moment <= end
    if whole:
        assert calendar.working_us(start, moment) == int(whole * share)


@settings(max_examples=200, deadline=None)
@given(situations(), st.integers(1, 60), st.integers(1, 60))
def test_more_days_are_never_due_earlier(situation: tuple[Calendar, Oracle, datetime], n: int, more: int) -> None:
    calendar, oracle, start = situation
    assume(any(oracle.weekly.values()))
    assert start < calendar.add_business_days(start, n) <= calendar.add_business_days(start, n + more)
    due = calendar.add_calendar_days(start, n)
    assert start < due <= calendar.add_calendar_days(start, n + more)
    read, begun = oracle.reads(due), oracle.reads(start)
    if read.date() == begun.date() + timedelta(days=n) and abs(read - (begun + timedelta(days=n))) > timedelta():
        assert oracle.reads(due - MINUTE) < begun + timedelta(days=n) < read  # only where the gap skipped it
