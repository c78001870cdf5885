"""Obligations and outcomes for the ledger's tests, and a way to deliver them as the writer does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, insert

from schemas.outcome import ApplicationState, FactRef, Obligation, Outcome, Progress, Receipt, Side, Verdict
from streams import ledger, ledger_batch
from streams.ledger_batch import Record
from streams.ledger_database import writing
from streams.ledger_tables import consumer_position

T0 = datetime(2026, 5, 4, 9, tzinfo=UTC)
PARTITIONS = 4


def a_receipt(*roles: str, policy_version: str = "p1") -> Receipt:
    return Receipt(
        facts=tuple(FactRef(role=role, event_id=role, kind="application.created", occurred_at=T0) for role in roles),
        intervals=(),
        calendar="berlin",
        calendar_source="company",
        calendar_version="c1",
        policy_version=policy_version,
        people_version="d1",
        zone="Europe/Berlin",
        target="business_days: 2",
        arithmetic=("09:00 + 2 working days",),
    )


def an_obligation(subject: str = "a1", verdict: Verdict | str = Verdict.OPEN, **changes: object) -> Obligation:
    verdict = Verdict(verdict)
    done = verdict in (Verdict.MET, Verdict.MISSED)
    values: dict[str, object] = {
        "obligation_id": f"review_candidate:{subject}:1",
        "tenant": "demo",
        "commitment": "review_candidate",
        "commitment_version": "1",
        "side": Side.HIRING_MANAGER,
        "owner": "p-001",
        "team": "platform",
        "requisition_id": "greenhouse/1",
        "application_id": f"greenhouse/{subject}",
        "verdict": verdict,
        "reason": verdict.value,
        "started_at": T0,
        "due_soon_at": T0 + timedelta(days=1),
        "deadline": T0 + timedelta(days=2),
        "ended_at": T0 + timedelta(days=1) if done or verdict == Verdict.CANCELLED else None,
        "elapsed_us": 1,
        "business_us": 3_600_000_000,
        "receipt": a_receipt("start", *(["stop"] if done else [])),
    }
    return Obligation.model_validate(values | changes)


def outcome(body: Obligation | ApplicationState | Progress, offset: int, partition: int = 0, **changes: object) -> Outcome:
    values: dict[str, object] = {
        "outcome_id": f"{partition}-{offset}",
        "source_partition": partition,
        "source_offset": offset,
        "learned_at": T0 + timedelta(minutes=offset),
        "body": body,
    }
    return Outcome.model_validate(values | changes)


def ticks(at: datetime, offset: int) -> list[Outcome]:
    """Every partition says that it has come to `at`."""
    return [outcome(Progress(tick_at=at), offset, partition, learned_at=at) for partition in range(PARTITIONS)]


def ready(engine: Engine) -> None:
    """The positions as the writer leaves them at its first start."""
    with writing(engine) as conn:
        rows = [("sla.outcomes", number) for number in range(PARTITIONS)] + [("ats.rejected", 0)]
        conn.execute(insert(consumer_position), [{"topic": t, "partition": p, "next_offset": 0} for t, p in rows])


def deliver(
    engine: Engine, values: Iterable[Outcome | bytes | None], partition: int = 0, topic: str = "sla.outcomes"
) -> dict[str, int]:
    """The values as the next records of a partition, through decode and write, as the writer does it."""
    with engine.connect() as conn:
        positions = ledger.positions(conn)
    start = positions[topic, partition]
    records = [
        Record(topic, partition, start + n, 0, v.to_json() if isinstance(v, Outcome) else v, topic == "ats.rejected")
        for n, v in enumerate(values)
    ]
    with writing(engine) as conn:
        return dict(ledger_batch.write(conn, ledger_batch.decode(records, positions)))
