"""The embedded Kafka node: keeps its data and its port, and says why it does not start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams import ports, topics
from streams.errors import Unreachable
from streams.kafka_node import KafkaNode, reachable
from streams.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
def node(tmp_path: Path) -> Iterator[KafkaNode]:
    with KafkaNode(tmp_path / "kafka", heap="256m") as started:
        yield started


def test_records_and_address_outlive_a_crash_and_a_restart(node: KafkaNode) -> None:
    before = node.bootstrap
    topics.verify(Settings(brokers=before))
    with closing(KafkaProducer(bootstrap_servers=before, acks="all")) as producer:
        producer.send("ats.raw", b"kept", partition=0).get(timeout=10)
    assert node.process is not None
    node.process.kill()
    assert not node.alive()
    assert not reachable(before, timeout=0.5)
    node.start()
    assert node.bootstrap == before
    with closing(KafkaConsumer(bootstrap_servers=before, auto_offset_reset="earliest", consumer_timeout_ms=10_000)) as consumer:
        consumer.assign([TopicPartition("ats.raw", 0)])
        assert next(consumer).value == b"kept"
    assert {row.done for row in topics.verify(Settings(brokers=before))} == {"unchanged"}


def test_a_wanted_port_is_used(tmp_path: Path) -> None:
    port = ports.free()
    with KafkaNode(tmp_path, port, heap="256m") as node:
        assert node.bootstrap == f"127.0.0.1:{port}"


def test_a_wanted_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unreachable, match="is taken"):
        KafkaNode(tmp_path, server.getsockname()[1]).start()


def test_a_node_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with KafkaNode(tmp_path, heap="256m") as node:
        node.stop()
        (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=another\n")
        with pytest.raises(Unreachable, match=r"Kafka did not start; the end of .*kafka\.log:(?s:.*)Stored node id 7"):
            node.start()
    assert not node.alive()


def test_a_heap_that_java_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="Invalid maximum heap size"):
        KafkaNode(tmp_path, heap="much").start()
