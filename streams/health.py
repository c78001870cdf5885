"""How the roles of a run are: does each answer, and how far behind is each consumer."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from sqlalchemy.exc import SQLAlchemyError

from streams import ledger, ports
from streams.errors import Unreachable
from streams.ledger_database import connect
from streams.settings import Settings
from streams.topics import Offsets, admin, committed, ends, load

Lag = Mapping[str, Mapping[str, int]]  #: consumer, as topics.yaml calls it -> topic -> records not yet read

GROUPS = ("normalise", "track")  #: consumers whose positions are a Kafka group's; the ledger's are in the ledger


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
    """Records that are on the cluster and not yet read, by consumer and topic; None if Kafka or the ledger does not answer.

    A consumer that has not committed anything on a partition has all of it before it. A compacted topic has no positions: whoever
    wants it reads it whole.
    """
    read_on = [t for t in load() if t.config.get("cleanup.policy") != "compact"]
    consumed = {name: {settings.topic(t.name) for t in read_on if name in t.consumers} for name in (*GROUPS, "ledger")}
    try:
        with admin(settings) as client:
            last = ends(client, set().union(*consumed.values()))
            found = committed(client, [f"{settings.app_id}-{name}" for name in GROUPS])
        read: dict[str, Offsets] = {"ledger": _ledger_positions(settings)}
    except (Unreachable, SQLAlchemyError):
        return None
    for name in GROUPS:
        read[name] = found.get(f"{settings.app_id}-{name}", {})
    return {name: {topic: _behind(topic, read[name], last) for topic in sorted(consumed[name])} for name in consumed}


def _ledger_positions(settings: Settings) -> Offsets:
    engine = connect(settings.ledger)
    try:
        with engine.connect() as connection:
            return ledger.positions(connection)
    finally:
        engine.dispose()


def _behind(topic: str, read: Offsets, last: Offsets) -> int:
    return sum(max(0, end - read.get(place, 0)) for place, end in last.items() if place[0] == topic)
