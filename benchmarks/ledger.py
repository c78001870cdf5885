"""How fast the ledger takes outcomes, and how fast it answers when it is large. Prints one JSON object.

    python benchmarks/ledger.py [--outcomes 50000] [--rows 200000] [--url postgresql+psycopg://…]

Outcomes are like the tracker's: four in five obligations, one in five an application with its holders; each obligation comes
three times (open, overdue, met). Decoding, digests, rows and positions are all in the time; Kafka is not.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, insert, text

from schemas.outcome import ApplicationState, FactRef, Holding, Interval, Obligation, Outcome, Receipt, Side, Verdict
from streams import ledger, ledger_batch
from streams.ledger_batch import Record
from streams.ledger_database import writing
from streams.ledger_tables import consumer_position, obligation

T0 = datetime(2026, 5, 4, 9, tzinfo=UTC)
BATCH = 5_000
HOUR = 3_600_000_000


def receipt() -> Receipt:
    return Receipt(
        facts=tuple(
            FactRef(role=r, event_id="0" * 32, kind="application.stage_changed", occurred_at=T0) for r in ("start", "stop")
        ),
        intervals=tuple(
            Interval(start=T0, end=T0 + timedelta(hours=n), state="running", holder="hiring_manager", business_us=HOUR)
            for n in (1, 2, 3)
        ),
        calendar="de-berlin",
        calendar_source="location",
        calendar_version="0123456789ab",
        policy_version="2026.1",
        people_version="0123456789ab",
        zone="Europe/Berlin",
        target="business_days: 2",
        arithmetic=("started 2026-05-04 11:00:00+02:00",) * 5,
    )


RECEIPT = receipt()


def an_obligation(number: int, verdict: Verdict) -> Obligation:
    return Obligation(
        obligation_id=f"review_candidate:greenhouse/{number % 4000}:{number}:1",
        tenant="demo",
        commitment=("review_candidate", "hold_interview", "decide", "first_slate")[number % 4],
        commitment_version="1",
        side=list(Side)[number % 2],
        owner=f"p-{number % 300:03}",
        team=f"team-{number % 40}",
        requisition_id=f"greenhouse/{number % 4000}",
        application_id=f"greenhouse/{number}",
        verdict=verdict,
        reason=verdict.value,
        started_at=T0,
        due_soon_at=T0 + timedelta(days=1),
        deadline=T0 + timedelta(minutes=number % 200_000),
        ended_at=T0 + timedelta(days=1) if verdict == Verdict.MET else None,
        elapsed_us=HOUR * 20,
        business_us=HOUR * (number % 40),
        receipt=RECEIPT,
    )


def outcomes(count: int) -> Iterator[bytes]:
    for number in range(count):
        place = {"outcome_id": f"{number:032}", "source_partition": 0, "source_offset": number, "learned_at": T0}
        if number % 5 == 4:
            held = tuple(
                Holding(start=T0, end=T0 + timedelta(hours=n), holder="hiring_manager", cause="0" * 32, state="interview")
                for n in range(1, 5)
            )
            body: Obligation | ApplicationState = ApplicationState(
                tenant="demo",
                application_id=f"greenhouse/{number // 15}",
                requisition_id="greenhouse/1",
                team="team-1",
                state="interview",
                created_at=T0 + timedelta(seconds=number),
                holdings=held,
            )
        else:
            third = count // 3 + 1
            body = an_obligation(number % third, (Verdict.OPEN, Verdict.OVERDUE, Verdict.MET)[number // third])
        yield Outcome.model_validate(place | {"body": body}).to_json()


def take(engine: Engine, count: int) -> float:
    """Seconds to decode and write `count` outcomes in batches, each a transaction."""
    records = [Record("sla.outcomes", 0, n, 0, value) for n, value in enumerate(outcomes(count))]
    with writing(engine) as conn:
        conn.execute(insert(consumer_position), {"topic": "sla.outcomes", "partition": 0, "next_offset": 0})
    began = time.perf_counter()
    for start in range(0, count, BATCH):
        batch = ledger_batch.decode(records[start : start + BATCH], {("sla.outcomes", 0): start})
        with writing(engine) as conn:
            ledger_batch.write(conn, batch)
    return time.perf_counter() - began


def fill(engine: Engine, rows: int) -> None:
    """Obligations straight into the table: only what is asked of it is timed."""
    random.seed(7)
    verdicts = random.choices(list(Verdict), weights=[20, 60, 10, 2, 5, 1, 1], k=rows)
    for start in range(0, rows, 20_000):
        values = []
        for number in range(start, min(start + 20_000, rows)):
            said = an_obligation(number, verdicts[number]).model_dump(exclude={"type", "receipt"})
            said |= {
                "obligation_id": f"bench:{number}",
                "receipt": {"facts": []},
                "learned_at": T0,
                "digest": "",
                "revision_no": 1,
            }
            values.append(said | {"source_partition": 0, "source_offset": number})
        with writing(engine) as conn:
            conn.execute(insert(obligation), values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ANALYZE"))


def timed(engine: Engine, ask: Callable[[ledger.Connection], object]) -> float:
    with ledger.snapshot(engine) as conn:
        began = time.perf_counter()
        ask(conn)
        return round(time.perf_counter() - began, 3)


def questions(engine: Engine) -> dict[str, float]:
    end = T0 + timedelta(days=31)
    return {
        "adherence_counts of a month, s": timed(engine, lambda c: ledger.adherence_counts(c, T0, end, end)),
        "current_counts, s": timed(engine, ledger.current_counts),
        "overdue_and_due_soon, s": timed(engine, lambda c: ledger.overdue_and_due_soon(c, end)),
        "late_obligations, 500 of them, s": timed(engine, lambda c: ledger.late_obligations(c, end, 500)),
        "turnaround of a month, s": timed(engine, lambda c: ledger.turnaround(c, T0, end, [HOUR * n for n in (1, 8, 16, 40)])),
        "one obligation, s": timed(engine, lambda c: ledger.find_obligation(c, "bench:77")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=50_000)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--url", help="an empty database; default: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = ledger.open_ledger(options.url or f"sqlite:///{folder}/ledger.db")
        seconds = take(engine, options.outcomes)
        print(f"{options.outcomes} outcomes in {seconds:.2f} s", flush=True)
        fill(engine, options.rows)
        found = {
            "database": engine.dialect.name,
            "outcomes": options.outcomes,
            "outcomes/s": round(options.outcomes / seconds),
            "obligations": options.rows,
            **questions(engine),
        }
        print(json.dumps(found, indent=2))
        engine.dispose()


if __name__ == "__main__":
    main()
