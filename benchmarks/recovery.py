"""How long a track worker takes until it is ready again, with very many open obligations: local state there, wiped, taken over.

Rows are the tracker's own, of an application whose panel of interviewers owes feedback, copied under other ids straight into
the changelog; everything else is real: broker, worker processes, /readyz. Usage: python benchmarks/recovery.py [--obligations N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition

from schemas.fact import Fact, Origin, Tick, fact_id
from schemas.outcome import Obligation, Progress, Verdict, outcome_adapter
from streams import changelog, health, ports, topics
from streams.check import load_agreement
from streams.clock import FileClock
from streams.delivery import Delivery, partition_of
from streams.kafka_node import KafkaNode
from streams.process import Process, tail
from streams.settings import ROOT, Settings
from streams.step import Message
from streams.tracker import Topics, Tracker
from streams.tracker_rows import META, Meta
from streams.wall_clock import micros

ACCOUNT, TENANT = "greenhouse-demo", "demo"
T0 = datetime(2026, 5, 4, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = T0 + 26 * HOUR  #: the interview is over, nothing is due yet
PANEL = 3
APPLICATIONS = 50  #: of a requisition
PATIENCE = 600.0
SETTLE = 20.0  #: seconds for a standby to catch up
HASH = re.compile(rb"[0-9a-f]{32,}")


def a_fact(kind: str, at: datetime, application: str | None = None, **more: Any) -> Fact:
    return Fact(
        fact_id=fact_id(TENANT, ACCOUNT, kind, [application or ""], at),
        kind=kind,
        tenant=TENANT,
        account=ACCOUNT,
        system="greenhouse",
        occurred_at=at,
        occurred_at_source=Origin.OBJECT,
        received_at=at + timedelta(minutes=1),
        requisition_id=f"{ACCOUNT}/r0000000",
        application_id=f"{ACCOUNT}/{application}" if application else None,
        **more,
    )


def facts() -> list[Fact]:
    """One application of one requisition, up to the end of its interview."""
    one = "a0000000"
    panel = {
        "starts_at": (T0 + 24 * HOUR).isoformat(),
        "ends_at": (T0 + 25 * HOUR).isoformat(),
        "interviewers": [f"{ACCOUNT}/i{n}" for n in range(PANEL)],
    }
    people = {"hiring_manager": (f"{ACCOUNT}/m",), "recruiter": (f"{ACCOUNT}/r",)}
    return [
        a_fact("requisition.opened", T0, people=people),
        a_fact("requisition.approved", T0 + HOUR),
        a_fact("requisition.intake_held", T0 + 2 * HOUR),
        a_fact("application.created", T0 + 3 * HOUR, one),
        a_fact("application.stage_changed", T0 + 4 * HOUR, one, attributes={"stage": "manager_review"}),
        a_fact("application.stage_changed", T0 + 5 * HOUR, one, attributes={"stage": "interview"}),
        a_fact("interview.scheduled", T0 + 6 * HOUR, one, interview_id=f"{ACCOUNT}/i0000000", attributes=panel),
    ]


class Rows(dict[bytes, bytes]):
    """The table of one partition, for a handful of rows."""

    def __call__(self, key: bytes) -> bytes | None:
        return self.get(key)

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:  # type: ignore[override]
        return iter([(key, self[key]) for key in sorted(self) if key.startswith(prefix) and key >= start])


def pattern() -> tuple[Rows, int]:
    """The rows that the tracker keeps of these facts, and how many obligations in them are open."""
    tracker, rows = Tracker(load_agreement(ROOT / "deploy"), {}, Topics("facts", "outcomes", "rejected")), Rows()
    values = [fact.to_json() for fact in facts()] + [Tick(at=NOW).model_dump_json().encode()]
    records = [SimpleNamespace(offset=n, timestamp=micros(NOW) // 1000, value=value) for n, value in enumerate(values)]
    step = tracker.step(0, records, rows)
    rows.update({key: value for key, value in step.changes.items() if value is not None})
    said = [outcome_adapter.validate_json(m.value or b"").body for m in step.messages]
    left = sum(isinstance(body, Obligation) and body.verdict == Verdict.OPEN for body in said)
    assert not any(m.topic == "rejected" for m in step.messages)
    return rows, left


def copies(rows: Rows, applications: int) -> Iterator[tuple[str, bytes, bytes]]:
    """(requisition, key, value) of so many applications, and of the requisitions they are of; each with hashes of its own."""
    dice = random.Random(7)

    def named(text: bytes, requisition: int, application: int) -> bytes:
        text = text.replace(b"r0000000", b"r%07d" % requisition).replace(b"a0000000", b"a%07d" % application)
        return HASH.sub(lambda found: dice.randbytes(len(found[0]) // 2).hex().encode(), text)

    for number in range(applications):
        requisition = number // APPLICATIONS
        of_requisition = rows.items(b"r") if number % APPLICATIONS == 0 else iter(())
        for key, value in [*of_requisition, *rows.items(b"a"), *rows.items(b"d"), *rows.items(b"c")]:
            name = f"{ACCOUNT}/r{requisition:07}"
            yield name, named(key, requisition, number), named(value, requisition, number)


async def fill(settings: Settings, name: str, partitions: int, applications: int) -> tuple[int, int]:
    """Write the changelog; returns records and bytes."""
    rows, _ = pattern()
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers, acks="all", compression_type="lz4", max_batch_size=1_000_000)
    await producer.start()
    count = size = 0
    try:
        delivery = Delivery(lambda: producer, {name: partitions}, 60.0, lambda: None)
        chunk: list[Message] = []
        for requisition, key, value in copies(rows, applications):
            chunk.append(Message(name, partition_of(requisition.encode(), partitions), key, value))
            count, size = count + 1, size + len(key) + len(value)
            if len(chunk) >= 5000:
                await delivery.send(chunk)
                chunk = []
        meta = Meta(offset=-1, as_of=micros(NOW), tick=micros(NOW)).encode()
        await delivery.send([*chunk, *(Message(name, partition, META, meta) for partition in range(partitions))])
    finally:
        await producer.stop()
    return count + partitions, size


class Bench:
    """One cluster and one clock; workers come and go."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.clock = FileClock(folder / "clock")
        self.clock.set(NOW)
        self.found: dict[str, Any] = {}

    def start(self, settings: Settings) -> Process:
        environment = {**os.environ, **settings.environment(), "MUTUAL_SLA_CLOCK_FILE": str(self.clock.path)}
        command = [sys.executable, "-m", "streams", "worker", "track"]
        log = settings.state_dir / "logs" / f"track-{settings.worker_id}.log"
        return Process.spawn(f"track-{settings.worker_id}", command, log=log, environment=environment)

    def ready(self, title: str, settings: Settings) -> Process:
        """Start a worker and note how long it took until it was well."""
        began, process = time.monotonic(), self.start(settings)
        wait(lambda: well(settings), process)
        seconds = round(time.monotonic() - began, 1)
        self.found[title] = seconds
        print(f"{title}: {seconds} s, {processor(process)} of them on a processor, {memory(process)} MB", flush=True)
        return process

    def taken_over(self, title: str, other: Settings) -> None:
        """Two workers, the other with a new disk; the first is killed. Until each partition folded in a tick of the other."""
        victim = self.start(self.settings)
        wait(lambda: well(self.settings), victim)
        survivor = self.start(other)
        wait(lambda: well(other), survivor)
        wait(lambda: well(self.settings) and well(other), victim)
        time.sleep(SETTLE)
        consumer: Any = KafkaConsumer(bootstrap_servers=self.settings.brokers, group_id=None)
        try:
            topic = self.settings.topic("sla.outcomes")
            wanted = consumer.partitions_for_topic(topic)
            consumer.assign([TopicPartition(topic, p) for p in wanted])
            consumer.seek_to_end()
            for partition in consumer.assignment():
                consumer.position(partition)
            later = self.clock.now() + timedelta(minutes=2)  # so that a tick of afterwards is known as such
            began = time.monotonic()
            victim.kill()
            self.clock.set(later)
            ticked: set[int] = set()
            while len(ticked) < len(wanted):
                for records in consumer.poll(timeout_ms=100).values():
                    for record in records:
                        body = outcome_adapter.validate_json(record.value).body
                        if isinstance(body, Progress) and body.tick_at is not None and body.tick_at >= later:
                            ticked.add(record.partition)
                assert time.monotonic() - began < PATIENCE and survivor.alive(), tail(survivor.log)
            self.found[title] = round(time.monotonic() - began, 1)
            print(f"{title}: {self.found[title]} s, {memory(survivor)} MB", flush=True)
        finally:
            consumer.close()
            survivor.stop(30)


