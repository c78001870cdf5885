"""The producer to `ats.raw`: appends bodies and returns only when the broker has acknowledged every one of them.

In: raw records from the gateway's event loop. Out: acknowledged appends, or an error and nothing promised. kafka-python's
producer is idempotent (acks=all) and has a thread of its own; its callbacks are brought back to the loop one by one, nobody
ever flushes, so concurrent requests share batches. A producer that failed once is replaced: until the new one stands,
appends are refused at once instead of waiting for a broker that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from schemas.raw import RawHeaders
from streams import kafka_security, ports
from streams.clock import CLOCK_AHEAD, record_time
from streams.errors import MutualSLAError, Unreachable
from streams.settings import Settings

log = structlog.get_logger()

LINGER_MS = 5  #: how long a record waits for company; far below what a vendor notices
BATCH_BYTES = 512 * 1024  #: one account is one partition with one batch on its way: small batches would be its ceiling
MAX_RECORDS = 20_000  #: sent and not yet acknowledged; beyond, appends are refused
MAX_BYTES = 64 * 1024 * 1024
BURST = 500  #: records of one request on their way at a time, so that a long export leaves room for webhooks
DELIVERY_SHARE = 0.5  #: of the request's time: reading the body comes before, answering after
BOOTSTRAP_SECONDS = 3.0
RECONNECT_SECONDS = 0.5
READY_SECONDS = 2.0  #: how long an answer of `fault` is good


class Overloaded(Unreachable):
    """More is waiting for the broker than this process holds; the caller should come again."""


class TooLarge(MutualSLAError):
    """The broker refuses a record for its size: max.message.bytes of the topic is below the gateway's limit."""

    exit_code = 65


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record of `ats.raw`: the key is the account (or `key`), the value the body."""

    headers: RawHeaders
    body: bytes
    at: datetime  #: becomes the record's Kafka timestamp, which only retention looks at
    key: str = ""  #: for reported facts: the account of what they are about, whose partition knows its links


class Log(Protocol):
    """What the gateway needs of `ats.raw`; tests have one in memory."""

    async def start(self) -> None: ...

    async def append(self, records: Sequence[RawRecord], within: float) -> None: ...

    async def fault(self) -> str | None: ...

    async def close(self) -> None: ...


class RawLog:
    """`ats.raw` on a real cluster. All methods belong to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._brokers = settings.brokers.split(",")
        self._connection = kafka_security.connection(settings)
        self._topic = settings.topic("ats.raw")
        self._delivery_ms = int(settings.gateway_timeout * 1000 * DELIVERY_SHARE)
        self._producer: Any = None
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._records = 0
        self._bytes = 0
        self._checked: tuple[float, str | None] = (float("-inf"), None)
        self._asking = asyncio.Lock()  # or a thousand callers would take every thread, and the producer none to connect

    async def start(self) -> None:
        """Begin to connect, and keep at it. Returns at once: the gateway is alive before Kafka is."""
        self._wanted.set()
        self._keeper = asyncio.create_task(self._keep_connected())

    async def append(self, records: Sequence[RawRecord], within: float) -> None:
        """Append `records` in order; returns once the broker has acknowledged all, within so many seconds.

        Raises Unreachable (Overloaded if too much is waiting already) or TooLarge; some records may then be in the topic all
        the same, which is harmless: the sender comes again, and a fact that arrives twice is one fact.
        """
        try:
            async with asyncio.timeout(within):
                for start in range(0, len(records), BURST):
                    await self._append_burst(records[start : start + BURST])
        except TimeoutError:
            # Without a producer id kafka-python never expires a batch, so the time-out here counts as a failure too.
            why = f"Kafka did not acknowledge within {within:.0f} s"
            self._retire(self._producer, why)
            raise Unreachable(why) from None

    async def fault(self) -> str | None:
        """Why nothing can be appended now, or None. Asks the cluster, at most every two seconds."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() - self._checked[0] > READY_SECONDS:
                answer = await asyncio.to_thread(self._ask_cluster)
                self._checked = (loop.time(), answer)
        return self._checked[1] or ("the producer is being replaced" if self._producer is None else None)

    async def close(self) -> None:
        """Deliver what is on its way, then close. Requests must have ended before."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(_close, producer, self._delivery_ms / 1000)
        await asyncio.gather(*self._closing)

    async def _append_burst(self, records: Sequence[RawRecord]) -> None:
        producer = self._producer
        if producer is None:
            raise Unreachable(f"Kafka does not answer at {','.join(self._brokers)}, or has no topic {self._topic}")
        size = sum(len(record.body) for record in records)
        if self._records + len(records) > MAX_RECORDS or self._bytes + size > MAX_BYTES:
            raise Overloaded("too many bodies wait for Kafka already")
        acknowledged = _Acknowledgements(len(records), self._settle)
        try:
            for record in records:
                self._send(producer, record, acknowledged)
            await acknowledged.all
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLarge(f"{self._topic} takes no record of this size: {type(error).__name__}") from None
        except KafkaError as error:
            ahead = kafka_security.refuses_time(error)
            why = CLOCK_AHEAD if ahead else f"Kafka did not acknowledge: {type(error).__name__}"
            self._retire(producer, why)
            raise Unreachable(why) from None
        finally:
            acknowledged.all.cancel()  # if a send failed half-way, nobody waits for the others

    def _send(self, producer: Any, record: RawRecord, acknowledged: _Acknowledgements) -> None:
        size = len(record.body)
        future = producer.send(
            self._topic,
            value=record.body,
            key=(record.key or record.headers.account).encode(),
            headers=record.headers.to_kafka(),
            timestamp_ms=record_time(record.at),
        )
        self._records += 1
        self._bytes += size
        future.add_callback(lambda _: acknowledged.report(size, None))
        future.add_errback(lambda error: acknowledged.report(size, error))

    def _settle(self, size: int) -> None:
        self._records -= 1
        self._bytes -= size

    def _retire(self, producer: Any, why: str) -> None:
        """Send nothing more through `producer`; what it still delivers counts, then it goes."""
        if producer is None or producer is not self._producer:
            return
        log.warning("producer_retired", topic=self._topic, reason=why)
        self._producer = None
        self._wanted.set()
        closing = asyncio.create_task(asyncio.to_thread(_close, producer, self._delivery_ms / 1000))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _keep_connected(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                self._producer = await asyncio.to_thread(self._connect)
            except (KafkaError, Unreachable, OSError) as error:
                log.warning("kafka_away", brokers=self._brokers, topic=self._topic, reason=str(error))
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                self._wanted.clear()
                log.info("producer_ready", topic=self._topic)

    def _connect(self) -> Any:
        if not _any_answers(self._brokers):  # cheaper than a failed bootstrap, which leaves sockets to the collector
            raise Unreachable("no broker answers")
        producer = KafkaProducer(
            **self._connection,
            client_id="mutual-sla-gateway",
            acks="all",
            enable_idempotence=True,
            linger_ms=LINGER_MS,
            batch_size=BATCH_BYTES,
            delivery_timeout_ms=self._delivery_ms,
            request_timeout_ms=self._delivery_ms // 2,
            max_block_ms=int(BOOTSTRAP_SECONDS * 1000),
            bootstrap_timeout_ms=int(BOOTSTRAP_SECONDS * 1000),
            allow_auto_create_topics=False,
        )
        try:
            producer.partitions_for(self._topic)  # from here on send() knows the topic and does not block the loop
        except KafkaError:
            _close(producer, 1.0)
            raise
        return producer

    def _ask_cluster(self) -> str | None:
        if not _any_answers(self._brokers):
            return f"no broker answers at {','.join(self._brokers)}"
        milliseconds = int(BOOTSTRAP_SECONDS * 1000)
        try:
            admin = KafkaAdminClient(**self._connection, bootstrap_timeout_ms=milliseconds, request_timeout_ms=milliseconds)
            try:
                topics = set(admin.list_topics())
            finally:
                admin.close()
        except (KafkaError, OSError) as error:
            return f"Kafka does not answer: {type(error).__name__}"
        return None if self._topic in topics else f"topic {self._topic} is missing: run `mutual-sla topics`"


class _Acknowledgements:
    """Counts what comes back for one burst; `all` is done when each record is acknowledged, or fails with the first error."""

    def __init__(self, expected: int, settle: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._missing = expected
        self._settle = settle
        self.all: asyncio.Future[None] = self._loop.create_future()

    def report(self, size: int, error: BaseException | None) -> None:
        """Called on the producer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._count, size, error)

    def _count(self, size: int, error: BaseException | None) -> None:
        self._settle(size)
        self._missing -= 1
        if self.all.done():
            return
        if error is not None:
            self.all.set_exception(error)
        elif self._missing == 0:
            self.all.set_result(None)


def _any_answers(brokers: Sequence[str]) -> bool:
    for broker in brokers:
        host, _, port = broker.rpartition(":")
        if ports.answers(int(port), host.strip("[]"), timeout=1.0):
            return True
    return False


def _close(producer: Any, timeout: float) -> None:
    """Close a kafka-python producer for certain: its own close() gives up, thread and all, when a batch cannot be delivered."""
    try:
        producer.close(timeout=timeout)
    except KafkaError:
        producer._sender.force_close()
        producer.close(timeout=1.0)
