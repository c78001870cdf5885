"""How far each consumer is behind, as `status` shows it: Kafka's groups on a real broker, the ledger by its own positions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streams import health
from streams.ledger_database import open_ledger
from streams.settings import Settings

pytestmark = pytest.mark.kafka


def test_lag_is_what_is_on_the_cluster_and_not_yet_read(topics: Callable[..., Settings]) -> None:
    settings = topics()
    open_ledger(settings.ledger).dispose()
    raw, outcomes = settings.topic("ats.raw"), settings.topic("sla.outcomes")
    with closing(KafkaProducer(bootstrap_servers=settings.brokers)) as producer:
        sent = [producer.send(raw, b"x", partition=number % 2) for number in range(10)]
        sent += [producer.send(outcomes, b"x", partition=0) for _ in range(3)]
        sent += [producer.send(settings.topic("sla.agreement"), b"x", key=b"read whole at each start")]
        for one in sent:
            one.get(timeout=10)
    consumer = KafkaConsumer(
        bootstrap_servers=settings.brokers, group_id=f"{settings.app_id}-normalise", enable_auto_commit=False
    )
    with closing(consumer):
        consumer.assign([TopicPartition(raw, 0)])
        consumer.commit({TopicPartition(raw, 0): OffsetAndMetadata(4, "", -1)})
    assert health.consumer_lag(settings) == {
        "normalise": {raw: 6},
        "track": {settings.topic("ats.facts"): 0},
        "ledger": {settings.topic("ats.rejected"): 0, outcomes: 3},
    }


def test_lag_is_unknown_where_kafka_or_the_ledger_does_not_answer(topics: Callable[..., Settings]) -> None:
    settings = topics()
    assert health.consumer_lag(settings) is None, "the ledger has no tables yet"
    open_ledger(settings.ledger).dispose()
    assert health.consumer_lag(settings) is not None
    assert health.consumer_lag(replace(settings, brokers="127.0.0.1:1")) is None
