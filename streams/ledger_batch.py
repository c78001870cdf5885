"""One batch of records into the ledger: decode, fold, write. Everything of a batch is one transaction, positions included.

In: raw records of sla.outcomes and ats.rejected. Out: rows, and how many outcomes were applied, unchanged, stale, rejected.
Rule (design: the current row is the one with the highest offset, never the last to arrive): an outcome is applied only
if it is further in the log than what the ledger has of its subject; one that says the same only moves the offset along.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Column, Connection, Table, bindparam, delete, insert, select, update

from schemas.outcome import ApplicationState, Obligation, Outcome, Progress, Signal, outcome_adapter
from schemas.raw import Retried, rejected_record
from streams import ledger_mend
from streams.errors import MutualSLAError
from streams.ledger_rows import Known, Row, application_rows, chunks, place, said, upsert
from streams.ledger_tables import (
    application,
    consumer_position,
    dead_letter,
    holding,
    obligation,
    partition_progress,
    revision,
    signal,
    source_newest,
    source_silence,
    source_watermark,
)
from streams.refusal import refuse_newer


@dataclass(frozen=True, slots=True)
class Record:
    """What the writer needs of a Kafka record. `rejecting`: it comes from ats.rejected."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None
    rejecting: bool = False

    @property
    def pointer(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Superseded(MutualSLAError):
    """Another writer has moved the positions meanwhile; this one must not write any more."""

    exit_code = 69


@dataclass(slots=True)
class Batch:
    """Records made ready for the database, in log order within each partition."""

    obligations: list[tuple[Outcome, Row]] = field(default_factory=list)  #: with the receipt as it came
    applications: list[Outcome] = field(default_factory=list)
    rebuilt: list[tuple[Outcome, Row]] = field(default_factory=list)  #: said by `rebuild`
    progress: dict[int, Outcome] = field(default_factory=dict)
    silences: list[Row] = field(default_factory=list)  #: of every progress record, the superseded ones too
    signals: list[Outcome] = field(default_factory=list)
    dead: list[Row] = field(default_factory=list)
    retried: list[Row] = field(default_factory=list)  #: markers of `rejected retry`
    moves: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)  #: position from, to
    tally: Counter[str] = field(default_factory=Counter)


def decode(records: Iterable[Record], positions: Mapping[tuple[str, int], int]) -> Batch:
    """Records to a batch that moves `positions` behind them. An unusable record becomes a dead letter, not an error.

    Raises UnknownRow if a newer program wrote one.
    """
    batch = Batch()
    for record in records:
        at = (record.topic, record.partition)
        start, _ = batch.moves.get(at, (positions[at], 0))
        batch.moves[at] = (start, record.offset + 1)
        try:
            _take(batch, record)
        except ValidationError as error:
            refuse_newer(record.topic, record.value or b"")
            refuse(batch, record, "invalid_record", _where(error))
        except (orjson.JSONDecodeError, KeyError) as error:
            refuse(batch, record, "invalid_record", type(error).__name__)
    return batch


def _take(batch: Batch, record: Record) -> None:
    if record.rejecting:
        letter = rejected_record.validate_json(record.value or b"")
        if isinstance(letter, Retried):
            batch.retried.append({"of_pointer": letter.pointer, "at": letter.retried_at})
            return
        keep = ("reason", "detail", "system", "account", "channel", "sha256", "rejected_at")
        batch.dead.append({"pointer": letter.pointer, **{name: getattr(letter, name) for name in keep}})
        return
    outcome = outcome_adapter.validate_json(record.value or b"")
    if outcome.rebuilt is not None:
        batch.rebuilt.append((outcome, orjson.loads(record.value or b"")["body"].get("receipt", {})))
        return
    match outcome.body:
        case Obligation():
            batch.obligations.append((outcome, orjson.loads(record.value or b"")["body"]["receipt"]))
        case ApplicationState():
            batch.applications.append(outcome)
        case Progress():
            newest = batch.progress.get(outcome.source_partition)
            if newest is None or newest.source_offset < outcome.source_offset:
                batch.progress[outcome.source_partition] = outcome
            batch.silences += [
                {"account": s.account, "kind": s.kind, "start_at": s.start, "end_at": s.end, "learned_at": outcome.learned_at}
                for s in outcome.body.silences
            ]
        case Signal():
            batch.signals.append(outcome)


