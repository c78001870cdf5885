"""Whole record batches to Kafka through a Faust app's aiokafka producer, awaited until the broker has them all.

Comes in: messages of one step. Goes out: the offset of the last record per partition, or an exception.
Faust's own `send` only enqueues, its `flush` gives up after 0.1 s and a failed send is only logged: none of it is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import lru_cache
from typing import Any

from aiokafka.errors import InvalidTimestampError
from aiokafka.partitioner import murmur2

from streams.clock import CLOCK_AHEAD
from streams.errors import MutualSLAError, Unreachable
from streams.step import Message

#: Key and value together; the topics take 1,048,588 bytes a batch, the rest is the batch's own frame.
MAX_RECORD_BYTES = 950_000
RECORD_BATCH_BYTES = 1_000_000
LOOKS = 32  #: into which the time-out is divided


class RecordTooLarge(MutualSLAError):
    """A record that no topic of ours would take; refused before anything of its step is sent."""

    exit_code = 65


@lru_cache(maxsize=1 << 16)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: the same as kafka-python's, aiokafka's and Java's default partitioner gives."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


class Delivery:
    """Sends messages as record batches.

    `producer` gives the running AIOKafkaProducer; `partitions` the partition count of each topic that may be written;
    `timeout` seconds after which a delivery counts as failed; `alive` is called before each produce and leaves the
    process if it may not write any more (see `lease`).
    """

    def __init__(self, producer: Callable[[], Any], partitions: Mapping[str, int], timeout: float, alive: Callable[[], None]):
        self._producer = producer
        self._partitions = partitions
        self._timeout = timeout
        self._alive = alive
        self.waited = 0.0  #: seconds spent waiting for the broker, in all
        self.sent = 0  #: records delivered, in all

    async def send(self, messages: Iterable[Message]) -> dict[tuple[str, int], int]:
        """Deliver everything, in order within each partition, and wait for it.

        Returns the offset of the last record per (topic, partition); -1 where the broker said "already have it" without
        telling where (a duplicate after a retry). Raises RecordTooLarge before anything is sent, KeyError for a topic the
        app did not declare, TimeoutError or a KafkaError if the broker did not confirm every record, Unreachable
        if it refused one because this machine's clock is ahead of its own.
        """
        groups: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            groups.setdefault(self._place(message), []).append(message)
        if not groups:
            return {}
        self._alive()
        begun = time.perf_counter()
        sends = [self._send_group(topic, partition, group) for (topic, partition), group in groups.items()]
        try:
            offsets = await self._confirmed(sends)
        except InvalidTimestampError as error:
            raise Unreachable(CLOCK_AHEAD) from error
        self.waited += time.perf_counter() - begun
        self.sent += sum(len(group) for group in groups.values())
        return dict(zip(groups, offsets, strict=True))

    async def _confirmed(self, sends: list[Coroutine[Any, Any, int]]) -> list[int]:
        """The results, or TimeoutError. In looks, since time in which the loop stood still for a step is not the broker's."""
        offsets = asyncio.gather(*sends)
        for _ in range(LOOKS):
            done, _ = await asyncio.wait([offsets], timeout=self._timeout / LOOKS)
            if done:
                return offsets.result()
        offsets.cancel()
        raise TimeoutError(f"the broker did not confirm within {self._timeout} s")

    def _place(self, message: Message) -> tuple[str, int]:
        topic, partition, key, value = message
        size = len(key or b"") + len(value or b"")
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"a record of {size} bytes for {topic}, key {key!r}; at most {MAX_RECORD_BYTES} fit")
        count = self._partitions[topic]
        if partition is None:
            if key is None:
                raise ValueError(f"a message for {topic} has neither partition nor key")
            partition = partition_of(key, count)
        if not 0 <= partition < count:
            raise ValueError(f"{topic} has no partition {partition}")
        return topic, partition

    async def _send_group(self, topic: str, partition: int, group: list[Message]) -> int:
        producer = self._producer()
        futures, batch, count = [], producer.create_batch(), 0
        for _, _, key, value in group:
            if batch.append(key=key, value=value, timestamp=None) is None:  # full
                batch.close()
                futures.append(await producer.send_batch(batch, topic, partition=partition))
                batch, count = producer.create_batch(), 0
                if batch.append(key=key, value=value, timestamp=None) is None:
                    raise RecordTooLarge(f"a record for {topic} does not fit in an empty batch")
            count += 1
        batch.close()
        futures.append(await producer.send_batch(batch, topic, partition=partition))
        metas = await asyncio.gather(*futures)
        base = metas[-1].offset
        return int(base) + count - 1 if base is not None and base >= 0 else -1
