"""What a worker verifies and creates on the cluster before it consumes anything, with kafka-python's admin client.

Faust never verifies topics: a changelog with another partition count than its source raises inside the agent for every
event, and each of them is acknowledged and lost (measured). So the counts are compared here, first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from kafka.errors import TopicAlreadyExistsError

from streams import topics
from streams.errors import InvalidConfiguration
from streams.settings import Settings

#: Compacted, never deleted by age: Faust's recovery hangs on a changelog partition that was emptied by time.
CONFIG = {
    "cleanup.policy": "compact",
    "max.message.bytes": "1048588",
    "segment.ms": "3600000",
    "min.cleanable.dirty.ratio": "0.2",
    "message.timestamp.type": "CreateTime",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was found: the cluster's id and the partition count of every topic the worker touches."""

    cluster_id: str
    partitions: dict[str, int]


def prepare(settings: Settings, source: str, outputs: Iterable[str], changelog: str, same_count: Iterable[str] = ()) -> Cluster:
    """Verify source and outputs, create or verify the changelog.

    `same_count`: outputs that must have the source's partition count, because their partition number is the source's.
    Raises InvalidConfiguration with all faults, Unreachable if the cluster does not answer.
    """
    with topics.admin(settings) as admin:
        return _prepare(admin, source, list(outputs), changelog, list(same_count))


def _prepare(admin: Any, source: str, outputs: list[str], changelog: str, same_count: list[str]) -> Cluster:
    found = _describe(admin, [source, *outputs, changelog])
    faults = [f"topic {name} does not exist: run `mutual-sla topics`" for name in [source, *outputs] if name not in found]
    if not faults:
        count = len(found[source])
        faults = [
            f"{name} has {len(found[name])} partitions and {source} has {count}; they must be equal"
            for name in [*same_count, *([changelog] if changelog in found else [])]
            if len(found[name]) != count
        ]
    if faults:
        raise InvalidConfiguration(faults)
    if changelog not in found:
        replication = min(len(partition["replica_nodes"]) for partition in found[source])
        _create(admin, changelog, len(found[source]), replication)
        found = _describe(admin, [source, *outputs, changelog])
    return Cluster(str(admin.describe_cluster()["cluster_id"]), {name: len(parts) for name, parts in found.items()})


def _describe(admin: Any, names: list[str]) -> dict[str, list[Any]]:
    described = admin.describe_topics(names)
    return {t["name"]: t["partitions"] for t in described if not t["error_code"] and t["partitions"]}


def _create(admin: Any, changelog: str, partitions: int, replication: int) -> None:
    config = {**CONFIG, "min.insync.replicas": "2"} if replication >= 3 else CONFIG
    try:
        admin.create_topics(
            {changelog: {"num_partitions": partitions, "replication_factor": replication, "configs": config}},
            wait_for_metadata=True,
        )
        log.info("changelog_created", topic=changelog, partitions=partitions, replication_factor=replication)
    except TopicAlreadyExistsError:
        log.info("changelog_created_by_another_worker", topic=changelog)
