"""The project's own core as a job for engines that hand over one event at a time: the tracker's step over a single record.

`Requisition` gives the step the rows of one requisition from whatever key-value state the engine has. Engines keep state by key
and cannot list keys by prefix, so the list of a requisition's rows is a row, too. Nothing here re-judges a row because its
deadline has come, as our worker does: of that the peers are spared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace

from streams.check import load_agreement, load_sources
from streams.connectors import declared_kinds
from streams.settings import ROOT
from streams.step import Message, Read
from streams.tracker import Topics, Tracker

LISTED = b"listed"


def tracker(prefix: str, outcomes: str) -> Tracker:
    """With the policy, calendars and people of deploy/, and all commitments that are enabled there."""
    deploy = ROOT / "deploy"
    topics = Topics(f"{prefix}ats.facts", outcomes, f"{prefix}ats.rejected")
    return Tracker(load_agreement(deploy), declared_kinds(load_sources(deploy)), topics)


def fold(
    judge: Tracker, partition: int, offset: int, value: bytes, read: Read
) -> tuple[Mapping[bytes, bytes | None], list[Message]]:
    """One event: changed rows, and outcomes to send."""
    record = SimpleNamespace(offset=offset, timestamp=0, value=value)
    judge.partitions.clear()  # what it remembers is of a partition, and here are only the rows of one key
    step = judge.step(partition, [record], read)
    return step.changes, step.messages


class Requisition:
    """`Read` over the state of one requisition; `apply` writes changes to it."""

    def __init__(self, get: Callable[[bytes], bytes | None], put: Callable[[bytes, bytes], None], drop: Callable[[bytes], None]):
        self._get, self._put, self._drop = get, put, drop

    def __call__(self, key: bytes) -> bytes | None:
        return self._get(key)

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in self._listed():
            if key.startswith(prefix) and key >= start and (value := self._get(key)) is not None:
                yield key, value

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        known = self._listed()
        new = [key for key, value in changes.items() if value is not None and key not in known]
        for key, value in changes.items():
            if value is None:
                self._drop(key)
            else:
                self._put(key, value)
        if new:
            self._put(LISTED, b"\n".join(sorted([*known, *new])))

    def _listed(self) -> list[bytes]:
        listed = self._get(LISTED)
        return listed.split(b"\n") if listed else []
