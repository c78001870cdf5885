"""One partition's share of `rebuild`, in a process of its own: read, judge every subject once, compare, note what differs.

Out: a file of differences in the rebuild's folder, and a `Result`. Compared is only once the tracker has folded everything that
was read and the ledger has written all that the tracker said of it; what either learns after that is newer, and left alone.
"""

from __future__ import annotations

import gc
import os
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from multiprocessing import parent_process
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
from sqlalchemy import Engine, event

from schemas.outcome import outcome_id
from streams import application_difference, ledger, ledger_difference
from streams.agreement import Agreement
from streams.check import load_agreement, load_sources
from streams.connectors import declared_kinds
from streams.errors import MutualSLAError, Unreachable
from streams.ledger_database import connect, snapshot
from streams.ledger_difference import Given
from streams.ledger_finding import Cause, Difference, Place, Strays
from streams.recomputed import Partition, Subject, judge
from streams.settings import Settings
from streams.tracker_state import TrackerState
from streams.whole_topic import end_of, one_partition, reader

MAPPED = 1 << 31  #: bytes of a SQLite file that are read without a copy: a row from anywhere in it takes a quarter less
TOGETHER = 2_000  #: bodies compared with the ledger at once


class Behind(MutualSLAError):
    """The tracker or the ledger has not come as far as the facts; there is nothing to compare yet."""

    exit_code = 69


@dataclass(frozen=True, slots=True)
class Share:
    """What one process is asked to do. `patience`: seconds to wait for a tracker or ledger that is behind."""

    settings: Settings
    partition: int
    partitions: int
    folder: Path
    patience: float


@dataclass(slots=True)
class Result:
    """What came of it; `judged` are marks of applications under their requisitions."""

    partition: int
    records: int = 0
    subjects: int = 0
    obligations: int = 0
    as_of: datetime | None = None
    end: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    requisitions: list[str] = field(default_factory=list)
    judged: array[int] = field(default_factory=lambda: array("Q"))
    elsewhere: list[dict[str, Any]] = field(default_factory=list)  #: applications whose row is about another requisition
    strays: Strays = field(default_factory=Strays)

    def save(self, path: Path) -> None:
        """Whole or not at all: what is there need not be done again."""
        told = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        temporary = path.with_suffix(".new")
        temporary.write_bytes(orjson.dumps({**told, "judged": self.judged.tolist()}))
        temporary.rename(path)

    @classmethod
    def load(cls, path: Path) -> Result:
        told = orjson.loads(path.read_bytes())
        as_of = None if told["as_of"] is None else datetime.fromisoformat(told["as_of"])
        counted = {"as_of": as_of, "causes": Counter(told["causes"]), "judged": array("Q", told["judged"])}
        return cls(**{**told, **counted, "strays": Strays(**told["strays"])})


#: Records read and subjects judged so far, by partition; shared with the process that shows them.
shown: Any = None


def begin(counters: Any) -> None:
    """Of each process: where it tells how far it is. It ends with the process that began it, however that one ends."""
    global shown  # noqa: PLW0603 - how multiprocessing hands shared memory to a worker
    shown = counters
    if (parent := parent_process()) is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: Any) -> None:
    """An orphan would go on writing into the folder beside the next run, and then wait for work for ever (measured)."""
    parent.join()
    os._exit(1)


@lru_cache(maxsize=1)
def _installation(deploy_dir: Path) -> tuple[Agreement, Mapping[str, frozenset[str]]]:
    """What is judged by: the agreement, and the kinds that each source declares. Read once by each process."""
    return load_agreement(deploy_dir), declared_kinds(load_sources(deploy_dir))


def recompute(share: Share) -> None:
    """The whole of one partition, into two files of the folder: differences, and the result. Raises Behind, Unreachable."""
    with _little_garbage():
        result = _recompute(share)
    result.save(share.folder / f"{share.partition}.result")


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Garbage is looked for only when `_compare` has nothing in hand: while a batch lives nearly nothing of it is garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


