"""What a worker has to get on with: its event loop, its recovery, and the records that are there for it."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from streams.watchdog import Watchdog

BEAT_SECONDS = 1.0
ASK_EVERY = 10  #: beats between two questions to the broker, while nothing moves
ASK_SECONDS = 5.0  #: for its answer

log = structlog.get_logger()


class WorkerProgress:
    """`start` before the worker runs; `beat` on its event loop, once a second."""

    def __init__(self, app: Any, watchdog: Watchdog) -> None:
        self._app = app
        self.loop = watchdog.watch("loop")
        self.recovery = watchdog.watch("recovery")
        self.records = watchdog.watch("records")
        self._recovered: Any = None
        self._finished = 0
        self._beats = 0

    def start(self) -> None:
        self.recovery.waits()  # it begins with the process: joining the group is part of it

    async def run(self) -> None:
        """Until the task is cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        self.loop.moved()
        if self._app.ready:
            self.recovery.idle()
            await self._look_at_records()
            return
        self.records.idle()
        now = self._recovery_mark()
        if now != self._recovered:
            self.recovery.moved()
        self.recovery.waits()
        self._recovered = now

    def _recovery_mark(self) -> Any:
        recovery = self._app.tables.recovery
        read = tuple(sorted(recovery.active_offsets.items(), key=str))
        return self._app.rebalancing_count, self._app.consumer_generation_id, recovery.in_recovery, read

    async def _look_at_records(self) -> None:
        finished = self._app.finished
        if finished != self._finished:
            self._finished = finished
            self.records.moved()
        elif self._app.consumer.oldest_unfinished() > 0:
            self.records.waits()
        else:
            self._beats += 1
            if self._beats % ASK_EVERY == 0:
                await self._ask()

    async def _ask(self) -> None:
        """Nothing is at hand: is there nothing on the broker either? No answer is no progress, whoever is to blame."""
        try:
            behind = await asyncio.wait_for(self._behind(), ASK_SECONDS)
        except Exception as error:  # a broker that is away, partitions that are taken away just now
            log.info("lag_unknown", error=type(error).__name__)
            behind = True
        if behind:
            self.records.waits()
        else:
            self.records.idle()

    async def _behind(self) -> bool:
        consumer, topic = self._app.consumer, self._app.batch_topic
        mine = [tp for tp in consumer.assignment() if tp.topic == topic]
        ends = await consumer.highwaters(*mine) if mine else {}
        for tp in mine:
            position = await consumer.position(tp)
            if (ends.get(tp) or 0) > (position or 0):
                return True
        return False
