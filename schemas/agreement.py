"""What was agreed, as it was published: one record a version on `sla.agreement`, kept for good under the hash of its content."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from schemas.base import Agreed, Instant


class Published(Agreed):
    """One version of something agreed. Names and contacts of people are not in it: those stay in the people file."""

    content_hash: str  #: as receipts have it; the record's key
    kind: Literal["policy", "commitment", "calendars", "calendar", "people"]
    name: str
    version: str
    effective_from: Instant = datetime(1970, 1, 1, tzinfo=UTC)
    content: dict[str, Any]
    published_at: Instant
