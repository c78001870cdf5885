"""Our core called from a plain confluent-kafka loop: up to 1000 messages a poll, folded a partition at a time as our worker does.

State is in one RocksDB, written once a poll (WAL on, no fsync). No changelog, so it promises less than all others: it shows
what client and core cost by themselves. Idempotent producer, flushed before each commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rocksdict
from confluent_kafka import Consumer, Producer

from peers.core_job import tracker
from peers.report import Meter, arguments

POLL = 1000


class Record:
    """A confluent message as the step reads it."""

    __slots__ = ("offset", "timestamp", "value")

    def __init__(self, message: Any) -> None:
        self.offset, self.value, self.timestamp = message.offset(), message.value(), message.timestamp()[1]


class Rows:
    """`Read` over one partition's rows."""

    def __init__(self, database: Any, partition: int) -> None:
        self._database, self._of = database, b"%d\0" % partition

    def __call__(self, key: bytes) -> bytes | None:
        value: bytes | None = self._database.get(self._of + key)
        return value

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        whole = self._of + prefix
        for key, value in self._database.items(from_key=self._of + max(prefix, start)):
            if not key.startswith(whole):
                return
            yield key[len(self._of) :], value


def main() -> None:
    brokers, prefix, events, folder = arguments()
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"{prefix}confluent",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 20, "compression.type": "lz4"})
    outcomes = f"{prefix}out.confluent"
    folder.mkdir(parents=True, exist_ok=True)
    database = rocksdict.Rdict(str(folder / "state.db"), rocksdict.Options(raw_mode=True))
    meter, judge = Meter(events), tracker(prefix, outcomes)
    consumer.subscribe([f"{prefix}ats.facts"])
    done = False
    while not done:
        by_partition: dict[int, list[Any]] = {}
        messages = consumer.consume(POLL, 0.2)
        for message in messages:
            by_partition.setdefault(message.partition(), []).append(Record(message))
        if not by_partition:
            continue
        meter.start()
        write = rocksdict.WriteBatch(raw_mode=True)
        for partition, records in by_partition.items():
            step = judge.step(partition, records, Rows(database, partition))
            for one in step.messages:
                producer.produce(outcomes, one.value, one.key)
            producer.poll(0)
            for key, value in step.changes.items():
                whole = b"%d\0" % partition + key
                write.delete(whole) if value is None else write.put(whole, value)
            if step.applied is not None:
                step.applied()
        producer.flush()
        database.write(write)
        consumer.commit(asynchronous=True)
        done = meter.count(len(messages))
    meter.report()
    consumer.close()
    database.close()


if __name__ == "__main__":
    main()
