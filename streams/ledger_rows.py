"""An outcome as rows of the ledger's tables, which of two outcomes about one subject is further on, and rows looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, Text, and_, cast, select
from sqlalchemy.dialects import postgresql, sqlite

from schemas.outcome import ApplicationState, Obligation, Outcome
from streams.ledger_tables import UtcInstant, application, holding, obligation, revision

Row = dict[str, Any]

CHUNK = 1_000  #: subjects looked up by one statement


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


#: What a row says of an application, and of each of its holdings: field -> column.
STATE = tuple(name for name in ApplicationState.model_fields if name in application.c)
HELD = {"start": "start_at", "end": "end_at", "holder": "holder", "person": "person", "cause": "cause", "state": "state"}


def application_rows(outcome: Outcome, body: ApplicationState, digest: str) -> tuple[Row, list[Row]]:
    row = {**{name: getattr(body, name) for name in STATE}, "digest": digest, **place(outcome)}
    held = [
        {"application_id": body.application_id, "seq": number, **{column: getattr(one, name) for name, column in HELD.items()}}
        for number, one in enumerate(body.holdings)
    ]
    return row, held


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids of as many statements as it takes."""
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]


def rows_of(conn: Connection, table: Table, key: Column[Any], ids: Sequence[str]) -> Iterator[Row]:
    """The rows whose `key` is one of `ids`."""
    for some in chunks(ids):
        yield from map(dict, conn.execute(select(table).where(key.in_(some))).mappings())


def stored(conn: Connection, query: Select[Any], key: Column[Any], ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as the driver gives them: as SQLAlchemy's one costs more than to read it."""
    for some in chunks(ids):
        with conn.execute(query.where(key.in_(some))) as result:
            cursor: Any = result.cursor
            yield from cursor


def decoded(row: Sequence[Any], where: Sequence[int]) -> list[Any]:
    """The values of a row with instants at `where`, which are the text that SQLite has of them, or instants already."""
    told = list(row)
    for number in where:
        if isinstance(told[number], str):
            told[number] = datetime.fromisoformat(told[number])
    return told


def instants(table: Table, names: Iterable[str]) -> tuple[int, ...]:
    """Where among these columns of a table instants are, for `decoded`."""
    return tuple(number for number, name in enumerate(names) if isinstance(table.c[name].type, UtcInstant))


def as_revised() -> ColumnElement[bool]:
    """Of a row of `obligation`: whether its newest revision says the same; null where it has none."""
    newest, now = revision.alias("newest").c, obligation.c
    names = (column.name for column in newest if column.name not in ("source_offset", "receipt"))
    same = [newest[name].is_not_distinct_from(now[name]) for name in names]
    same += [cast(newest.receipt, Text) == cast(now.receipt, Text), newest.source_offset <= now.source_offset]
    last = select(and_(*same)).where(newest.obligation_id == now.obligation_id).order_by(newest.revision_no.desc())
    return last.limit(1).scalar_subquery()


def not_as_revised(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Which obligations are not what their newest revision says."""
    found: set[str] = set()
    for some in chunks(ids):
        query = select(obligation.c.obligation_id, as_revised()).where(obligation.c.obligation_id.in_(some))
        found.update(key for key, same in conn.execute(query) if not same)
    return found


def newest_revision(conn: Connection, key: str) -> Row | None:
    r = revision.c
    query = select(revision).where(r.obligation_id == key).order_by(r.revision_no.desc()).limit(1)
    row = conn.execute(query).mappings().first()
    return None if row is None else dict(row)


def holdings_of(conn: Connection, ids: Sequence[str]) -> dict[str, list[Row]]:
    """The holdings of applications, in their order."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows_of(conn, holding, holding.c.application_id, ids), key=lambda row: int(row["seq"])):
        found.setdefault(row["application_id"], []).append(row)
    return found
