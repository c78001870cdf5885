"""What travels in `sla.outcomes`: the difference between what was published and what `evaluate` now says.

Every record carries the source partition of `ats.facts` and the highest offset folded in; the ledger keeps, for each
subject, the one with the highest offset, so replays that are cut differently cannot bring an older verdict back.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import Field, TypeAdapter

from schemas.base import Agreed, Instant


class Verdict(StrEnum):
    OPEN = "open"
    MET = "met"
    MISSED = "missed"
    OVERDUE = "overdue"
    CANCELLED = "cancelled"
    EXCUSED = "excused"
    UNVERIFIED = "unverified"


class Side(StrEnum):
    TALENT_ACQUISITION = "talent_acquisition"
    HIRING_MANAGER = "hiring_manager"


HOLDERS = ("talent_acquisition", "hiring_manager", "candidate", "paused", "nobody")


class Interval(Agreed):
    """A stretch [start, end) of an obligation's life; `end` None means it is still going on."""

    start: Instant
    end: Instant | None = None
    state: Literal["running", "waiting", "paused"]  #: waiting: another side holds the ball
    holder: str
    business_us: int  #: working time of the debtor in it, microseconds


class FactRef(Agreed):
    """A fact (or derived moment) a verdict rests on."""

    role: str  #: start, requires, stop, cancel; because: a fact from which the derived moment of that kind follows
    event_id: str
    kind: str
    occurred_at: Instant


class Receipt(Agreed):
    """Why a verdict is what it is, enough to redo it by hand."""

    facts: tuple[FactRef, ...]
    intervals: tuple[Interval, ...]
    calendar: str
    calendar_source: str  #: person, team, location or company: which fallback gave the calendar
    calendar_version: str
    policy_version: str
    people_version: str
    zone: str
    target: str  #: as written in the policy, such as `business_days: 2`
    arithmetic: tuple[str, ...]  #: one line a step, in the debtor's time zone


class Obligation(Agreed):
    """One commitment applied to one subject: what `evaluate` returns, and what is published when it changes."""

    type: Literal["obligation"] = "obligation"
    obligation_id: str  #: `{commitment}:{subject id}[:{person}]:{cycle}`, stable for one set of facts
    tenant: str
    commitment: str
    commitment_version: str
    side: Side
    owner: str  #: opaque person key of who owes at the deadline; `unassigned` where nobody is known
    team: str
    recruiter: str = "unassigned"  #: who recruits on the requisition at its start, whoever owes
    hiring_manager: str = "unassigned"  #: and for whom: the pair that works together
    requisition_id: str
    application_id: str | None = None
    interview_id: str | None = None
    verdict: Verdict
    reason: str  #: why, in a few words: `stopped in time`, `requisition closed before the deadline` ...
    started_at: Instant
    due_soon_at: Instant | None = None  #: warning moment; None while the clock stands still
    deadline: Instant | None = None  #: None while the clock stands still and the deadline cannot be known
    ended_at: Instant | None = None  #: when it was kept, cancelled or ended
    elapsed_us: int  #: wall-clock microseconds from start to end (or as_of)
    business_us: int  #: the debtor's working time that counted, microseconds
    uncertain: bool = False  #: decided for the debtor inside the interval between two polls
    backfill: bool = False  #: its start was learned from history
    receipt: Receipt

    @property
    def digest(self) -> str:
        """Hash of what is said, without the running totals that change with every tick."""
        body = self.model_dump(mode="json")
        # a derived moment stays the same when the facts behind it are read once more
        body["receipt"]["facts"] = [fact for fact in body["receipt"]["facts"] if fact["role"] != "because"]
        if self.ended_at is None:
            for moving in ("elapsed_us", "business_us"):
                body.pop(moving)
            body["receipt"].pop("intervals")
            body["receipt"].pop("arithmetic")
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


class Holding(Agreed):
    """Who held the ball of an application in [start, end); the intervals of one application add up to its life."""

    start: Instant
    end: Instant | None = None
    holder: str
    person: str | None = None
    cause: str  #: event id that gave them the ball
    state: str  #: the application's canonical state meanwhile


class ApplicationState(Agreed):
    """The holders of one application, published when they change."""

    type: Literal["application"] = "application"
    tenant: str
    application_id: str
    requisition_id: str
    team: str
    state: str
    created_at: Instant
    ended_at: Instant | None = None
    requisition_opened_at: Instant | None = None  #: for time to fill
    accepted_at: Instant | None = None  #: when the candidate accepted the offer; where that is not told, when hired
    holdings: tuple[Holding, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


class Silence(Agreed):
    """A source that told nothing of a kind from `start` to `end`, by its own watermarks: long enough to be remembered."""

    account: str
    kind: str
    start: Instant  #: complete up to here before
    end: Instant  #: and up to here once it spoke again


class Progress(Agreed):
    """How far one partition has come: its last tick and watermarks, and the newest fact of each source."""

    type: Literal["progress"] = "progress"
    tick_at: Instant | None = None
    watermarks: dict[str, dict[str, Instant]] = Field(default_factory=dict)  #: account -> kind -> complete_until
    newest_fact: dict[str, Instant] = Field(default_factory=dict)  #: account -> newest received_at
    parked: int = 0
    silences: tuple[Silence, ...] = ()  #: that ended with the records of this batch


class Signal(Agreed):
    """Whether a month of one commitment of one team and side reached its objective, once the month is over.

    Said again only when the word changes, because something was learned late; the figures are those of that moment.
    """

    type: Literal["signal"] = "signal"
    signal_id: str  #: `{team}:{side}:{commitment}:{YYYY-MM}`
    team: str
    side: Side
    commitment: str
    period: str  #: YYYY-MM in the policy's reporting zone, by deadline
    #: course_correct: missed beyond chance; goal_met: reached; none: neither (any more). Both need the minimum n.
    signal: Literal["course_correct", "goal_met", "none"]
    met: int
    n: int  #: met + missed + overdue
    adherence: float | None  #: met / n, 0 to 1
    objective: float
    minimum_n: int
    p_value: float  #: chance of at most `met` of `n` if the objective were being reached (exact binomial, one-sided)

    @property
    def digest(self) -> str:
        """Hash of the word, not of the figures behind it."""
        said = [self.signal_id, self.signal, self.objective, self.minimum_n]
        return hashlib.sha256(orjson.dumps(said)).hexdigest()[:16]


#: `source_partition` of what the ledger's writer says itself; `source_offset` is then how far it has read, all partitions added.
OF_THE_LEDGER = -1


class Outcome(Agreed):
    """The envelope: a body, where it came from, and when we learned it."""

    outcome_id: str
    source_partition: int
    source_offset: int  #: highest offset of that partition folded in
    learned_at: Instant  #: as_of of the evaluation: the later of the last tick and the records' receipt
    rebuilt: str | None = None  #: said by `rebuild`, for this cause: it mends the ledger and pages nobody
    #: partition and offset that the row has which `rebuild` found wrong: that very row is replaced, however new it says it is
    instead_of: tuple[int, int] | None = None
    body: Annotated[Obligation | ApplicationState | Progress | Signal, Field(discriminator="type")]

    def to_json(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


outcome_adapter: TypeAdapter[Outcome] = TypeAdapter(Outcome)


def outcome_id(subject: str, digest: str, partition: int, offset: int) -> str:
    """Deterministic: the same change at the same place in the log has the same id, however often it is published."""
    return hashlib.sha256(f"{subject}\x1f{digest}\x1f{partition}\x1f{offset}".encode()).hexdigest()[:32]
