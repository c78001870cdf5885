"""The ledger writer on a real Kafka, into SQLite and PostgreSQL: exactly once, through crashes and databases that go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from sqlalchemy import Engine, func, select, update

from schemas.outcome import Outcome, Verdict
from schemas.raw import Rejected
from streams import ledger, ports
from streams.errors import InvalidConfiguration
from streams.ledger_batch import Superseded
from streams.ledger_database import writing
from streams.ledger_tables import consumer_position, obligation, revision
from streams.settings import ROOT, Settings
from tests.background import writing_in_background
from tests.chaos.stage import own_postgres
from tests.conftest import MakeTopics
from tests.ledger_samples import T0, an_obligation, outcome
from tests.waiting import until

pytestmark = pytest.mark.kafka

TERMINATE_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, topics: MakeTopics) -> Settings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres")
    return topics(ledger_url=url, ledger_metrics_port=ports.free())


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = ledger.open_ledger(settings.ledger)
    yield engine
    engine.dispose()


def produce(settings: Settings, topic: str, values: list[tuple[int, bytes]]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for sent in [producer.send(settings.topic(topic), value, partition=partition) for partition, value in values]:
        sent.get(timeout=30)
    producer.close()


def spread(outcomes: list[Outcome]) -> list[tuple[int, bytes]]:
    return [(one.source_partition, one.to_json()) for one in outcomes]


def count(engine: Engine, table: object = obligation) -> int:
    with ledger.snapshot(engine) as conn:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_outcomes_and_dead_letters_arrive_and_a_restart_goes_on(settings: Settings, engine: Engine) -> None:
    letter = Rejected(
        topic="ats.raw",
        partition=0,
        offset=4,
        sha256="0" * 64,
        reason="not_json",
        tenant="demo",
        account="greenhouse",
        system="greenhouse",
        channel="webhook",
        rejected_at=T0,
    )
    first = [outcome(an_obligation(f"a{n}"), n + 1, n % 8) for n in range(40)]
    produce(settings, "sla.outcomes", [*spread(first), (3, b"not an outcome")])
    produce(settings, "ats.rejected", [(0, letter.model_dump_json().encode())])
    with writing_in_background(settings, engine):
        until(lambda: count(engine) == 40)
    with ledger.snapshot(engine) as conn:
        until(lambda: len(ledger.dead_letters(conn, 10)) == 2)
        reasons = {one["reason"]: one["pointer"] for one in ledger.dead_letters(conn, 10)}
        positions = ledger.positions(conn, settings.topic("sla.outcomes"))
    assert reasons == {"not_json": "ats.raw:0:4", "invalid_record": f"{settings.topic('sla.outcomes')}:3:5"}
    assert sum(positions.values()) == 41
    produce(settings, "sla.outcomes", spread([outcome(an_obligation(f"a{n}", Verdict.MET), 100 + n, n % 8) for n in range(40)]))
    with writing_in_background(settings, engine):
        until(lambda: count(engine, revision) == 80)
    with ledger.snapshot(engine) as conn:
        assert {group.counts.met for group in ledger.current_counts(conn, ())} == {40}


def test_kill_nine_in_the_middle_leaves_each_outcome_written_once(settings: Settings, engine: Engine) -> None:
    produce(settings, "sla.outcomes", spread([outcome(an_obligation(f"a{n}"), n + 1, n % 8) for n in range(20_000)]))
    environment = {**os.environ, **settings.environment()}
    kills = 0
    while count(engine) < 20_000:
        writer = subprocess.Popen(
            [sys.executable, "-m", "streams", "ledger"],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        have = count(engine)
        until(lambda have=have: count(engine) > have)  # type: ignore[misc]
        if kills < 2:
            time.sleep(0.02 * kills)
            writer.kill()
            kills += 1
        else:
            until(lambda: count(engine) == 20_000)
            for path in ("healthz", "readyz"):
                with urlopen(f"http://{settings.host}:{settings.ledger_metrics_port}/{path}") as answer:
                    assert answer.status == 200
            with urlopen(f"http://{settings.host}:{settings.ledger_metrics_port}/metrics") as answer:
                assert b'mutual_sla_ledger_outcomes_total{result="applied"}' in answer.read()
            writer.send_signal(signal.SIGTERM)
            assert writer.wait(20) == 0
        writer.wait(20)
    assert kills == 2 or count(engine) == 20_000
    assert (count(engine), count(engine, revision)) == (20_000, 20_000)


def test_a_second_writer_waits_and_takes_over(settings: Settings, engine: Engine) -> None:
    other = ledger.open_ledger(settings.ledger)
    with writing_in_background(settings, engine) as first:
        until(lambda: bool(first.positions))
        with writing_in_background(settings, other) as second:
            produce(settings, "sla.outcomes", spread([outcome(an_obligation("a1"), 1)]))
            until(lambda: count(engine) == 1)
            assert not second.positions  # it has not even begun
            assert second.ready()
    with writing_in_background(settings, other):
        produce(settings, "sla.outcomes", spread([outcome(an_obligation("a2"), 2)]))
        until(lambda: count(engine) == 2)
    other.dispose()


def test_a_writer_whose_positions_were_moved_stops(settings: Settings, engine: Engine) -> None:
    with pytest.raises(Superseded), writing_in_background(settings, engine) as writer:
        until(lambda: bool(writer.positions))
        with writing(engine) as conn:
            conn.execute(update(consumer_position).values(next_offset=consumer_position.c.next_offset + 5))
        produce(settings, "sla.outcomes", spread([outcome(an_obligation("a1"), 1)]))
        time.sleep(3)
    assert count(engine) == 0


def test_a_topic_that_was_made_anew_is_refused(settings: Settings, engine: Engine, topics: MakeTopics) -> None:
    produce(settings, "sla.outcomes", spread([outcome(an_obligation("a1"), 1)]))
    with writing_in_background(settings, engine):
        until(lambda: count(engine) == 1)
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    admin.delete_topics([settings.topic("sla.outcomes")])
    until(lambda: settings.topic("sla.outcomes") not in admin.list_topics())
    admin.close()
    from streams import topics as job

    job.verify(settings)
    produce(
        settings, "sla.outcomes", spread([outcome(an_obligation(f"b{n}"), n + 1) for n in range(3)])
    )  # as long as before, and longer
    with pytest.raises(InvalidConfiguration, match="made anew") as refused, writing_in_background(settings, engine):
        time.sleep(3)
    assert refused.value.exit_code == 78
    assert count(engine) == 1


def test_positions_beyond_the_log_are_refused(settings: Settings, engine: Engine) -> None:
    with writing_in_background(settings, engine) as writer:
        until(lambda: bool(writer.positions))
    with writing(engine) as conn:
        conn.execute(update(consumer_position).values(next_offset=7))
    with (
        pytest.raises(InvalidConfiguration, match="ends at offset 0, but the ledger has read up to 7"),
        writing_in_background(settings, engine),
    ):
        time.sleep(3)


def test_a_locked_database_is_waited_for(topics: MakeTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.ledger_database.BUSY_SECONDS", 0.2)
    settings = topics()
    engine, blocker = ledger.open_ledger(settings.ledger), ledger.open_ledger(settings.ledger)
    with writing_in_background(settings, engine) as writer:
        until(lambda: bool(writer.positions))
        with writing(blocker):
            produce(settings, "sla.outcomes", spread([outcome(an_obligation("a1"), 1)]))
            until(lambda: not writer.ready())
        until(lambda: count(blocker) == 1)
        until(writer.ready)
    engine.dispose()
    blocker.dispose()


def test_a_postgres_that_drops_connections_is_tried_again(topics: MakeTopics, postgres: str) -> None:
    settings = topics(ledger_url=postgres)
    engine, admin = ledger.open_ledger(settings.ledger), ledger.open_ledger(settings.ledger)
    with writing_in_background(settings, engine) as writer:
        until(lambda: bool(writer.positions))
        for number in range(5):
            with admin.connect() as conn:
                conn.exec_driver_sql(TERMINATE_OTHERS)
            produce(
                settings,
                "sla.outcomes",
                spread([outcome(an_obligation(f"a{n}"), n + 1) for n in range(number * 10, number * 10 + 10)]),
            )
            until(lambda number=number: count(admin) == number * 10 + 10)  # type: ignore[misc]
    assert count(admin, revision) == 50
    engine.dispose()
    admin.dispose()


@pytest.mark.postgres
def test_a_postgres_that_crashes_or_is_stopped_while_it_is_written_loses_and_doubles_nothing(topics: MakeTopics) -> None:
    with own_postgres() as server:
        settings = topics(ledger_url=server.url("ledger"))
        engine = ledger.open_ledger(settings.ledger)
        with writing_in_background(settings, engine) as writer:
            until(lambda: bool(writer.positions))
            for number, how in enumerate((signal.SIGQUIT, signal.SIGINT)):
                told = [outcome(an_obligation(f"a{n}"), n + 1) for n in range(number * 2_000, number * 2_000 + 2_000)]
                produce(settings, "sla.outcomes", spread(told[:1_000]))
                server.stop(how)
                produce(settings, "sla.outcomes", spread(told[1_000:]))
                until(lambda: not writer.ready())
                server.launch()
                until(lambda number=number: writer.ready() and count(engine) == number * 2_000 + 2_000)  # type: ignore[misc]
        assert count(engine, revision) == 4_000
        engine.dispose()


def test_what_a_database_cannot_store_is_a_dead_letter_and_the_rest_goes_on(topics: MakeTopics, postgres: str) -> None:
    settings = topics(ledger_url=postgres)
    engine = ledger.open_ledger(settings.ledger)
    said = [
        outcome(an_obligation(f"a{n}", owner="p-\x00" if n == 5 else "p-1"), n + 1) for n in range(12)
    ]  # PostgreSQL has no NUL
    produce(settings, "sla.outcomes", spread(said))
    with writing_in_background(settings, engine):
        until(lambda: count(engine) == 11)
    with ledger.snapshot(engine) as conn:
        assert [(one["reason"], one["pointer"]) for one in ledger.dead_letters(conn, 5)] == [
            ("refused_by_database", f"{settings.topic('sla.outcomes')}:0:5")
        ]
    engine.dispose()


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    from streams.liveness import serve

    port = ports.free()
    with ExitStack() as stack:
        stack.enter_context(serve("127.0.0.1", port, lambda: True))
        with pytest.raises(InvalidConfiguration, match="cannot listen"):
            stack.enter_context(serve("127.0.0.1", port, lambda: True))
