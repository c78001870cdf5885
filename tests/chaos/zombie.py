"""`python -m tests.chaos.zombie`: how much a worker still writes between waking from a freeze and leaving by its lease.

The changelog notes when the broker appended each record. What it appended after SIGCONT and before the next worker came, the
woken one wrote: that is the whole window in which it could overwrite a successor. A measurement, with a table; no test.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from random import Random
from time import monotonic, sleep, time
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams import changelog, lease, topics
from streams.kafka_node import KafkaNode
from streams.settings import ROOT, Settings

PARTITIONS = 4
LEASE = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.zombie", description=__doc__)
    parser.add_argument("--freezes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutual-sla-zombie-") as folder, KafkaNode(Path(folder) / "kafka") as node:
        settings = Settings(brokers=node.bootstrap, app_id="z", state_dir=Path(folder), lease_seconds=LEASE)
        log = f"{settings.app_id}-set-state-changelog"
        plain = {"num_partitions": PARTITIONS, "replication_factor": 1}
        stamped = {**changelog.CONFIG, "message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}
        with topics.admin(settings) as admin:
            admin.create_topics({"in": plain, "out": plain, log: {**plain, "configs": stamped}}, wait_for_metadata=True)
        end = threading.Event()
        feeder = threading.Thread(target=feed, args=(settings, end))
        feeder.start()
        try:
            dice = Random(given.seed)
            woken = [freeze(settings, log, dice) for _ in range(given.freezes)]
        finally:
            end.set()
            feeder.join()
        stamps = [record.timestamp / 1000 for record in read(settings, log)]
    written_after = [sum(begin <= stamp <= over + 1 for stamp in stamps) for begin, over in woken]
    alive = sorted((over - begin) * 1000 for begin, over in woken)
    print(  # noqa: T201
        f"{len(woken)} freezes: alive after waking {alive[0]:.1f} ms at least, {alive[len(alive) // 2]:.1f} ms in the middle, "
        f"{alive[-1]:.1f} ms at most; records written after waking: {sum(written_after)}, "
        f"in {sum(map(bool, written_after))} of the freezes"
    )


def feed(settings: Settings, end: threading.Event) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers, linger_ms=5)
    number = 0
    while not end.wait(0.01):
        for _ in range(10):
            producer.send("in", key=b"k%d" % (number % 5000), value=b"%d" % number)
            number += 1
    producer.close()


def freeze(settings: Settings, log: str, dice: Random) -> tuple[float, float]:
    """A worker that writes, frozen at any moment for longer than its lease; when it was woken and when it had left."""
    environment = {**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.stream.set_worker"]
    with (settings.state_dir / "worker.log").open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=ROOT)
    try:
        before, end = written(settings, log), monotonic() + 60
        while written(settings, log) < before + 500:
            assert monotonic() < end and process.poll() is None, "the worker does not write"
            sleep(0.05)
        sleep(dice.uniform(0, 0.5))
        process.send_signal(signal.SIGSTOP)
        sleep(dice.uniform(LEASE + 0.3, LEASE + 1))
        begin = time()
        process.send_signal(signal.SIGCONT)
        code = process.wait(20)
        over = time()
        assert code == lease.FROZEN, f"exit code {code}"
        sleep(1)
        return begin, over
    finally:
        process.kill()
        process.wait()


def written(settings: Settings, log: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=settings.brokers, group_id=None)
    try:
        return sum(consumer.end_offsets([TopicPartition(log, p) for p in range(PARTITIONS)]).values())
    finally:
        consumer.close()


def read(settings: Settings, log: str) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=settings.brokers, group_id=None)
    tps = [TopicPartition(log, p) for p in range(PARTITIONS)]
    consumer.assign(tps)
    ends = consumer.end_offsets(tps)
    consumer.seek_to_beginning()
    found: list[Any] = []
    while any(consumer.position(tp) < ends[tp] for tp in tps):
        for records in consumer.poll(timeout_ms=500).values():
            found += records
    consumer.close()
    return found


if __name__ == "__main__":
    main()
