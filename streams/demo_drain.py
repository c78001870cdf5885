"""Waiting until the pipeline has worked through everything that is in it: hop by hop, from `ats.raw` to the ledger.

In: the settings of a run. A hop is through when its reader's committed position has reached where the topic ended when the hop
before it was through; ticks that keep coming after that do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from time import monotonic, sleep
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from streams import ledger
from streams.errors import Unreachable
from streams.ledger_database import connect, snapshot
from streams.settings import Settings
from streams.topics import admin, load

PATIENCE_SECONDS = 180.0
Positions = Mapping[TopicPartition, int]


def wait(settings: Settings, until: datetime) -> None:
    """Return when all of `ats.raw` is in the ledger and every partition's tick there is past `until`.

    Raises Unreachable if that takes longer than three minutes; it says which hop did not get on.
    """
    end = monotonic() + PATIENCE_SECONDS
    with admin(settings) as client:
        for role, name in (("normalise", "ats.raw"), ("track", "ats.facts")):
            _until(partial(_read_by, client, settings, role, _ends(client, settings, name)), f"{role} on {name}", end)
        engine = connect(settings.ledger)
        try:
            goal = {**_ends(client, settings, "sla.outcomes"), **_ends(client, settings, "ats.rejected")}
            _until(lambda: _in_ledger(engine, goal, until), "the ledger writer", end)
        finally:
            engine.dispose()


def _until(through: Callable[[], bool], hop: str, end: float) -> None:
    while not through():
        if monotonic() > end:
            raise Unreachable(f"the pipeline does not get on: {hop} is still behind; see its log")
        sleep(0.2)


def _ends(client: Any, settings: Settings, name: str) -> dict[TopicPartition, int]:
    """Where each partition of a topic ends now."""
    number = next(topic.partitions for topic in load() if topic.name == name)
    partitions = [TopicPartition(settings.topic(name), partition) for partition in range(number)]
    found = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return {TopicPartition(tp.topic, tp.partition): offset.offset for tp, offset in found.items()}


def _committed(client: Any, settings: Settings, role: str) -> dict[TopicPartition, int]:
    group = f"{settings.app_id}-{role}"
    found = client.list_group_offsets([group]).get(group, {})
    return {TopicPartition(tp.topic, tp.partition): offset.offset for tp, offset in found.items()}


def _read_by(client: Any, settings: Settings, role: str, goal: Positions) -> bool:
    return _reached(_committed(client, settings, role), goal)


def _reached(positions: Positions, goal: Positions) -> bool:
    return all(positions.get(partition, 0) >= offset for partition, offset in goal.items())


def _in_ledger(engine: Any, goal: Positions, until: datetime) -> bool:
    with snapshot(engine) as conn:
        read = {TopicPartition(*key): offset for key, offset in ledger.positions(conn).items()}
        ticks = ledger.ticks(conn)
    return _reached(read, goal) and bool(ticks) and all(tick is not None and tick >= until for tick in ticks.values())
