"""The strict, frozen base of all agreed models, and the one time type they use."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

When = TypeVar("When", date, datetime)

#: The schema of the records on our topics. A record of a later one says so behind its type, as in `fact/2`; those of the first
#: have no number. It is raised when an older program must not take (or would refuse) what a newer one writes.
SCHEMA = 1


def schema_of(record: bytes) -> int:
    """The schema a record of `ats.facts`, `ats.rejected` or `sla.outcomes` says it is of; 1 for what is no record at all."""
    try:
        said = orjson.loads(record)
        kind = said["type"] if "type" in said else said["body"]["type"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return 1
    number = str(kind).partition("/")[2]
    return int(number) if number.isdecimal() and len(number) < 9 else 1


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:  # pydantic reports a ValueError with its field; this would end the program
        raise ValueError("is before the year 1 or after 9999 in UTC") from error


#: An instant: aware on the way in (a time without a zone is refused), UTC inside.
Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


def _our_time(value: datetime) -> datetime:
    if value.year > 2200:
        raise ValueError("must lie before the year 2201: it says what time it is")
    return value


#: An instant read from one of our own clocks. The tracker's time is the latest of them: one in the year 9999 would be past
#: every deadline, and beyond what calendars can work out, so that the worker ended at that record for ever.
ClockTime = Annotated[Instant, AfterValidator(_our_time)]


def _numeral(value: object) -> object:
    if isinstance(value, bool | str):  # lax mode reads true as 1, and "inf" past every limit
        raise ValueError("must be a number, without quotes")
    return value


def _written_date(value: object) -> object:
    if isinstance(value, int | float) or (isinstance(value, str) and not re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        raise ValueError("must be written as a date, such as 2026-07-01")  # lax mode reads numbers as seconds since 1970
    return value


def _thinkable(value: When) -> When:
    if not 1970 <= value.year <= 2200:  # calendars are worked out day by day
        raise ValueError("must lie between 1970-01-01 and 2200-12-31")
    return value


# What people write into configuration files: only in the form they are meant in, and within what can be meant.
Switch = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(ge=1), BeforeValidator(_numeral)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_numeral)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_numeral)]
WrittenDay = Annotated[date, BeforeValidator(_written_date), AfterValidator(_thinkable)]
WrittenInstant = Annotated[Instant, BeforeValidator(_written_date), AfterValidator(_thinkable)]


class Agreed(BaseModel):
    """Frozen, and strict about unknown fields: a misspelt field is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
