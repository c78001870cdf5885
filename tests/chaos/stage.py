"""The pipeline that is disturbed: one Kafka node, gateway, normalise, track workers, ledger writer and Prometheus.

State of the workers and an SQLite ledger are on a small disk of their own (tmpfs), where mounting is allowed, so that it can be
full. A PostgreSQL ledger has a server of its own, with PostgreSQL's own settings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from streams import credentials, kafka_security, ledger, monitoring, ports, topics
from streams.check import load_sources
from streams.clock import FileClock
from streams.kafka_node import KafkaNode
from streams.ledger_tables import consumer_position
from streams.process import Process
from streams.settings import ROOT, Settings
from tests.chaos.keeper import Keeper, Kept
from tests.conftest import Postgres, program
from tests.workers import deploy_folder

WEBHOOKS = "elsewhere"  #: account of the gateway's load; the facts' own account declares nothing, so nothing is waited for
DISK_BYTES = 1 << 30
PARTITIONS = 8


class MovingClock:
    """The clock file of all roles: `reach` moves it forwards only, `jump` makes it wrong until the next `jump(0)`."""

    def __init__(self, path: Path, start: datetime) -> None:
        self.path, self._time, self._wrong = path, start, timedelta(0)
        self._lock = threading.Lock()
        self.reach(start)

    def reach(self, at: datetime) -> None:
        with self._lock:
            self._time = max(self._time, at)
            FileClock(self.path).set(self._time + self._wrong)

    def jump(self, by: timedelta) -> None:
        with self._lock:
            self._wrong = by
        self.reach(self._time)


@dataclass
class Stage:
    """What runs, and where. Made by `stage`."""

    settings: Settings
    folder: Path
    node: Any  #: KafkaNode, or something with several that is started and stopped in the same way
    keeper: Keeper
    clock: MovingClock
    engine: Engine
    secrets: dict[str, str]
    disk: Path | None  #: the mounted state directory; None where mounting is not allowed
    workers: list[str]
    postgres: Postgres | None = None  #: the server of the ledger; None: SQLite in the state directory

    def track_settings(self, number: int) -> Settings:
        port = self.settings.track_metrics_port if number == 0 else ports.free()
        return replace(self.settings, worker_id=str(number), track_metrics_port=port)

    def add_worker(self, number: int) -> str:
        """A track worker of this number; gives its role's name."""
        settings, name = self.track_settings(number), f"track-{number}"
        self.add(name, settings, "worker", "track", port=settings.track_metrics_port)
        return name

    def add(self, name: str, settings: Settings, *command: str, port: int, health: str = "/healthz") -> None:
        environment = {**os.environ, **settings.environment(), **self.secrets, "MUTUAL_SLA_CLOCK_FILE": str(self.clock.path)}
        command = (sys.executable, "-m", "streams", *command)
        log = self.folder / "logs" / f"{name}.log"
        address = f"http://127.0.0.1:{port}{health}"
        self.keeper.add(Kept(name, lambda: Process.spawn(name, command, log=log, environment=environment), address))

    def worker_folder(self, name: str) -> Path:
        """Where a track worker keeps its RocksDB."""
        return self.settings.state_dir / "workers" / f"{self.settings.app_id}-{name}"