def _where(error: ValidationError) -> str:
    """The fields that are wrong and how; never a value."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors()[:5])


def refuse(batch: Batch, record: Record, reason: str, detail: str) -> None:
    """Note `record` as a dead letter: pointer, hash and reason, never the body. Its time is the broker's, for display only."""
    batch.tally["rejected"] += 1
    batch.dead.append(
        {
            "pointer": record.pointer,
            "reason": reason,
            "detail": detail,
            "system": "ledger",
            "account": "",
            "channel": "outcome",
            "sha256": hashlib.sha256(record.value or b"").hexdigest(),
            "rejected_at": datetime.fromtimestamp(max(record.timestamp_ms, 0) / 1000, UTC),
        }
    )


def write(conn: Connection, batch: Batch) -> Counter[str]:
    """The batch's rows and positions, in the caller's transaction. Returns the tally; raises Superseded."""
    _move_positions(conn, batch)
    tally = Counter(batch.tally)
    _write_obligations(conn, batch.obligations, tally)
    _write_applications(conn, batch.applications, tally)
    ledger_mend.write(conn, batch.rebuilt, tally)
    _write_progress(conn, batch.progress.values(), tally)
    _write_signals(conn, batch.signals, tally)
    if batch.silences:  # each partition tells of the same one
        conn.execute(upsert(conn, source_silence, update=False), batch.silences)
    if batch.dead:
        conn.execute(upsert(conn, dead_letter, update=False), batch.dead)
    if batch.retried:  # behind the dead letters they settle, as in the topic
        settle = update(dead_letter).where(dead_letter.c.pointer == bindparam("of_pointer")).values(retried_at=bindparam("at"))
        conn.execute(settle, batch.retried)
    return tally


def _move_positions(conn: Connection, batch: Batch) -> None:
    move = (
        update(consumer_position)
        .where(consumer_position.c.topic == bindparam("of_topic"), consumer_position.c.partition == bindparam("of_partition"))
        .where(consumer_position.c.next_offset == bindparam("from_offset"))
        .values(next_offset=bindparam("to_offset"))
    )
    for (topic, partition), (start, end) in batch.moves.items():
        values = {"of_topic": topic, "of_partition": partition, "from_offset": start, "to_offset": end}
        if conn.execute(move, values).rowcount != 1:
            raise Superseded(f"the position of {topic}:{partition} is no longer {start}: another ledger writer is at work")


# -- which outcome counts --------------------------------------------------------------------------------------------


def _known(conn: Connection, table: Table, key: Column[Any], ids: Sequence[str]) -> dict[str, Known]:
    columns = [key, *(table.c[name] for name in ("source_partition", "source_offset", "learned_at", "digest"))]
    if "revision_no" in table.c:
        columns.append(table.c.revision_no)
    found: dict[str, Known] = {}
    for some in chunks(ids):
        query = select(*columns).where(key.in_(some))
        found.update({row[0]: Known(*row[1:]) for row in conn.execute(query)})
    return found


def _write_obligations(conn: Connection, outcomes: Sequence[tuple[Outcome, Row]], tally: Counter[str]) -> None:
    known = _known(conn, obligation, obligation.c.obligation_id, list({_obligation(o).obligation_id: 0 for o, _ in outcomes}))
    current: dict[str, Row] = {}
    moved: dict[str, Row] = {}
    versions: list[Row] = []
    for outcome, receipt in outcomes:
        body = _obligation(outcome)
        key, have = body.obligation_id, known.get(body.obligation_id)
        if have is not None and not have.is_before(outcome):
            tally["stale"] += 1
            continue
        digest = body.digest
        number = (have.revision_no if have else 0) + 1
        if have is not None and have.digest == digest:
            tally["unchanged"] += 1
            number = have.revision_no
            moved[key] = {"of_id": key, "to_partition": outcome.source_partition, "to_offset": outcome.source_offset}
        else:
            tally["applied"] += 1
            row = {**said(body), "receipt": receipt, "digest": digest, "revision_no": number, **place(outcome)}
            current[key] = row
            versions.append(row)
            moved.pop(key, None)
        known[key] = Known(outcome.source_partition, outcome.source_offset, outcome.learned_at, digest, number)
    if versions:
        conn.execute(insert(revision), versions)
        conn.execute(upsert(conn, obligation), list(current.values()))
    _move_along(conn, obligation, obligation.c.obligation_id, moved)


