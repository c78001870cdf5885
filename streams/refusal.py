"""Which facts the tracker refuses, so that `rebuild` refuses the same ones; and what nobody may refuse. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from schemas.base import SCHEMA, schema_of
from schemas.fact import Fact
from streams.delivery import partition_of
from streams.directory import People
from streams.timeline import events
from streams.tracker_rows import UnknownRow

#: What a fact of impossible content makes the core raise; such a fact is a dead letter, not the end of the worker.
BAD_FACT = (ValueError, TypeError, KeyError, AttributeError, OverflowError)


def refusal(fact: Fact) -> tuple[str, str] | None:
    """Reason and detail for which a fact cannot be filed at all; None if it can."""
    if fact.requisition_id is None:
        return "no_requisition", "requisition_id"
    if "\0" in f"{fact.requisition_id}{fact.application_id}":
        return "not_a_fact", "a zero byte in an id"
    return None


def misplaced(requisition_id: bytes, partition: int, partitions: int | None) -> tuple[str, str] | None:
    """Reason and detail if a fact of the requisition lies in another partition than its own; None if it is where it belongs.

    Judged there it would be without the requisition's other facts, and what came of it would take the place of what is right.
    `partitions`: of ats.facts, None if whatever comes is taken.
    """
    if partitions is None or (own := partition_of(requisition_id, partitions)) == partition:
        return None
    return "wrong_partition", f"it belongs to partition {own}: the key of a fact is its requisition_id"


def refuse_newer(topic: str, record: bytes) -> None:
    """Raises UnknownRow if a record that cannot be read is of a newer schema: it is none of our dead letters."""
    if (schema := schema_of(record)) > SCHEMA:
        raise UnknownRow(f"a record of {topic}", schema, SCHEMA)


def look_ahead(merged: Sequence[Fact], people: People, as_of: datetime) -> None:
    """Raise now what facts that lie ahead of `as_of` would raise once their time has come: one of BAD_FACT."""
    last = max(fact.occurred_at for fact in merged)
    if last > as_of:
        events(merged, people, last)
