"""The tracker's step: records of one partition of ats.facts in, changed rows and outcomes out. No Faust, no clock, no socket.

State is the set of facts of each subject (`tracker_rows`), so duplicates, replays and any order give the same verdicts. A
batch costs one decode, one evaluation and one write for each row it touches. A fact of the requisition makes all its
applications be looked at again, not only the open ones, because a late pause or decline revises ended ones too; in bounded
steps, the rest stays pending in the partition's own row and is continued by the batches and ticks that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from streams.agreement import Agreement
from streams.deadlines import Deadlines
from streams.fold import Fold, Limits, Topics
from streams.step import Read, Step
from streams.tracker_rows import META, Meta, Overlay, Warm, header
from streams.wall_clock import instant_of, micros

__all__ = ["Limits", "Partition", "Topics", "Tracker"]


#: After a recovery so many records are folded one by one. A worker may have died between the outcomes of a batch, of at most
#: 1000 records, and its rows. If these records were cut in another way now, what it said at the end of its batch might be
#: neither repeated nor taken back. Cut at each record, all that any cut could have said is said again, or followed by more.
CAREFUL_RECORDS = 1000
CAREFUL_ROWS = 50_000  #: that one step decodes for it, so that it ends


class Partition:
    """What is kept in memory of a partition; all of it is rebuilt from its rows."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.offset = -1  #: the last record that was folded in and is safe
        self.recovered: int | None = None  #: the last record that was safe when the rows were recovered
        self.as_of: int | None = None  #: microseconds
        self.pending = False  #: there is work left that no record brings: a tick has to

    def next_due(self) -> datetime | None:
        """When the next deadline passes; may be one that was judged anew since, then a tick clears it."""
        due = self.deadlines.next_due()
        return None if due is None else instant_of(due)


class Tracker:
    """Steps over any number of partitions. `declared`: account -> fact kinds its sources emit, hence can be incomplete."""

    def __init__(
        self,
        agreement: Agreement,
        declared: Mapping[str, frozenset[str]],
        topics: Topics,
        limits: Limits | None = None,
        rejected: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.agreement = agreement
        self.declared = declared
        self.topics = topics
        self.limits = limits or Limits()
        self.rejected = rejected
        self.partitions: dict[int, Partition] = {}
        self.warm = Warm()

    def step(self, partition: int, records: list[Any], read: Read) -> Step:
        """Fold one batch. Pure but for the deadlines in memory, which lose nothing if the step is not applied."""
        memory = self.partitions.setdefault(partition, Partition())
        memory.deadlines.give_back()
        step, reasons = Step(), list[str]()
        rows, left, full = 0, records, False
        while left:
            count = _together(left, memory, careful=rows < CAREFUL_ROWS)
            over = Overlay(read, step.changes) if step.changes else read
            fold = Fold(self.agreement, self.declared, self.topics, self.limits, partition, left[:count], over, self.warm)
            fold.take_records()
            taken = memory.deadlines.take(fold.as_of, fold.marks, self.limits.due)
            said = fold.run(taken)
            for waiting in fold.waiting:  # too early does no harm: the row says whether there is anything to do
                memory.deadlines.put(*waiting)
            step.changes |= said.changes
            step.messages += said.messages
            reasons += fold.reasons
            rows, left, full = rows + fold.size, left[count:], len(taken) >= self.limits.due

        def applied() -> None:
            memory.deadlines.keep()
            memory.offset, memory.as_of = fold.offset, fold.as_of
            memory.pending = fold.pending or full
            for reason in reasons:
                self.rejected(reason)

        step.applied = applied
        return step

    def recover(self, partition: int, read: Read) -> Iterator[None]:
        """Rebuild what is in memory from the rows; yields now and then, so that a caller can let others run."""
        memory = Partition()
        for prefix in (b"a\0", b"r\0"):
            for number, (key, value) in enumerate(read.items(prefix)):
                due, waits = header(value)
                memory.deadlines.put(key, due, waits)
                if number % 2000 == 1999:
                    yield
        memory.offset = memory.recovered = Meta.decode(read(META)).offset
        memory.pending = read(META) is not None  # one tick shows whether anything is left to do
        self.partitions[partition] = memory

    def has_work(self, partition: int, now: datetime) -> bool:
        """Whether a tick at `now` would have something to do in the partition."""
        memory = self.partitions.get(partition)
        if memory is None:
            return False
        due = memory.deadlines.next_due()
        return memory.pending or (due is not None and due <= micros(now))


def _together(records: list[Any], memory: Partition, *, careful: bool) -> int:
    """How many of the records are folded as one: all, but one by one what a batch before the recovery may have told of."""
    safe = memory.recovered
    if not careful or safe is None or records[0].offset > safe + CAREFUL_RECORDS:
        return len(records)
    return sum(record.offset <= safe for record in records) or 1
