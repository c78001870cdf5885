"""Waiting until the pipeline has worked through everything that is in it: hop by hop, from `ats.raw` to the ledger.

A hop is through when its reader's committed position has reached where the topic ended when the hop before it was through; ticks
that keep coming after that do not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from time import monotonic, sleep
from typing import Any

from streams import ledger
from streams.errors import MutualSLAError, Unreachable
from streams.ledger_database import connect, snapshot
from streams.settings import Settings
from streams.topics import NoBroker, Offsets, admin, committed, ends


class Undrained(MutualSLAError):
    """Something that was accepted has not come to the ledger in time; says at which hop it is."""

    exit_code = 69


def wait(settings: Settings, patience: float, until: datetime | None = None) -> None:
    """Return when all that is in the topics now is in the ledger, and every partition's tick there past `until`.

    Raises Undrained if that takes longer than `patience` seconds, Unreachable if Kafka cannot tell so long, NoBroker at once.
    """
    last = monotonic() + patience
    while True:
        try:
            with admin(settings) as client:
                _wait(client, settings, last, until)
            return
        except NoBroker:
            raise
        except Unreachable:  # such as a coordinator that is not found yet
            if monotonic() > last:
                raise
        sleep(0.5)


def _wait(client: Any, settings: Settings, last: float, until: datetime | None) -> None:
    for role, name in (("normalise", "ats.raw"), ("track", "ats.facts")):
        goal = ends(client, [settings.topic(name)])
        _until(partial(_read_by, client, settings, role, goal), f"the {role} worker on {name}", last)
    engine = connect(settings.ledger)
    try:
        goal = ends(client, [settings.topic("sla.outcomes"), settings.topic("ats.rejected")])
        _until(lambda: _in_ledger(engine, goal, until), "the ledger writer", last)
    finally:
        engine.dispose()


def _until(through: Callable[[], bool], hop: str, last: float) -> None:
    while not through():
        if monotonic() > last:
            raise Undrained(f"{hop} is still behind: see whether it runs, and its log")
        sleep(0.2)


def _read_by(client: Any, settings: Settings, role: str, goal: Offsets) -> bool:
    group = f"{settings.app_id}-{role}"
    return _reached(committed(client, [group]).get(group, {}), goal)


def _reached(positions: Offsets, goal: Offsets) -> bool:
    return all(positions.get(place, 0) >= end for place, end in goal.items())


def _in_ledger(engine: Any, goal: Offsets, until: datetime | None) -> bool:
    with snapshot(engine) as conn:
        read = ledger.positions(conn)
        ticks = ledger.ticks(conn)
    told = until is None or (bool(ticks) and all(tick is not None and tick >= until for tick in ticks.values()))
    return told and _reached(read, goal)
