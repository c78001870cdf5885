"""The calendar file: working windows, zone and holidays of everybody who can owe something."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.base import Agreed, WrittenDay, WrittenInstant

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _window(value: str) -> str:
    begin, _, end = value.partition("-")
    if not re.fullmatch("[0-9]{2}:[0-5][0-9]-[0-9]{2}:[0-5][0-9]", value):
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
    effective_from: WrittenInstant = datetime(1970, 1, 1, tzinfo=UTC)
    windows: dict[str, tuple[Window, ...]]  #: weekday -> windows; a missing weekday is not worked
    holidays: HolidayRegion | None = None
    closed: tuple[WrittenDay, ...] = ()  #: more days that are not worked
    exceptions: dict[WrittenDay, tuple[Window, ...]] = Field(default_factory=dict)  #: part-days; they win over everything


class CalendarFile(Agreed):
    version: str
    calendars: tuple[CalendarSpec, ...] = Field(min_length=1)