class Reached:
    """Whether what is in `ats.facts` at its making has gone through to the ledger; `look` until it is true."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._facts: dict[TopicPartition, int] | None = None
        self._outcomes: dict[TopicPartition, int] | None = None
        self.missing = "not looked yet"  #: why it is not true

    def look(self) -> bool:
        try:
            return self._look()
        except (KafkaError, DBAPIError, OSError) as error:  # the broker or the ledger is away: asked again
            self.missing = repr(error)
            return False

    def _look(self) -> bool:
        settings = self._stage.settings
        consumer = KafkaConsumer(
            **kafka_security.connection(settings), group_id=f"{settings.app_id}-track", enable_auto_commit=False
        )
        try:
            if self._facts is None:
                self._facts = self._ends(consumer, "ats.facts")
            if self._outcomes is None:
                if not self._past({tp: consumer.committed(tp) or 0 for tp in self._facts}, self._facts):
                    return False
                self._outcomes = self._ends(consumer, "sla.outcomes")
        finally:
            consumer.close()
        with ledger.snapshot(self._stage.engine) as conn:
            rows = conn.execute(select(consumer_position.c.topic, consumer_position.c.partition, consumer_position.c.next_offset))
            read = {TopicPartition(topic, partition): offset for topic, partition, offset in rows}
        return self._past(read, self._outcomes)

    def _past(self, read: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> bool:
        behind = {
            f"{tp.topic}:{tp.partition}": f"{read.get(tp, 0)} of {end}" for tp, end in ends.items() if read.get(tp, 0) < end
        }
        self.missing = str(behind)
        return not behind

    def _ends(self, consumer: Any, topic: str) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = consumer.end_offsets(
            [TopicPartition(self._stage.settings.topic(topic), p) for p in range(PARTITIONS)]
        )
        return found


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A tmpfs at `folder`, or None where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A server in a folder that its user can reach, with a database `ledger`."""
    with tempfile.TemporaryDirectory(prefix="mutual-sla-chaos-postgres-") as folder:
        server = Postgres(Path(folder), durable=True)
        try:
            server.start()
            server.run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", "test", "ledger")
            yield server
        finally:
            server.stop()


@contextmanager
def stage(
    folder: Path,
    workers: int,
    start: datetime,
    node: Any = None,
    *,
    small: bool = True,
    postgres: Postgres | None = None,
    **overrides: Any,
) -> Iterator[Stage]:
    """Everything up and well, `workers` track workers; stopped at the end. `node`: brokers that somebody else keeps.

    `small`: on a disk of its own that can be filled; an hour of ledger does not fit on it. `postgres`: the ledger is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        state_dir=folder / "state",
        deploy_dir=deploy_folder(folder / "deploy", [WEBHOOKS]),
        tick_seconds=1800.0,  # of a clock that runs thousands of times too fast
        ledger_url=postgres.url("ledger") if postgres else "",
        **(dict(zip(PORTS, _free(len(PORTS)), strict=True)) | overrides),
    )
    shutil.copy(ROOT / "deploy/stages.yaml", settings.deploy_dir)
    with small_disk(settings.state_dir) if small else nullcontext() as disk, Keeper() as keeper:
        if node is None:
            node = KafkaNode(folder / "kafka")
            node.start()
            keeper.add(Kept("broker", node.launch, node.bootstrap, process=node.process))
        settings = replace(settings, brokers=node.bootstrap)
        topics.verify(settings)
        secrets = credentials.complete(load_sources(settings.deploy_dir), folder, os.environ)
        engine = ledger.open_ledger(settings.ledger)
        clock = MovingClock(folder / "clock", start)
        made = Stage(settings, folder, node, keeper, clock, engine, secrets, disk, [], postgres)
        made.add("ledger", settings, "ledger", port=settings.ledger_metrics_port)
        made.add("normalise", settings, "worker", "normalise", port=settings.normalise_metrics_port)
        made.add("gateway", settings, "gateway", port=settings.gateway_port, health="/readyz")
        made.workers.extend(made.add_worker(number) for number in range(workers))
        _prometheus(made)
        try:
            yield made
        finally:
            engine.dispose()


PORTS = (
    "gateway_port",
    "normalise_metrics_port",
    "track_metrics_port",
    "ledger_metrics_port",
    "prometheus_port",
    "alertmanager_port",
)


def _free(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found.append(ports.free(taken=found))
    return found


def _prometheus(made: Stage) -> None:
    binary = program("prometheus")
    if binary is None:
        return
    settings, folder = made.settings, made.folder / "monitoring"
    shutil.copytree(ROOT / "deploy/prometheus", settings.deploy_dir / "prometheus")
    shutil.copytree(ROOT / "deploy/alertmanager", settings.deploy_dir / "alertmanager")
    config, _ = monitoring.render(settings, folder)
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn"]
    command.append(f"--web.listen-address=127.0.0.1:{settings.prometheus_port}")
    log, address = made.folder / "logs/prometheus.log", f"http://127.0.0.1:{settings.prometheus_port}/-/ready"
    made.keeper.add(Kept("prometheus", lambda: Process.spawn("prometheus", command, log=log), address))
