"""`python -m tests.chaos.rebalances`: rebalances that begin in the middle of another one, under load; what is lost or told twice.

Workers come, leave, are stopped while they start and are killed, at random, while one stays. Their seeks and revocations
take some seconds more, so that a recovery often ends while the next rebalance is under way. At the end the state of all keys,
as the changelog has it, is compared with what was sent, and what was told twice is counted: only what a killed worker had not
saved, or not committed, may be.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

from kafka import KafkaProducer

from streams.kafka_node import KafkaNode
from streams.settings import ROOT, Settings
from tests.stream.test_microbatch_kafka import Sets, create, read_all, state

COMING = (1, 2, 3)  #: worker ids; 0 stays
EARLY = 0.3  #: of those who come are stopped at once; in its first second a worker has subscribed to half of what it needs
SETTLED_SECONDS = 90.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rebalances", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--slow", type=float, default=2.5, help="seconds at most, before and after each seek, after a revocation")
    parser.add_argument("--kills", type=float, default=0.0, help="share of those who leave that are killed")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutual-sla-rebalances-") as folder, KafkaNode(Path(folder) / "kafka") as node:
        settings = Settings(brokers=node.bootstrap, app_id="r", state_dir=Path(folder), session_timeout=6.0, lease_seconds=3.0)
        create(settings, "in", "out")
        workers, end = Workers(settings, given.slow), threading.Event()
        sent: Sets = {}
        feeder = threading.Thread(target=feed, args=(settings, sent, end))
        feeder.start()
        try:
            churn(workers, Random(given.seed), given.rounds, given.kills)
            end.set()
            feeder.join()
            until = monotonic() + SETTLED_SECONDS
            while (have := state(settings)) != sent and monotonic() < until:
                workers.look_after()
                sleep(1)
        finally:
            end.set()
            workers.end()
        told = Counter((record.partition, record.value) for record in read_all(settings, settings.topic("out")))
    lost = sum(len(offsets - have.get(place, set())) for place, offsets in sent.items())
    twice = sum(number > 1 for number in told.values())
    total = sum(map(len, sent.values()))
    print(f"{total:,} records, {workers.started} workers came, {workers.killed} killed: lost {lost}, told twice {twice}")  # noqa: T201
    sys.exit(1 if lost or (twice and not workers.killed) else 0)


class Workers:
    """Processes by worker id."""

    def __init__(self, settings: Settings, slow: float) -> None:
        self._settings, self._slow = settings, slow
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.started = self.killed = 0

    def start(self, number: int) -> None:
        settings = replace(self._settings, worker_id=str(number))
        slow = {"SET_SLOW": str(self._slow), "SET_SLEEP": "0.01", "PYTHONPATH": str(ROOT)}
        environment = {**os.environ, **settings.environment(), **slow}
        command = [sys.executable, "-m", "tests.stream.set_worker"]
        self.running[number] = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        self.started += 1

    def stop(self, number: int, *, kill: bool) -> None:
        process = self.running.pop(number)
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.killed += kill
        process.wait()

    def look_after(self) -> None:
        """Start again who ended by itself, as a supervisor does."""
        for number, process in list(self.running.items()):
            if process.poll() is not None:
                self.start(number)

    def end(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


def churn(workers: Workers, dice: Random, rounds: int, kills: float) -> None:
    workers.start(0)
    sleep(5)
    for _ in range(rounds):
        for number in COMING:
            if number not in workers.running and dice.random() < 0.8:
                workers.start(number)
                sleep(dice.uniform(0, 3))
                if dice.random() < EARLY:
                    workers.stop(number, kill=False)
        sleep(dice.uniform(2, 7))
        for number in COMING:
            if number in workers.running and dice.random() < 0.7:
                workers.stop(number, kill=dice.random() < kills)
                sleep(dice.uniform(0, 1.2))
        workers.look_after()
        sleep(dice.uniform(0, 6))


def feed(settings: Settings, sent: Sets, end: threading.Event) -> None:
    producer: Any = KafkaProducer(bootstrap_servers=settings.brokers, linger_ms=5)
    number = 0
    while not end.is_set():
        keys = [b"k%d" % ((number + n) % 400) for n in range(20)]
        for key, future in [(key, producer.send(settings.topic("in"), key=key, value=b"v")) for key in keys]:
            meta = future.get(timeout=30)
            sent.setdefault((meta.partition, key), set()).add(meta.offset)
        number += 20
        sleep(0.05)
    producer.close()


if __name__ == "__main__":
    main()
