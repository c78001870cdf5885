"""The strict, frozen base of all agreed models, and the one time type they use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


#: An instant: aware on the way in (a time without a zone is refused), UTC inside.
Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


class Agreed(BaseModel):
    """Frozen, and strict about unknown fields: a misspelt field is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
