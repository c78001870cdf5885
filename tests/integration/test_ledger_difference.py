"""A row of the ledger that was altered in any one column is found, whatever the column, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, insert, select, update

from schemas.fact import Fact
from schemas.outcome import Outcome
from streams import ledger
from streams.application_difference import applications, digest_of_state
from streams.ledger_database import snapshot, writing
from streams.ledger_difference import Given, obligations
from streams.ledger_finding import Cause, Difference, Place, Strays
from streams.ledger_rows import HELD, SAID, STATE, application_rows, place, said
from streams.ledger_tables import application, holding, obligation, revision
from streams.obligations import Evaluation, apart, evaluate_application
from tests.altered import another
from tests.hiring import hiring
from tests.stories import agreement

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
PLACE = Place(3, 70)
KEYS = {"obligation_id", "application_id"}  #: with another one it is another row: that is `missing` and `not_from_facts`


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    sqlite = request.param == "sqlite"
    engine = ledger.open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}" if sqlite else request.getfixturevalue("postgres"))
    yield engine
    engine.dispose()


def judged() -> Evaluation:
    """One requisition whose applications have ended, and one that runs."""
    facts: list[Fact] = hiring(requisitions=1, applications=12, start=MONDAY, seed=5)
    own, of = apart(facts)
    found = Evaluation()
    for them in of.values():
        found += evaluate_application(own, them, agreement(), {}, MONDAY + timedelta(days=40))
    return found


def write(engine: Engine, evaluation: Evaluation) -> None:
    where = {"source_partition": PLACE.partition, "source_offset": PLACE.offset, "learned_at": MONDAY}
    with writing(engine) as conn:
        for one in evaluation.said:
            body = one.obligation()
            told = Outcome(outcome_id=one.subject, body=body, **where)
            row = {**said(body), "receipt": body.receipt.model_dump(mode="json", exclude_none=True), "digest": body.digest}
            for table in (obligation, revision):
                conn.execute(insert(table), [{**row, **place(told), "revision_no": 1}])
        for held in evaluation.held:
            state = held.state()
            assert digest_of_state(held.body()) == state.digest
            row, holdings = application_rows(Outcome(outcome_id=held.subject, body=state, **where), state, state.digest)
            conn.execute(insert(application), [row])
            conn.execute(insert(holding), holdings)


def differences(engine: Engine, evaluation: Evaluation, at: Place = PLACE) -> list[Difference]:
    requisitions = {one.judged.obligation_id.split(":")[1] for one in evaluation.said}
    with snapshot(engine) as conn:
        strays = Strays()
        found = list(obligations(conn, at, requisitions, [Given.of(one, at) for one in evaluation.said], strays))
        return found + [difference for difference, _ in applications(conn, at, evaluation.held, strays)]


def altered_one_by_one(engine: Engine, evaluation: Evaluation, table: Table, names: list[str], rows: list[Any]) -> None:
    keys = list(table.primary_key)
    for name in names:
        for row in rows:
            where = [key == row[key.name] for key in keys]
            with writing(engine) as conn:
                conn.execute(update(table).where(*where).values({name: another(table.c[name], row[name])}))
            found = differences(engine, evaluation)
            # where an application was judged is in no digest of it
            cause = Cause.OTHER if (table, name) == (application, "source_partition") else Cause.ALTERED
            assert [(one.subject, one.cause) for one in found] == [(row[keys[0].name], cause)], name
            with writing(engine) as conn:
                conn.execute(update(table).where(*where).values({name: row[name]}))


def test_any_altered_column_is_found(engine: Engine) -> None:
    evaluation = judged()
    write(engine, evaluation)
    assert differences(engine, evaluation) == []
    with engine.connect() as conn:
        rows = [dict(row) for row in conn.execute(select(obligation).order_by(obligation.c.obligation_id)).mappings()]
        states = [dict(row) for row in conn.execute(select(application)).mappings()]
        held = [dict(row) for row in conn.execute(select(holding)).mappings()]
    ended = next(row for row in rows if row["ended_at"] and row["deadline"])
    running = next(row for row in rows if not row["ended_at"])
    compared = [name for name in (*SAID, "receipt", "source_partition") if name not in KEYS]
    altered_one_by_one(engine, evaluation, obligation, compared, [ended])
    moving = {"elapsed_us", "business_us"}
    altered_one_by_one(engine, evaluation, obligation, [name for name in compared if name not in moving], [running])
    state = [name for name in (*STATE, "source_partition") if name not in KEYS]
    altered_one_by_one(engine, evaluation, application, state, [states[0]])
    altered_one_by_one(engine, evaluation, holding, list(HELD.values()), [held[0], held[-1]])


def test_a_row_is_newer_only_by_what_the_log_has(engine: Engine) -> None:
    """Beside a live writer rows know of more than was recomputed; of more than there is they know only if altered."""
    evaluation = judged()
    write(engine, evaluation)
    o, a = obligation.c, application.c
    with writing(engine) as conn:
        ended = conn.execute(select(o.obligation_id).where(o.ended_at.is_not(None)).limit(1)).scalar_one()
        state = conn.execute(select(a.application_id).limit(1)).scalar_one()
    for offset, found in ((PLACE.offset + 1, []), (PLACE.offset + 9, [(ended, Cause.ALTERED), (state, Cause.ALTERED)])):
        with writing(engine) as conn:
            conn.execute(update(obligation).where(o.obligation_id == ended).values(source_offset=offset, verdict="missed"))
            conn.execute(update(application).where(a.application_id == state).values(source_offset=offset, state="hired"))
        told = differences(engine, evaluation, replace(PLACE, is_there=lambda offset: offset < PLACE.offset + 9))
        assert [(one.subject, one.cause) for one in told] == found
