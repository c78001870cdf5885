"""A machine whose clock is an hour ahead of the broker's writes nothing: once in the log, its time would be every partition's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.raw import RawHeaders
from streams.clock import SystemClock
from streams.delivery import Delivery
from streams.errors import Unreachable
from streams.raw_log import RawLog, RawRecord
from streams.settings import Settings
from streams.step import Message
from streams.topics import admin, ends
from tests.gateway_process import raw_records
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kafka

AHEAD = timedelta(hours=2)
WORDS = "this machine's clock is an hour ahead"


@pytest.fixture
def settings(topics: Callable[..., Settings]) -> Settings:
    return topics()


def bodies(at: datetime) -> list[RawRecord]:
    told = {"tenant": "acme", "account": "greenhouse", "system": "greenhouse", "channel": "webhook", "request_id": "r"}
    return [RawRecord(RawHeaders(received_at=at, **told), b"%d" % number, at) for number in range(3)]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[RawLog]:
    log = RawLog(settings)
    await log.start()
    try:
        yield log
    finally:
        await log.close()


async def accepting(log: RawLog, records: list[RawRecord]) -> None:
    """Append once a producer stands: the one that failed is being replaced."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await log.append(records, within=30.0)
            except Unreachable as error:
                assert WORDS not in str(error)
                await asyncio.sleep(0.1)


def test_a_gateway_ahead_of_the_broker_acknowledges_nothing_and_accepts_again_when_its_clock_is_right(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused_then_accepted() -> None:
        async with opened(settings) as log:
            await accepting(log, bodies(datetime.now(UTC)))
            with monkeypatch.context() as wrong:
                wrong.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + AHEAD)
                with pytest.raises(Unreachable, match=WORDS):
                    await log.append(bodies(SystemClock().now()), within=30.0)
            await accepting(log, bodies(datetime.now(UTC)))

    asyncio.run(refused_then_accepted())
    assert [record.value for record in raw_records(settings)] == [b"0", b"1", b"2"] * 2


def test_a_simulated_future_is_no_wrong_clock(settings: Settings) -> None:
    future = datetime.now(UTC) + timedelta(days=30)

    async def accepted() -> None:
        async with opened(settings) as log:
            await accepting(log, bodies(future))

    asyncio.run(accepted())
    assert {RawHeaders.from_kafka(record.headers).received_at for record in raw_records(settings)} == {future}


class Ahead:
    """aiokafka's producer, or one of its batches, on a machine whose clock is ahead."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_batch(self) -> Any:
        return Ahead(self._real.create_batch())

    def append(self, *, key: bytes | None, value: bytes | None, timestamp: None) -> Any:
        return self._real.append(key=key, value=value, timestamp=int((time.time() + AHEAD.total_seconds()) * 1000))

    def close(self) -> None:
        self._real.close()

    async def send_batch(self, batch: Ahead, topic: str, *, partition: int) -> Any:
        return await self._real.send_batch(batch._real, topic, partition=partition)


def test_a_worker_ahead_of_the_broker_writes_no_tick_and_no_fact(settings: Settings) -> None:
    facts = settings.topic("ats.facts")

    async def refused() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as real:
            delivery = Delivery(lambda: Ahead(real), {facts: 8}, 30.0, lambda: None)
            with pytest.raises(Unreachable, match=WORDS):
                await delivery.send([Message(facts, number, None, b"tick") for number in range(8)])

    asyncio.run(refused())
    with admin(settings) as client:
        assert set(ends(client, [facts]).values()) == {0}
