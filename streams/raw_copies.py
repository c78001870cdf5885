"""Bodies of `ats.raw` appended once more to the partition they are in: what `renormalise` and `forget` are made of.

A copy keeps key, body and Kafka timestamp, so that retention counts from the day we received it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from kafka import KafkaProducer, TopicPartition

from schemas.raw import Retried
from streams import kafka_security
from streams.clock import Clock
from streams.errors import Unreachable
from streams.rejected import read as read_dead_letters
from streams.settings import Settings
from streams.whole_topic import ANSWER_SECONDS, reachable

TOGETHER = 1_000  #: copies on their way at a time

Headers = Sequence[tuple[str, bytes]]


def records(consumer: Any, place: TopicPartition, start: int, end: int) -> Iterator[Any]:
    """Records of a partition from offset `start` up to `end`, not included. Raises Unreachable."""
    consumer.assign([place])
    consumer.seek(place, start)
    heard = monotonic()
    while consumer.position(place) < end:
        for found in consumer.poll(timeout_ms=500).values():
            heard = monotonic()
            yield from (record for record in found if record.offset < end)
        if monotonic() - heard > ANSWER_SECONDS:
            raise Unreachable(f"Kafka stopped answering while {place.topic} was read")


def pointer(record: Any) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"


class Seen:
    """Tells copies: of two records with one body, receipt and request, the second is a copy of the first."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def before(self, record: Any) -> bool:
        named = {name: value for name, value in record.headers or () if isinstance(value, bytes)}
        parts = [named.get(name, b"") for name in ("account", "channel", "record_type", "received_at", "request_id")]
        digest = hashlib.blake2b(b"\x1f".join([*parts, record.value or b""]), digest_size=16).digest()
        if digest in self._digests:
            return True
        self._digests.add(digest)
        return False


class Copies:
    """Appends, and waits for the broker to have everything when the block ends."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._sent: list[Any] = []

    def add(self, record: Any, headers: Headers) -> None:
        """One copy, with these headers, at the end of the record's own partition."""
        self.append(record.topic, record.partition, record.key, record.value, headers, record.timestamp)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers, at_ms: int) -> None:
        place = {"partition": partition, "key": key, "headers": list(headers), "timestamp_ms": at_ms}
        self._sent.append(self._producer.send(topic, value=value, **place))
        if len(self._sent) >= TOGETHER:
            self.settle()

    def settle(self) -> None:
        for future in self._sent:
            future.get(timeout=ANSWER_SECONDS)
        self._sent.clear()


@contextmanager
def copies(settings: Settings) -> Iterator[Copies]:
    """Raises Unreachable if the broker does not take every copy."""
    with reachable(settings):
        producer = KafkaProducer(
            **kafka_security.connection(settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            batch_size=256 * 1024,
            delivery_timeout_ms=int(ANSWER_SECONDS * 1000),
            request_timeout_ms=int(ANSWER_SECONDS * 500),
            allow_auto_create_topics=False,
        )
        try:
            made = Copies(producer)
            yield made
            made.settle()
        finally:
            producer.close(timeout=ANSWER_SECONDS)


def settle_dead_letters(settings: Settings, moved: Collection[str], clock: Clock) -> int:
    """Mark waiting dead letters as put back whose bodies are in `moved` (pointers); returns how many."""
    waiting = [letter for letter in read_dead_letters(settings) if letter.retried_at is None and letter.pointer in moved]
    now, topic = clock.now(), settings.topic("ats.rejected")
    with copies(settings) as made:
        for letter in waiting:
            value = Retried(pointer=letter.pointer, retried_at=now).model_dump_json().encode()
            made.append(topic, 0, letter.pointer.encode(), value, (), int(now.timestamp() * 1000))
    return len(waiting)
