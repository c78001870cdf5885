"""One batch of one partition, folded into its rows: the work behind `Tracker.step`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson
from pydantic import ValidationError

from schemas.fact import Fact, Rejudge, Tick, Watermark, facts_record
from schemas.outcome import Progress, Silence, Verdict, outcome_id
from schemas.raw import Rejected
from streams.agreement import Agreement
from streams.completeness import NEVER, SILENT_US, Completeness
from streams.deadlines import Wait
from streams.difference import difference
from streams.horizon import LATER_US, Horizon
from streams.obligations import Evaluation, digest, evaluate_application, evaluate_requisition
from streams.receipt import Body
from streams.refusal import BAD_FACT, look_ahead, misplaced, refusal, refuse_newer
from streams.step import Message, Read, Step
from streams.timeline import merge
from streams.tracker_rows import (
    META,
    Meta,
    Row,
    Rows,
    Warm,
    application_key,
    digest_key,
    requisition_key,
    requisition_of,
    subject_key,
)
from streams.wall_clock import instant_of, micros


@dataclass(frozen=True, slots=True)
class Topics:
    """Whole names of the topics, and how many partitions."""

    facts: str
    outcomes: str
    rejected: str
    partitions: int | None = None  #: of `facts`, to refuse what lies in another than its own


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rows one batch looks at again beyond those its records touch."""

    due: int = 500  #: because their time has come
    pending: int = 500  #: because their requisition changed
    horizon_days: int = 0  #: after which closed requisitions leave the table; 0: never


