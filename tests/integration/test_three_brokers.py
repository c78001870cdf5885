"""Three brokers: the topics' settings for production by default; one broker killed and brought back under load, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams import ledger, ports, topics
from streams.clock import FileClock
from streams.settings import Settings
from tests.chaos.brokers import COUNT, Brokers
from tests.hiring import hiring
from tests.settled import doubled, expected, lost, ticked
from tests.waiting import until
from tests.workers import Feeder, deploy_folder, running

pytestmark = pytest.mark.kafka
EVENTS = 4000
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Brokers]:
    with Brokers(tmp_path / "kafka") as cluster:
        yield cluster


def test_one_of_three_brokers_is_killed_and_comes_back_and_nothing_is_lost(brokers: Brokers, tmp_path: Path) -> None:
    settings = Settings(
        brokers=brokers.bootstrap,
        state_dir=tmp_path / "state",
        deploy_dir=deploy_folder(tmp_path / "deploy", ["elsewhere"]),
        track_metrics_port=ports.free(),
        ledger_metrics_port=ports.free(),
    )
    assert {row.replication_factor for row in topics.verify(settings)} == {COUNT}
    facts = hiring(requisitions=120, applications=11, start=MONDAY, seed=3)[:EVENTS]
    end, clock = facts[-1].received_at + timedelta(days=30), FileClock(tmp_path / "clock")
    clock.set(facts[0].received_at)
    engine = ledger.open_ledger(settings.ledger)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        feeder = Feeder(settings, acks="all")
        stack.callback(feeder.close)
        worker = stack.enter_context(running(settings, "worker", "track", clock=clock.path))
        stack.enter_context(running(settings, "ledger", clock=clock.path))
        feeder.facts(facts[: EVENTS // 4])
        until(lambda: lost(engine, {}), worker)  # the first verdicts are there
        assert production_settings(settings) == {("3", "2")}
        victim = brokers.nodes[leader_of_facts(settings) - 1]
        assert victim.process is not None
        victim.process.kill()
        feeder.facts(facts[EVENTS // 4 : EVENTS // 2])
        victim.launch()
        feeder.facts(facts[EVENTS // 2 :])
        brokers.await_all(60)
        clock.set(end)
        wanted = expected(settings, facts, end)
        until(lambda: ticked(engine, end), worker)
        until(lambda: not lost(engine, wanted), worker)
        assert doubled(engine) == []
        assert worker.alive()
    assert len(wanted) > EVENTS // 4


def production_settings(settings: Settings) -> set[tuple[str, str]]:
    """Replicas and min.insync.replicas over all our topics and the changelog."""
    names = [settings.topic(topic.name) for topic in topics.load()] + [f"{settings.app_id}-track-state-changelog"]
    with topics.admin(settings) as admin:
        replicas = {t["name"]: {len(p["replica_nodes"]) for p in t["partitions"]} for t in admin.describe_topics(names)}
        insync = {name: topics._described_config(admin, name, ["min.insync.replicas"])["min.insync.replicas"] for name in names}
    assert set(replicas) == set(names)
    return {(str(count), insync[name]) for name, counts in replicas.items() for count in counts}


def leader_of_facts(settings: Settings) -> int:
    with topics.admin(settings) as admin:
        (topic,) = admin.describe_topics([settings.topic("ats.facts")])
    leader: int = topic["partitions"][0]["leader_id"]
    return leader
