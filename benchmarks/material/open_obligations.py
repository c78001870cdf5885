"""With very many open obligations: /metrics, the worker's memory, and how late after its deadline a verdict is told.

Time is a file that all roles share (`streams.clock.FileClock`): it stands still while the obligations are made, then runs, and
the deadlines of a known few pass. Watermarks ahead of them vouch for the sources, so nothing is waited for but time.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from kafka import KafkaProducer
from sqlalchemy import Engine, func, select

from material.histories import ACCOUNT, Teller, requisition
from material.load import EACH, PARTITIONS, Load, requisitions
from material.stage import Stage, feed, metric, peak_megabytes, role
from schemas.fact import Fact, Watermark
from schemas.outcome import Verdict
from streams.check import load_sources
from streams.clock import FileClock
from streams.connectors import declared_kinds
from streams.ledger_database import connect
from streams.ledger_tables import obligation
from streams.process import Process, tail
from streams.settings import Settings

NOW = datetime(2026, 3, 11, 10, tzinfo=UTC)  #: a Wednesday, working hours in Berlin
WINDOW = timedelta(seconds=20)  #: in which the deadlines of the few pass
LEAD = timedelta(seconds=10)  #: from the start of the clock to the first of them


def measure(stage: Stage, wanted: int, passing: int, limit: float = 3600) -> None:
    """`wanted` open obligations, `passing` deadlines within WINDOW; prints the figures."""
    settings = stage.settings("open", tick_seconds=5.0)
    topic = settings.topic("ats.facts")
    clock = FileClock(stage.folder / "open.clock")
    clock.set(NOW)
    fed = feed(stage.brokers, topic, _load(wanted // 2, passing))
    with (
        role(settings, "worker", "track", clock=clock.path) as worker,
        role(settings, "ledger", clock=clock.path) as ledger,
        role(settings, "exporter", clock=clock.path),
    ):
        begun = monotonic()
        engine = connect(settings.ledger)
        _until_ledger_has(engine, settings, fed, (worker, ledger), limit)
        print(f"{fed} facts judged and in the ledger in {monotonic() - begun:.0f} s", flush=True)
        _vouch(stage.brokers, topic, settings)
        _sizes(settings, engine, worker)
        _lateness(settings, engine, clock, passing)
        engine.dispose()


def _load(applications: int, passing: int) -> Iterator[Load]:
    """Applications at the interview stage: two open obligations each, to book the interview and to hold it."""
    for partition in range(PARTITIONS):
        names = requisitions(partition)
        for number in range(applications // PARTITIONS):
            if number % EACH == 0:
                name = next(names)
                yield from (_record(partition, fact) for fact in requisition(name, NOW - timedelta(days=6)))
            if number < passing // PARTITIONS:  # one business day before a deadline in the window
                at = NOW - timedelta(days=1) + LEAD + WINDOW * (number * PARTITIONS / passing)
            else:
                at = NOW - timedelta(hours=2) + timedelta(seconds=number * 7200 // applications)
            tell = Teller(name, f"{name}a{number % EACH}", at - timedelta(hours=1))
            yield _record(partition, tell.say("application.created", 0))
            yield _record(partition, tell.stage("interview", 1))


def _record(partition: int, fact: Fact) -> Load:
    return Load(partition, str(fact.requisition_id).encode(), fact.to_json())


def _until_ledger_has(engine: Engine, settings: Settings, fed: int, roles: tuple[Process, ...], limit: float) -> None:
    end, before = monotonic() + limit, -1.0
    while monotonic() < end:
        for process in roles:
            if not process.alive():
                raise SystemExit(f"{process.name} has ended: {tail(process.log)}")
        judged = metric(settings.track_metrics_port, "mutual_sla_worker_records_total")
        told = metric(settings.track_metrics_port, "mutual_sla_worker_messages_total")
        lag = metric(settings.ledger_metrics_port, "mutual_sla_ledger_lag_records")
        if judged >= fed and told == before and lag == 0:
            return
        before = told
        sleep(1)
    raise SystemExit("the ledger did not come to the end in time")


def _vouch(brokers: str, topic: str, settings: Settings) -> None:
    """Every declared kind is complete for a day to come."""
    producer = KafkaProducer(bootstrap_servers=brokers)
    kinds = sorted(declared_kinds(load_sources(settings.deploy_dir))[ACCOUNT])
    until = NOW + timedelta(days=1)
    mark = Watermark(account=ACCOUNT, kinds=tuple(kinds), complete_until=until, received_at=NOW)
    for partition in range(PARTITIONS):
        producer.send(topic, mark.model_dump_json().encode(), partition=partition)
    producer.flush()
    producer.close()
    sleep(3)


def _sizes(settings: Settings, engine: Engine, worker: Process) -> None:
    with engine.connect() as connection:
        count = connection.execute(select(func.count()).where(obligation.c.verdict == Verdict.OPEN)).scalar_one()
    print(f"{count} open obligations in the ledger; track worker: peak {peak_megabytes(worker.pid):.0f} MB", flush=True)
    for name, port in (("track worker", settings.track_metrics_port), ("exporter", settings.exporter_port)):
        took = []
        for _ in range(5):
            begun = monotonic()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                size = len(answer.read())
            took.append(monotonic() - begun)
        print(f"  /metrics of the {name}: {max(took) * 1000:.0f} ms at most of 5, {size} bytes", flush=True)
    seconds = metric(settings.exporter_port, "mutual_sla_exporter_snapshot_seconds")
    print(f"  the exporter's reading of the ledger behind it: {seconds:.2f} s", flush=True)


def _lateness(settings: Settings, engine: Engine, clock: FileClock, passing: int) -> None:
    stop = threading.Event()
    begun = monotonic()

    def run() -> None:
        while not stop.is_set():
            clock.set(NOW + timedelta(seconds=monotonic() - begun))
            sleep(0.02)

    runs = threading.Thread(target=run, daemon=True)
    runs.start()
    in_window = obligation.c.deadline.between(NOW, NOW + LEAD + WINDOW)
    late = select(obligation.c.obligation_id, obligation.c.deadline).where(in_window, obligation.c.verdict == Verdict.OVERDUE)
    seen: dict[str, float] = {}
    end = begun + (LEAD + WINDOW).total_seconds() + 20
    while monotonic() < end and len(seen) < passing:
        with engine.connect() as connection:
            rows = connection.execute(late).all()
        now = NOW + timedelta(seconds=monotonic() - begun)
        for identity, deadline in rows:
            seen.setdefault(identity, (now - deadline).total_seconds())
        sleep(0.05)
    stop.set()
    runs.join()
    took = sorted(seen.values())
    if not took:
        raise SystemExit("no verdict came")
    p50, p99 = (took[int(len(took) * share)] for share in (0.5, 0.99))
    print(
        f"  overdue in the ledger after the deadline: p50 {p50:.2f} s, p99 {p99:.2f} s, max {took[-1]:.2f} s   "
        f"{len(took)} deadlines, as soon as the next tick",
        flush=True,
    )
