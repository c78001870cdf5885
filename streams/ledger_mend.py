"""Outcomes that `rebuild` says: what the ledger should have said already, written over whatever it says now.

Unlike the tracker's they count at the very offset the ledger is at, and by what the row says rather than by its digest, because
a row may have been altered or lost; the very row that was found wrong is replaced, whatever its place in the log. Each becomes
a revision, with its cause in `rebuilt`; said twice it is written once. An
application that the facts do not give is taken out: its table says how things stand and has no revisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, func, insert, select

from schemas.outcome import ApplicationState, Obligation, Outcome
from streams.ledger_finding import Cause
from streams.ledger_rows import SAID, Row, application_rows, chunks, holdings_of, not_as_revised, place, rows_of, said, upsert
from streams.ledger_tables import application, holding, obligation, rebuilt, revision

TOLD = (*SAID, "source_partition", "receipt", "digest")


def write(conn: Connection, outcomes: Sequence[tuple[Outcome, Row]], tally: Counter[str]) -> None:
    """Each outcome with its receipt as it came, in the caller's transaction, after the tracker's of the same batch."""
    if outcomes:
        _write_obligations(conn, outcomes, tally)
        _write_applications(conn, [outcome for outcome, _ in outcomes], tally)


def _write_obligations(conn: Connection, outcomes: Sequence[tuple[Outcome, Row]], tally: Counter[str]) -> None:
    told = {o.body.obligation_id: (o, o.body, receipt) for o, receipt in outcomes if isinstance(o.body, Obligation)}
    have = _current(conn, obligation, obligation.c.obligation_id, list(told))
    last, altered = _last_numbers(conn, list(told)), not_as_revised(conn, list(have))
    rows, why = [], []
    for key, (outcome, body, receipt) in told.items():
        row = {**said(body), "receipt": receipt, "digest": body.digest, **place(outcome), "revision_no": last.get(key, 0) + 1}
        result = _result(have.get(key), outcome, row, TOLD)
        if result == "unchanged" and key in altered:
            result = "applied"
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
    held = holdings_of(conn, list(have))
    rows, holdings, gone = [], [], []
    for key, (outcome, body) in told.items():
        row, its = application_rows(outcome, body, body.digest)
        known = have.get(key)
        result = _result({**known, "held": held.get(key, [])} if known else None, outcome, {**row, "held": its}, (*row, "held"))
        if outcome.rebuilt == Cause.NOT_FROM_FACTS and result != "stale":
            result = "applied" if known else "unchanged"
            gone.append(key)
        elif result == "applied":
            rows.append(row)
            holdings += its
        tally[result] += 1
    _delete(conn, holding, holding.c.application_id, [*gone, *(row["application_id"] for row in rows)])
    _delete(conn, application, application.c.application_id, gone)
    if rows:
        conn.execute(upsert(conn, application), rows)
    if holdings:
        conn.execute(insert(holding), holdings)


def _delete(conn: Connection, table: Table, key: Column[Any], ids: Sequence[str]) -> None:
    if ids:
        conn.execute(delete(table).where(key == bindparam("of_id")), [{"of_id": one} for one in ids])


def _result(have: Mapping[str, Any] | None, outcome: Outcome, row: Row, columns: Sequence[str]) -> str:
    """`stale` if the ledger knows of more than the rebuild did (then the tracker has the word), else `unchanged` or `applied`."""
    if have is None:
        return "applied"
    if outcome.instead_of == (have["source_partition"], have["source_offset"]):  # nothing was learned of it since
        same = have["source_offset"] <= outcome.source_offset and all(have[name] == row[name] for name in columns)
        return "unchanged" if same else "applied"
    if have["source_partition"] == outcome.source_partition:
        if have["source_offset"] > outcome.source_offset:
            return "stale"
    elif (have["learned_at"], have["source_partition"]) > (outcome.learned_at, outcome.source_partition):
        return "stale"
    return "unchanged" if all(have[name] == row[name] for name in columns) else "applied"


def _current(conn: Connection, table: Table, key: Column[Any], ids: Sequence[str]) -> dict[str, Row]:
    return {row[key.name]: row for row in rows_of(conn, table, key, ids)}


def _last_numbers(conn: Connection, ids: Sequence[str]) -> dict[str, int]:
    """The highest number that a revision has, or had when it was mended: revisions may have been deleted."""
    found: dict[str, int] = {}
    for some in chunks(ids):
        for c in (revision.c, rebuilt.c):
            query = select(c.obligation_id, func.max(c.revision_no)).where(c.obligation_id.in_(some)).group_by(c.obligation_id)
            for key, number in conn.execute(query):
                found[key] = max(number, found.get(key, 0))
    return found
