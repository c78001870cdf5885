"""How fast `rebuild` recomputes and compares: from ats.facts in a real Kafka to a ledger that is found to be right.

    python benchmarks/rebuild.py [--applications 250] [--facts 75] [--workers 2]

`--applications` in each of 8 partitions, `--facts` of each. The real tracker's step folds them first, in this process, into
outcomes and a changelog in Kafka and a ledger in SQLite; that is not in the time. In the time: starting the processes, reading,
decoding, one evaluation of each subject with every enabled commitment, and the comparison of each row of the ledger and of the
tracker. The broker is on the same machine and idle after the fetch. With `--workers 1` all is in this process, and its processor
time is told too: it says more where others use the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from rich.progress import Progress
from sortedcontainers import SortedDict
from sqlalchemy import insert

from material.load import PARTITIONS, backlog
from material.machine import machine
from schemas.fact import Tick, facts_record
from streams import ledger, ledger_batch, topics
from streams.check import load_agreement, load_sources
from streams.connectors import declared_kinds
from streams.kafka_node import KafkaNode
from streams.ledger_batch import Record
from streams.ledger_database import writing
from streams.ledger_tables import consumer_position
from streams.rebuild import rebuild
from streams.settings import Settings
from streams.tracker import Limits, Topics, Tracker

TOGETHER = 5_000  #: records of one step of the tracker, and outcomes of one transaction


class Rows:
    """The tracker's table of one partition, in memory."""

    def __init__(self) -> None:
        self.rows: Any = SortedDict()

    def __call__(self, key: bytes) -> bytes | None:
        found: bytes | None = self.rows.get(key)
        return found

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Any:
        for key in list(self.rows.irange(max(prefix, start))):
            if not key.startswith(prefix):
                return
            yield key, self.rows[key]


class Prepared:
    """A Kafka and a ledger as a pipeline that has run leaves them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = KafkaProducer(
            bootstrap_servers=settings.brokers, linger_ms=50, batch_size=1 << 18, compression_type="lz4"
        )
        names = ("ats.facts", "sla.outcomes", "ats.rejected")
        self.topics = Topics(*(settings.topic(name) for name in names))
        declared = declared_kinds(load_sources(settings.deploy_dir))
        self.tracker = Tracker(load_agreement(settings.deploy_dir), declared, self.topics, Limits(10**9, 10**9))
        self.engine = ledger.open_ledger(settings.ledger)
        self.changelog = f"{settings.app_id}-track-state-changelog"

    def fill(self, applications: int, facts: int) -> int:
        topics.verify(self.settings)
        admin = KafkaAdminClient(bootstrap_servers=self.settings.brokers)
        admin.create_topics({self.changelog: {"num_partitions": PARTITIONS, "replication_factor": 1}}, wait_for_metadata=True)
        admin.close()
        total = 0
        for partition in range(PARTITIONS):
            total += self._partition(partition, [(r.key, r.value) for r in backlog([partition], applications, facts, 10)])
        self.producer.flush()
        return total

    def _partition(self, partition: int, told: list[tuple[bytes | None, bytes]]) -> int:
        last = facts_record.validate_json(told[-1][1])
        tick = Tick(at=last.received_at + timedelta(days=1))  # type: ignore[union-attr]
        told.append((None, tick.model_dump_json().encode()))
        for key, value in told:
            self.producer.send(self.topics.facts, value, key=key, partition=partition)
        records = [SimpleNamespace(offset=n, timestamp=0, value=value) for n, (_, value) in enumerate(told)]
        table, said = Rows(), list[bytes]()
        for first in range(0, len(records), TOGETHER):
            step = self.tracker.step(partition, records[first : first + TOGETHER], table)
            for key, changed in step.changes.items():
                if changed is None:
                    table.rows.pop(key, None)
                else:
                    table.rows[key] = changed
            said += [m.value or b"" for m in step.messages if m.topic == self.topics.outcomes]
            assert step.applied is not None
            step.applied()
        for key, row in table.rows.items():
            self.producer.send(self.changelog, row, key=key, partition=partition)
        self._write(partition, said)
        return len(told)

    def _write(self, partition: int, said: list[bytes]) -> None:
        at = (self.topics.outcomes, partition)
        with writing(self.engine) as conn:
            conn.execute(insert(consumer_position), [{"topic": at[0], "partition": partition, "next_offset": 0}])
        for value in said:
            self.producer.send(self.topics.outcomes, value, partition=partition)
        for first in range(0, len(said), TOGETHER):
            some = said[first : first + TOGETHER]
            records = [Record(self.topics.outcomes, partition, first + n, 0, value) for n, value in enumerate(some)]
            with writing(self.engine) as conn:
                ledger_batch.write(conn, ledger_batch.decode(records, {at: first}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--applications", type=int, default=250, help="in each of 8 partitions")
    parser.add_argument("--facts", type=int, nargs="+", default=[15, 75], help="of each application")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(machine(), flush=True)
    for facts in options.facts:
        with tempfile.TemporaryDirectory() as folder, KafkaNode(Path(folder) / "kafka") as node:
            settings = Settings(brokers=node.bootstrap, state_dir=Path(folder))
            total = Prepared(settings).fill(options.applications * 75 // facts, facts)
            run = Path(folder) / "rebuild"
            run.mkdir()
            begun, used = time.perf_counter(), time.process_time()
            with Progress(disable=True) as progress:
                found = rebuild(settings, run, progress, workers=options.workers)
            took, used = time.perf_counter() - begun, time.process_time() - used
            assert found.differences == 0, list(found.lines())[:5]
            what = f"{total:,} events, {found.subjects:,} subjects, {found.obligations:,} obligations, 0 differences"
            print(
                f"rebuild, {facts} facts an application, {options.workers} processes: {what}, {took:.1f} s: "
                f"{total / took:,.0f} events/s" + (f", {used / total * 1e6:.1f} µs CPU each" if options.workers == 1 else ""),
                flush=True,
            )


if __name__ == "__main__":
    main()
