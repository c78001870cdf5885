"""The topics on a Kafka cluster: created where missing, verified always, from schemas/topics.yaml.

A partition count that differs is refused, never changed: keys would move to other partitions and the state behind them would not.
Configuration that differs is set as the file says, and reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import yaml
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.errors import KafkaError
from pydantic import Field, TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from schemas.base import Agreed
from streams import kafka_security, ports
from streams.errors import InvalidConfiguration, Unreachable
from streams.settings import ROOT, Settings

TOPICS_FILE = ROOT / "schemas" / "topics.yaml"
DAY_MS = 24 * 60 * 60 * 1000


class NoBroker(Unreachable):
    """Nothing listens where the brokers should be."""


Offsets = Mapping[tuple[str, int], int]  #: (topic, partition) -> the offset of the next record


class Topic(Agreed):
    """One topic as schemas/topics.yaml describes it; `config` holds Kafka's own names and values."""

    name: str = Field(pattern=r"^[a-z][a-z.]*$")
    description: str
    producers: tuple[str, ...] = Field(min_length=1)
    consumers: tuple[str, ...] = Field(min_length=1)
    partitions: int = Field(ge=1)
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found, or done, about one topic."""

    name: str
    partitions: int
    replication_factor: int
    retention_ms: str
    done: str  #: created | unchanged | what was set, `key: old -> new`


def load(path: Path = TOPICS_FILE) -> tuple[Topic, ...]:
    """The topics of the file, in its order. Raises InvalidConfiguration listing every fault."""
    try:
        topics = TypeAdapter(tuple[Topic, ...]).validate_python(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InvalidConfiguration(faults) from error
    partitions = {topic.name: topic.partitions for topic in topics}
    if partitions.get("ats.facts") != partitions.get("sla.outcomes"):
        raise InvalidConfiguration([f"{path}: ats.facts and sla.outcomes need equal partition counts"])
    return topics


def ensure(settings: Settings) -> None:
    """`verify`, and a table of the result on standard output."""
    table = Table("topic", "partitions", "replicas", "retention", "done")
    for row in verify(settings):
        table.add_row(row.name, str(row.partitions), str(row.replication_factor), _days(row.retention_ms), row.done)
    Console().print(table)


def verify(settings: Settings) -> tuple[Verified, ...]:
    """Create the missing topics, compare the others with the file, and set configuration that differs.

    Raises InvalidConfiguration naming every topic whose partition count differs (nothing is created or altered then), and
    Unreachable if no broker answers.
    """
    wanted = load()
    with admin(settings) as client:
        brokers = len(client.describe_cluster()["brokers"])
        factor = settings.replication_factor or min(3, brokers)
        existing = _describe(client, [settings.topic(topic.name) for topic in wanted])
        _refuse_other_partition_counts(settings, wanted, existing)
        missing = [topic for topic in wanted if settings.topic(topic.name) not in existing]
        _create(client, settings, missing, factor)
        return tuple(
            Verified(
                name=settings.topic(topic.name),
                partitions=topic.partitions,
                replication_factor=_replicas(existing[settings.topic(topic.name)]) if topic not in missing else factor,
                retention_ms=_config(topic, settings, factor)["retention.ms"],
                done="created" if topic in missing else _align(client, settings, topic, existing[settings.topic(topic.name)]),
            )
            for topic in wanted
        )


def partition_count(settings: Settings, topic: str) -> int:
    """How many partitions a topic of schemas/topics.yaml has on the cluster (`topic` without the prefix).

    Raises InvalidConfiguration if the cluster has no such topic, and Unreachable if no broker answers.
    """
    name = settings.topic(topic)
    with admin(settings) as client:
        found = _describe(client, [name])
    if name not in found:
        raise InvalidConfiguration([f"{settings.brokers} has no topic {name}: run `mutual-sla topics`"])
    return len(found[name]["partitions"])


@contextmanager
def admin(settings: Settings) -> Iterator[Any]:
    """kafka-python's admin client of the cluster; whatever Kafka does not do becomes Unreachable with its own words."""
    hosts = [address.rpartition(":") for address in settings.brokers.split(",")]
    if not any(ports.answers(int(port), host, timeout=5.0) for host, _, port in hosts):  # quicker to say than the client is
        raise NoBroker(f"no Kafka broker answers at {settings.brokers}")
    try:
        client = KafkaAdminClient(**kafka_security.connection(settings), bootstrap_timeout_ms=10_000)
    except (KafkaError, OSError) as error:
        raise kafka_security.unreachable(settings, error) from error
    try:
        yield client
    except KafkaError as error:
        raise kafka_security.unreachable(settings, error) from error
    finally:
        client.close()