class Fold:
    """Use: `take_records`, then `run` with the keys whose time has come."""

    def __init__(
        self,
        agreement: Agreement,
        declared: Mapping[str, frozenset[str]],
        topics: Topics,
        limits: Limits,
        partition: int,
        records: list[Any],
        read: Read,
        warm: Warm | None = None,
    ) -> None:
        self.agreement, self.topics, self.limits = agreement, topics, limits
        self.partition, self.records = partition, records
        self.step = Step()
        self.rows = Rows(read, self.step.changes, warm)
        self.meta = Meta.decode(read(META))
        self.horizon = Horizon(self.rows, self.step.changes, limits.horizon_days)
        self._folded = self.meta.offset  #: what is read again up to here was folded before
        # Of records that are read again the state knows more than they tell, and so does what is said of it.
        self.offset = self.meta.offset = max(self.meta.offset, records[-1].offset)
        self.declared = declared
        self.waiting: list[tuple[bytes, int | None, tuple[Wait, ...]]] = []
        self.reasons: list[str] = []
        self._again: dict[bytes, None] = {}  #: rows that `rebuild` wants judged
        self._revived: dict[str, None] = {}  #: requisitions that it wants taken up again
        self._leaving: dict[str, None] = {}
        self._incoming: dict[bytes, list[tuple[Fact, Any]]] = {}
        self._told_as: dict[int, bytes] = {}  #: by id of an incoming fact, its bytes; `_incoming` keeps the objects alive
        self._loaded: dict[bytes, Row] = {}
        self._done: set[bytes] = set()
        self._completeness: Completeness = {}
        self._outcomes: dict[str, bytes] = {}
        self._told = False  #: a tick or watermark is among the records
        self._silences: list[Silence] = []

    @property
    def as_of(self) -> int:
        """The instant at which this batch is judged."""
        return self.meta.as_of if self.meta.as_of is not None else 0

    @cached_property
    def _judged_at(self) -> datetime:
        return instant_of(self.as_of)  # all records are taken by now

    @cached_property
    def marks(self) -> dict[str, dict[str, int]]:
        """Watermarks of the declared kinds, to be asked for once all records are taken.

        Of one without a watermark nothing is known to be complete. A watermark of a kind that nobody declares (any more) is not
        looked at: there is nothing to wait for.
        """
        never = micros(NEVER)
        told = self.meta.marks
        return {a: {kind: told.get(a, {}).get(kind, never) for kind in kinds} for a, kinds in self.declared.items()}

    @property
    def pending(self) -> bool:
        return bool(self.meta.pending)

    @property
    def size(self) -> int:
        """How many rows were decoded for it."""
        return len(self._loaded)

    # -- in ------------------------------------------------------------------------------------------------------------

    def take_records(self) -> None:
        """Decode, one by one: what cannot be read is a dead letter, and the rest of the batch goes on.

        Raises UnknownRow if a newer program wrote it.
        """
        for record in self.records:
            try:
                read = facts_record.validate_json(record.value or b"")
            except ValidationError as error:
                refuse_newer(self.topics.facts, record.value or b"")
                fields = sorted({".".join(map(str, e["loc"])) for e in error.errors(include_input=False, include_url=False)})
                self._reject(record, "not_a_fact", ", ".join(fields))
                continue
            if isinstance(read, Fact):
                self._take_fact(read, record)
            elif isinstance(read, Rejudge):
                self._again[subject_key(read.requisition_id, read.application_id)] = None
                if read.revive:
                    self._revived[read.requisition_id] = None
            else:
                self._take_time(read)

    def _take_fact(self, fact: Fact, record: Any) -> None:
        why = refusal(fact) or misplaced(str(fact.requisition_id).encode(), self.partition, self.topics.partitions)
        if why is not None:
            self._reject(record, *why, fact)
            return
        assert fact.requisition_id is not None, "else it was refused"
        self.meta.learned(fact.received_at)
        self.meta.newest[fact.account] = max(micros(fact.received_at), self.meta.newest.get(fact.account, 0))
        key = subject_key(fact.requisition_id, fact.application_id)
        self._incoming.setdefault(key, []).append((fact, record))
        if b"\n" not in record.value:  # else it cannot stand in a row as it is
            self._told_as[id(fact)] = record.value

    def _take_time(self, read: Tick | Watermark) -> None:
        self._told = True
        if isinstance(read, Tick):
            self.meta.learned(read.at)
            self.meta.tick = max(micros(read.at), self.meta.tick if self.meta.tick is not None else micros(read.at))
            return
        self.meta.learned(read.received_at)
        marks = self.meta.marks.setdefault(read.account, {})
        until = micros(read.complete_until)
        for kind in read.kinds:
            before = marks.setdefault(kind, until)
            if until - before >= SILENT_US:
                start, end = instant_of(before), instant_of(until)
                self._silences.append(Silence(account=read.account, kind=kind, start=start, end=end))
            marks[kind] = max(until, before)

    # -- the fold ------------------------------------------------------------------------------------------------------

    def run(self, taken: list[bytes]) -> Step:
        """Everything the records and the passing of time change. `taken`: keys whose deadline or watermark has come."""
        self._completeness = {a: {k: instant_of(us) for k, us in kinds.items()} for a, kinds in self.marks.items()}
        for key in self._keys(b"r"):  # first, so that applications are judged by the requisition's new facts
            if self._add(key):
                self.meta.pending[requisition_of(key)] = ""
        changed: dict[bytes, None] = {}
        for key in self._keys(b"a"):
            if self._add(key) and self._digested(key):
                changed[requisition_key(requisition_of(key))] = None
        self._revive()
        for key in self._again:
            if self.horizon.has_left(requisition_of(key)):
                continue
            self._judge(key)
            if key.startswith(b"a") and self._digested(key):
                changed[requisition_key(requisition_of(key))] = None
        self.meta.due = len(taken) >= self.limits.due
        for key in changed:
            self._judge(key)  # perhaps a second time: what counts is that its digests are new
        for key in taken:
            if key not in self._done and self._is_due(key):
                self._judge(key)
        self._continue_pending()
        self._evict()
        return self._finish()

    def _keys(self, prefix: bytes) -> list[bytes]:
        return [key for key in self._incoming if key.startswith(prefix)]

    def _row(self, key: bytes) -> Row:
        if key not in self._loaded:
            self._loaded[key] = self.rows.load(key)
        return self._loaded[key]

    def _add(self, key: bytes) -> bool:
        """Add the new facts of a row and judge it; one by one if the core cannot work with some. True if any was news."""
        incoming = self._incoming[key]
        if self.horizon.has_left(requisition_of(key)):
            self._keep(key, incoming)
            return False
        try:
            return self._add_facts(key, [fact for fact, _ in incoming])
        except BAD_FACT:
            added = False
            for fact, record in incoming:
                try:
                    added = self._add_facts(key, [fact]) or added
                except BAD_FACT as error:
                    self._reject(record, "cannot_be_evaluated", type(error).__name__, fact)
            return added

    def _add_facts(self, key: bytes, facts: list[Fact]) -> bool:
        row = self._row(key)
        before, merged = row.facts, merge([*row.facts, *facts])
        if merged == before:
            return False
        row.facts = merged
        try:
            look_ahead(merged, self.agreement.people, self._judged_at)
            self._judge(key, new_facts=True)
        except BAD_FACT:
            row.facts = before
            raise
        return True

    def _keep(self, key: bytes, incoming: list[tuple[Fact, Any]]) -> None:
        """Facts of a requisition that has left the table: kept for when it is taken up again, and not judged (`horizon`)."""
        row, late = self._row(key), list[tuple[Fact, Any]]()
        for fact, record in incoming:
            before, row.facts = row.facts, merge([*row.facts, fact])
            if record.offset <= self._folded or row.facts == before:
                row.facts = before
                continue
            try:
                self._evaluate(key, row)  # only to see whether the core can work with it
                late.append((fact, record))
            except BAD_FACT as error:
                row.facts = before
                self._reject(record, "cannot_be_evaluated", type(error).__name__, fact)
        if late:
            self.rows.save(row, self._told_as)
            if key.startswith(b"a"):
                self._digested(key)
            if self.horizon.came_late(requisition_of(key), len(late)):
                self._reject(late[0][1], "evicted", "mutual-sla rebuild --apply", late[0][0])

    def _revive(self) -> None:
        """Requisitions that had left and of which all facts are there again; `rebuild` asks for it."""
        for requisition_id in self._revived:
            if self.horizon.has_left(requisition_id):
                self.horizon.revive(requisition_id)
                self.meta.pending[requisition_id] = ""

    def _evict(self) -> None:
        for requisition_id in self._leaving:
            if requisition_id not in self.meta.pending:
                for key in self.horizon.evict(requisition_id, self.as_of):
                    self._loaded.pop(key, None)

    def _digested(self, key: bytes) -> bool:
        """Keep the application's digest row; True if it changed, so that the requisition has to be judged."""
        row, agreement = self._row(key), self.agreement
        kept = [slim for fact in row.facts if (slim := digest(fact, agreement)) is not None]
        _, requisition, application = key.split(b"\0")
        stored = self._row(digest_key(requisition.decode(), application.decode()))
        if kept == stored.facts:
            return False
        stored.facts = kept
        self.rows.save(stored)
        return True

    def _is_due(self, key: bytes) -> bool:
        row = self._row(key)
        if row.due is not None and row.due <= self.as_of:
            return True
        return any(self.marks.get(account, {}).get(kind, deadline) >= deadline for account, kind, deadline in row.waits)

    def _continue_pending(self) -> None:
        """Applications of requisitions that changed, at most so many; where it stops is remembered."""
        left = self.limits.pending
        for requisition_id, cursor in list(self.meta.pending.items()):
            if left <= 0:
                return
            prefix = application_key(requisition_id, "")
            keys: Iterator[bytes] = self.rows.scan(prefix, cursor.encode())
            todo: list[bytes] = []
            stopped_at = ""
            for key in keys:
                if len(todo) >= left:
                    stopped_at = key.decode()
                    break
                todo.append(key)
            for key in todo:
                if key not in self._done:
                    self._judge(key)
            left -= len(todo)
            if stopped_at:
                self.meta.pending[requisition_id] = stopped_at
            else:
                del self.meta.pending[requisition_id]

    # -- one row -------------------------------------------------------------------------------------------------------

    def _judge(self, key: bytes, *, new_facts: bool = False) -> None:
        row = self._row(key)
        evaluation = self._evaluate(key, row)
        self._done.add(key)
        news = False
        for subject, changed, body in difference(row.published, evaluation):
            news, self._outcomes[subject] = True, self._outcome(subject, changed, body)
        due = None if evaluation.next_due is None else micros(evaluation.next_due)
        waits = self._waits(requisition_of(key), evaluation)
        if key.startswith(b"r") and due is None and not waits:
            due = self._leaves_at(key, row)
        if (due, waits) != (row.due, row.waits):
            self.waiting.append((key, due, waits))
        if new_facts or news or (due, waits) != (row.due, row.waits):
            row.due, row.waits = due, waits
            self.rows.save(row, self._told_as)

    def _leaves_at(self, key: bytes, row: Row) -> int | None:
        """When the requisition may leave the table: that too is something to wait for."""
        at = self.horizon.leaves_at(row.facts)
        if at is None or at > self.as_of:
            return at
        self._leaving[requisition_of(key)] = None
        return self.as_of + LATER_US  # should something of it still be open

    def _evaluate(self, key: bytes, row: Row) -> Evaluation:
        requisition_id, as_of = requisition_of(key), self._judged_at
        if key.startswith(b"a"):
            own = self._row(requisition_key(requisition_id)).facts
            return evaluate_application(own, row.facts, self.agreement, self._completeness, as_of)
        digests: list[Fact] = []
        for of_application in self.rows.scan(digest_key(requisition_id, "")):
            digests += self._row(of_application).facts
        return evaluate_requisition(row.facts, digests, self.agreement, self._completeness, as_of)

    def _waits(self, requisition_id: str, evaluation: Evaluation) -> tuple[Wait, ...]:
        """For each obligation that a silent source leaves unverified, the source that is furthest behind."""
        account = requisition_id.partition("/")[0]
        known = self.marks.get(account, {})
        found: set[Wait] = set()
        for one in evaluation.said:
            judged = one.judged
            if judged.ruling.verdict != Verdict.UNVERIFIED or judged.deadline is None:
                continue
            deadline = micros(judged.deadline)
            sources = judged.clock.promise.stop.sources
            behind = [(known[kind], kind) for kind in sources if known.get(kind, deadline) < deadline]
            if behind:  # else it is not for silence: the source does not tell what the promise is about
                found.add((account, min(behind)[1], deadline))
        return tuple(sorted(found))

    # -- out -----------------------------------------------------------------------------------------------------------

    def _finish(self) -> Step:
        if self._told:
            self._outcomes["progress"] = self._outcome("progress", "", self._progress().model_dump(exclude_none=True))
        topic, partition = self.topics.outcomes, self.partition
        self.step.messages += [Message(topic, partition, key.encode(), value) for key, value in self._outcomes.items()]
        self.step.changes[META] = self.meta.encode()
        return self.step

    def _outcome(self, subject: str, changed: str, body: Body) -> bytes:
        """As `Outcome.to_json`, without a detour through models. At once: bodies kept to the end cost the collector a lot."""
        outcome = {
            "outcome_id": outcome_id(subject, changed, self.partition, self.offset),
            "source_partition": self.partition,
            "source_offset": self.offset,
            "learned_at": self._judged_at,
            "body": body,
        }
        return orjson.dumps(outcome, option=orjson.OPT_UTC_Z)

    def _progress(self) -> Progress:
        return Progress(
            tick_at=None if self.meta.tick is None else instant_of(self.meta.tick),
            watermarks={a: {k: instant_of(us) for k, us in kinds.items()} for a, kinds in self.meta.marks.items()},
            newest_fact={account: instant_of(us) for account, us in self.meta.newest.items()},
            silences=tuple(self._silences),
        )

    def _reject(self, record: Any, reason: str, detail: str, fact: Fact | None = None) -> None:
        self.reasons.append(reason)
        letter = Rejected(
            topic=self.topics.facts,
            partition=self.partition,
            offset=record.offset,
            sha256=hashlib.sha256(record.value or b"").hexdigest(),
            reason=reason,
            detail=detail,
            tenant=fact.tenant if fact else "",
            account=fact.account if fact else "",
            system=fact.system if fact else "",
            channel="fact",
            rejected_at=instant_of(record.timestamp * 1000),
        )
        self.step.messages.append(Message(self.topics.rejected, None, letter.pointer.encode(), letter.model_dump_json().encode()))
