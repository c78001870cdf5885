"""How the roles of a run are: does each answer, and how far behind is each consumer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import httpx
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from sqlalchemy.exc import SQLAlchemyError

from streams import ledger, ports
from streams.errors import Unreachable
from streams.ledger_database import connect
from streams.settings import Settings
from streams.topics import admin, load

Lag = Mapping[str, Mapping[str, int]]  #: consumer -> topic -> records not yet read


def answers(address: str, timeout: float = 2.0) -> bool:
    """Whether a role is well: a URL answers 200, or, for host:port, a connection is accepted, within `timeout` seconds."""
    if not address.startswith("http"):
        host, _, port = address.rpartition(":")
        return ports.answers(int(port), host, timeout)
    try:
        return httpx.get(address, timeout=timeout, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def consumer_lag(settings: Settings) -> Lag | None:
    """Records that are on the cluster and not yet read, by consumer group and topic; the ledger's own positions under `ledger`.

    A group that has not committed anything on a partition has all of it before it. None if Kafka or the ledger does not answer.
    """
    own = {settings.topic(topic.name) for topic in load()}
    try:
        with admin(settings) as client:
            groups = [group["group_id"] for group in client.list_groups() if group["group_id"].startswith(f"{settings.app_id}-")]
            ends = _ends(client, own)
            committed = client.list_group_offsets(groups) if groups else {}
        read = {group: {(tp.topic, tp.partition): o.offset for tp, o in found.items()} for group, found in committed.items()}
        read["ledger"] = _ledger_positions(settings)
    except (Unreachable, SQLAlchemyError):
        return None
    return {group: _behind(found, ends) for group, found in read.items() if found}


def _ends(client: object, names: set[str]) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the offset the next record will get."""
    topics = client.describe_topics(sorted(names))  # type: ignore[attr-defined]
    partitions = [TopicPartition(topic["name"], p["partition_index"]) for topic in topics for p in topic["partitions"]]
    found = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))  # type: ignore[attr-defined]
    return {(tp.topic, tp.partition): offset.offset for tp, offset in found.items()}


def _ledger_positions(settings: Settings) -> dict[tuple[str, int], int]:
    engine = connect(settings.ledger)
    try:
        with engine.connect() as connection:
            return ledger.positions(connection)
    finally:
        engine.dispose()


def _behind(read: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """Topic -> records behind, of the topics of which the consumer has read any partition."""
    consumed = {topic for topic, _ in read}
    lag: dict[str, int] = defaultdict(int)
    for (topic, partition), end in ends.items():
        if topic in consumed:
            lag[topic] += max(0, end - max(0, read.get((topic, partition), 0)))
    return dict(lag)
