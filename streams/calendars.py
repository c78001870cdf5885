"""Business time: when somebody who owes something works, to the microsecond, over daylight saving in both directions.

In: agreed calendars (`schemas.calendar`) and days of leave. Out: instants (aware UTC) and whole microseconds. Pure: no clock,
no file, no environment. Rules (design, "Business time"), with every tie:

* An instant is working time iff the wall clock of the calendar's zone then reads a time inside a window of that date. So a
  window in the spring gap is short or empty, one in the doubled autumn hour counts both passes: always real, elapsed time.
* Of a date's sources the first that says something wins: leave, exceptions, closed days, public holidays, weekday windows.
* Windows are half-open, [begin, end): somebody who starts at the very end of a window starts at the next opening. But time
  is used up *at* the end: eight hours from 09:00 in a window 09:00-17:00 are over at 17:00, not at the next day's 09:00.
* A local time that the spring gap skips means the end of the gap; one that autumn doubles means its first pass.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from schemas.calendar import WEEKDAYS, CalendarFile, CalendarSpec
from schemas.directory import Leave
from streams.errors import InvalidConfiguration
from streams.wall_clock import DAY, Spans, instant_at, instant_of, micros, spans_of, window_micros, zone_of

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
#: A calendar without working time for so many days is a mistake, not a holiday.
HORIZON_DAYS = 400
BLOCK = 32  #: days whose working time is summed up together


@lru_cache(maxsize=4096)
def public_holidays(country: str, region: str | None, year: int) -> frozenset[date]:
    """Public holidays of a country (ISO 3166-1) and subdivision in one year, by the `holidays` library.

    Years the library has no data for (moon-based ones far from now) have none. Raises NotImplementedError (the library's) if it
    does not know the country or the subdivision.
    """
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # it warns of years without data
        return frozenset(holidays.country_holidays(country, subdiv=region, years=year))


def content_version(*parts: object) -> str:
    """Short hash (12 hex digits) of values that JSON can hold, the order of mapping keys apart."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Calendar:
    """When one person, team, location or company works. Equal if name and version are; instants in and out are aware UTC.

    `version` hashes the stanza, the leave and, where it uses public holidays, the version of the library they come from.
    """

    name: str
    version: str
    spec: CalendarSpec = field(repr=False, compare=False)
    tz: ZoneInfo = field(repr=False, compare=False)
    leave: frozenset[date] = field(default=frozenset(), repr=False, compare=False)
    _weekly: tuple[tuple[tuple[int, int], ...], ...] = field(default=(), repr=False, compare=False)
    _dates: dict[int, Spans] = field(default_factory=dict, repr=False, compare=False)
    _cells: dict[int, tuple[Spans, int]] = field(default_factory=dict, repr=False, compare=False)
    _blocks: dict[int, list[int]] = field(default_factory=dict, repr=False, compare=False)
    #: deadlines counted on this calendar, see `deadline`
    remembered: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, spec: CalendarSpec, leave: frozenset[date] = frozenset()) -> Calendar:
        """The calendar of a stanza, without the days in `leave`. Raises InvalidConfiguration if the zone is unknown."""
        library = holidays.__version__ if spec.holidays else ""
        version = content_version(spec.model_dump(mode="json"), sorted(map(str, leave)), library)
        weekly = tuple(tuple(map(window_micros, spec.windows.get(day, ()))) for day in WEEKDAYS)
        return cls(spec.name, version, spec, zone_of(spec.zone), leave, weekly)

    @property
    def zone(self) -> str:
        """The IANA name of the zone."""
        return self.spec.zone

    def with_leave(self, leaves: Iterable[Leave]) -> Calendar:
        """This calendar without the days of `leaves` (first to last, both included, dates of this calendar's zone)."""
        days = frozenset(leave.first + timedelta(days=n) for leave in leaves for n in range((leave.last - leave.first).days + 1))
        return Calendar.of(self.spec, self.leave | days) if days - self.leave else self

    # -- questions ---------------------------------------------------------------------------------------------------

    def is_working(self, at: datetime) -> bool:
        """Whether `at` lies in a window (its begin does, its end does not)."""
        now = micros(at)
        return any(begin <= now < end for begin, end in self._cell(now // DAY)[0])

    def next_opening(self, at: datetime) -> datetime:
        """`at` if that is working time, else the begin of the next window.

        Raises InvalidConfiguration if there is none within 400 days.
        """
        now = micros(at)
        for cell in range(now // DAY, now // DAY + HORIZON_DAYS + 1):
            for begin, end in self._cell(cell)[0]:
                if now < end:
                    return instant_of(max(begin, now))
        raise self._never(at)

    def working_us(self, start: datetime, end: datetime) -> int:
        """Working time in [start, end), microseconds; 0 if `end` is not after `start`."""
        first, last = micros(start), micros(end)
        if last <= first:
            return 0
        begin_cell, end_cell = first // DAY, last // DAY
        total = self._before(end_cell, last) - self._before(begin_cell, first)
        return total + self._days(begin_cell, end_cell) if begin_cell < end_cell else total

    def add_working(self, start: datetime, us: int) -> datetime:
        """The earliest instant by which `us` microseconds of working time have passed since `start`; `start` itself for 0.

        Raises ValueError if `us` is negative, InvalidConfiguration if 400 days pass without any working time.
        """
        if us <= 0:
            if us < 0:
                raise ValueError("working time cannot be added backwards")
            return start
        now = micros(start)
        cell, idle = now // DAY, 0
        left = us + self._before(cell, now)  # counted from the begin of the UTC day
        while idle <= HORIZON_DAYS:
            spans, total = self._cell(cell)
            if total >= left:
                return instant_of(_after(spans, left))
            left -= total
            idle = 0 if total else idle + 1
            cell += 1
        raise self._never(start)

    def add_business_days(self, start: datetime, n: int) -> datetime:
        """Due at the same local time on the n-th working day after `start`.

        A start outside working time first moves to the next opening; that opening's day is day 0. A working day is a local
        date with any working time. Where the local time is outside the windows of the n-th day (both ends belong to them
        here), it is due at the last working instant before it on that day, else at that day's next opening.
        Raises ValueError if n is negative, InvalidConfiguration if 400 days pass without any working time.
        """
        if n < 0:
            raise ValueError("business days cannot be added backwards")
        opening = self.next_opening(start)
        if n == 0:
            return opening
        local = opening.astimezone(self.tz)
        day, idle = local.toordinal(), 0
        while n and idle <= HORIZON_DAYS:
            day += 1
            idle = 0 if self._date(day) else idle + 1
            n -= not idle
        if n:
            raise self._never(start)
        return instant_of(_nearest(self._date(day), instant_at(self.tz, date.fromordinal(day), local.time())))

    def add_calendar_days(self, start: datetime, n: int) -> datetime:
        """The same local time n days later, working day or not: the end of the gap where spring skips it, the first pass
        where autumn doubles it. Raises ValueError if n is negative."""
        if n < 0:
            raise ValueError("calendar days cannot be added backwards")
        if n == 0:
            return start
        local = start.astimezone(self.tz)
        return instant_of(instant_at(self.tz, local.date() + timedelta(days=n), local.time()))

    def share_instant(self, start: datetime, end: datetime, share: float) -> datetime:
        """When `share` (0-1) of the working time between `start` and `end` has passed; of the wall-clock time if there is none.

        Whole microseconds, rounded down.
        """
        if end <= start:
            return start
        worked = self.working_us(start, end)
        if worked:
            return self.add_working(start, int(worked * share))
        return start + timedelta(microseconds=int((micros(end) - micros(start)) * share))

    # -- spans, computed once a day ----------------------------------------------------------------------------------

    def _cell(self, number: int) -> tuple[Spans, int]:
        """Working spans and their sum of one UTC day, counted from 1970-01-01.

        By UTC day, not by local date, so that finding the cell of an instant is one division, and spans stay in order
        even where clocks set back across midnight make two dates alternate.
        """
        found = self._cells.get(number)
        if found is None:
            first, last = number * DAY, (number + 1) * DAY
            day = EPOCH_ORDINAL + number
            spans = tuple(
                sorted(
                    (max(begin, first), min(end, last))
                    for ordinal in (day - 1, day, day + 1)  # offsets reach from -12 to +14 hours
                    for begin, end in self._date(ordinal)
                    if begin < last and first < end
                )
            )
            found = self._cells[number] = (spans, sum(end - begin for begin, end in spans))
        return found

    def _days(self, first: int, last: int) -> int:
        """Working time of the cells from `first` to before `last`, by sums over blocks of them."""
        begin, end = first // BLOCK, last // BLOCK
        total = self._sums(end)[last % BLOCK] - self._sums(begin)[first % BLOCK]
        for block in range(begin, end):
            total += self._sums(block)[BLOCK]
        return total

    def _sums(self, block: int) -> list[int]:
        """Working time of the first n cells of a block, for n from 0 to all."""
        found = self._blocks.get(block)
        if found is None:
            cells = range(block * BLOCK, (block + 1) * BLOCK)
            found = self._blocks[block] = list(accumulate((self._cell(n)[1] for n in cells), initial=0))
        return found

    def _before(self, cell: int, now: int) -> int:
        """Working time of the cell before `now`."""
        return sum(min(end, now) - begin for begin, end in self._cell(cell)[0] if begin < now)

    def _date(self, ordinal: int) -> Spans:
        """Working spans of one local date."""
        found = self._dates.get(ordinal)
        if found is None:
            day = date.fromordinal(ordinal)
            found = self._dates[ordinal] = spans_of(self.tz, day, self._windows(day))
        return found

    def _windows(self, day: date) -> tuple[tuple[int, int], ...]:
        """Windows of a date on its wall clock, in microseconds since midnight; the first source that speaks wins."""
        spec = self.spec
        if day in self.leave:
            return ()
        if day in spec.exceptions:
            return tuple(map(window_micros, spec.exceptions[day]))
        usual = self._weekly[day.weekday()]
        if not usual or day in spec.closed:
            return ()
        rule = spec.holidays
        if rule and day in public_holidays(rule.country, rule.region, day.year):
            return ()
        return usual

    def _never(self, since: datetime) -> InvalidConfiguration:
        what = f"calendar {self.name!r} has no working time within {HORIZON_DAYS} days after {since.isoformat()}"
        return InvalidConfiguration([f"{what}; mend its windows, or the leave of whoever uses it"])


def _after(spans: Spans, us: int) -> int:
    """When `us` microseconds of the spans are used up; 0 < us <= their sum."""
    for begin, end in spans:
        if us <= end - begin:
            return begin + us
        us -= end - begin
    raise AssertionError("the spans are longer than what is asked of them")


def _nearest(spans: Spans, at: int) -> int:
    """`at` if inside a span (ends included), else the last end before it, else the first begin. `spans` is not empty."""
    place = bisect_right(spans, at, key=lambda span: span[0])
    return min(at, spans[place - 1][1]) if place else spans[0][0]


@dataclass(frozen=True, slots=True)
class Calendars:
    """All calendars by name, each in its versions over time."""

    version: str  #: hash of the whole file
    _by_name: Mapping[str, tuple[Calendar, ...]] = field(repr=False)

    @classmethod
    def from_file(cls, file: CalendarFile) -> Calendars:
        """Raises InvalidConfiguration if a zone is unknown."""
        by_name: dict[str, list[Calendar]] = {}
        for spec in sorted(file.calendars, key=lambda spec: spec.effective_from):
            by_name.setdefault(spec.name, []).append(Calendar.of(spec))
        version = content_version(file.model_dump(mode="json"), holidays.__version__)
        return cls(version, {name: tuple(versions) for name, versions in by_name.items()})

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._by_name)

    def at(self, name: str, instant: datetime) -> Calendar:
        """The calendar in force at `instant`: the latest that was effective by then; before the first one, the first.

        Raises InvalidConfiguration if there is no calendar of that name.
        """
        versions = self._by_name.get(name)
        if versions is None:
            raise InvalidConfiguration([f"there is no calendar {name!r}; there are {', '.join(sorted(self._by_name))}"])
        if len(versions) == 1:
            return versions[0]
        place = bisect_right(versions, instant, key=lambda calendar: calendar.spec.effective_from)
        return versions[max(place - 1, 0)]
