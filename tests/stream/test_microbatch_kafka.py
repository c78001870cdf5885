"""The traps of micro-batches that need a real broker: codecs, crashes, freezes, partition counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streams import changelog, lease, microbatch, topics
from streams.errors import InvalidConfiguration, Unreachable
from streams.kafka_node import KafkaNode
from streams.settings import ROOT, Settings
from tests.waiting import until

PARTITIONS = 4
pytestmark = pytest.mark.kafka

#: (partition, key) -> offsets
Sets = dict[tuple[int, bytes], set[int]]


@pytest.fixture
def corner(kafka: str, tmp_path: Path) -> Settings:
    """Topics `in` and `out` of our own, with a session so short that a failover fits into a test."""
    own = f"t{uuid.uuid4().hex[:8]}"
    settings = Settings(
        brokers=kafka, topic_prefix=f"{own}.", app_id=own, state_dir=tmp_path, session_timeout=6.0, lease_seconds=2.0
    )
    create(settings, "in", "out")
    return settings


def create(settings: Settings, *names: str, partitions: int = PARTITIONS) -> None:
    options = {"num_partitions": partitions, "replication_factor": 1}
    with topics.admin(settings) as admin:
        admin.create_topics({settings.topic(name): options for name in names}, wait_for_metadata=True)


@contextmanager
def worker(settings: Settings, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    variables = {**os.environ, **settings.environment(), **environment, "PYTHONPATH": str(ROOT)}
    log = settings.state_dir / f"worker-{settings.worker_id}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stream.set_worker"], env=variables, stdout=output, stderr=output, cwd=ROOT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def words(settings: Settings) -> str:
    """The log of the worker."""
    return (settings.state_dir / f"worker-{settings.worker_id}.log").read_text()


def produce(settings: Settings, count: int, compression: str | None = None, keys: int = 37, size: int = 0) -> Sets:
    """Records under a few keys; returns where each went."""
    producer = KafkaProducer(bootstrap_servers=settings.brokers, compression_type=compression, linger_ms=20)
    try:
        sent = [producer.send(settings.topic("in"), key=b"k%d" % (n % keys), value=b"%d" % n + b"x" * size) for n in range(count)]
        producer.flush()
        found: Sets = {}
        for n, future in enumerate(sent):
            meta = future.get(timeout=10)
            found.setdefault((meta.partition, b"k%d" % (n % keys)), set()).add(meta.offset)
        return found
    finally:
        producer.close()


def add(sent: Sets, more: Sets) -> None:
    for place, offsets in more.items():
        sent.setdefault(place, set()).update(offsets)


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Every record of a topic up to its present end."""
    consumer: Any = KafkaConsumer(bootstrap_servers=settings.brokers, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                found += records
        return found
    finally:
        consumer.close()


def state(settings: Settings) -> Sets:
    """What the changelog holds: the state whoever takes over would have."""
    name = f"{settings.app_id}-set-state-changelog"
    with topics.admin(settings) as admin:
        known = [topic["name"] for topic in admin.describe_topics([name]) if not topic["error_code"]]
    return {(r.partition, r.key): set(map(int, r.value.split())) for r in read_all(settings, name)} if known else {}


def committed(settings: Settings) -> dict[int, int]:
    with topics.admin(settings) as admin:
        group = f"{settings.app_id}-set"
        offsets: dict[TopicPartition, OffsetAndMetadata] = admin.list_group_offsets([group])[group]
    return {tp.partition: offset.offset for tp, offset in offsets.items()}


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_topics_are_read(corner: Settings, compression: str) -> None:
    sent = produce(corner, 2000, compression, size=200)
    with worker(corner) as process:
        until(lambda: state(corner) == sent)
        process.terminate()
        assert process.wait(20) == 0
    said = {(r.partition, int(r.value)) for r in read_all(corner, corner.topic("out"))}
    assert said == {(partition, offset) for (partition, _), offsets in sent.items() for offset in offsets}


def test_a_bug_in_the_step_acknowledges_nothing_and_loses_nothing(corner: Settings) -> None:
    sent = produce(corner, 1000)
    with worker(corner, SET_POISON="700") as process:
        assert process.wait(60) == lease.FAILED
    safe = state(corner)
    for partition, offset in committed(corner).items():
        below = {(p, k, o) for (p, k), offsets in sent.items() for o in offsets if p == partition and o < offset}
        assert below <= {(p, k, o) for (p, k), offsets in safe.items() for o in offsets}, "committed but not in the changelog"
    assert safe != sent
    with worker(corner):
        until(lambda: state(corner) == sent)


def test_a_stopped_worker_commits_what_it_has_done(corner: Settings) -> None:
    sent = produce(corner, 400)
    with worker(corner) as process:
        until(lambda: state(corner) == sent)
        process.terminate()
        assert process.wait(20) == 0
    ends = {partition: max(o for (p, _), offsets in sent.items() if p == partition for o in offsets) + 1 for partition, _ in sent}
    assert committed(corner) == ends


def test_a_frozen_worker_writes_nothing_over_its_successor(corner: Settings) -> None:
    """Frozen in the middle of its batches until its session is over; the other takes its partitions and goes on."""
    other = replace(corner, worker_id="1")
    with worker(corner, SET_SLEEP="0.05") as frozen, worker(other, SET_SLEEP="0.05") as second:
        sent = produce(corner, 2000)
        until(lambda: len(state(corner)) > 10)
        frozen.send_signal(signal.SIGSTOP)
        add(sent, produce(corner, 2000))
        until(lambda: state(corner) == sent)  # a session, a takeover, and a loaded machine
        frozen.send_signal(signal.SIGCONT)
        assert frozen.wait(20) == lease.FROZEN
        sleep(1)
        assert state(corner) == sent
        assert second.poll() is None


def test_a_worker_that_is_stopped_while_it_starts_costs_the_others_no_rows(corner: Settings) -> None:
    """It joins with the source only. Faust then gave the others partitions of the source whose rows they had not recovered."""
    first, second, third = (replace(corner, worker_id=str(number)) for number in range(3))
    with worker(first), worker(second):
        until(lambda: "recovered" in words(first) and "recovered" in words(second))
        sent = produce(corner, 400)
        until(lambda: state(corner) == sent)
        with worker(third, SET_EARLY="1") as stopped:
            assert stopped.wait(60) == 0
        for _ in range(16):
            add(sent, produce(corner, 80))
            sleep(0.5)
        until(lambda: state(corner) == sent)


def test_a_worker_that_hangs_ends_itself_and_its_successor_goes_on(corner: Settings) -> None:
    impatient = replace(corner, stall_seconds=3.0)
    sent = produce(corner, 200)
    with worker(impatient, SET_SLEEP="600") as process:
        assert process.wait(60) == lease.STALLED
    assert "loop: no progress for" in words(corner)
    assert "set_worker.py" in words(corner), "the stacks say where it hung"
    with worker(replace(corner, stall_seconds=12.0)) as successor:
        until(lambda: state(corner) == sent)
        sleep(13)  # with nothing to do; the broker is asked every ten seconds whether that is so
        assert successor.poll() is None


def test_a_worker_stops_in_bounded_time_though_the_broker_is_gone(tmp_path: Path) -> None:
    with KafkaNode(tmp_path / "kafka") as node:
        settings = Settings(brokers=node.bootstrap, topic_prefix="b.", app_id="b", state_dir=tmp_path)
        create(settings, "in", "out")
        with worker(settings) as process:
            sent = produce(settings, 100)
            until(lambda: state(settings) == sent)
            assert node.process is not None
            node.process.kill()
            begun = monotonic()
            process.terminate()
            process.wait(60)
            assert monotonic() - begun < microbatch.STOP_SECONDS + 20  # without a bound it takes Faust a minute and more


def test_another_partition_count_is_refused_before_anything_is_consumed(corner: Settings) -> None:
    create(corner, "narrow", partitions=2)
    log = f"{corner.app_id}-x-state-changelog"
    narrow, source = corner.topic("narrow"), corner.topic("in")
    with pytest.raises(InvalidConfiguration, match=r"narrow has 2 partitions and .*in has 4; they must be equal"):
        changelog.prepare(corner, source, [narrow], log, same_count=[narrow])
    with pytest.raises(InvalidConfiguration, match="absent does not exist: run `mutual-sla topics`"):
        changelog.prepare(corner, source, [corner.topic("absent")], log)
    assert changelog.prepare(corner, source, [narrow], log).partitions == {source: 4, narrow: 2, log: 4}
    with pytest.raises(InvalidConfiguration, match=r"state-changelog has 4 partitions and .*narrow has 2"):
        changelog.prepare(corner, narrow, [], log)


def test_the_changelog_is_compacted_and_never_deleted_by_age(corner: Settings) -> None:
    log = f"{corner.app_id}-x-state-changelog"
    changelog.prepare(corner, corner.topic("in"), [], log)
    with topics.admin(corner) as admin:
        asked = topics.ConfigResource("TOPIC", log, {"cleanup.policy": None, "max.message.bytes": None})
        found = admin.describe_configs([asked], config_filter="All")["topic"][log]
    assert found["cleanup.policy"]["value"] == "compact"


def test_a_cluster_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        changelog.prepare(Settings(brokers="127.0.0.1:1", state_dir=tmp_path), "in", [], "log")