def _recompute(share: Share) -> Result:
    settings, number = share.settings, share.partition
    agreement, declared = _installation(settings.deploy_dir)
    part = Partition(declared, number, share.partitions)
    result = Result(number)
    with reader(settings) as consumer:
        facts = settings.topic("ats.facts")
        result.end = end_of(consumer, facts, number)
        for records in one_partition(settings, facts, number, result.end):
            for record in records:
                part.take(record.key, record.value or b"")
            _show(2 * number, part.records)
        result.records, result.requisitions = part.records, [key.decode() for key in part.requisitions]
        if not part.records:
            (share.folder / f"{number}.jsonl").touch()
            return result
        result.as_of = part.as_of()
        state = TrackerState(consumer, settings, number)
        engine = _read_only(settings)
        try:
            _wait(share, consumer, state, engine, result.end)
            gc.freeze()  # what was read stays to the end
            place = Place(number, result.end - 1, Offsets(consumer, facts, number).have)
            _compare(share, part, agreement, state, engine, result, place)
        finally:
            engine.dispose()
    return result


def _read_only(settings: Settings) -> Engine:
    engine = connect(settings.ledger)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA mmap_size={MAPPED}"))
    return engine


def _show(place: int, value: int) -> None:
    if shown is not None:
        shown[place] = value


# -- is there something to compare? ------------------------------------------------------------------------------------


def _wait(share: Share, consumer: Any, state: TrackerState, engine: Engine, end: int) -> None:
    """Until the ledger knows all that the facts before `end` give; beside live traffic more is not waited for."""
    until = monotonic() + share.patience
    _until(until, lambda: _tracker_behind(share, state, end))
    told = end_of(consumer, share.settings.topic("sla.outcomes"), share.partition)
    _until(until, lambda: _ledger_behind(share, engine, told))


def _until(until: float, behind: Callable[[], str | None]) -> None:
    while (why := behind()) is not None:
        if monotonic() >= until:
            raise Behind(f"nothing was compared: {why}")
        sleep(0.5)


def _tracker_behind(share: Share, state: TrackerState, end: int) -> str | None:
    """What the tracker has not done yet, in words; None if it has said all that the facts before `end` give."""
    settings, number = share.settings, share.partition
    where = f"{settings.topic('ats.facts')}:{number}"
    try:
        meta = state.catch_up()
    except Unreachable as error:
        return f"no track worker has read {where} yet: {error}"
    if meta.offset < end - 1:
        return f"the track worker has folded {where} up to offset {meta.offset}, its last is {end - 1}"
    if meta.pending or meta.due:
        return f"the track worker still has rows of {where} to judge"
    return None


def _ledger_behind(share: Share, engine: Engine, told: int) -> str | None:
    outcomes, number = share.settings.topic("sla.outcomes"), share.partition
    with snapshot(engine) as conn:
        read = ledger.positions(conn, outcomes).get((outcomes, number), 0)
    if read < told:
        return f"the ledger has read {outcomes}:{number} up to offset {read}, its end is {told}"
    return None


# -- the comparison ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Together:
    """Requisitions that are compared at once."""

    requisitions: list[str] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)
    obligations: list[Given] = field(default_factory=list)
    records: int = 0


class Offsets:
    """Which offsets a partition has, asked of the broker only where that may have changed."""

    def __init__(self, consumer: Any, topic: str, number: int) -> None:
        self._at = consumer, topic, number
        self._end = 0

    def have(self, offset: int) -> bool:
        if offset >= self._end:
            self._end = end_of(*self._at)
        return offset < self._end


