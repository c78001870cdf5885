"""Which worker gets which partitions: Faust's assignor, with partition counts that it can rely on.

A broker that has just started may not know the partitions of a topic yet. Faust ignores such a topic; its leader then gives
nothing to anybody, the group is stable, and nobody works until somebody joins (measured: one kill of the only broker in three).
The counts were verified before the worker started (`changelog.prepare`) and never change, so they are used here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor as FaustPartitionAssignor


class KnownPartitions:
    """What the assignor asks of a cluster's metadata: the partitions of a topic."""

    def __init__(self, cluster: Any, counts: Mapping[str, int]) -> None:
        self._cluster = cluster
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int]:
        """As verified; of other topics what the cluster says now."""
        if topic in self._counts:
            return set(range(self._counts[topic]))
        return set(self._cluster.partitions_for_topic(topic) or ())


class PartitionAssignor(FaustPartitionAssignor):  # type: ignore[misc]
    """Faust's, over `app.partition_counts`."""

    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> Any:
        return super()._perform_assignment(KnownPartitions(cluster, self.app.partition_counts), member_metadata)
