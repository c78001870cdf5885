"""The Faust side of `microbatch`: its consumer, producer and messages, with tickets in place of acked offsets and gaps.

How the acknowledgement works. Every chunk gets a Ticket at the fetch, in a queue per partition that ends at the commit. The
committed offset is the end of the done tickets at the queue's head, so no chunk can be passed over, and a chunk that Faust
drops anywhere stalls the commit (and the watchdog sees it) instead of being lost. Faust's own bookkeeping of acked offsets
and gaps commits past unfinished records and is not used.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from streams.lease import WENT_BACK, die

MAX_FETCHED_BYTES = 2 << 20  #: of values in one batch
AGAIN_SECONDS = 0.05  #: until a seek that met a rebalance is tried again; left out, what was thrown away would be lost (measured)

log = structlog.get_logger()


class Ticket:
    """Offsets [first, next) of one batch, in its partition's queue from the fetch to the commit."""

    __slots__ = ("born", "dead", "done", "first", "next", "saved")

    def __init__(self, first: int, next_: int) -> None:
        self.first, self.next = first, next_
        self.saved: asyncio.Event | None = None  #: there once its effects are being delivered; set when that has ended
        self.done = False  #: its effects are safe
        self.dead = False  #: its partition was taken away or sought: whoever owns it reads it again
        self.born = time.monotonic()


class Batch(list[Any]):
    """What `_getmany` puts in the place of a record."""

    __slots__ = ("nbytes", "ticket")
    ticket: Ticket
    nbytes: int


class BatchMessage(ConsumerMessage):  # type: ignore[misc]
    """A Faust message holding a batch.

    `acked` is a property because `_cython/streams.pyx` inlines Consumer.ack and only sets it: an overridden ack would never
    be called. An ack counts only for a completed batch, not one of Faust's own for a message that it skips.
    The message is taken out of `unacked` here, as Faust forgets to when the same offset is read twice, and then a revocation
    waits for it for ever.
    """

    def __init__(self, ticket: Ticket, unacked: Any, *args: Any, **kwargs: Any) -> None:
        self.ticket = ticket
        self.completed = False
        self._unacked = unacked
        super().__init__(*args, **kwargs)

    @property
    def acked(self) -> bool:
        return bool(self._acked)

    @acked.setter
    def acked(self, value: bool) -> None:
        self._acked = value
        if value:
            self._unacked.discard(self)
            if self.completed:
                self.ticket.done = True


