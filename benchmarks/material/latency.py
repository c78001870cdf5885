"""From the production of an event to its effect in the ledger: track worker and ledger writer as they run, at a steady rate."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

from kafka import KafkaProducer
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from material.histories import Teller, requisition
from material.load import EACH, PARTITIONS, requisitions
from material.stage import Stage, metric, role
from schemas.fact import Fact
from streams.ledger_database import connect
from streams.ledger_tables import application

STAGES = ("screen", "manager_review", "interview", "debrief", "offer")
LOOK_EVERY = 0.02  #: seconds between two looks into the ledger: what is measured is at most that much too long


@dataclass
class Sent:
    """What is on its way: application -> (instant sent, offset) in order; an offset is known once Kafka has it."""

    by_application: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    left: int = 0

    def note(self, name: str, at: float, offset: int) -> None:
        with self.lock:
            self.by_application.setdefault(name, []).append((at, offset))


def measure(stage: Stage, rate: float, seconds: float) -> None:
    """Prints p50 and p99. Every event moves an application on, so each one changes its row in the ledger."""
    settings = stage.settings("latency")
    topic = settings.topic("ats.facts")
    producer = KafkaProducer(bootstrap_servers=stage.brokers, linger_ms=0)
    begun = datetime.now(UTC) - timedelta(days=9)
    names = [name for partition in range(PARTITIONS) for name, _ in zip(requisitions(partition), range(2), strict=False)]
    with role(settings, "worker", "track") as worker, role(settings, "ledger"):
        for name in names:
            for fact in requisition(name, begun):
                producer.send(topic, fact.to_json(), key=str(fact.requisition_id).encode())
        producer.flush()
        while metric(settings.track_metrics_port, "mutual_sla_worker_records_total") < 3 * len(names) and worker.alive():
            sleep(0.1)
        sleep(3)
        sent = Sent(left=int(rate * seconds))
        sender = threading.Thread(target=_send, args=(producer, topic, names, sent, rate), daemon=True)
        engine = connect(settings.ledger)
        sender.start()
        took = _watch(engine, sent, sender, limit=seconds + 30)
        engine.dispose()
    missing = sum(map(len, sent.by_application.values()))
    if not took:
        raise SystemExit("nothing came to the ledger")
    p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
    print(
        f"event to row in the ledger at {rate:.0f} events/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {took[-1] * 1000:.0f} ms   "
        f"{len(took)} events, {missing} not seen",
        flush=True,
    )


def _events(names: list[str], count: int) -> Any:
    """Facts of now: each application is created, then moves on a stage at each of its turns."""
    side_by_side = max(1, count // (len(STAGES) + 1))
    tellers: list[Teller] = []
    for number in range(side_by_side):
        name = names[number % len(names)]
        tellers.append(Teller(name, f"{name}a{number // len(names) % EACH}x{number}", datetime.now(UTC)))
    for turn in range(len(STAGES) + 1):
        for tell in tellers:
            tell.at = datetime.now(UTC) - timedelta(seconds=2)
            yield tell.say("application.created", 0) if turn == 0 else tell.stage(STAGES[turn - 1], 0)


def _send(producer: KafkaProducer, topic: str, names: list[str], sent: Sent, rate: float) -> None:
    begun = monotonic()
    for number, fact in enumerate(_events(names, sent.left)):
        sleep(max(0.0, begun + number / rate - monotonic()))
        _send_one(producer, topic, fact, sent)
    producer.flush()


def _send_one(producer: KafkaProducer, topic: str, fact: Fact, sent: Sent) -> None:
    at, name = monotonic(), str(fact.application_id)
    future = producer.send(topic, fact.to_json(), key=str(fact.requisition_id).encode())
    future.add_callback(lambda where: sent.note(name, at, where.offset))


def _watch(engine: Engine, sent: Sent, sender: threading.Thread, limit: float) -> list[float]:
    """How long each event took until its application's row was of its offset or a later one; sorted."""
    took: list[float] = []
    end = monotonic() + limit
    wanted = select(application.c.application_id, application.c.source_offset)
    while monotonic() < end and (sender.is_alive() or any(sent.by_application.values())):
        try:
            with engine.connect() as connection:
                rows = connection.execute(wanted).all()
        except OperationalError:  # the ledger writer has not made its tables yet
            sleep(0.2)
            continue
        now = monotonic()
        with sent.lock:
            for name, offset in rows:
                waiting = sent.by_application.get(name)
                while waiting and waiting[0][1] <= offset:
                    took.append(now - waiting.pop(0)[0])
        sleep(LOOK_EVERY)
    return sorted(took)