def _compare(
    share: Share,
    part: Partition,
    agreement: Agreement,
    state: TrackerState,
    engine: Engine,
    result: Result,
    place: Place,
) -> None:
    assert result.as_of is not None
    completeness = part.completeness
    together, judged = _Together(), 0
    temporary = share.folder / f"{share.partition}.part"
    with temporary.open("wb") as out:
        for key in list(part.requisitions):
            values = part.requisitions.pop(key)
            together.requisitions.append(key.decode())
            together.records += len(values)
            for subject in judge(values, agreement, completeness, result.as_of):
                together.subjects.append(subject)
                together.obligations += [Given.of(said, place) for said in subject.evaluation.said]
            if len(together.subjects) + len(together.obligations) < TOGETHER and part.requisitions:
                continue
            for line in _differences(together, place, state, engine, result):
                result.causes[line["cause"]] += 1
                out.write(orjson.dumps(line) + b"\n")
            judged += together.records
            _show(2 * share.partition + 1, judged)
            together = _Together()
            gc.collect(0)
    temporary.rename(share.folder / f"{share.partition}.jsonl")


def _differences(
    together: _Together, place: Place, state: TrackerState, engine: Engine, result: Result
) -> Iterator[dict[str, Any]]:
    result.subjects += len(together.subjects)
    applications = [held for subject in together.subjects for held in subject.evaluation.held]
    result.judged.extend(mark(s.application_id, s.requisition_id) for s in together.subjects if s.evaluation.held)
    result.obligations += len(together.obligations)
    with snapshot(engine) as conn:
        found = list(ledger_difference.obligations(conn, place, together.requisitions, together.obligations, result.strays))
        states = list(application_difference.applications(conn, place, applications, result.strays))
    for difference in found:
        yield line_of(difference, place, result.as_of, state)
    for difference, other in states:
        line = line_of(difference, place, result.as_of, state)
        if other is None:
            yield line
        else:
            result.elsewhere.append({**line, "other": other})
    for subject in together.subjects:
        yield from _of_tracker(subject, place, state)


def line_of(difference: Difference, place: Place, as_of: datetime | None, state: TrackerState | None = None) -> dict[str, Any]:
    """A difference for the file: what is listed, the outcome that mends it, and whether the tracker has to be told."""
    line: dict[str, Any] = {
        "cause": difference.cause.value,
        "subject": difference.subject,
        "partition": place.partition,
        "requisition_id": difference.requisition_id,
        "application_id": difference.application_id,
        "fields": list(difference.fields),
        "in_ledger": difference.in_ledger,
        "by_facts": difference.by_facts,
    }
    if difference.body is None or as_of is None:
        return line
    outcome = {
        "outcome_id": outcome_id(difference.subject, f"rebuilt {difference.fingerprint}", place.partition, place.offset),
        "source_partition": place.partition,
        "source_offset": place.offset,
        "learned_at": as_of,
        "rebuilt": difference.cause.value,
        "instead_of": difference.instead_of,
        "body": difference.body,
    }
    row = (difference.requisition_id, difference.application_id)
    line["outcome"] = orjson.dumps(outcome, option=orjson.OPT_UTC_Z).decode()
    line["rejudge"] = state is not None and not state.has_told(*row, difference.subject, difference.fingerprint)
    return line


def _of_tracker(subject: Subject, place: Place, state: TrackerState) -> Iterator[dict[str, Any]]:
    """What the tracker does not know of a subject, though it has read it."""
    application, late = subject.application_id, state.late_facts(subject.requisition_id)
    if late == 0:
        return  # it has left the tracker's table, and nothing came since: there is nothing to know
    revive = late is not None and application is None  # the requisition's own facts are the last of it that are told
    lacking = state.lacks(subject.key, subject.facts, subject.values)
    known = application is None or state.knows_digests(subject.requisition_id, application, subject.digests)
    if not lacking and known and not revive:
        return
    yield {
        "cause": Cause.TRACKER.value,
        "subject": application or subject.requisition_id,
        "partition": place.partition,
        "requisition_id": subject.requisition_id,
        "application_id": application,
        "fields": sorted(fact.fact_id for fact in lacking),
        "in_ledger": None,
        "by_facts": None,
        "facts": [fact.to_json().decode() for fact in lacking],
        "rejudge": True,
        "revive": revive,
    }


def mark(application_id: str | None, requisition_id: str) -> int:
    """Eight bytes that stand for an application judged under a requisition."""
    return int.from_bytes(blake2b(f"{application_id}\0{requisition_id}".encode(), digest_size=8).digest())
