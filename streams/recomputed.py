"""One partition of ats.facts judged anew: every subject once, from all that is known of it. No Kafka, no clock, no socket.

In: the partition's records, in any amount; they are kept as bytes by requisition until it is known as of when to judge. Out: for
each requisition its rows as the tracker keeps them, with what the facts say. What the tracker refuses is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from schemas.fact import Fact, Rejudge, Tick, facts_record
from streams.agreement import Agreement
from streams.completeness import NEVER, Completeness
from streams.obligations import Evaluation, digest, evaluate_application, evaluate_requisition
from streams.refusal import BAD_FACT, look_ahead, misplaced, refusal, refuse_newer
from streams.timeline import merge
from streams.tracker_rows import subject_key

#: How a fact of our own making reads up to the requisition: enough to file it without decoding it.
HEAD, RECEIVED, ZONE = b'{"type":"fact",', b'"received_at":"', b'Z","requisition_id":"%s",'
SECOND = len("2026-05-04T09:00:00")


@dataclass(slots=True)
class Partition:
    """What a partition holds: values of facts by requisition, how complete its sources are, and as of when that is."""

    declared: Mapping[str, frozenset[str]]
    number: int
    partitions: int  #: that ats.facts has
    requisitions: dict[bytes, list[bytes]] = field(default_factory=dict)
    records: int = 0
    _told: datetime = NEVER
    _marks: dict[str, dict[str, datetime]] = field(default_factory=dict)
    _latest: bytes = b""  #: to the second, the latest receipt of facts that were filed undecoded
    _candidates: dict[bytes, bytes] = field(default_factory=dict)  #: those of that second: receipt -> value

    def take(self, key: bytes | None, value: bytes) -> None:
        """File one record: by its key where it is as the pipeline writes it, else decoded."""
        self.records += 1
        begin = value.find(RECEIVED) + len(RECEIVED)
        end = value.find(b"Z", begin)
        if key is None or not value.startswith(HEAD) or not value.startswith(ZONE % key, end):
            self._decode(value)
            return
        if misplaced(key, self.number, self.partitions):
            return
        received = value[begin:end]
        second = received[:SECOND]
        if second > self._latest:
            self._latest = second
            self._candidates = {received: value}
        elif second == self._latest:
            self._candidates[received] = value
        self._file(key, value)

    def _file(self, requisition: bytes, value: bytes) -> None:
        values = self.requisitions.get(requisition)
        if values is None:
            self.requisitions[requisition] = [value]
        else:
            values.append(value)

    def _decode(self, value: bytes) -> None:
        try:
            said = facts_record.validate_json(value)
        except ValidationError:
            refuse_newer("ats.facts", value)
            return  # a dead letter by now
        if isinstance(said, Rejudge):
            return
        if isinstance(said, Fact):
            requisition = str(said.requisition_id).encode()
            if (refusal(said) or misplaced(requisition, self.number, self.partitions)) is None:
                self._told = max(self._told, said.received_at)
                self._file(requisition, value)
            return
        self._told = max(self._told, said.at if isinstance(said, Tick) else said.received_at)
        if not isinstance(said, Tick):
            marks = self._marks.setdefault(said.account, {})
            for kind in said.kinds:
                marks[kind] = max(said.complete_until, marks.get(kind, NEVER))

    @property
    def completeness(self) -> Completeness:
        """Up to when the declared kinds are complete, as the tracker has it."""
        return {a: {k: self._marks.get(a, {}).get(k, NEVER) for k in kinds} for a, kinds in self.declared.items()}

    def as_of(self) -> datetime:
        """The latest instant that any usable record tells of."""
        received = [_received(value) for value in self._candidates.values()]
        if None in received:  # then the latest of them does not count, and nobody kept the one before
            received = [_received(value) for values in self.requisitions.values() for value in values]
        return max([self._told, *(at for at in received if at is not None)])


def _received(value: bytes) -> datetime | None:
    try:
        said = facts_record.validate_json(value)
    except ValidationError:
        return None
    return said.received_at if isinstance(said, Fact) and refusal(said) is None else None


@dataclass(frozen=True, slots=True)
class Subject:
    """A row of the tracker as it should be: an application, or a requisition's own facts."""

    requisition_id: str
    application_id: str | None
    facts: list[Fact]  #: the merged set
    values: list[bytes]  #: as the log has them, without exact copies
    evaluation: Evaluation
    digests: tuple[Fact, ...] = ()  #: what the requisition has to know of the application

    @property
    def key(self) -> bytes:
        return subject_key(self.requisition_id, self.application_id)


def judge(values: Sequence[bytes], agreement: Agreement, completeness: Completeness, as_of: datetime) -> Iterator[Subject]:
    """The subjects of one requisition, each evaluated once. `values`: its facts in the order of the log."""
    told: dict[tuple[str, str | None], list[tuple[Fact, bytes]]] = {}
    for value in dict.fromkeys(values):
        try:
            fact = facts_record.validate_json(value)
        except ValidationError:
            continue
        if isinstance(fact, Fact) and refusal(fact) is None:
            told.setdefault((str(fact.requisition_id), fact.application_id), []).append((fact, value))
    for requisition_id in dict.fromkeys(requisition for requisition, _ in told):
        of = {application: pairs for (requisition, application), pairs in told.items() if requisition == requisition_id}
        yield from _judge(requisition_id, of, agreement, completeness, as_of)


Pairs = list[tuple[Fact, bytes]]


def _judge(
    requisition_id: str, told: dict[str | None, Pairs], agreement: Agreement, completeness: Completeness, as_of: datetime
) -> Iterator[Subject]:
    def requisition(facts: list[Fact]) -> Evaluation:
        return evaluate_requisition(facts, digests, agreement, completeness, as_of)

    def application(facts: list[Fact]) -> Evaluation:
        return evaluate_application(own, facts, agreement, completeness, as_of)

    digests: list[Fact] = []
    own_pairs, own = told.pop(None, []), list[Fact]()
    if own_pairs:
        own_pairs, own, _ = _accepted(own_pairs, requisition, agreement, as_of)
    for application_id, pairs in told.items():
        pairs, facts, evaluation = _accepted(pairs, application, agreement, as_of)
        kept = tuple(slim for fact in facts if (slim := digest(fact, agreement)) is not None)
        digests += kept
        yield Subject(requisition_id, application_id, facts, [value for _, value in pairs], evaluation, kept)
    if own or digests:
        yield Subject(requisition_id, None, own, [value for _, value in own_pairs], requisition(own))


def _accepted(
    pairs: Pairs, evaluate: Callable[[list[Fact]], Evaluation], agreement: Agreement, as_of: datetime
) -> tuple[Pairs, list[Fact], Evaluation]:
    """What the core can work with: all, or else what it takes one by one, in the order of the log."""
    try:
        return pairs, *_tried([fact for fact, _ in pairs], evaluate, agreement, as_of)
    except BAD_FACT:
        pass
    kept: Pairs = []
    result: tuple[list[Fact], Evaluation] = [], Evaluation()
    for pair in pairs:
        try:
            result = _tried([fact for fact, _ in [*kept, pair]], evaluate, agreement, as_of)
        except BAD_FACT:
            continue
        kept.append(pair)
    return kept, *result


def _tried(
    facts: list[Fact], evaluate: Callable[[list[Fact]], Evaluation], agreement: Agreement, as_of: datetime
) -> tuple[list[Fact], Evaluation]:
    merged = merge(facts)
    look_ahead(merged, agreement.people, as_of)
    return merged, evaluate(merged)
