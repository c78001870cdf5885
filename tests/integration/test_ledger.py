"""The ledger on SQLite and on PostgreSQL: schema, the rule which outcome counts, and the questions asked of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError, StatementError

from schemas.outcome import ApplicationState, Holding, Obligation, Outcome, Progress, Receipt, Side, Verdict
from schemas.raw import Rejected, Retried
from streams import ledger, ledger_batch, migrations
from streams.errors import InvalidConfiguration, Unreachable
from streams.ledger_batch import Record, Superseded
from streams.ledger_database import writing
from streams.ledger_tables import APPEND_ONLY, consumer_position, dead_letter, holding, metadata, obligation, rebuilt, revision
from streams.time_to_fill import times_to_fill
from tests.ledger_samples import T0, an_obligation, outcome, ready
from tests.ledger_samples import deliver as deliver_all


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    engine = ledger.open_ledger(url)
    ready(engine)
    yield engine
    engine.dispose()


def deliver(engine: Engine, *values: Outcome | bytes | None, partition: int = 0, topic: str = "sla.outcomes") -> dict[str, int]:
    return deliver_all(engine, values, partition, topic)


def current(engine: Engine, subject: str = "a1") -> dict[str, object]:
    with ledger.snapshot(engine) as conn:
        row = ledger.find_obligation(conn, f"review_candidate:{subject}:1")
    assert row is not None
    return row


def an_application(first: timedelta = timedelta(hours=1)) -> ApplicationState:
    """Held by TA for `first`, then by the manager."""
    return ApplicationState(
        tenant="demo",
        application_id="greenhouse/a1",
        requisition_id="greenhouse/1",
        team="platform",
        state="interview",
        created_at=T0,
        holdings=(
            Holding(start=T0, end=T0 + first, holder="talent_acquisition", cause="f1", state="applied"),
            Holding(start=T0 + first, holder="hiring_manager", cause="f2", state="manager_review"),
        ),
    )


def test_the_migrated_schema_is_the_declared_one(engine: Engine) -> None:
    migrations.upgrade(engine)  # a second time: nothing to do
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_an_outcome_comes_back_as_it_went_in(engine: Engine) -> None:
    said = an_obligation(deadline=T0 + timedelta(days=2, microseconds=1), interview_id="greenhouse/i9", uncertain=True)
    assert deliver(engine, outcome(said, 3)) == {"applied": 1}
    row = current(engine)
    assert {name: row[name] for name in Obligation.model_fields if name not in ("type", "receipt")} == said.model_dump(
        exclude={"type", "receipt"}
    )
    assert Receipt.model_validate_json(orjson.dumps(row["receipt"])) == said.receipt
    assert (row["learned_at"], row["source_offset"], row["revision_no"]) == (T0 + timedelta(minutes=3), 3, 1)


def test_the_highest_offset_counts_not_the_last_arrival(engine: Engine) -> None:
    deliver(engine, outcome(an_obligation(verdict=Verdict.MET), 20))
    assert deliver(engine, outcome(an_obligation(verdict=Verdict.OVERDUE), 15)) == {"stale": 1}
    assert deliver(engine, outcome(an_obligation(verdict=Verdict.OVERDUE), 20)) == {"stale": 1}
    assert current(engine)["verdict"] == "met"


def test_saying_the_same_again_moves_the_place_but_writes_no_revision(engine: Engine) -> None:
    deliver(engine, outcome(an_obligation(verdict=Verdict.MET), 10))
    assert deliver(engine, outcome(an_obligation(verdict=Verdict.MET), 30)) == {"unchanged": 1}
    # a replayed batch, cut differently, says something in between: it is older than what is known
    assert deliver(engine, outcome(an_obligation(verdict=Verdict.OVERDUE), 20)) == {"stale": 1}
    with ledger.snapshot(engine) as conn:
        assert [r["verdict"] for r in ledger.revisions(conn, "review_candidate:a1:1")] == ["met"]
    assert current(engine)["learned_at"] == T0 + timedelta(minutes=10)


def test_each_distinct_version_is_a_revision_also_within_one_batch(engine: Engine) -> None:
    verdicts = [Verdict.OPEN, Verdict.OVERDUE, Verdict.MISSED, Verdict.MISSED, Verdict.MET]
    tally = deliver(engine, *[outcome(an_obligation(verdict=v), n) for n, v in enumerate(verdicts, 1)])
    assert tally == {"applied": 4, "unchanged": 1}
    with ledger.snapshot(engine) as conn:
        found = ledger.revisions(conn, "review_candidate:a1:1")
    assert [(r["revision_no"], r["verdict"]) for r in found] == [(1, "open"), (2, "overdue"), (3, "missed"), (4, "met")]
    assert current(engine)["verdict"] == "met"


def test_an_application_that_moved_takes_the_partition_that_learned_later(engine: Engine) -> None:
    here = outcome(an_obligation(verdict=Verdict.CANCELLED, reason="moved"), 500, learned_at=T0)
    there = outcome(an_obligation(requisition_id="greenhouse/2"), 7, partition=1, learned_at=T0 + timedelta(hours=1))
    deliver(engine, there, partition=1)
    assert deliver(engine, here) == {"stale": 1}
    assert current(engine)["requisition_id"] == "greenhouse/2"


def test_any_order_and_repetition_ends_in_the_same_rows(engine: Engine) -> None:
    chance = random.Random(7)
    said = [outcome(an_obligation(f"a{n % 5}", chance.choice(list(Verdict))), n) for n in range(60)]
    last = {o.body.obligation_id: o for o in said if isinstance(o.body, Obligation)}
    for _ in range(4):
        again = [*said, *chance.sample(said, 20)]
        chance.shuffle(again)
        deliver(engine, *again)
    with ledger.snapshot(engine) as conn:
        rows = ledger.list_obligations(conn, 100)
    assert {r["obligation_id"]: (r["verdict"], r["source_offset"]) for r in rows} == {
        key: (o.body.verdict.value, o.source_offset) for key, o in last.items() if isinstance(o.body, Obligation)
    }


def test_what_rebuild_says_mends_a_row_that_was_altered_or_lost(engine: Engine) -> None:
    said = {key: outcome(an_obligation(key, Verdict.OVERDUE), 10) for key in ("a1", "a2", "a3")}
    deliver(engine, *said.values())
    altered = update(obligation).where(obligation.c.obligation_id == "review_candidate:a1:1").values(verdict="met")
    with writing(engine) as conn:
        conn.execute(altered)
        conn.execute(delete(obligation).where(obligation.c.obligation_id == "review_candidate:a2:1"))
    again = [one.model_copy(update={"rebuilt": "damaged"}) for one in said.values()]
    assert deliver(engine, *again) == {"applied": 2, "unchanged": 1}
    assert [current(engine, key)["verdict"] for key in said] == ["overdue"] * 3
    assert [current(engine, key)["revision_no"] for key in said] == [2, 2, 1]
    assert deliver(engine, *again, *again) == {"unchanged": 3}, "said twice it is written once"
    with engine.connect() as conn:
        causes = conn.execute(select(rebuilt.c.obligation_id, rebuilt.c.revision_no, rebuilt.c.cause)).all()
    assert sorted(causes) == [(f"review_candidate:{key}:1", 2, "damaged") for key in ("a1", "a2")]


def test_what_rebuild_says_mends_a_row_that_names_another_partition(engine: Engine) -> None:
    deliver(engine, outcome(an_obligation(), 10))
    with writing(engine) as conn:
        conn.execute(update(obligation).values(source_partition=5))
    assert deliver(engine, outcome(an_obligation(), 10, rebuilt="altered", learned_at=T0 + timedelta(days=1))) == {"applied": 1}
    assert current(engine)["source_partition"] == 0


def test_what_rebuild_says_yields_to_newer_knowledge(engine: Engine) -> None:
    deliver(engine, outcome(an_obligation(verdict=Verdict.MET), 20))
    assert deliver(engine, outcome(an_obligation(verdict=Verdict.OVERDUE), 19, rebuilt="verdict")) == {"stale": 1}
    assert current(engine)["verdict"] == "met"


def test_what_rebuild_says_of_an_application_is_written_whole(engine: Engine) -> None:
    state = an_application()
    said = outcome(state, 10, rebuilt="missing")
    assert deliver(engine, said) == {"applied": 1}
    with writing(engine) as conn:
        conn.execute(update(holding).values(holder="candidate"))
    assert deliver(engine, said) == {"applied": 1}
    assert deliver(engine, said) == {"unchanged": 1}
    with engine.connect() as conn:
        assert conn.execute(select(holding.c.holder)).scalars().all() == [one.holder for one in state.holdings]


def test_rows_and_positions_are_one_transaction(engine: Engine) -> None:
    batch = ledger_batch.decode(
        [Record("sla.outcomes", 0, 0, 0, outcome(an_obligation(), 1).to_json())], {("sla.outcomes", 0): 0}
    )
    with pytest.raises(RuntimeError, match="power cut"), writing(engine) as conn:
        ledger_batch.write(conn, batch)
        raise RuntimeError("power cut")
    with ledger.snapshot(engine) as conn:
        assert conn.execute(select(func.count()).select_from(obligation)).scalar_one() == 0
        assert ledger.positions(conn)["sla.outcomes", 0] == 0


def test_a_writer_that_was_overtaken_writes_nothing(engine: Engine) -> None:
    stale_positions = {("sla.outcomes", 0): 0}
    deliver(engine, outcome(an_obligation(), 1))
    late = ledger_batch.decode([Record("sla.outcomes", 0, 0, 0, outcome(an_obligation("a2"), 2).to_json())], stale_positions)
    with pytest.raises(Superseded), writing(engine) as conn:
        ledger_batch.write(conn, late)
    with ledger.snapshot(engine) as conn:
        assert len(ledger.list_obligations(conn, 10)) == 1


def test_a_restored_file_is_read_at_once_and_stops_a_writer_that_was_left_running(tmp_path: Path) -> None:
    """Readers keep connections: to the file that was removed they would go on for ever, with all roles looking well."""
    engine = ledger.open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ready(engine)
    with engine.connect() as conn:
        conn.exec_driver_sql(f"VACUUM INTO '{tmp_path / 'copy.db'}'")
    deliver(engine, outcome(an_obligation(), 1))
    with engine.connect() as conn:
        positions = ledger.positions(conn)
    (tmp_path / "copy.db").rename(tmp_path / "ledger.db")
    for left in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / left).unlink()
    with ledger.snapshot(engine) as conn:
        assert ledger.list_obligations(conn, 10) == []
    late = Record("sla.outcomes", 0, positions["sla.outcomes", 0], 0, outcome(an_obligation("a2"), 2).to_json())
    with pytest.raises(Superseded), writing(engine) as conn:
        ledger_batch.write(conn, ledger_batch.decode([late], positions))
    engine.dispose()


@pytest.mark.parametrize("value", [b"{", b"\xff\xfe", None, b"{}", b'{"outcome_id": "x", "body": {"type": "nonsense"}}'])
def test_a_poison_record_becomes_a_dead_letter_and_the_rest_goes_on(engine: Engine, value: bytes | None) -> None:
    assert deliver(engine, value, outcome(an_obligation(), 1)) == {"rejected": 1, "applied": 1}
    with ledger.snapshot(engine) as conn:
        letters = ledger.dead_letters(conn, 10)
        assert ledger.positions(conn)["sla.outcomes", 0] == 2
    assert [(letter["pointer"], letter["reason"], letter["system"]) for letter in letters] == [
        ("sla.outcomes:0:0", "invalid_record", "ledger")
    ]
    assert current(engine)["verdict"] == "open"


def test_dead_letters_of_the_pipeline_are_kept_once_and_can_be_marked(engine: Engine) -> None:
    letter = Rejected(
        topic="ats.raw",
        partition=1,
        offset=9,
        sha256="0" * 64,
        reason="not_json",
        tenant="demo",
        account="greenhouse",
        system="greenhouse",
        channel="webhook",
        rejected_at=T0,
    )
    deliver(engine, letter.model_dump_json().encode(), letter.model_dump_json().encode(), topic="ats.rejected")
    with writing(engine) as conn:
        assert ledger.dead_letter_counts(conn) == {("greenhouse", "not_json", False): 1}
        assert ledger.mark_retried(conn, [letter.pointer], T0 + timedelta(days=1)) == 1
    with ledger.snapshot(engine) as conn:
        assert ledger.dead_letter_counts(conn) == {("greenhouse", "not_json", True): 1}
        assert conn.execute(select(dead_letter.c.retried_at)).scalar_one() == T0 + timedelta(days=1)


def test_the_marker_of_a_retry_settles_its_dead_letter(engine: Engine) -> None:
    place = {"topic": "ats.raw", "partition": 1, "sha256": "0" * 64, "reason": "not_json", "tenant": "demo", "rejected_at": T0}
    source = {"account": "greenhouse", "system": "greenhouse", "channel": "webhook"}
    first, second = (Rejected.model_validate({**place, **source, "offset": offset}) for offset in (9, 10))
    marker = Retried(pointer=first.pointer, retried_at=T0 + timedelta(days=1))
    deliver(engine, *(one.model_dump_json().encode() for one in (first, second, marker)), topic="ats.rejected")
    with ledger.snapshot(engine) as conn:
        assert ledger.dead_letter_counts(conn) == {("greenhouse", "not_json", True): 1, ("greenhouse", "not_json", False): 1}
        settled = select(dead_letter.c.pointer, dead_letter.c.retried_at).where(dead_letter.c.retried_at.is_not(None))
        assert conn.execute(settled).one() == (first.pointer, T0 + timedelta(days=1))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_history_can_be_neither_changed_nor_deleted(engine: Engine, table: str) -> None:
    deliver(engine, outcome(an_obligation(), 1, rebuilt="missing"))
    with writing(engine) as conn:
        conn.execute(
            insert(metadata.tables["statement"]), {"period": "2026-05", "content_sha256": "x", "closed_at": T0, "body": {}}
        )
        line = {"period": "2026-05", "obligation_id": "o", "revision_no": 1, "line": {}}
        conn.execute(insert(metadata.tables["statement_line"]), line)
        silence = {"account": "acme", "kind": "offer.sent", "start_at": T0, "end_at": T0, "learned_at": T0}
        conn.execute(insert(metadata.tables["source_silence"]), silence)
        words = dict.fromkeys(("signal_id", "team", "side", "commitment", "period", "signal", "digest"), "x")
        figures = dict.fromkeys(("revision_no", "met", "n", "objective", "minimum_n", "p_value"), 1)
        place = {"learned_at": T0, "source_partition": -1, "source_offset": 1}
        conn.execute(insert(metadata.tables["signal"]), words | figures | place)
    subject = metadata.tables[table]
    column = next(iter(subject.primary_key))
    for statement in (update(subject).values({column.name: column}), delete(subject)):
        with pytest.raises(DBAPIError, match="append-only"), writing(engine) as conn:
            conn.execute(statement)


# -- questions -------------------------------------------------------------------------------------------------------


def test_adherence_counts_what_fell_due_in_the_period_up_to_now(engine: Engine) -> None:
    def due(subject: str, verdict: Verdict, deadline: datetime, **more: object) -> Outcome:
        return outcome(an_obligation(subject, verdict, deadline=deadline, **more), 1)

    june = datetime(2026, 6, 1, tzinfo=UTC)
    deliver(
        engine,
        due("in", Verdict.MET, T0),
        due("in2", Verdict.OVERDUE, T0, side=Side.TALENT_ACQUISITION),
        due("last", Verdict.MISSED, june - timedelta(microseconds=1)),
        due("next", Verdict.MET, june),
        due("later", Verdict.MET, T0 + timedelta(days=20)),
    )
    with ledger.snapshot(engine) as conn:
        soon = ledger.adherence_counts(conn, datetime(2026, 5, 1, tzinfo=UTC), june, T0 + timedelta(days=1), ("side",))
        whole = ledger.adherence_counts(conn, datetime(2026, 5, 1, tzinfo=UTC), june, june, ("team",))
    assert [(g.key, g.counts.met, g.counts.overdue) for g in soon] == [
        (("hiring_manager",), 1, 0),
        (("talent_acquisition",), 0, 1),
    ]
    assert [(g.key, g.counts.met, g.counts.missed, g.counts.n) for g in whole] == [(("platform",), 2, 1, 4)]


def test_as_of_counts_are_what_was_known_then(engine: Engine) -> None:
    deadline = T0 + timedelta(minutes=30)
    deliver(
        engine,
        outcome(an_obligation(verdict=Verdict.OPEN, deadline=deadline), 1),
        outcome(an_obligation(verdict=Verdict.OVERDUE, deadline=deadline), 31),
        outcome(an_obligation(verdict=Verdict.MET, deadline=deadline), 90),  # a late fact
        outcome(an_obligation(verdict=Verdict.MET, deadline=deadline + timedelta(days=60)), 120),  # moved out of the month
    )
    month = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)

    def known(minutes: int) -> list[tuple[int, int]]:
        with ledger.snapshot(engine) as conn:
            groups = ledger.as_of_counts(conn, T0 + timedelta(minutes=minutes), *month, ("team",))
        return [(g.counts.met, g.counts.overdue) for g in groups]

    assert known(20) == []  # not due yet
    assert known(60) == [(0, 1)]
    assert known(100) == [(1, 0)]
    assert known(130) == []


def test_owners_are_told_what_is_overdue_and_due_soon(engine: Engine) -> None:
    now = T0 + timedelta(hours=30)
    deliver(
        engine,
        outcome(an_obligation("soon"), 1),
        outcome(an_obligation("calm", due_soon_at=now + timedelta(hours=1)), 1),
        outcome(an_obligation("still", due_soon_at=None, deadline=None), 1),
        outcome(an_obligation("late", Verdict.OVERDUE, deadline=T0), 1),
        outcome(an_obligation("later", Verdict.OVERDUE, deadline=T0 + timedelta(hours=1)), 1),
        outcome(an_obligation("other", owner="p-002"), 1),
        outcome(an_obligation("done", Verdict.MET), 1),
    )
    with ledger.snapshot(engine) as conn:
        loads = ledger.overdue_and_due_soon(conn, now)
        rows, left_out = ledger.late_obligations(conn, now, 3)
    assert [(x.owner, x.overdue, x.due_soon, x.oldest_due) for x in loads] == [
        ("p-001", 2, 1, T0),
        ("p-002", 0, 1, T0 + timedelta(days=2)),
    ]
    assert [r["obligation_id"].split(":")[1] for r in rows] == ["late", "later", "other"]
    assert left_out == 1


def test_holders_time_is_cut_at_now_to_the_microsecond(engine: Engine) -> None:
    tick = timedelta(microseconds=999_999)
    state = an_application(tick)
    deliver(engine, outcome(state, 1))
    later = state.model_copy(update={"holdings": (*state.holdings[:1], state.holdings[1].model_copy(update={"person": "p-001"}))})
    assert deliver(engine, outcome(later, 2), outcome(state, 1)) == {"applied": 1, "stale": 1}
    with ledger.snapshot(engine) as conn:
        assert conn.execute(select(func.count()).select_from(holding)).scalar_one() == 2
        held = ledger.holder_totals(conn, T0 + timedelta(seconds=10), "platform")
        assert ledger.holder_totals(conn, T0 + timedelta(seconds=10), "search") == []
    assert [(h["holder"], h["seconds"], h["applications"]) for h in held] == [
        ("hiring_manager", 9.000001, 1),
        ("talent_acquisition", 0.999999, 1),
    ]


def test_progress_goes_forward_only(engine: Engine) -> None:
    kinds = {"greenhouse": {"scorecard.submitted": T0}}
    deliver(engine, outcome(Progress(tick_at=T0, watermarks=kinds, newest_fact={"greenhouse": T0}, parked=3), 5))
    deliver(engine, outcome(Progress(tick_at=T0 - timedelta(hours=1), parked=9), 4))
    later = {"greenhouse": {"scorecard.submitted": T0 + timedelta(hours=1)}}
    deliver(engine, outcome(Progress(tick_at=None, watermarks=later), 5, partition=1), partition=1)
    with ledger.snapshot(engine) as conn:
        assert ledger.ticks(conn) == {0: T0, 1: None}
        assert ledger.watermarks(conn) == {("greenhouse", "scorecard.submitted"): T0}  # the slowest partition's
        assert ledger.newest_facts(conn) == {"greenhouse": T0}
        assert ledger.parked(conn) == 3
        assert ledger.newest_learned(conn) == T0 + timedelta(minutes=5)


def test_turnaround_is_a_cumulative_histogram(engine: Engine) -> None:
    hour = 3_600_000_000
    said = [outcome(an_obligation(f"a{n}", Verdict.MET, business_us=n * hour), 1) for n in (1, 2, 9)]
    deliver(engine, *said, outcome(an_obligation("open", Verdict.OVERDUE), 1))
    with ledger.snapshot(engine) as conn:
        (found,) = ledger.turnaround(conn, T0, T0 + timedelta(days=30), (2 * hour, 8 * hour))
    assert (found["count"], found["sum_us"], found["buckets"]) == (3, 12 * hour, [2, 2])
    assert (found["team"], found["side"], found["commitment"]) == ("platform", "hiring_manager", "review_candidate")


def test_a_time_without_a_zone_is_refused(engine: Engine) -> None:
    with pytest.raises(StatementError, match="no time zone"), engine.connect() as conn:
        conn.execute(select(revision.c.obligation_id).where(revision.c.learned_at < datetime(2026, 1, 1)))  # noqa: DTZ001
    with engine.connect() as conn:
        assert conn.execute(select(func.count()).select_from(consumer_position)).scalar_one() == 5


@pytest.mark.parametrize("url", ["nonsense", "mysql://user:secret@host/ledger", "sqlite://"])
def test_a_url_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="MUTUAL_SLA_LEDGER_URL") as refused:
        ledger.connect(url)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_away_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        ledger.open_ledger("postgresql://nobody@127.0.0.1:1/none")


def test_a_requisition_filled_in_one_month_is_not_filled_again_in_the_next(engine: Engine) -> None:
    """Each month's time to fill counts it once over all months; who is hired later is in time to hire."""
    opened, may = T0 - timedelta(days=40), T0.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    june = may + timedelta(days=31)
    accepted = {"a1": june - timedelta(microseconds=1), "a2": june, "a3": june + timedelta(days=3)}
    for subject, at in accepted.items():
        requisition = "greenhouse/2" if subject == "a3" else "greenhouse/1"
        said = {"application_id": f"greenhouse/{subject}", "requisition_id": requisition, "accepted_at": at}
        deliver(engine, outcome(an_application().model_copy(update=said | {"requisition_opened_at": opened}), 5))
    with ledger.snapshot(engine) as conn:
        months = [times_to_fill(ledger.acceptances(conn, *span)) for span in ((may, june), (june, june + timedelta(days=30)))]
    assert [(row["time_to_fill"]["n"], row["time_to_hire"]["n"]) for (row,) in months] == [(1, 1), (1, 2)]
