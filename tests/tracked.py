"""One partition of the tracker without Kafka: the real step over a table in memory, batch by batch, as the worker applies it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from schemas.fact import Fact, Rejudge, Tick, Watermark
from schemas.outcome import ApplicationState, Obligation, Outcome, Progress, outcome_adapter
from schemas.raw import Rejected
from streams.agreement import Agreement
from streams.step import Step
from streams.tracker import Limits, Topics, Tracker

TOPICS = Topics("ats.facts", "sla.outcomes", "ats.rejected")
PARTITION = 3
MAX_ROW_BYTES = 512 << 10

Told = Fact | Tick | Watermark | Rejudge | bytes | None


def value_of(told: Told) -> bytes | None:
    """The value of the record that tells it."""
    if isinstance(told, Fact):
        return told.to_json()
    return told.model_dump_json().encode() if isinstance(told, Tick | Watermark | Rejudge) else told


class Table:
    """Rows in key order, as RocksDB gives them."""

    def __init__(self) -> None:
        self.rows: Any = SortedDict()

    def __call__(self, key: bytes) -> bytes | None:
        found: bytes | None = self.rows.get(key)
        return found

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in self.rows.irange(max(prefix, start)):
            if not key.startswith(prefix):
                return
            yield key, self.rows[key]

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            assert value is None or 0 < len(value) <= MAX_ROW_BYTES, f"row {key!r} has {len(value)} bytes"
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


class Tracked:
    """A partition: what is fed into it, its table, and what it said."""

    def __init__(
        self,
        agreement: Agreement,
        declared: Mapping[str, frozenset[str]] | None = None,
        limits: Limits | None = None,
        topics: Topics = TOPICS,
    ) -> None:
        self.reasons: list[str] = []
        self.tracker = Tracker(agreement, declared or {}, topics, limits, self.reasons.append)
        self.table = Table()
        self.next_offset = 0
        self.outcomes: list[Outcome] = []
        self.letters: list[Rejected] = []

    def records(self, told: Iterable[Told]) -> list[Any]:
        """Records of the partition, from its end on."""
        found = []
        for one in told:
            found.append(SimpleNamespace(offset=self.next_offset, timestamp=1_772_000_000_000, value=value_of(one)))
            self.next_offset += 1
        return found

    def step(self, records: list[Any], *, applied: bool = True) -> Step:
        """Fold a batch. Messages are heard even if the batch is not applied: the worker sends them first."""
        result = self.tracker.step(PARTITION, records, self.table)
        for message in result.messages:
            if message.topic == TOPICS.outcomes:
                assert message.partition == PARTITION
                self.outcomes.append(outcome_adapter.validate_json(message.value or b""))
            else:
                assert message.topic == TOPICS.rejected
                self.letters.append(Rejected.model_validate_json(message.value or b""))
        if applied:
            self.table.write(result.changes)
            assert result.applied is not None
            result.applied()
        return result

    def feed(self, *told: Told) -> Step:
        return self.step(self.records(told))

    def tick(self, at: datetime, most: int = 200) -> int:
        """Tick as the worker would until there is nothing left to do at `at`; returns the number of ticks."""
        self.feed(Tick(at=at))
        for number in range(1, most):
            if not self.tracker.has_work(PARTITION, at):
                return number
            self.feed(Tick(at=at))
        raise AssertionError(f"there is still work after {most} ticks")

    def restart(self, *, process: bool = True) -> None:
        """Lose what is in memory (of the partition, if the process goes on), and recover."""
        if process:
            old = self.tracker
            self.tracker = Tracker(old.agreement, old.declared, TOPICS, old.limits, self.reasons.append)
        self.tracker.partitions.clear()
        for _ in self.tracker.recover(PARTITION, self.table):
            pass

    def current(self) -> dict[str, Obligation | ApplicationState | Progress]:
        """What a reader holds: of each subject the outcome with the highest offset, whichever came first."""
        found: dict[str, Outcome] = {}
        for outcome in self.outcomes:
            subject = subject_of(outcome)
            if subject not in found or outcome.source_offset > found[subject].source_offset:
                found[subject] = outcome
        return {subject: outcome.body for subject, outcome in found.items()}

    def obligations(self) -> dict[str, Obligation]:
        return {subject: body for subject, body in self.current().items() if isinstance(body, Obligation)}

    def applications(self) -> dict[str, ApplicationState]:
        return {subject: body for subject, body in self.current().items() if isinstance(body, ApplicationState)}

    def of(self, subject: str) -> list[Outcome]:
        """Everything said of one subject, in order."""
        return [outcome for outcome in self.outcomes if subject_of(outcome) == subject]


def subject_of(outcome: Outcome) -> str:
    body = outcome.body
    if isinstance(body, Obligation):
        return body.obligation_id
    return body.application_id if isinstance(body, ApplicationState) else "progress"


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
