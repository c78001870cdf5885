"""Which requisitions leave the tracker's table, and what is done with facts that come when they have left.

A requisition leaves with all its applications when it was closed and nothing was told of itself for the horizon, and nothing of
it runs, waits or is due: each promise has ended, or is overdue for longer than the horizon and would be for ever. The whole
requisition at once, because a fact of it may revise each of its applications. What stays is one small row:

    e 0 requisition     as of when it left, and how many facts came since

What is known is in the ledger, and in ats.facts for ever. A fact that comes later is kept in its row and not judged: judged
alone it would say something else than all of them together. The first one is a dead letter, `evicted`, which asks for
`mutual-sla rebuild --apply`: that judges from all facts, and hands the tracker all it lacks, and then the word to take the
requisition up again (`Rejudge.revive`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import orjson

from schemas.fact import Fact
from streams.difference import GONE, KEPT, Published
from streams.tracker_rows import Rows, UnknownRow, application_key, digest_key, requisition_key
from streams.wall_clock import instant_of, micros

SCHEMA = 1
LATER_US = 30 * 86_400_000_000  #: after so many microseconds a requisition that could not leave is looked at again
CLOSED, OPENED = "requisition.closed", ("requisition.opened", "requisition.reopened")


def evicted_key(requisition_id: str) -> bytes:
    return b"e\0%s" % requisition_id.encode()


def late_facts(value: bytes | None) -> int | None:
    """How many facts came since the requisition left, by its `e` row; None if it is there. Raises UnknownRow."""
    if value is None:
        return None
    version, *told = orjson.loads(value)
    if version != SCHEMA:
        raise UnknownRow("an `evicted` row", version, SCHEMA)
    return int(told[1])


class Horizon:
    """The horizon over the rows of one step; `changes` are those of the step."""

    def __init__(self, rows: Rows, changes: dict[bytes, bytes | None], days: int) -> None:
        """`days` after the last fact of a closed requisition; 0: never."""
        self._rows = rows
        self._changes = changes
        self._days = timedelta(days=days)

    def has_left(self, requisition_id: str) -> bool:
        return self._rows.raw(evicted_key(requisition_id)) is not None

    def leaves_at(self, facts: Iterable[Fact]) -> int | None:
        """When a requisition with these facts of its own may leave, in microseconds; None while it is not closed."""
        if not self._days:
            return None
        facts = list(facts)
        told = [(fact.occurred_at, fact.kind == CLOSED) for fact in facts if fact.kind == CLOSED or fact.kind in OPENED]
        if not told or not max(told)[1]:
            return None
        return micros(max(max(fact.occurred_at, fact.received_at) for fact in facts) + self._days)

    def evict(self, requisition_id: str, as_of: int) -> list[bytes]:
        """Take its rows out of the table; their keys, or none if something of it is still open."""
        own, long_ago = requisition_key(requisition_id), instant_of(as_of) - self._days
        applications = list(self._rows.scan(application_key(requisition_id, "")))
        rows = [self._rows.load(key) for key in applications]
        if any(row.due is not None or row.waits for row in rows):
            return []
        if not all(_is_over(row.published, long_ago) for row in [self._rows.load(own), *rows]):
            return []
        keys = [own, *applications, *self._rows.scan(digest_key(requisition_id, ""))]
        for key in [*keys, *self._pieces(requisition_id)]:
            self._changes[key] = None
        self._mark(requisition_id, as_of, 0)
        return keys

    def came_late(self, requisition_id: str, facts: int) -> bool:
        """Note so many facts of a requisition that has left; True if they are the first ones."""
        _, as_of, late = orjson.loads(self._rows.raw(evicted_key(requisition_id)) or b"")
        self._mark(requisition_id, as_of, late + facts)
        return not late

    def revive(self, requisition_id: str) -> None:
        """It is there again, with all the facts that were told meanwhile."""
        self._changes[evicted_key(requisition_id)] = None

    def _mark(self, requisition_id: str, as_of: int, late: int) -> None:
        self._changes[evicted_key(requisition_id)] = orjson.dumps([SCHEMA, as_of, late])

    def _pieces(self, requisition_id: str) -> Iterator[bytes]:
        for prefix in (
            application_key(requisition_id, ""),
            digest_key(requisition_id, ""),
            requisition_key(requisition_id) + b"\0",
        ):
            yield from self._rows.scan(b"c\0" + prefix)


def _is_over(published: Published, long_ago: datetime) -> bool:
    """Whether each obligation that was told of has ended, no longer applies, or was due before `long_ago`."""
    for fingerprint, kept in published.values():
        if fingerprint == GONE or kept is None:  # None: of an application nothing is kept
            continue
        told = orjson.loads(kept) if isinstance(kept, str) else dict(zip(KEPT, kept, strict=False))
        deadline = told.get("deadline")
        if told.get("ended_at") is None and (deadline is None or datetime.fromisoformat(deadline) > long_ago):
            return False
    return True
