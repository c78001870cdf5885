"""Kill -9 in the middle of 20,000 events, from ats.facts to the ledger: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import Engine, select

from schemas.fact import Fact
from streams import ledger, ports
from streams.clock import FileClock
from streams.ledger_tables import revision
from streams.process import Process, tail
from streams.settings import Settings
from tests.conftest import MakeTopics
from tests.hiring import hiring
from tests.settled import doubled, expected, lost, ticked
from tests.waiting import until
from tests.workers import PARTITIONS, Feeder, deploy_folder, start

pytestmark = pytest.mark.kafka

SEED = 7
EVENTS = 20_000
WORKER_KILLS, WRITER_KILLS = 4, 1
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
PATIENCE = 150.0


def a_history() -> list[Fact]:
    facts = hiring(requisitions=560, applications=11, start=START, seed=SEED)
    assert len(facts) >= EVENTS
    return facts[:EVENTS]


class Chain:
    """Worker and ledger writer, each started again after it was killed."""

    def __init__(self, settings: Settings, clock: FileClock) -> None:
        self.settings, self.clock = settings, clock
        self.kills = {"track": 0, "ledger": 0}
        self._roles = {"track": ("worker", "track"), "ledger": ("ledger",)}
        self.running: dict[str, Process] = {name: self._start(name) for name in self._roles}

    def _start(self, name: str) -> Process:
        return start(self.settings, *self._roles[name], clock=self.clock.path)

    def kill(self, name: str) -> None:
        assert self.running[name].alive(), f"{name} died by itself: {tail(self.running[name].log)}"
        self.running[name].kill()
        self.kills[name] += 1
        self.running[name] = self._start(name)

    def stop(self) -> None:
        for process in self.running.values():
            process.stop()


class Ends:
    """How many outcomes there are."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=settings.brokers, group_id=None)
        self._partitions = [TopicPartition(settings.topic("sla.outcomes"), p) for p in range(PARTITIONS)]

    def count(self) -> int:
        return sum(self._consumer.end_offsets(self._partitions).values())

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def engine(topics: MakeTopics, tmp_path: Path) -> Iterator[tuple[Settings, Engine]]:
    settings = topics(
        deploy_dir=deploy_folder(tmp_path / "deploy", ["elsewhere"]),  # nothing declared: nothing to wait for
        track_metrics_port=ports.free(),
        ledger_metrics_port=ports.free(),
        tick_seconds=5.0,
    )
    engine = ledger.open_ledger(settings.ledger)
    yield settings, engine
    engine.dispose()


def test_killed_in_the_middle_of_20000_events_nothing_is_lost_or_doubled(engine: tuple[Settings, Engine], tmp_path: Path) -> None:
    settings, database = engine
    facts, dice, begun = a_history(), random.Random(SEED), time.monotonic()
    end = facts[-1].received_at + timedelta(days=30)
    clock = FileClock(tmp_path / "clock")
    clock.set(facts[0].received_at)
    feeder, ends = Feeder(settings), Ends(settings)
    chain = Chain(settings, clock)
    with ExitStack() as stack:
        for close in (feeder.close, ends.close, chain.stop):
            stack.callback(close)
        share = EVENTS // (WORKER_KILLS + 1)
        for number in range(WORKER_KILLS + 1):
            before = ends.count()
            feeder.facts(facts[number * share : (number + 1) * share])
            if number < WORKER_KILLS:
                until(lambda before=before: ends.count() > before, chain.running["track"])  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.6))
                chain.kill("track")
                if number == WORKER_KILLS // 2:
                    chain.kill("ledger")
        clock.set(end)
        wanted = expected(settings, facts, end)
        until(lambda: ticked(database, end), chain.running["track"])
        until(lambda: not lost(database, wanted), chain.running["ledger"])
    gone, twice = lost(database, wanted), doubled(database)
    with ledger.snapshot(database) as conn:
        revisions = len(conn.execute(select(revision.c.revision_no)).all())
    figures = f"{len(wanted)} obligations and applications, {revisions} revisions, lost {len(gone)}, doubled {len(twice)}"
    print(f"\n{EVENTS} events, kills {chain.kills}, {figures}, {time.monotonic() - begun:.0f} s")  # noqa: T201
    assert chain.kills == {"track": WORKER_KILLS, "ledger": WRITER_KILLS}
    assert (gone, twice) == ([], [])
    assert revisions > len(wanted) > 5000
