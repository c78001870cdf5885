"""Dead letters: what could not be used, where its body is, and putting it back through.

In: `ats.rejected`, read whole without a consumer group. Out: a list, or the bodies appended once more to the topic they came
from, byte for byte, with the header `retry_of`; `received_at` stays, so facts keep the time we learned them. Then a `Retried`
marker settles the dead letter. A crash in between puts a body back twice, which is harmless: facts are a set.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import orjson
import structlog
from kafka import KafkaProducer, TopicPartition
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from schemas.raw import Rejected, Retried, rejected_record
from streams import kafka_security
from streams.clock import Clock, record_time
from streams.errors import MutualSLAError, Unreachable
from streams.settings import Settings
from streams.whole_topic import ANSWER_SECONDS, everything, reachable, reader

log = structlog.get_logger()

TOGETHER = 100  #: bodies in memory at once


class Gone(MutualSLAError):
    """A pointer that leads to no dead letter, or whose body is not there any more."""

    exit_code = 65


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What `ats.rejected` says about one body; `retried_at` is None while it waits."""

    rejected: Rejected
    retried_at: datetime | None

    @property
    def pointer(self) -> str:
        return self.rejected.pointer


def read(settings: Settings) -> list[DeadLetter]:
    """All dead letters up to now, in the order they were first rejected, each pointer once. Raises Unreachable."""
    with reader(settings) as consumer:
        return _read(consumer, settings.topic("ats.rejected"))


def list_all(settings: Settings, *, as_json: bool) -> None:
    """Print them: a table for a person, or one JSON object a line. Raises Unreachable."""
    letters = read(settings)
    if as_json:
        for letter in letters:
            row = {**letter.rejected.model_dump(mode="json"), "pointer": letter.pointer, "retried_at": letter.retried_at}
            sys.stdout.write(orjson.dumps(row).decode() + "\n")
        return
    table = Table("pointer", "rejected at", "account", "channel", "reason", "detail", "retried at")
    for letter in letters:
        said = letter.rejected
        times = [f"{at:%Y-%m-%d %H:%M:%SZ}" if at else "" for at in (said.rejected_at, letter.retried_at)]
        table.add_row(letter.pointer, times[0], said.account, said.channel, said.reason, said.detail, times[1])
    Console().print(table if letters else "no dead letters")


def retry(settings: Settings, pointers: Sequence[str] | None, clock: Clock) -> int:
    """Put the dead letters of `pointers` back, or all that wait; returns how many went back.

    Raises Gone naming every pointer that leads nowhere, after all others were put back; Unreachable if Kafka does not answer
    or does not acknowledge.
    """
    with reader(settings) as consumer, _producer(settings) as producer:
        letters = {letter.pointer: letter for letter in _read(consumer, settings.topic("ats.rejected"))}
        wanted = [p for p, letter in letters.items() if letter.retried_at is None] if pointers is None else list(pointers)
        known = [letters[pointer].rejected for pointer in dict.fromkeys(wanted) if pointer in letters]
        gone = [f"{pointer}: no dead letter" for pointer in wanted if pointer not in letters]
        done = 0
        for start in range(0, len(known), TOGETHER):
            found = [(one, _fetch(consumer, one, settings)) for one in known[start : start + TOGETHER]]
            gone += [f"{one.pointer}: the body is gone (retention)" for one, record in found if record is None]
            there = [(one, record) for one, record in found if record is not None]
            _put_back(producer, there, settings.topic("ats.rejected"), clock.now())
            done += len(there)
    Console().print(f"{done} put back")
    if gone:
        raise Gone("\n".join(gone))
    return done


def _read(consumer: Any, topic: str) -> list[DeadLetter]:
    rejected: dict[str, Rejected] = {}
    retried: dict[str, datetime] = {}
    for record in everything(consumer, topic):
        try:
            said = rejected_record.validate_json(record.value)
        except ValidationError:
            log.warning("dead_letter_unreadable", topic=topic, partition=record.partition, offset=record.offset)
            continue
        if isinstance(said, Retried):
            retried[said.pointer] = said.retried_at
        else:
            rejected.setdefault(said.pointer, said)  # a replayed batch rejects once more
    return [DeadLetter(one, retried.get(pointer)) for pointer, one in rejected.items()]


def _fetch(consumer: Any, one: Rejected, settings: Settings) -> Any:
    """The record a dead letter points to; None if it is not there, or is another one (the topic was made anew)."""
    partition = TopicPartition(one.topic, one.partition)
    ours = one.topic in (settings.topic("ats.raw"), settings.topic("ats.facts"))
    if not ours or one.partition not in (consumer.partitions_for_topic(one.topic) or ()):
        return None
    if not consumer.beginning_offsets([partition])[partition] <= one.offset < consumer.end_offsets([partition])[partition]:
        return None
    consumer.assign([partition])
    consumer.seek(partition, one.offset)
    end = monotonic() + ANSWER_SECONDS
    while monotonic() < end:
        for record in consumer.poll(timeout_ms=500, max_records=1).get(partition, ()):
            same = record.offset == one.offset and hashlib.sha256(record.value or b"").hexdigest() == one.sha256
            return record if same else None
    raise Unreachable(f"Kafka stopped answering while {one.pointer} was read")


def _put_back(producer: Any, letters: Sequence[tuple[Rejected, Any]], rejected_topic: str, now: datetime) -> None:
    at = record_time(now)
    sent = []
    for one, record in letters:
        headers = [(key, value) for key, value in record.headers if key != "retry_of"] + [("retry_of", one.pointer.encode())]
        # The same partition: order within an account, and a requisition's one place, both hang on it.
        where = {"partition": one.partition, "key": record.key, "headers": headers, "timestamp_ms": at}
        sent.append(producer.send(one.topic, value=record.value, **where))
    _await(sent)
    markers = [Retried(pointer=one.pointer, retried_at=now) for one, _ in letters]
    _await([producer.send(rejected_topic, m.model_dump_json().encode(), m.pointer.encode(), timestamp_ms=at) for m in markers])


def _await(futures: Sequence[Any]) -> None:
    for future in futures:
        future.get(timeout=ANSWER_SECONDS)


@contextmanager
def _producer(settings: Settings) -> Iterator[Any]:
    milliseconds = int(ANSWER_SECONDS * 1000)
    with reachable(settings):
        producer = KafkaProducer(
            **kafka_security.connection(settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            delivery_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds // 2,
            max_block_ms=milliseconds,
            bootstrap_timeout_ms=milliseconds,
            allow_auto_create_topics=False,
        )
        try:
            yield producer
        finally:
            producer.close(timeout=ANSWER_SECONDS)
