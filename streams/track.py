"""The track worker: `ats.facts` in, `sla.outcomes` out, and the ticks by which time enters the log.

`Tracker` is the pure step; this puts it into a micro-batch worker. Whoever owns a partition ticks it: when a deadline in it has
come by the shell's clock, when work is left that no record brings, else once in `tick_seconds`. One tick at a time is under
way in a partition, so a backlog is never flooded and time waits for the facts before it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from schemas.fact import Tick
from streams import liveness, metrics, microbatch, published, topics
from streams.check import load_sources
from streams.clock import Clock
from streams.connectors import declared_kinds
from streams.lease import FAILED, die
from streams.settings import Settings
from streams.step import Message, Read
from streams.tracker import Limits, Topics, Tracker

ROLE = "track"
LOOK_EVERY = 0.25  #: seconds between two looks at the clock

log = structlog.get_logger()

REJECTED = microbatch.REJECTED
DEADLINES = metrics.OPEN_DEADLINES.gauge()


class Ticker:
    """Decides which partitions need a tick now; `sent` tells it where one went."""

    def __init__(self, tracker: Tracker, every: timedelta) -> None:
        self._tracker = tracker
        self._every = every
        self._under_way: dict[int, int] = {}  #: partition -> offset of the last tick
        self._last: dict[int, datetime] = {}

    def wanted(self, owned: list[int], now: datetime) -> list[int]:
        """Owned partitions whose last tick was folded in and for which it is time, by `now` of the shell's clock."""
        for partition in set(self._under_way) - set(owned):
            del self._under_way[partition]
        return [partition for partition in owned if not self._is_under_way(partition) and self._is_time(partition, now)]

    def sent(self, partition: int, now: datetime, offset: int) -> None:
        self._under_way[partition], self._last[partition] = offset, now

    def _is_under_way(self, partition: int) -> bool:
        memory = self._tracker.partitions.get(partition)
        return memory is not None and memory.offset < self._under_way.get(partition, -1)

    def _is_time(self, partition: int, now: datetime) -> bool:
        last = self._last.get(partition)
        return last is None or now - last >= self._every or now < last or self._tracker.has_work(partition, now)


def run(settings: Settings, clock: Clock) -> None:
    """Run the worker until SIGTERM or SIGINT.

    Raises InvalidConfiguration (policy, calendars, people, also where they are not what was published; sources, topics),
    Unreachable and AnotherWorker before anything is consumed.
    """
    declared = declared_kinds(load_sources(settings.deploy_dir))
    agreement, _ = published.agree(settings, clock.now())
    count = topics.partition_count(settings, "ats.facts")
    places = Topics(settings.topic("ats.facts"), settings.topic("sla.outcomes"), settings.topic("ats.rejected"), count)
    tracker = Tracker(
        agreement,
        declared,
        places,
        Limits(horizon_days=settings.horizon_days),
        rejected=lambda reason: REJECTED.labels(ROLE, reason).inc(),
    )

    async def recovered(partition: int, read: Read) -> None:
        for _ in tracker.recover(partition, read):
            await microbatch.pause()

    with microbatch.alone(settings, ROLE):
        app = microbatch.build(
            settings,
            ROLE,
            places.facts,
            tracker.step,
            outputs=[places.facts, places.outcomes, places.rejected],
            same_count=[places.outcomes],
            recovered=recovered,
        )
        _tick(app, tracker, timedelta(seconds=settings.tick_seconds), places.facts, clock)
        with liveness.serve(settings.host, settings.track_metrics_port, lambda: app.ready, app.watchdog.stuck):
            microbatch.run_worker(app)


def _tick(app: microbatch.App, tracker: Tracker, every: timedelta, facts: str, clock: Clock) -> None:
    ticker, progress = Ticker(tracker, every), app.watchdog.watch("tick")

    @app.timer(LOOK_EVERY)  # type: ignore[untyped-decorator]
    async def tick() -> None:
        # An exception in a timer would stop the app half-way; a tick that cannot be sent is a reason to start anew.
        try:
            progress.moved()
            now, owned = clock.now(), app.owned()
            DEADLINES.labels(ROLE).set(sum(len(tracker.partitions[p].deadlines) for p in owned if p in tracker.partitions))
            wanted = ticker.wanted(owned, now)
            if not wanted:
                return
            value = Tick(at=now).model_dump_json().encode()
            offsets = await app.delivery.send(Message(facts, partition, None, value) for partition in wanted)
            for partition in wanted:
                ticker.sent(partition, now, offsets[facts, partition])
        except Exception:
            die(FAILED, "tick_failed")