def _obligation(outcome: Outcome) -> Obligation:
    assert isinstance(outcome.body, Obligation)
    return outcome.body


def _move_along(conn: Connection, table: Table, key: Column[Any], moved: Mapping[str, Row]) -> None:
    """Same words, later place: an older replay that comes after it must still be recognised as older."""
    if moved:
        along = update(table).where(key == bindparam("of_id"))
        along = along.values(source_partition=bindparam("to_partition"), source_offset=bindparam("to_offset"))
        conn.execute(along, list(moved.values()))


def _write_applications(conn: Connection, outcomes: Sequence[Outcome], tally: Counter[str]) -> None:
    bodies = {o.body.application_id: 0 for o in outcomes if isinstance(o.body, ApplicationState)}
    known = _known(conn, application, application.c.application_id, list(bodies))
    current: dict[str, tuple[Row, list[Row]]] = {}
    moved: dict[str, Row] = {}
    for outcome in outcomes:
        body = outcome.body
        assert isinstance(body, ApplicationState)
        key, have = body.application_id, known.get(body.application_id)
        if have is not None and not have.is_before(outcome):
            tally["stale"] += 1
            continue
        digest = body.digest
        if have is not None and have.digest == digest:
            tally["unchanged"] += 1
            moved[key] = {"of_id": key, "to_partition": outcome.source_partition, "to_offset": outcome.source_offset}
        else:
            tally["applied"] += 1
            current[key] = application_rows(outcome, body, digest)
            moved.pop(key, None)
        known[key] = Known(outcome.source_partition, outcome.source_offset, outcome.learned_at, digest)
    if current:
        conn.execute(upsert(conn, application), [row for row, _ in current.values()])
        conn.execute(delete(holding).where(holding.c.application_id == bindparam("of_id")), [{"of_id": key} for key in current])
        if held := [row for _, rows in current.values() for row in rows]:
            conn.execute(insert(holding), held)
    _move_along(conn, application, application.c.application_id, moved)


def _write_progress(conn: Connection, outcomes: Iterable[Outcome], tally: Counter[str]) -> None:
    for outcome in outcomes:
        body, partition = outcome.body, outcome.source_partition
        assert isinstance(body, Progress)
        have = conn.execute(
            select(partition_progress.c.source_offset).where(partition_progress.c.partition == partition)
        ).scalar_one_or_none()
        if have is not None and have >= outcome.source_offset:
            tally["stale"] += 1
            continue
        tally["applied"] += 1
        row = {
            "partition": partition,
            "tick_at": body.tick_at,
            "parked": body.parked,
            "learned_at": outcome.learned_at,
            "source_offset": outcome.source_offset,
        }
        conn.execute(upsert(conn, partition_progress), [row])
        marks = [
            {"account": account, "kind": kind, "partition": partition, "complete_until": until}
            for account, kinds in body.watermarks.items()
            for kind, until in kinds.items()
        ]
        newest = [{"account": a, "partition": partition, "received_at": at} for a, at in body.newest_fact.items()]
        for table, rows in ((source_watermark, marks), (source_newest, newest)):
            if rows:
                conn.execute(upsert(conn, table), rows)


def _write_signals(conn: Connection, outcomes: Sequence[Outcome], tally: Counter[str]) -> None:
    """Append each signal whose word is new and whose place is further on than the last of its id."""
    for outcome in outcomes:
        body = outcome.body
        assert isinstance(body, Signal)
        last = conn.execute(
            select(signal.c.revision_no, signal.c.source_offset, signal.c.digest)
            .where(signal.c.signal_id == body.signal_id)
            .order_by(signal.c.revision_no.desc())
            .limit(1)
        ).first()
        if last is not None and last.source_offset >= outcome.source_offset:
            tally["stale"] += 1
        elif last is not None and last.digest == body.digest:
            tally["unchanged"] += 1
        else:
            tally["applied"] += 1
            number = last.revision_no + 1 if last is not None else 1
            row = body.model_dump(exclude={"type"}) | {"digest": body.digest, "revision_no": number, **place(outcome)}
            conn.execute(insert(signal), row)