def ends(client: Any, names: Iterable[str]) -> Offsets:
    """Where each partition of these topics ends now; nothing of one that is not there."""
    described = _describe(client, sorted(names)).items()
    partitions = [TopicPartition(name, p["partition_index"]) for name, topic in described for p in topic["partitions"]]
    found = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return {(tp.topic, tp.partition): offset.offset for tp, offset in found.items()}


def committed(client: Any, groups: Iterable[str]) -> dict[str, Offsets]:
    """How far each consumer group has read; nothing of a partition of which it has committed nothing."""
    found = client.list_group_offsets(list(groups))
    return {
        group: {(tp.topic, tp.partition): read.offset for tp, read in offsets.items() if read.offset >= 0}
        for group, offsets in found.items()
    }


def _describe(client: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    """Those of `names` that exist, as the broker describes them."""
    return {topic["name"]: topic for topic in client.describe_topics(names) if topic["error_code"] == 0}


def _replicas(description: Mapping[str, Any]) -> int:
    return len(description["partitions"][0]["replica_nodes"])


def _refuse_other_partition_counts(settings: Settings, wanted: tuple[Topic, ...], existing: Mapping[str, Any]) -> None:
    faults = []
    for topic in wanted:
        name = settings.topic(topic.name)
        has = len(existing[name]["partitions"]) if name in existing else topic.partitions
        if has != topic.partitions:
            faults.append(
                f"topic {name} has {has} partitions, schemas/topics.yaml wants {topic.partitions}: set {has} there, "
                f"or use a new MUTUAL_SLA_TOPIC_PREFIX (and MUTUAL_SLA_APP_ID) and replay into it"
            )
    if faults:
        raise InvalidConfiguration(faults)


def _config(topic: Topic, settings: Settings, factor: int) -> dict[str, str]:
    """The configuration of a topic, with what the settings and the number of replicas decide."""
    config = dict(topic.config)
    if topic.name == "ats.raw" and settings.raw_retention_days:
        config["retention.ms"] = str(settings.raw_retention_days * DAY_MS)
    if factor >= 3:
        config["min.insync.replicas"] = "2"  # an acknowledged record survives the loss of any one broker
    return config


def _create(client: Any, settings: Settings, missing: list[Topic], factor: int) -> None:
    if missing:
        new = {
            settings.topic(topic.name): {
                "num_partitions": topic.partitions,
                "replication_factor": factor,
                "configs": _config(topic, settings, factor),
            }
            for topic in missing
        }
        client.create_topics(new, wait_for_metadata=True)


def _align(client: Any, settings: Settings, topic: Topic, description: Mapping[str, Any]) -> str:
    """Set what differs on an existing topic; says what was done."""
    name = settings.topic(topic.name)
    wanted = _config(topic, settings, _replicas(description))
    has = _described_config(client, name, wanted)
    differing = {key: value for key, value in wanted.items() if has[key] != value}
    if not differing:
        return "unchanged"
    client.alter_configs([ConfigResource("TOPIC", name, differing)])
    end = monotonic() + 10
    while _described_config(client, name, wanted) != wanted and monotonic() < end:  # the controller has it, the broker soon
        sleep(0.05)
    return ", ".join(f"{key}: {has[key]} -> {value}" for key, value in differing.items())


def _described_config(client: Any, name: str, keys: Iterable[str]) -> dict[str, str]:
    asked = ConfigResource("TOPIC", name, dict.fromkeys(keys))
    found = client.describe_configs([asked], config_filter="All")["topic"][name]
    return {key: found[key]["value"] for key in keys}


def _days(retention_ms: str) -> str:
    return "unlimited" if retention_ms == "-1" else f"{int(retention_ms) / DAY_MS:g} days"
