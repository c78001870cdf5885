"""An outcome as rows of the ledger's tables, and which of two outcomes about one subject is further on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from schemas.outcome import ApplicationState, Obligation, Outcome
from streams.ledger_tables import obligation

Row = dict[str, Any]


def upsert(conn: Connection, table: Table, *, update: bool = True) -> Any:
    """Insert a row; where its key is there, replace everything else (or, without `update`, leave it)."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement: Any = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    if not update:
        return statement.on_conflict_do_nothing(index_elements=keys)
    others = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of a subject."""

    partition: int
    offset: int
    learned_at: datetime
    digest: str
    revision_no: int = 0

    def is_before(self, outcome: Outcome) -> bool:
        """Whether the outcome is further on: by offset; across partitions (a moved application) by when it was learned."""
        if self.partition == outcome.source_partition:
            return self.offset < outcome.source_offset
        return (self.learned_at, self.partition) < (outcome.learned_at, outcome.source_partition)


def place(outcome: Outcome) -> Row:
    return {
        "learned_at": outcome.learned_at,
        "source_partition": outcome.source_partition,
        "source_offset": outcome.source_offset,
    }


SAID = tuple(name for name in Obligation.model_fields if name in obligation.c and name != "receipt")


def said(body: Obligation) -> Row:
    return {name: getattr(body, name) for name in SAID}


def application_rows(outcome: Outcome, body: ApplicationState, digest: str) -> tuple[Row, list[Row]]:
    facts = ("created_at", "ended_at", "requisition_opened_at", "accepted_at")
    same = ("application_id", "tenant", "requisition_id", "team", "state", *facts)
    row = {**{name: getattr(body, name) for name in same}, "digest": digest, **place(outcome)}
    held = [
        {
            "application_id": body.application_id,
            "seq": number,
            "start_at": one.start,
            "end_at": one.end,
            "holder": one.holder,
            "person": one.person,
            "state": one.state,
            "cause": one.cause,
        }
        for number, one in enumerate(body.holdings)
    ]
    return row, held
