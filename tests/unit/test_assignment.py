"""A broker that has just started knows no partitions; the leader of a group gives out all of them none the less."""

from __future__ import annotations

from types import SimpleNamespace

from faust.assignor.partition_assignor import PartitionAssignor as FaustPartitionAssignor

from streams.assignment import KnownPartitions

EMPTY = SimpleNamespace(partitions_for_topic=lambda topic: None)
COUNTS = {"ats.facts": 8, "log": 8}


def groups(cluster: object) -> dict[int, list[set[str]]]:
    found = FaustPartitionAssignor._get_copartitioned_groups(set(COUNTS), cluster, {"a": list(COUNTS), "b": list(COUNTS)})
    return {count: [set(one) for one in together] for count, together in found.items()}


def test_faust_by_itself_would_give_out_nothing() -> None:
    assert groups(EMPTY) == {}  # why `KnownPartitions` is there; if this fails, it may go


def test_the_verified_counts_are_given_out_while_the_broker_knows_none() -> None:
    assert groups(KnownPartitions(EMPTY, COUNTS)) == {8: [set(COUNTS)]}


def test_of_other_topics_the_cluster_is_asked() -> None:
    assert KnownPartitions(SimpleNamespace(partitions_for_topic=lambda topic: {0, 1}), COUNTS).partitions_for_topic("x") == {0, 1}
