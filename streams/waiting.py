"""Since when facts wait for a way to their requisition, so that those nothing will ever come for are told and not waited for.

A row for each, in order of receipt: `due`, the account, when it was received, and where it waits; its value says which record it
came with. Time is that of the account's own records, like all time in the worker. Rows of facts that found their way stay until
their day comes. An interview that was deleted before any poll saw it is the usual case: no list ever shows it. Facts that waited
before there were such rows are looked for once, some in each batch (`overlooked`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from streams.routing import FACTS, Router, Wait
from streams.shelf import Get
from streams.step import Read

LONGEST = timedelta(days=30)  #: longer than any poll is behind, and than a quarter's history takes to be imported
AT_ONCE = 500  #: let go in one step
REASON = "never_placed"
LOOKED = b"looked"  #: the row that says from which key on to look for facts without a row, or `_TO_THE_END`
_TO_THE_END = b"to the end"
_BREAK = "\x1f"


class Due(NamedTuple):
    """A row whose day has come: its key, where the fact waited, and the record it came with."""

    key: bytes
    node: str
    digest: str
    origin: dict[str, Any]


def rows(waits: list[Wait], origin: dict[str, Any]) -> dict[bytes, bytes]:
    """The rows of facts that began to wait with the record `origin`."""
    value = orjson.dumps(origin)
    return {
        _prefix(one.fact.account) + _BREAK.join([_time(one.fact.received_at), one.node, one.digest]).encode(): value
        for one in waits
    }


def due(read: Read, account: str, now: datetime) -> Iterator[Due]:
    """The oldest rows of an account that have waited too long at `now`, at most `AT_ONCE`."""
    prefix, last = _prefix(account), _time(now - LONGEST)
    for number, (key, value) in enumerate(read.items(prefix)):
        at, node, digest = key.removeprefix(prefix).decode().split(_BREAK)
        if at > last or number == AT_ONCE:
            return
        yield Due(key, node, digest, orjson.loads(value))


def overlooked(read: Read, get: Get, topic: str, partition: int) -> dict[bytes, bytes]:
    """Rows for the next `AT_ONCE` nodes' facts that wait without one, as an earlier release parked them, and where to go on.

    Which record such a fact came with nobody knows: its origin names the partition, no offset. `get` has the batch's changes.
    """
    if (start := get(LOOKED)) == _TO_THE_END:
        return {}
    router, found, node = Router(get), dict[bytes, bytes](), ""
    nodes = 0
    for key, _ in read.items(FACTS, start or b""):
        if (here := key.removeprefix(FACTS).decode().partition(_BREAK)[0]) == node:
            continue  # another chunk of the same shelf
        if nodes == AT_ONCE:
            return {**found, LOOKED: key}
        node, nodes = here, nodes + 1
        for wait in router.waiting(node):
            told = {name: getattr(wait.fact, name) for name in ("tenant", "account", "system")}
            origin = {**told, "channel": "unknown", "topic": topic, "partition": partition, "offset": -1, "sha256": "unknown"}
            found |= {key: value for key, value in rows([wait], origin).items() if get(key) is None}
    return {**found, LOOKED: _TO_THE_END}


def _prefix(account: str) -> bytes:
    return f"due|{account}{_BREAK}".encode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
