"""Webhooks that say too little, followed: the poller reads what they are about at once, and not with its next poll.

In: `ats.raw` from its end on, only the partitions of accounts whose vendor sends such webhooks. Out: `Poller.follow`. Nothing
here is durable, and nothing hangs on it: whatever is missed while we are away, the next poll reads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from kafka import TopicPartition
from pydantic import ValidationError

from schemas.raw import RawHeaders
from streams.delivery import partition_of
from streams.errors import MutualSLAError, Unreachable
from streams.pollers.plan import Signal
from streams.safe_fetch import path_below
from streams.settings import Settings
from streams.whole_topic import reader

if TYPE_CHECKING:
    from streams.poller import Poller

log = structlog.get_logger()

MOST_WAITING = 1_000  #: signals of an account; beyond, they are left to the next poll
AGAIN_SECONDS = 5.0  #: after Kafka failed
LISTEN_MS = 500


class Signals:
    """Those of all accounts that are polled. `tasks` are to be run, and cancelled, by the poller's process."""

    def __init__(self, settings: Settings, pollers: Sequence[Poller]) -> None:
        self._settings = settings
        self._pollers = {one.account.account: one for one in pollers if one.source.follow is not None}
        self._waiting: dict[str, dict[tuple[str, str], Signal]] = {account: {} for account in self._pollers}
        self._told = {account: asyncio.Event() for account in self._pollers}
        self._over = threading.Event()

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        """One that listens, and for each account one that reads; none where no vendor sends such webhooks."""
        if self._pollers:
            yield self._listen()
        for account in self._pollers:
            yield self._work(account)

    def take(self, record: Any) -> None:
        """Note what a record of `ats.raw` signals. One that comes again while it waits is one."""
        try:
            raw = RawHeaders.from_kafka(record.headers or ())
            poller = self._pollers.get(raw.account)
            if poller is None or poller.source.follow is None or raw.channel != "webhook" or raw.backfill:
                return
            body, path_of = orjson.loads(record.value or b""), partial(path_below, base_url=poller.vendor.base_url)
            found = list(poller.source.follow(raw.vendor, body if isinstance(body, dict) else {}, path_of))
        except (ValidationError, UnicodeDecodeError, orjson.JSONDecodeError):
            return  # a dead letter, as normalise says
        except MutualSLAError as error:
            log.warning("signal_refused", account=raw.account, reason=str(error))
            return
        waiting = self._waiting[raw.account]
        for signal in found:
            if len(waiting) < MOST_WAITING:
                waiting[signal.record_type, signal.about] = signal
        self._told[raw.account].set()

    async def _work(self, account: str) -> None:
        waiting, told = self._waiting[account], self._told[account]
        while True:
            await told.wait()
            told.clear()
            while waiting:
                await self._pollers[account].follow(waiting.pop(next(iter(waiting))))

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    await asyncio.to_thread(self._hear, loop)
                except MutualSLAError as error:
                    log.warning("signals_unheard", reason=str(error))
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._over.set()

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own, for kafka-python waits. Raises Unreachable."""
        topic = self._settings.topic("ats.raw")
        with reader(self._settings) as consumer:
            count = len(consumer.partitions_for_topic(topic) or ())
            if count == 0:
                raise Unreachable(f"topic {topic} is missing")
            numbers = {partition_of(account.encode(), count) for account in self._pollers}
            consumer.assign([TopicPartition(topic, number) for number in sorted(numbers)])
            consumer.seek_to_end()
            while not self._over.is_set():
                for records in consumer.poll(timeout_ms=LISTEN_MS).values():
                    for record in records:
                        loop.call_soon_threadsafe(self.take, record)
