"""The exporter role: /metrics from the ledger, and /healthz. The names are in metrics.py, the figures in snapshot.py.

A thread reads the ledger every few seconds (less often where reading takes long), so a scrape never waits for a database. When
the ledger cannot be read the last figures stay, with the time they are from and a series that says so: nothing vanishes, so no
page resolves by itself. Values are as of the snapshot's `now`, which is clock.now().
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from time import monotonic

import structlog
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric as Family
from sqlalchemy import Engine

from schemas.outcome import Side, Verdict
from streams import adherence, metrics
from streams.adherence import Counts
from streams.agreement import Agreement
from streams.clock import Clock, SystemClock
from streams.holding_metrics import HoldersCollector
from streams.ledger_database import connect
from streams.metrics import gauge
from streams.serving import serve
from streams.settings import Settings
from streams.snapshot import Desk, Snapshot, desks, in_force, read

REFRESH_SECONDS = 2.0
REST = 10  #: the ledger is left alone this many times as long as a reading took
HOLDERS_SECONDS = 60.0  #: between two readings of who held the ball how long; figures of weeks need no more
HOLDERS_REST = 50  #: the same of their reading, which is Python's work and not only the ledger's
HEALTHY_SECONDS = 60.0  #: /healthz turns bad when the last good reading is older
SIMULATED_SECONDS = 300.0
STATES = ("open", "due_soon", "overdue")
LABELLED_UNITS = {"business_days": 1.0, "calendar_days": 1.0, "business_hours": 3600.0, "elapsed_hours": 3600.0}

log = structlog.get_logger()


class LedgerCollector:
    """Holds the newest snapshot and shows it to prometheus_client."""

    def __init__(self, engine: Engine, agreement: Agreement, clock: Clock) -> None:
        self._engine = engine
        self._agreement = agreement
        self._clock = clock
        self._desks: set[Desk] | None = None  #: whoever was ever shown: they stay, with 0
        self._shown: list[Family] = []  #: what the last good reading gave
        self.read_from: datetime | None = None  #: the `now` it was read at
        self.failed = False
        self.seconds = 0.0
        self._read_at = float("-inf")

    def refresh(self) -> None:
        """Read the ledger once; on failure keep what there is, and say so."""
        began = monotonic()
        try:
            fresh = read(self._engine, self._agreement.policy, self._clock.now())
            if self._desks is None:
                self._desks = desks(self._engine)
            self._desks |= {desk for desk, _state in fresh.due}
            shown = list(self._families(fresh))
        except Exception as error:  # whatever it is: the last figures must stay, and say that they are old
            self.failed = True
            log.warning("snapshot_failed", error=type(error).__name__)
            return
        self._shown, self.read_from, self.failed, self._read_at = shown, fresh.now, False, monotonic()
        self.seconds = self._read_at - began

    def healthy(self) -> bool:
        """Whether the last reading succeeded, not long ago."""
        return not self.failed and monotonic() - self._read_at < max(HEALTHY_SECONDS, 2 * REST * self.seconds)

    def collect(self) -> Iterator[Family]:
        now = self._clock.now()
        away = abs((now - SystemClock().now()).total_seconds())
        policy, people = self._agreement.policy, self._agreement.people
        yield gauge(metrics.CLOCK, [((), now.timestamp())])
        yield gauge(metrics.CLOCK_SIMULATED, [((), float(away > SIMULATED_SECONDS))])
        yield gauge(metrics.INFO, [((_version(), policy.version, people.version), 1)])
        yield gauge(metrics.MINIMUM_N, [((), policy.minimum_n)])
        yield gauge(metrics.SNAPSHOT_FAILED, [((), float(self.failed))])
        yield from self._promises()
        yield gauge(metrics.SNAPSHOT_SUCCESS, [((), _seconds(self.read_from))])
        yield gauge(metrics.SNAPSHOT_SECONDS, [((), self.seconds)])
        yield from self._shown

    def _families(self, shot: Snapshot) -> Iterator[Family]:
        """Everything a snapshot says, worked out once."""
        yield from self._counts(shot)
        yield from self._adherence(shot)
        yield from self._scores(shot)
        yield _turnaround(shot)
        yield from _owners(shot, sorted(self._desks or ()))
        yield from _freshness(shot)

    def _promises(self) -> Iterator[Family]:
        """What was agreed: objectives, and targets in the unit they were agreed in."""
        known = in_force(self._agreement.policy, self._clock.now()).values()
        promised = [(c, side) for c in known for side in (Side if c.side == "holder" else (c.side,))]
        yield gauge(metrics.OBJECTIVE, [((c.name, side), c.objective) for c, side in promised])
        yield gauge(metrics.WEIGHT, [((c.name, side), c.weight) for c, side in promised])
        least = self._agreement.policy.minimum_for
        yield gauge(metrics.COMMITMENT_MINIMUM_N, [((c.name, side), least(c)) for c, side in promised])
        for metric, suffix in ((metrics.TARGET_DAYS, "days"), (metrics.TARGET_SECONDS, "hours")):
            units = [unit for unit in LABELLED_UNITS if unit.endswith(suffix)]
            targets = [((c.name, s, u), getattr(c.target, u, None), LABELLED_UNITS[u]) for c, s in promised for u in units]
            yield gauge(metric, [(labels, value * scale) for labels, value, scale in targets if value is not None])

    def _cells(self, shot: Snapshot) -> list[tuple[str, str, str]]:
        """Every (team, side, commitment) there can be: agreed ones and, in the ledger, earlier ones."""
        agreed = {
            (team, str(c.side), c.name)
            for team in self._agreement.people.teams
            for c in in_force(self._agreement.policy, shot.now).values()
        }
        return sorted(agreed | set(shot.verdicts))

    def _counts(self, shot: Snapshot) -> Iterator[Family]:
        cells = [(cell, shot.verdicts.get(cell, Counts())) for cell in self._cells(shot)]
        yield gauge(
            metrics.OBLIGATIONS,
            [((c, side, team, v.value), getattr(n, v.value)) for (team, side, c), n in cells for v in Verdict],
        )
        yield gauge(
            metrics.OBLIGATIONS_NOW,
            [
                ((cell[2], cell[1], cell[0], state), shot.running.get(cell, {}).get(state, 0))
                for cell, _ in cells
                for state in STATES
            ],
        )

    def _adherence(self, shot: Snapshot) -> Iterator[Family]:
        rows = [
            ((c, side, team, window), counts.get((team, side, c), Counts()))
            for window, counts in shot.windows.items()
            for team, side, c in self._cells(shot)
        ]
        bounds = [(labels, adherence.wilson(n.met, n.n)) for labels, n in rows]
        yield gauge(metrics.ADHERENCE, [(labels, n.adherence) for labels, n in rows])
        yield gauge(metrics.ADHERENCE_STRICT, [(labels, n.adherence_without_exceptions) for labels, n in rows])
        yield gauge(metrics.ADHERENCE_N, [(labels, n.n) for labels, n in rows])
        yield gauge(metrics.ADHERENCE_MET, [(labels, n.met) for labels, n in rows])
        yield gauge(metrics.ADHERENCE_LOW, [(labels, b and b[0]) for labels, b in bounds])
        yield gauge(metrics.ADHERENCE_HIGH, [(labels, b and b[1]) for labels, b in bounds])

    def _scores(self, shot: Snapshot) -> Iterator[Family]:
        policy = adherence.policy_at(self._agreement.policy, shot.now)
        agreed = {commitment.name: commitment for commitment in policy.commitments}
        cells = [(team, side, agreed[c]) for team, side, c in self._cells(shot) if c in agreed]
        goals = {
            (c.name, side, team): adherence.standing(
                shot.windows["90d"].get((team, side, c.name), Counts()), c.objective, policy.minimum_for(c)
            )
            for team, side, c in cells
        }
        yield gauge(metrics.GOAL_MISSED, [(k, float(found == "course_correct")) for k, found in goals.items()])
        yield gauge(metrics.GOAL_MET, [(k, float(found == "goal_met")) for k, found in goals.items()])
        scores = {
            (side.value, team, window): adherence.side_score(_of_team(counts, team), policy, side, policy.minimum_n)
            for window, counts in shot.windows.items()
            for team in self._teams(shot)
            for side in Side
        }
        index = {key[1:]: adherence.partnership_index(*(scores[side.value, *key[1:]] for side in Side)) for key in scores}
        yield gauge(metrics.SIDE_SCORE, scores.items())
        yield gauge(metrics.PARTNERSHIP_INDEX, index.items())

    def _teams(self, shot: Snapshot) -> list[str]:
        return sorted({team for team, _side, _commitment in self._cells(shot)})


def _of_team(counts: Mapping[tuple[str, str, str], Counts], team: str) -> dict[tuple[str, str], Counts]:
    return {(side, commitment): n for (of, side, commitment), n in counts.items() if of == team}


def _turnaround(shot: Snapshot) -> Family:
    family = HistogramMetricFamily(metrics.TURNAROUND.name, metrics.TURNAROUND.help, labels=metrics.TURNAROUND.labels)
    bounds = [str(bound) for bound in metrics.TURNAROUND_BUCKETS]
    for labels, (cumulative, count, seconds) in sorted(shot.turnaround.items()):
        family.add_metric(labels, [*zip(bounds, cumulative, strict=True), ("+Inf", count)], sum_value=seconds)
    return family


def _owners(shot: Snapshot, known: list[Desk]) -> Iterator[Family]:
    states = STATES[1:]
    dues = [((*desk, state), shot.due.get((desk, state))) for desk in known for state in states]
    yield gauge(metrics.OWNER_OBLIGATIONS, [(labels, due.number if due else 0) for labels, due in dues])
    oldest = [(labels, due.oldest.timestamp()) for labels, due in dues if due and due.oldest]
    yield gauge(metrics.OWNER_OLDEST_DUE, oldest)
    late = [
        (
            (
                row["obligation_id"],
                row["commitment"],
                row["side"],
                row["team"],
                row["owner"],
                "overdue" if row["verdict"] == "overdue" else "due_soon",
                shot.ball.get(row["application_id"] or "", row["side"]),
            ),
            _seconds(row["deadline"]),
        )
        for row in shot.late
    ]
    yield gauge(metrics.LATE_OBLIGATION, late)
    yield gauge(metrics.LATE_LEFT_OUT, [((), shot.late_left_out)])


def _freshness(shot: Snapshot) -> Iterator[Family]:
    yield gauge(metrics.SOURCE_NEWEST, [((account,), at.timestamp()) for account, at in shot.newest_facts.items()])
    yield gauge(metrics.SOURCE_WATERMARK, [(key, max(0.0, at.timestamp())) for key, at in shot.watermarks.items()])
    yield gauge(metrics.LAST_TICK, [((str(p),), _seconds(at)) for p, at in shot.ticks.items()])
    yield gauge(metrics.LEDGER_NEWEST, [((), _seconds(shot.newest_learned))])
    yield gauge(metrics.DEAD_LETTERS, shot.dead_letters.items())


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


def _version() -> str:
    from importlib.metadata import version

    return version("mutual-sla")


def application(collector: LedgerCollector, *others: HoldersCollector) -> FastAPI:
    """/metrics over all collectors, and /healthz over the first."""
    registry = CollectorRegistry()
    registry.register(collector)
    for other in others:
        registry.register(other)
    ProcessCollector(registry=registry)
    app = FastAPI(openapi_url=None)

    @app.get("/metrics")
    def show() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/healthz")
    def health() -> Response:
        good = collector.healthy()
        return Response("ok" if good else "the ledger cannot be read", status_code=200 if good else 503)

    return app


def keep_fresh(
    collector: LedgerCollector | HoldersCollector, stop: threading.Event, interval: float = REFRESH_SECONDS, rest: float = REST
) -> None:
    """Refresh until `stop`; `interval` seconds apart, and at least `rest` times as long as a reading takes."""
    while not stop.is_set():
        collector.refresh()
        stop.wait(max(interval, rest * collector.seconds))


def run(settings: Settings, clock: Clock) -> None:
    """Serve until SIGTERM or SIGINT. Raises InvalidConfiguration if the agreement is faulty."""
    from streams.check import load_agreement

    engine, agreement = connect(settings.ledger), load_agreement(settings.deploy_dir)
    collector, held = LedgerCollector(engine, agreement, clock), HoldersCollector(engine, agreement, clock)
    stop = threading.Event()
    kept = ((collector, stop), (held, stop, HOLDERS_SECONDS, HOLDERS_REST))
    refreshers = [threading.Thread(target=keep_fresh, args=each, daemon=True) for each in kept]
    for refresher in refreshers:
        refresher.start()
    serve(application(collector, held), settings.host, settings.exporter_port)
    stop.set()
    for refresher in refreshers:
        refresher.join(timeout=2)
