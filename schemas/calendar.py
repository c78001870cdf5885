"""The calendar file: working windows, zone and holidays of everybody who can owe something."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.base import Agreed, Instant

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _window(value: str) -> str:
    begin, _, end = value.partition("-")
    for part in (begin, end):
        hours, _, minutes = part.partition(":")
        if not (len(hours) == len(minutes) == 2 and hours.isdigit() and minutes.isdigit() and int(minutes) < 60):
            raise ValueError(f"a window is written HH:MM-HH:MM, not {value!r}")
    if not begin < end <= "24:00":
        raise ValueError(f"window {value!r} ends before it begins")
    return value


#: `09:00-12:30`, local wall-clock time; `24:00` is the end of the day.
Window = Annotated[str, AfterValidator(_window)]


class HolidayRegion(Agreed):
    """Public holidays by the `holidays` library: ISO 3166-1 country and, where it has them, subdivision."""

    country: str
    region: str | None = None


class CalendarSpec(Agreed):
    """One calendar. Windows of a day must not overlap and are in order."""

    name: str
    zone: str  #: IANA time zone
    effective_from: Instant = datetime(1970, 1, 1, tzinfo=UTC)
    windows: dict[str, tuple[Window, ...]]  #: weekday -> windows; a missing weekday is not worked
    holidays: HolidayRegion | None = None
    closed: tuple[date, ...] = ()  #: more days that are not worked
    exceptions: dict[date, tuple[Window, ...]] = Field(default_factory=dict)  #: part-days; they win over everything


class CalendarFile(Agreed):
    version: str
    calendars: tuple[CalendarSpec, ...] = Field(min_length=1)
