"""Where a benchmark plays: a Kafka node of its own, topics by prefix, the project's roles as processes, and what they cost."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from material.load import Load
from streams import ports, topics
from streams.process import Process, tail
from streams.settings import ROOT, Settings

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Stage:
    """`folder` holds everything; `brokers` is the node's address."""

    def __init__(self, folder: Path, brokers: str) -> None:
        self.folder, self.brokers = folder, brokers

    def settings(self, name: str, **more: Any) -> Settings:
        """Settings with topics (created), state and ports of their own."""
        taken: list[int] = []
        for _ in range(3):
            taken.append(ports.free(taken=tuple(taken)))
        found = Settings(
            brokers=self.brokers,
            topic_prefix=f"{name}.",
            app_id=f"bench-{name}",
            state_dir=self.folder / name,
            track_metrics_port=taken[0],
            ledger_metrics_port=taken[1],
            exporter_port=taken[2],
            **more,
        )
        topics.verify(found)
        return found


@contextmanager
def role(settings: Settings, *words: str, clock: Path | None = None) -> Iterator[Process]:
    """`python -m streams WORDS…` as a process, stopped at the end."""
    environment = {**os.environ, **settings.environment()}
    if clock is not None:
        environment["MUTUAL_SLA_CLOCK_FILE"] = str(clock)
    log = settings.state_dir / "logs" / f"{'-'.join(words)}.log"
    process = Process.spawn("-".join(words), [sys.executable, "-m", "streams", *words], log=log, environment=environment)
    try:
        yield process
    finally:
        process.stop()


def feed(brokers: str, topic: str, load: Iterable[Load]) -> int:
    """Produce it all, acknowledged; returns how many records."""
    producer = KafkaProducer(bootstrap_servers=brokers, linger_ms=50, batch_size=256 << 10, compression_type="lz4")
    failed: list[BaseException] = []
    count = 0
    for one in load:
        producer.send(topic, one.value, key=one.key, partition=one.partition).add_errback(failed.append)
        count += 1
    producer.flush()
    producer.close()
    if failed:
        raise SystemExit(f"{len(failed)} records were not taken: {failed[0]}")
    return count


def metric(port: int, name: str) -> float:
    """The sum of a metric's samples on 127.0.0.1:port; 0.0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    found = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def taken_until(port: int, name: str, target: float, process: Process, limit: float) -> tuple[float, float]:
    """Seconds, and CPU seconds of the process, from the last look at which the metric was 0 to the first at `target`.

    Looks seldom once it has begun, since each costs the process 5 to 10 ms.
    """
    begun, cpu, end = monotonic(), 0.0, monotonic() + limit
    while (value := metric(port, name)) < target:
        if not process.alive() or monotonic() > end:
            raise SystemExit(f"{process.name} came to {value:.0f} of {target:.0f}: {tail(process.log)}")
        if value == 0:
            begun, cpu = monotonic(), cpu_seconds(process.pid)
        sleep(0.05 if value == 0 else 0.2)
    return monotonic() - begun, cpu_seconds(process.pid) - cpu


def cpu_seconds(pid: int) -> float:
    """User and system time a process has taken, its threads included."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS_PER_SECOND


def peak_megabytes(pid: int) -> float:
    """The most memory a process ever held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def records_in(brokers: str, topic: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=brokers, group_id=None)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    ends = consumer.end_offsets(partitions)
    consumer.close()
    return sum(ends.values())


def values_of(brokers: str, topic: str) -> Iterator[bytes]:
    """The value of every record there is, each partition in order."""
    consumer = KafkaConsumer(bootstrap_servers=brokers, group_id=None, max_poll_records=5000)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = {partition: end for partition, end in consumer.end_offsets(partitions).items() if end}
    while ends:
        for partition, records in consumer.poll(timeout_ms=500).items():
            yield from (record.value for record in records)
            if partition in ends and records[-1].offset + 1 >= ends[partition]:
                del ends[partition]
    consumer.close()


__all__ = ["ROOT", "Stage", "cpu_seconds", "feed", "metric", "peak_megabytes", "records_in", "role", "taken_until", "values_of"]
