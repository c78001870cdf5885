"""Months in the ledger: the entries of one, as now or as then; closed ones stored and read back.

Stored statements and their lines are append-only (triggers); this module only ever inserts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, FromClause, Select, func, insert, or_, select

from schemas.statement import Line, Statement
from streams.ledger import known_revisions
from streams.ledger_tables import obligation, revision, statement, statement_line
from streams.period import Period
from streams.statement import Entry

CHUNK = 1_000

DONE = ("met", "missed", "excused")  #: verdicts under which the work may have been done, in time or late


def _entries(source: FromClause) -> Select[Any]:
    columns = (
        "obligation_id",
        "team",
        "side",
        "commitment",
        "commitment_version",
        "owner",
        "verdict",
        "deadline",
        "uncertain",
        "revision_no",
        "learned_at",
        "ended_at",
        "business_us",
    )
    receipt = source.c.receipt
    versions = [receipt[f"{what}_version"].as_string().label(f"{what}_version") for what in ("policy", "calendar", "people")]
    return select(*(source.c[name] for name in columns), *versions, receipt["facts"].label("facts"))


def _entry(values: dict[str, Any]) -> Entry:
    facts, ended_at, business_us = values.pop("facts"), values.pop("ended_at"), values.pop("business_us")
    # closed as missed because the requisition was closed is an end, but nobody did it: the receipt tells
    done = ended_at is not None and values["verdict"] in DONE and any(fact["role"] == "stop" for fact in facts)
    return Entry(**values, turnaround_us=business_us if done else None)


def entries(conn: Connection, period: Period) -> list[Entry]:
    """Obligations whose deadline is in the month now."""
    d = obligation.c.deadline
    rows = conn.execute(_entries(obligation).where(d >= period.start, d < period.end)).mappings()
    return [_entry(dict(row)) for row in rows]


def entries_as_of(conn: Connection, period: Period, learned_until: datetime) -> list[Entry]:
    """Obligations whose deadline was in the month, and passed, as known at `learned_until`."""
    known = known_revisions(learned_until, period.start, period.end).subquery()
    rows = conn.execute(_entries(known).where(known.c.deadline <= learned_until)).mappings()
    return [_entry(dict(row)) for row in rows]


def current(conn: Connection, ids: Iterable[str]) -> dict[str, Entry]:
    """The current version of these obligations, wherever their deadline is."""
    return {
        e.obligation_id: e for part in _chunks(ids) for e in _fetch(conn, _entries(obligation), obligation.c.obligation_id, part)
    }


def _fetch(conn: Connection, query: Select[Any], key: Any, ids: Sequence[str]) -> list[Entry]:
    return [_entry(dict(row)) for row in conn.execute(query.where(key.in_(ids))).mappings()]


def known_then(conn: Connection, ids: Iterable[str], learned_until: datetime, closed: Mapping[str, int]) -> dict[str, Entry]:
    """What was known of these obligations at the close: the closed revision, else the last one learned by then."""
    found: dict[str, Entry] = {}
    for part in _chunks(ids):
        for entry in _fetch(conn, _entries(revision).order_by(revision.c.revision_no), revision.c.obligation_id, part):
            number = closed.get(entry.obligation_id)
            if entry.revision_no == number or (number is None and entry.learned_at <= learned_until):
                found[entry.obligation_id] = entry
    return found


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    listed = sorted(set(ids))
    for start in range(0, len(listed), CHUNK):
        yield listed[start : start + CHUNK]


def without_deadline(conn: Connection, period: Period) -> int:
    """Obligations that ended in the month without a deadline, so that no month counts them; the core gives every end one."""
    o = obligation.c
    query = select(func.count()).where(o.deadline.is_(None), o.ended_at >= period.start, o.ended_at < period.end)
    return int(conn.execute(query).scalar_one())


# -- closed ones -----------------------------------------------------------------------------------------------------


def store(conn: Connection, said: Statement, lines: Sequence[Line], revisions: Mapping[str, int]) -> None:
    """Keep a statement and its lines for good. The caller commits; a month that is already there is an IntegrityError."""
    body = said.model_dump(mode="json")
    conn.execute(
        insert(statement),
        {"period": said.period, "content_sha256": said.content_sha256, "closed_at": said.known_until, "body": body},
    )
    kept = [
        {
            "period": said.period,
            "obligation_id": line.obligation_id,
            "revision_no": revisions[line.obligation_id],
            "line": line.model_dump(mode="json"),
        }
        for line in lines
    ]
    if kept:
        conn.execute(insert(statement_line), kept)


def load(conn: Connection, period: str) -> tuple[Statement, tuple[Line, ...], dict[str, int]] | None:
    """A closed month: statement, lines, and which revision each line was; None if it is not closed."""
    body = conn.execute(select(statement.c.body).where(statement.c.period == period)).scalar_one_or_none()
    if body is None:
        return None
    query = select(statement_line).where(statement_line.c.period == period)
    rows = sorted(conn.execute(query).all(), key=lambda row: row.obligation_id)  # databases differ in how they sort text
    lines = tuple(Line.model_validate(row.line) for row in rows)
    return Statement.model_validate(body), lines, {row.obligation_id: row.revision_no for row in rows}


def closed_periods(conn: Connection) -> list[dict[str, Any]]:
    """Every closed month with its content hash and how far the ledger was."""
    query = select(statement.c.period, statement.c.content_sha256, statement.c.closed_at).order_by(statement.c.period)
    return [dict(row) for row in conn.execute(query).mappings()]


def undecided(conn: Connection, period: Period) -> list[dict[str, Any]]:
    """Obligations of the month that are open or unverified: id, verdict, deadline, side, commitment; by deadline."""
    o = obligation.c
    query = (
        select(o.obligation_id, o.verdict, o.deadline, o.side, o.commitment)
        .where(o.deadline >= period.start, o.deadline < period.end)
        .where(or_(o.verdict == "open", o.verdict == "unverified"))
        .order_by(o.deadline, o.obligation_id)
    )
    return [dict(row) for row in conn.execute(query).mappings()]
