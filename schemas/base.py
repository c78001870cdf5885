"""The strict, frozen base of all agreed models, and the one time type they use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

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
    return value.astimezone(UTC)


#: An instant: aware on the way in (a time without a zone is refused), UTC inside.
Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


class Agreed(BaseModel):
    """Frozen, and strict about unknown fields: a misspelt field is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
