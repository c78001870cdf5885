"""What stands in a topic, for tests that count it; read without our own reader, which some of them are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from streams.settings import Settings


def each(settings: Settings, topic: str) -> Iterator[Any]:
    """Every record of a topic up to its present end, as they come. `topic`: its whole name."""
    consumer: Any = KafkaConsumer(bootstrap_servers=settings.brokers.split(","), group_id=None)
    with closing(consumer):
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=200).values():
                yield from records


def whole(settings: Settings, topic: str) -> list[Any]:
    """The same at once, partition by partition in order."""
    return sorted(each(settings, topic), key=lambda record: (record.partition, record.offset))
