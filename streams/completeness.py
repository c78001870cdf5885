"""How far each source is known to be complete, per account and fact kind: a silent source blames nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from schemas.fact import Watermark

#: account -> fact kind -> everything of that kind before this instant has been read. A kind that is absent is one no
#: configured source declares (it can only be reported by hand): it counts as complete, there is nothing to wait for.
Completeness = Mapping[str, Mapping[str, datetime]]

ALWAYS = datetime.max.replace(tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)

#: A watermark that moves by so much at once ends a silence that is remembered: an hour.
SILENT_US = 3_600_000_000


def from_watermarks(watermarks: Iterable[Watermark], known_at: datetime | None = None) -> dict[str, dict[str, datetime]]:
    """The furthest of the watermarks learned by `known_at` (None: all); order and repetition do not matter."""
    found: dict[str, dict[str, datetime]] = {}
    for mark in watermarks:
        kinds = found.setdefault(mark.account, {})
        reached = NEVER if known_at is not None and mark.received_at > known_at else mark.complete_until
        for kind in mark.kinds:
            kinds[kind] = max(reached, kinds.get(kind, NEVER))
    return found


def complete_until(completeness: Completeness, account: str, kinds: Iterable[str]) -> datetime:
    """Up to when every one of `kinds` is complete for the account; `ALWAYS` if none of them is declared."""
    known = completeness.get(account, {})
    return min((known[kind] for kind in kinds if kind in known), default=ALWAYS)
