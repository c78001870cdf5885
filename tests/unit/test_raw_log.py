"""The bridge from the event loop to kafka-python's producer, with a producer whose broker the test plays."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from schemas.raw import RawHeaders
from streams import raw_log
from streams.errors import Unreachable
from streams.raw_log import Overloaded, RawLog, RawRecord, TooLarge
from streams.settings import Settings

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


class Delivery:
    """One send on its way; resolved by the test, from another thread as kafka-python does."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], None]] = []
        self.errbacks: list[Callable[[Any], None]] = []

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def add_errback(self, errback: Callable[[Any], None]) -> None:
        self.errbacks.append(errback)

    def resolve(self, error: Exception | None = None) -> None:
        heard = self.callbacks if error is None else self.errbacks
        thread = threading.Thread(target=lambda: [one(error) for one in heard])
        thread.start()
        thread.join()


class Producer:
    """Takes everything; `answers` says what each send comes to, None for never."""

    def __init__(self, answers: Callable[[bytes], Exception | bool | None]) -> None:
        self.answers = answers
        self.sent: list[bytes] = []
        self.hanging: list[Delivery] = []
        self.closed = False

    def send(self, topic: str, value: bytes, **_: Any) -> Delivery:
        self.sent.append(value)
        delivery, answer = Delivery(), self.answers(value)
        if isinstance(answer, Exception):
            asyncio.get_running_loop().call_soon(delivery.resolve, answer)
        elif answer:
            asyncio.get_running_loop().call_soon(delivery.resolve)
        else:
            self.hanging.append(delivery)
        return delivery

    def close(self, timeout: float) -> None:
        self.closed = True


def record(body: bytes) -> RawRecord:
    headers = RawHeaders(
        tenant="t", account="greenhouse", system="greenhouse", channel="webhook", received_at=NOW, request_id="r"
    )
    return RawRecord(headers, body, NOW)


def play(
    monkeypatch: pytest.MonkeyPatch, producers: list[Producer], story: Callable[[RawLog], Coroutine[Any, Any, None]]
) -> None:
    """Run the story with a log that connects to the given producers, one after the other."""
    left = iter(producers)

    def connect(_: RawLog) -> Producer:
        try:
            return next(left)
        except StopIteration:
            raise Unreachable("away") from None

    monkeypatch.setattr(RawLog, "_connect", connect)
    monkeypatch.setattr(raw_log, "RECONNECT_SECONDS", 0.01)

    async def run() -> None:
        log = RawLog(Settings(gateway_timeout=1.0))
        await log.start()
        await until(lambda: log._producer is not None or not producers)
        await story(log)
        await log.close()

    asyncio.run(run())
    assert all(producer.closed for producer in producers)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_an_append_returns_when_all_is_acknowledged_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [b"%d" % number for number in range(raw_log.BURST * 2 + 1)]
    producer = Producer(lambda _: True)

    async def story(log: RawLog) -> None:
        await log.append([record(body) for body in bodies], within=60)

    play(monkeypatch, [producer], story)
    assert producer.sent == bodies


def test_it_does_not_return_before_the_last_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(lambda body: body != b"late")

    async def story(log: RawLog) -> None:
        appending = asyncio.create_task(log.append([record(b"a"), record(b"late"), record(b"b")], within=60))
        await until(lambda: len(producer.sent) == 3)
        await asyncio.sleep(0.05)
        assert not appending.done()
        producer.hanging[0].resolve()
        await appending

    play(monkeypatch, [producer], story)


def test_a_failed_delivery_is_told_and_the_producer_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    failing, fresh = Producer(lambda _: KafkaTimeoutError("away")), Producer(lambda _: True)

    async def story(log: RawLog) -> None:
        with pytest.raises(Unreachable, match="KafkaTimeoutError"):
            await log.append([record(b"lost")], within=60)
        await until(lambda: log._producer is fresh)
        await log.append([record(b"kept")], within=60)

    play(monkeypatch, [failing, fresh], story)
    assert fresh.sent == [b"kept"]


def test_a_delivery_that_never_ends_is_told_in_time_and_the_producer_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, fresh = Producer(lambda _: None), Producer(lambda _: True)

    async def story(log: RawLog) -> None:
        with pytest.raises(Unreachable, match="did not acknowledge"):
            await log.append([record(b"lost")], within=0.05)
        await until(lambda: log._producer is fresh)

    play(monkeypatch, [frozen, fresh], story)


def test_without_a_producer_an_append_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(log: RawLog) -> None:
        with pytest.raises(Unreachable, match="does not answer"):
            await log.append([record(b"x")], within=60)

    play(monkeypatch, [], story)


def test_a_record_too_large_for_the_topic_is_no_reason_to_replace_the_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(lambda body: MessageSizeTooLargeError() if body == b"huge" else True)

    async def story(log: RawLog) -> None:
        with pytest.raises(TooLarge):
            await log.append([record(b"huge")], within=60)
        await log.append([record(b"fine")], within=60)

    play(monkeypatch, [producer], story)


@pytest.mark.parametrize(("records", "size"), [(2, 1_000), (1_000, 25)])
def test_what_waits_for_the_broker_is_bounded_and_freed_again(monkeypatch: pytest.MonkeyPatch, records: int, size: int) -> None:
    monkeypatch.setattr(raw_log, "MAX_RECORDS", records)
    monkeypatch.setattr(raw_log, "MAX_BYTES", size)
    producer = Producer(lambda _: None)

    async def story(log: RawLog) -> None:
        waiting = [asyncio.create_task(log.append([record(b"0123456789")], within=60)) for _ in range(2)]
        await until(lambda: len(producer.sent) == 2)
        with pytest.raises(Overloaded):
            await log.append([record(b"0123456789")], within=60)
        for delivery in producer.hanging:
            delivery.resolve()
        await asyncio.gather(*waiting)
        producer.answers = lambda _: True
        await log.append([record(b"0123456789")], within=60)

    play(monkeypatch, [producer], story)


def test_however_many_ask_at_once_the_cluster_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def ask(_: RawLog) -> str | None:
        asked.append(None)
        time.sleep(0.05)
        return "no broker answers"

    monkeypatch.setattr(RawLog, "_ask_cluster", ask)

    async def story(log: RawLog) -> None:
        assert set(await asyncio.gather(*(log.fault() for _ in range(200)))) == {"no broker answers"}
        monkeypatch.setattr(raw_log, "READY_SECONDS", 0.0)
        await log.fault()

    play(monkeypatch, [Producer(lambda _: True)], story)
    assert len(asked) == 2
