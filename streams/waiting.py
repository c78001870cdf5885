"""Since when facts wait for a way to their requisition, so that those nothing will ever come for are told and not waited for.

A row for each, in order of receipt: `due`, the account, when it was received, and where it waits; its value says which record it
came with. Time is that of the account's own records, like all time in the worker. Rows of facts that found their way stay until
their day comes. An interview that was deleted before any poll saw it is the usual case: no list ever shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from streams.routing import Wait
from streams.step import Read

LONGEST = timedelta(days=30)  #: longer than any poll is behind, and than a quarter's history takes to be imported
AT_ONCE = 500  #: let go in one step
REASON = "never_placed"
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


def _prefix(account: str) -> bytes:
    return f"due|{account}{_BREAK}".encode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
