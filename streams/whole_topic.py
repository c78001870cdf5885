"""A topic read whole: from its beginning to the end seen at the start, without a consumer group and without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.errors import KafkaError as AioKafkaError
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams import kafka_security
from streams.errors import Unreachable
from streams.settings import Settings

FETCH_BYTES = 8 << 20
ANSWER_SECONDS = 15.0  #: without anything from Kafka, that long


@contextmanager
def reachable(settings: Settings) -> Iterator[None]:
    """Turns Kafka's errors of all kinds into Unreachable."""
    try:
        yield
    except (KafkaError, AioKafkaError, OSError) as error:
        raise kafka_security.unreachable(settings, error) from error


@contextmanager
def reader(settings: Settings) -> Iterator[Any]:
    """A consumer that belongs to no group and commits nothing. Raises Unreachable."""
    with reachable(settings):
        consumer = KafkaConsumer(
            **kafka_security.connection(settings),
            group_id=None,
            enable_auto_commit=False,
            bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
            allow_auto_create_topics=False,
            # a whole topic comes in large pieces: measured 200,000 records/s instead of 128,000
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=8 * FETCH_BYTES,
            max_poll_records=20_000,
        )
        try:
            yield consumer
        finally:
            consumer.close()


def everything(consumer: Any, topic: str, begun: Callable[[int], None] = lambda total: None) -> Iterator[Any]:
    """Each record of `topic`; `begun` is told how many there are at most. Raises Unreachable."""
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise Unreachable(f"topic {topic} is missing: run `mutual-sla topics`")
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    begun(sum(ends.values()) - sum(consumer.beginning_offsets(partitions).values()))
    consumer.seek_to_beginning(*partitions)
    heard = monotonic()
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for partition, records in consumer.poll(timeout_ms=500).items():
            heard = monotonic()
            yield from (record for record in records if record.offset < ends[partition])
        if monotonic() - heard > ANSWER_SECONDS:
            raise Unreachable(f"Kafka stopped answering while {topic} was read")


def end_of(consumer: Any, topic: str, number: int) -> int:
    """The offset that the next record of a partition will get. Raises Unreachable if there is no such partition."""
    partition = TopicPartition(topic, number)
    if number not in (consumer.partitions_for_topic(topic) or ()):
        raise Unreachable(f"there is no {topic}:{number}")
    end: int = consumer.end_offsets([partition])[partition]
    return end


def one_partition(settings: Settings, topic: str, number: int, end: int, start: int = 0) -> Iterator[list[Any]]:
    """Records of a partition from `start` on and before `end`, in order, in the pieces they come in. Raises Unreachable.

    By aiokafka, whose compiled reader takes a quarter of kafka-python's time for a record. Not to be called in a running loop.
    """
    if start >= end:
        return
    partition = AioTopicPartition(topic, number)
    with reachable(settings), asyncio.Runner() as loop:
        consumer = loop.run(_consumer(settings))
        try:
            loop.run(_begin(consumer, partition, start))
            heard = monotonic()
            while loop.run(consumer.position(partition)) < end:
                for records in loop.run(consumer.getmany(partition, timeout_ms=500)).values():
                    heard = monotonic()
                    yield records if records[-1].offset < end else [record for record in records if record.offset < end]
                if monotonic() - heard > ANSWER_SECONDS:
                    raise Unreachable(f"Kafka stopped answering while {topic}:{number} was read")
        finally:
            loop.run(consumer.stop())


async def _consumer(settings: Settings) -> Any:
    return AIOKafkaConsumer(
        **kafka_security.asynchronous(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )


async def _begin(consumer: Any, partition: AioTopicPartition, start: int) -> None:
    await consumer.start()
    consumer.assign([partition])
    if start == 0:
        await consumer.seek_to_beginning(partition)
    else:
        consumer.seek(partition, start)