def well(settings: Settings) -> bool:
    return health.answers(f"http://{settings.host}:{settings.track_metrics_port}/readyz")


def wait(condition: Callable[[], bool], process: Process) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if not process.alive() or time.monotonic() > end:
            raise SystemExit(f"it did not get ready: {tail(process.log)}")
        time.sleep(0.1)


def processor(process: Process) -> float:
    """CPU seconds so far: what a machine with other work to do would have needed by itself."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1)


def memory(process: Process) -> int:
    """Resident memory, MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) // 1024


def measure(settings: Settings, folder: Path, obligations: int) -> dict[str, Any]:
    _, left = pattern()
    applications = -(-obligations // left)
    names = [settings.topic(name) for name in ("ats.facts", "sla.outcomes", "ats.rejected")]
    log_name = f"{settings.app_id}-track-state-changelog"
    partitions = changelog.prepare(settings, names[0], names[1:], log_name, [names[1]]).partitions[names[0]]
    count, size = asyncio.run(fill(settings, log_name, partitions, applications))
    print(f"{applications * left} open obligations in {count} rows, {size >> 20} MB", flush=True)
    bench = Bench(settings, folder)
    process = bench.ready("nothing local: ready after s", settings)
    process.stop(30)
    bench.ready("local state, stopped before: ready after s", settings).kill()
    bench.ready("local state, killed before: ready after s", settings).stop(30)
    for number in (0, 1):
        other = replace(settings, worker_id=str(number + 1), track_metrics_port=ports.free(), standbys=number)
        bench.settings = replace(settings, standbys=number)
        bench.taken_over(f"a worker killed, {number} standbys: its partitions tick again after s", other)
    state = sum(f.stat().st_size for f in (settings.state_dir / "workers").rglob("*") if f.is_file())
    return {
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "open obligations": applications * left,
        "rows": count,
        "row bytes, MB": size >> 20,
        "state directory, MB": state >> 20,
        **bench.found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--obligations", type=int, default=50_000)
    parser.add_argument("--folder", help="where to keep everything meanwhile; default: a temporary one")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        node = stack.enter_context(KafkaNode(folder / "kafka", heap="1g"))
        # The account of our facts is none of deploy/sources.yaml: nothing to wait for but time.
        settings = Settings(brokers=node.bootstrap, app_id="bench", state_dir=folder / "state", track_metrics_port=ports.free())
        settings.state_dir.mkdir()
        topics.verify(settings)
        print(json.dumps(measure(settings, folder, options.obligations), indent=2))


if __name__ == "__main__":
    main()