class ReadOffsets(dict[Any, Any]):
    """Answers None for the batch topic: `_drain_messages` drops what is below its read offset, which is stale after a seek."""

    def __init__(self, batch_topic: str) -> None:
        super().__init__()
        self._batch_topic = batch_topic

    def __getitem__(self, tp: Any) -> Any:
        return None if tp.topic == self._batch_topic else self.get(tp)


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, with batches and tickets for the app's batch topic; what is read of changelogs goes to `recovery`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tickets: dict[Any, deque[Ticket]] = {}
        super().__init__(*args, **kwargs)
        self._read_offset = ReadOffsets(self.app.batch_topic)

    # -- in: records -> batches ----------------------------------------------------------------------------------------

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109
        # The end of Faust's recovery resumes the source partitions, THEN seeks, THEN clears the queues: a record fetched
        # in between would be thrown away and skipped. So nothing is read from them while the app is rebalancing. (An empty
        # set would mean "all partitions" to aiokafka.)
        app, topic = self.app, self.app.batch_topic
        if app.rebalancing:
            active_partitions = {tp for tp in active_partitions if tp.topic != topic}
            if not active_partitions:
                await self.sleep(0.02)
                return {}
        generation = app.consumer_generation_id
        records = await super()._getmany(active_partitions, timeout)
        stale = generation != app.consumer_generation_id or not self.flow_active
        batches, changes = _by_kind(records, topic)
        await self._restore(changes, stale=stale)
        if batches and (stale or app.rebalancing):
            log.info("fetch_discarded", partitions=sorted(tp.partition for tp in batches))
            await self.perform_seek()  # the fetch began before a rebalance: have it read again
            return {}
        return {tp: self._pack(tp, rs) for tp, rs in batches.items()}

    async def _restore(self, changes: Mapping[Any, list[Any]], *, stale: bool) -> None:
        """Records of changelogs go to the recovery, and nowhere else; it seeks before it reads, so older ones leave a hole."""
        if stale and changes:
            await self.app.tables.recovery.seek_back(changes)
            return
        for tp, records in changes.items():
            self.app.tables.recovery.take(tp, records)

    async def getmany(self, timeout: float) -> Any:  # noqa: ASYNC109
        async for tp, message in super().getmany(timeout):
            if type(message) is not BatchMessage or not message.ticket.dead:
                yield tp, message

    def _pack(self, tp: Any, records: list[Any]) -> list[Batch]:
        queue = self._tickets.setdefault(tp, deque())
        batches = list(cut(records, self.app.max_records))
        for batch in batches:
            if queue and batch.ticket.first < queue[-1].next:
                die(WENT_BACK, "offsets_went_back_without_a_seek", tp=str(tp), first=batch.ticket.first, after=queue[-1].next)
            queue.append(batch.ticket)
        return batches

    def _to_message(self, tp: Any, record: Any) -> Any:
        if type(record) is not Batch:
            return super()._to_message(tp, record)
        last, ticket = record[-1], record.ticket
        return BatchMessage(
            ticket,
            self._unacked_messages,
            last.topic,
            last.partition,
            ticket.first,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            record,
            None,
            0,
            record.nbytes,
            tp if type(tp) is TP else TP(tp.topic, tp.partition),
            generation_id=self.app.consumer_generation_id,
        )

    # -- out: offsets --------------------------------------------------------------------------------------------------

    def is_next(self, tp: Any, ticket: Ticket) -> bool:
        """Whether it is the oldest unfinished batch of its partition; anything else would break the order."""
        return next((t for t in self._tickets.get(tp, ()) if not t.done), None) is ticket

    def finish(self, message: BatchMessage) -> None:
        """It is not worked on any more: acknowledged if it was completed, and nothing need wait for it."""
        message.acked = True
        notify(self._waiting_for_ack)

    def oldest_unfinished(self) -> float:
        """Age in seconds of the oldest batch that is not finished; 0.0 where there is none."""
        born = [t.born for queue in self._tickets.values() for t in queue if not t.done]
        return time.monotonic() - min(born) if born else 0.0

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        mine = self._tickets
        yield from (tp for tp in super()._filter_tps_with_pending_acks(topics) if tp not in mine)
        for tp, queue in mine.items():
            if queue and queue[0].done and (topics is None or tp in topics or tp.topic in topics):
                yield tp

    def _new_offset(self, tp: Any) -> int | None:
        queue = self._tickets.get(tp)
        if queue is None:
            found: int | None = super()._new_offset(tp)
            return found
        new = None
        while queue and queue[0].done:
            new = queue.popleft().next
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return new

    # -- positions move: what is outstanding will be read again -----------------------------------------------------------

    async def _let_go(self, tps: Iterable[Any]) -> None:
        """Begin nothing more of these partitions, let what is under way be saved and committed, and forget the rest.

        A batch whose outcomes are out and whose rows are not would say them again to whoever reads it next, and so would one
        that is saved: a fetch that crosses a rebalance seeks before the revocation has committed.
        """
        tickets = [ticket for tp in tps for ticket in self._tickets.get(tp, ())]
        for ticket in tickets:
            ticket.dead = ticket.saved is None
        for ticket in tickets:
            if ticket.saved is not None:
                await ticket.saved.wait()
        if any(ticket.done for ticket in tickets) and not self.app.should_stop:  # where it stops Faust commits, and closes
            await self.maybe_wait_for_commit_to_finish()
            await self.commit()
        self._forget(tps)

    def _forget(self, tps: Iterable[Any]) -> None:
        for tp in tps:
            queue = self._tickets.get(tp)
            if queue is not None:
                for ticket in queue:
                    ticket.dead = True
                queue.clear()

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        """Of the batch topic what was never committed goes to its beginning; aiokafka would leave it where it is."""
        while True:
            try:
                found: Mapping[Any, int | None] = await super().seek_to_committed()
                break
            except IllegalStateError:  # the partitions were given out anew meanwhile: those of now are sought
                await asyncio.sleep(AGAIN_SECONDS)
        fresh = [tp for tp, offset in found.items() if not offset and tp.topic == self.app.batch_topic]
        if fresh:
            with suppress(IllegalStateError):  # taken away meanwhile: whoever gets it begins where it should
                await self._thread.call_thread(self._thread._ensure_consumer().seek_to_beginning, *fresh)
        return found

    async def perform_seek(self) -> None:
        await self._let_go(list(self._tickets))
        await super().perform_seek()
        self._forget(list(self._tickets))

    async def seek(self, partition: Any, offset: int) -> None:
        await self._let_go([partition])
        await super().seek(partition, offset)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await super().on_partitions_revoked(revoked)  # commits, so the tickets go after it; nothing where the worker stops
        await self._let_go(revoked)
        for tp in revoked:
            self._tickets.pop(tp, None)


def _by_kind(fetched: Mapping[Any, list[Any]], topic: str) -> tuple[dict[Any, list[Any]], dict[Any, list[Any]]]:
    """Records of the batch topic, and those of changelogs."""
    batches = {tp: records for tp, records in fetched.items() if tp.topic == topic}
    return batches, {tp: records for tp, records in fetched.items() if tp.topic != topic}


def cut(records: list[Any], max_records: int) -> Iterator[Batch]:
    """Batches with tickets, of at most `max_records` records and about MAX_FETCHED_BYTES, never empty."""
    current, size = Batch(), 0
    for record in records:
        nbytes = max(record.serialized_value_size, 0)
        if current and (len(current) >= max_records or size + nbytes > MAX_FETCHED_BYTES):
            yield _sealed(current, size)
            current, size = Batch(), 0
        current.append(record)
        size += nbytes
    if current:
        yield _sealed(current, size)


def _sealed(batch: Batch, size: int) -> Batch:
    batch.nbytes = size
    batch.ticket = Ticket(batch[0].offset, batch[-1].offset + 1)
    return batch


class Producer(driver.Producer):  # type: ignore[misc]
    """Idempotent without transactions: a retried batch is not written twice, and a partition keeps its order."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = Consumer
    Producer = Producer


class BatchSchema(Schema):  # type: ignore[misc]
    """The value is already a list of raw records. Decoding in Faust would acknowledge what it cannot decode."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> None:
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return message.value
