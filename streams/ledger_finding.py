"""What `rebuild` finds where the ledger is not what the facts say, and how far it was recomputed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from streams.ledger_rows import Row
from streams.receipt import Body


class Cause(StrEnum):
    """Why a row differs; of several the first that holds."""

    MISSING = "missing"
    NOT_FROM_FACTS = "not_from_facts"
    ALTERED = "altered"
    OTHER_AGREEMENT = "other_agreement"
    BACKFILL = "backfill"
    VERDICT = "verdict"
    DEADLINE = "deadline"
    INTERVALS = "intervals"
    RECEIPT = "receipt"
    OTHER = "other"
    TRACKER = "tracker"


WORDS: Mapping[Cause, str] = {
    Cause.MISSING: "the facts give it, the ledger does not have it",
    Cause.NOT_FROM_FACTS: "the ledger has it, the facts do not give it",
    Cause.ALTERED: "the row was altered: it is not what its own digest was taken of, or what its newest revision says",
    Cause.OTHER_AGREEMENT: "judged under another version of the policy, calendars or people",
    Cause.BACKFILL: "only whether it was learned from history differs",
    Cause.VERDICT: "another verdict",
    Cause.DEADLINE: "the same verdict by another deadline",
    Cause.INTERVALS: "the same verdict by other intervals or totals",
    Cause.RECEIPT: "another receipt",
    Cause.OTHER: "other words",
    Cause.TRACKER: "the tracker's row lacks facts that the log has",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One subject that differs; `body` is what should be said of it, None where nothing can."""

    cause: Cause
    subject: str
    partition: int
    requisition_id: str
    application_id: str | None
    fields: tuple[str, ...] = ()
    in_ledger: str | None = None  #: verdict or state
    by_facts: str | None = None
    body: Body | None = None
    fingerprint: str = ""  #: by which the tracker knows what it said
    instead_of: tuple[int, int] | None = None  #: partition and offset that the row has, as it has them


@dataclass(frozen=True, slots=True)
class Place:
    """How far was recomputed: records of `partition` up to and including `offset`.

    `is_there`: whether the partition has a record of that offset by now; to be asked when the row was read, and not before.
    """

    partition: int
    offset: int
    is_there: Callable[[int], bool] = lambda offset: True

    def is_newer(self, row: Row) -> bool:
        return self._is_further(row) and self.is_there(row["source_offset"])

    def is_beyond(self, row: Row) -> bool:
        """Whether it says to know of what nobody has told yet: then it was altered, and would refuse all news."""
        return self._is_further(row) and not self.is_there(row["source_offset"])

    def _is_further(self, row: Row) -> bool:
        return bool(row["source_partition"] == self.partition and row["source_offset"] > self.offset)


@dataclass(slots=True)
class Strays:
    """What only who knows all partitions can tell: whose a row is that bears another requisition than its id has."""

    astray: list[str] = field(default_factory=list)  #: ids of such rows, where the facts of the requisition do not give them
    claimed: list[str] = field(default_factory=list)  #: what facts give that was not found under its requisition, or not at all


def place_of(row: Row) -> tuple[int, int]:
    """Partition and offset that a row has, as it has them."""
    return row["source_partition"], row["source_offset"]
