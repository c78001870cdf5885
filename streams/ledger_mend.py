"""Outcomes that `rebuild` says: what the ledger should have said already, written over whatever it says now.

Unlike the tracker's they count at the very offset the ledger is at, and by what the row says rather than by its digest, because
a row may have been altered or lost. Each becomes a revision, with its cause in `rebuilt`; said twice it is written once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, func, insert, select

from schemas.outcome import ApplicationState, Obligation, Outcome
from streams.ledger_rows import SAID, Row, application_rows, place, said, upsert
from streams.ledger_tables import application, holding, obligation, rebuilt, revision

CHUNK = 1_000  #: subjects looked up by one statement
TOLD = (*SAID, "receipt", "digest")


def write(conn: Connection, outcomes: Sequence[tuple[Outcome, Row]], tally: Counter[str]) -> None:
    """Each outcome with its receipt as it came, in the caller's transaction, after the tracker's of the same batch."""
    if outcomes:
        _write_obligations(conn, outcomes, tally)
        _write_applications(conn, [outcome for outcome, _ in outcomes], tally)


def _write_obligations(conn: Connection, outcomes: Sequence[tuple[Outcome, Row]], tally: Counter[str]) -> None:
    told = {o.body.obligation_id: (o, o.body, receipt) for o, receipt in outcomes if isinstance(o.body, Obligation)}
    have = _current(conn, obligation, obligation.c.obligation_id, list(told))
    last = _last_revisions(conn, list(told))
    rows, why = [], []
    for key, (outcome, body, receipt) in told.items():
        row = {**said(body), "receipt": receipt, "digest": body.digest, **place(outcome), "revision_no": last.get(key, 0) + 1}
        result = _result(have.get(key), outcome, row, TOLD)
        tally[result] += 1
        if result == "applied":
            rows.append(row)
            cause = {"cause": outcome.rebuilt, "learned_at": outcome.learned_at}
            why.append({"obligation_id": key, "revision_no": row["revision_no"], **cause})
    if rows:
        conn.execute(insert(revision), rows)
        conn.execute(upsert(conn, obligation), rows)
        conn.execute(insert(rebuilt), why)


def _write_applications(conn: Connection, outcomes: Sequence[Outcome], tally: Counter[str]) -> None:
    told = {o.body.application_id: (o, o.body) for o in outcomes if isinstance(o.body, ApplicationState)}
    have = _current(conn, application, application.c.application_id, list(told))
    held = _held(conn, list(have))
    rows, holdings = [], []
    for key, (outcome, body) in told.items():
        row, its = application_rows(outcome, body, body.digest)
        known = have.get(key)
        result = _result({**known, "held": held.get(key, [])} if known else None, outcome, {**row, "held": its}, (*row, "held"))
        tally[result] += 1
        if result == "applied":
            rows.append(row)
            holdings += its
    if rows:
        conn.execute(upsert(conn, application), rows)
        gone = delete(holding).where(holding.c.application_id == bindparam("of_id"))
        conn.execute(gone, [{"of_id": row["application_id"]} for row in rows])
    if holdings:
        conn.execute(insert(holding), holdings)


def _result(have: Mapping[str, Any] | None, outcome: Outcome, row: Row, columns: Sequence[str]) -> str:
    """`stale` if the ledger knows of more than the rebuild did (then the tracker has the word), else `unchanged` or `applied`."""
    if have is None:
        return "applied"
    if have["source_partition"] == outcome.source_partition:
        if have["source_offset"] > outcome.source_offset:
            return "stale"
    elif (have["learned_at"], have["source_partition"]) > (outcome.learned_at, outcome.source_partition):
        return "stale"
    return "unchanged" if all(have[name] == row[name] for name in columns) else "applied"


def _current(conn: Connection, table: Table, key: Column[Any], ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for some in _chunks(ids):
        found |= {row[key.name]: dict(row) for row in conn.execute(select(table).where(key.in_(some))).mappings()}
    return found


def _last_revisions(conn: Connection, ids: Sequence[str]) -> dict[str, int]:
    r, found = revision.c, dict[str, int]()
    for some in _chunks(ids):
        query = select(r.obligation_id, func.max(r.revision_no)).where(r.obligation_id.in_(some)).group_by(r.obligation_id)
        found |= {row[0]: row[1] for row in conn.execute(query)}
    return found


def _held(conn: Connection, ids: Sequence[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for some in _chunks(ids):
        query = select(holding).where(holding.c.application_id.in_(some)).order_by(holding.c.application_id, holding.c.seq)
        for row in conn.execute(query).mappings():
            found.setdefault(row["application_id"], []).append(dict(row))
    return found


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
