"""What the leader of a group gives out: all partitions, though a broker knows none yet, and source and changelog together."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor as FaustPartitionAssignor

from streams import assignment, lease
from streams.assignment import KnownPartitions, PartitionAssignor

EMPTY = SimpleNamespace(partitions_for_topic=lambda topic: None)
COUNTS = {"ats.facts": 4, "log": 4}
WHOLE = list(COUNTS)


def groups(cluster: object) -> dict[int, list[set[str]]]:
    found = FaustPartitionAssignor._get_copartitioned_groups(set(COUNTS), cluster, {"a": WHOLE, "b": WHOLE})
    return {count: [set(one) for one in together] for count, together in found.items()}


def test_faust_by_itself_would_give_out_nothing() -> None:
    assert groups(EMPTY) == {}  # why `KnownPartitions` is there; if this fails, it may go


def test_the_verified_counts_are_given_out_while_the_broker_knows_none() -> None:
    assert groups(KnownPartitions(EMPTY, COUNTS)) == {4: [set(COUNTS)]}


def test_of_other_topics_the_cluster_is_asked() -> None:
    assert KnownPartitions(SimpleNamespace(partitions_for_topic=lambda topic: {0, 1}), COUNTS).partitions_for_topic("x") == {0, 1}


# -- who gets what -------------------------------------------------------------------------------------------------------

Given = dict[str, dict[str, list[int]]]


def assignor(kind: type[FaustPartitionAssignor]) -> Any:
    tables = SimpleNamespace(data={}, changelog_topics={"log"})
    rows = SimpleNamespace(changelog_topic_name="log")
    return kind(SimpleNamespace(tables=tables, partition_counts=COUNTS, batch_topic="ats.facts", rows_table=rows))


def member(subscription: list[str], partitions: list[int]) -> Any:
    had = ClientAssignment(actives={topic: partitions for topic in subscription if partitions}, standbys={})
    said = {"changelog_distribution": {}, "external_topic_distribution": {}, "topic_groups": {}}
    metadata = ClientMetadata(assignment=had, url="http://one", **said)
    return SimpleNamespace(subscription=subscription, user_data=metadata.dumps())


def given(kind: type[FaustPartitionAssignor], members: dict[str, Any]) -> Given:
    found = assignor(kind)._perform_assignment(KnownPartitions(EMPTY, COUNTS), members)
    return {name: {topic: sorted(ps) for topic, ps in one.assignment if ps} for name, one in found.items()}


#: Two work, and a third was stopped before its table was registered.
STOPPED_EARLY = {"a": member(WHOLE, [2, 3]), "b": member(WHOLE, [0, 1]), "c": member(["ats.facts"], [])}


def test_faust_by_itself_would_tear_a_source_from_its_changelog() -> None:
    found = given(FaustPartitionAssignor, STOPPED_EARLY)  # why who is not ready is left out; if this fails, that may go
    assert any(one.get("ats.facts") != one.get("log") for one in found.values())


def test_who_has_subscribed_to_the_source_alone_gets_nothing_and_the_others_keep_what_they_have() -> None:
    a, b = {"ats.facts": [2, 3], "log": [2, 3]}, {"ats.facts": [0, 1], "log": [0, 1]}
    assert given(PartitionAssignor, STOPPED_EARLY) == {"a": a, "b": b, "c": {}}


def test_a_group_of_those_alone_gets_nothing() -> None:
    assert given(PartitionAssignor, {"c": member(["ats.facts"], [])}) == {"c": {}}


def test_all_who_subscribe_to_both_share_all() -> None:
    found = given(PartitionAssignor, {name: member(WHOLE, []) for name in "abc"})
    assert all(one["ats.facts"] == one["log"] for one in found.values())
    assert sorted(p for one in found.values() for p in one["log"]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("actives", "dies"),
    [
        ({"ats.facts": [0, 1], "log": [1, 0]}, False),
        ({}, False),
        ({"ats.facts": [0, 1], "log": [0, 2]}, True),
        ({"ats.facts": [0]}, True),
        ({"log": [0]}, True),
    ],
)
def test_a_worker_works_on_no_source_without_its_changelog_whoever_leads(
    monkeypatch: pytest.MonkeyPatch, actives: dict[str, list[int]], *, dies: bool
) -> None:
    def give(self: Any, told: Any) -> None:
        self._assignment = told

    def die(code: int, event: str, **details: object) -> None:
        sys.exit(code)

    monkeypatch.setattr(FaustPartitionAssignor, "on_assignment", give)
    monkeypatch.setattr(assignment, "die", die)
    told = ClientAssignment(actives=actives, standbys={})
    if dies:
        with pytest.raises(SystemExit) as left:
            assignor(PartitionAssignor).on_assignment(told)
        assert left.value.code == lease.FAILED
    else:
        assignor(PartitionAssignor).on_assignment(told)
