"""The trackers' rows of one partition as their changelog has them, for whoever has to know what a tracker knows.

Read from the changelog and not from a worker's disk: it is the same, and it is there when the worker is elsewhere or gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas.fact import Fact
from streams.horizon import evicted_key, late_facts
from streams.settings import Settings
from streams.timeline import merge
from streams.tracker_rows import META, Meta, Row, Rows, digest_key, subject_key
from streams.whole_topic import end_of, one_partition


class TrackerState:
    """Rows as of the last `catch_up`; use it as the `Read` of `tracker_rows.Rows`."""

    def __init__(self, consumer: Any, settings: Settings, partition: int) -> None:
        """`consumer` is asked for the changelog's end."""
        self._consumer, self._settings = consumer, settings
        self._topic, self._partition = f"{settings.app_id}-track-state-changelog", partition
        self._rows: dict[bytes, bytes] = {}
        self._decoded = Rows(self, {})
        self._next = 0

    def __call__(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(key for key in self._rows if key.startswith(prefix) and key >= start):
            yield key, self._rows[key]

    def catch_up(self) -> Meta:
        """Read on to the changelog's end as it is now; how far the tracker is. Raises Unreachable."""
        end = end_of(self._consumer, self._topic, self._partition)
        for records in one_partition(self._settings, self._topic, self._partition, end, self._next):
            for record in records:
                if record.value is None:
                    self._rows.pop(record.key, None)
                else:
                    self._rows[record.key] = record.value
        self._next = end
        return Meta.decode(self(META))

    def row(self, key: bytes) -> Row:
        """The decoded row, empty where there is none."""
        return self._decoded.load(key)

    def lacks(self, key: bytes, facts: Sequence[Fact], values: Sequence[bytes]) -> list[Fact]:
        """Which of `facts` the row does not hold, or only in a worse copy. `values`: their bytes in the log, in its order."""
        stored = self(key)
        if stored is None:
            return list(facts)
        if len(values) == len(facts) and b",".join(values) in stored:
            return []  # to the byte, as nearly always: nothing has to be decoded
        have = {fact.fact_id: fact for fact in self.row(key).facts}
        return [fact for fact in facts if fact.fact_id not in have or merge([have[fact.fact_id], fact]) != [have[fact.fact_id]]]

    def late_facts(self, requisition_id: str) -> int | None:
        """How many facts came since the requisition left the tracker's table; None if it has not left."""
        return late_facts(self(evicted_key(requisition_id)))

    def knows_digests(self, requisition_id: str, application_id: str, digests: Sequence[Fact]) -> bool:
        """Whether the requisition knows of the application what it has to."""
        key = digest_key(requisition_id, application_id)
        stored = self(key)
        if stored is None:
            return not digests
        if b"[%s]" % b",".join(fact.to_json() for fact in digests) in stored:
            return True
        known = {fact.fact_id for fact in self.row(key).facts}
        return all(fact.fact_id in known for fact in digests)

    def has_told(self, requisition_id: str, application_id: str | None, subject: str, fingerprint: str) -> bool:
        """Whether the tracker believes that it said this of the subject last."""
        told = self.row(subject_key(requisition_id, application_id)).published.get(subject)
        return told is not None and bool(told[0] == fingerprint)
