"""A handful of records now and then, delivered before it goes on; streams of them have producers of their own."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import KafkaProducer

from streams import kafka_security
from streams.settings import Settings

LARGEST = 32 << 20  #: bytes of a record before it is packed: the people of a large company are one; the topic takes 1 MiB packed
SECONDS = 10.0  #: for the broker's word on each, and for the end of the producer


def send(settings: Settings, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Keys and values, acknowledged by the broker when it returns. Raises KafkaError; some may have been delivered then."""
    producer = KafkaProducer(
        **kafka_security.connection(settings), acks="all", retries=5, compression_type="zstd", max_request_size=LARGEST
    )
    try:
        for sent in [producer.send(topic, key=key, value=value) for key, value in records]:
            sent.get(timeout=SECONDS)
    finally:
        producer.close(timeout=SECONDS)
