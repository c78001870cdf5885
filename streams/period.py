"""A reporting month: `YYYY-MM` in the policy's zone, half-open. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from streams.errors import MutualSLAError

#: Times outside are a vendor's, an extractor's or a typist's mistake; inside, arithmetic of days and zones cannot overflow.
YEARS = range(1970, 2200)


class InvalidPeriod(MutualSLAError):
    """Not a month written YYYY-MM."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) as UTC instants; begins and ends at local midnight of `zone`, whatever daylight saving does between."""

    name: str
    zone: str
    start: datetime
    end: datetime

    @classmethod
    def month(cls, name: str, zone: str) -> Period:
        """The month `YYYY-MM`. Raises InvalidPeriod."""
        found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", name)
        if found is None:
            raise InvalidPeriod(f"{name!r} is not a month; write YYYY-MM, such as 2026-05")
        year, month = int(found[1]), int(found[2])
        if year not in YEARS:
            raise InvalidPeriod(f"{name} is not between {YEARS.start} and {YEARS.stop - 1}; write YYYY-MM, such as 2026-05")
        first = datetime(year, month, 1, tzinfo=ZoneInfo(zone))
        after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=ZoneInfo(zone))
        return cls(name, zone, first.astimezone(UTC), after.astimezone(UTC))

    def and_before(self, months: int) -> list[Period]:
        """This month and those before it, `months` in all, the earliest first."""
        year, month = map(int, self.name.split("-"))
        numbers = (12 * year + month - 1 - back for back in reversed(range(months)))
        return [
            Period.month(f"{number // 12:04d}-{number % 12 + 1:02d}", self.zone) for number in numbers if number // 12 in YEARS
        ]

    @classmethod
    def of(cls, instant: datetime, zone: str) -> Period:
        """The month an instant falls in."""
        return cls.month(instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m"), zone)
