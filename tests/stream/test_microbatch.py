"""The traps of micro-batches inside Faust, one by one, without a broker; those that need one are in tests/integration."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import rocksdict
from aiokafka.errors import IllegalStateError
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from streams import batches, lease, microbatch, pinned
from streams.batches import BatchMessage, Consumer, ReadOffsets, Ticket, cut
from streams.delivery import MAX_RECORD_BYTES, Delivery, RecordTooLarge, partition_of
from streams.errors import InvalidConfiguration
from streams.step import Message, Step

TOPIC = "ats.facts"
TP0 = TP(TOPIC, 0)
CHANGELOG = TP("changelog", 0)


class Died(BaseException):
    """In the place of os._exit; no `except Exception` may catch it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(code: int, event: str, **details: object) -> None:
        raise Died(code)

    for module in (microbatch, batches, lease):
        monkeypatch.setattr(module, "die", die)


def record(offset: int, size: int = 10, partition: int = 0, timestamp: int = 0) -> Any:
    return SimpleNamespace(
        offset=offset,
        serialized_value_size=size,
        value=b"x" * min(size, 10),
        topic=TOPIC,
        partition=partition,
        timestamp=timestamp,
        timestamp_type=0,
    )


def consumer(max_records: int = 3) -> Any:
    """A consumer of the worker, with just what the bookkeeping uses."""
    made: Any = Consumer.__new__(Consumer)
    made._tickets = {}
    made._acked = defaultdict(list)
    made._acked_index = defaultdict(set)
    made._unacked_messages = set()
    made._committed_offset = defaultdict(lambda: None)
    made.app = SimpleNamespace(
        batch_topic=TOPIC, max_records=max_records, rebalancing=False, consumer_generation_id=1, should_stop=False
    )
    return made


# -- batches and tickets -------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(0, 900_000), min_size=1, max_size=40), st.integers(1, 7))
def test_a_fetch_is_cut_into_bounded_batches_that_cover_it_exactly(sizes: list[int], most: int) -> None:
    records = [record(5 + n, size) for n, size in enumerate(sizes)]
    found = list(cut(records, most))
    assert [r for batch in found for r in batch] == records
    assert all(0 < len(batch) <= most for batch in found)
    assert all(len(batch) == 1 or batch.nbytes <= batches.MAX_FETCHED_BYTES for batch in found)
    assert [(b.ticket.first, b.ticket.next) for b in found] == [(b[0].offset, b[-1].offset + 1) for b in found]


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_commit_passes_an_unfinished_record_or_goes_back(rng: random.Random) -> None:
    """Random fetches (with holes), batches done out of order, acks of batches that were not done, seeks: 400 sequences."""
    made = consumer()
    position = committed = 0
    done: set[int] = set()
    outstanding: list[Ticket] = []
    existing: set[int] = set()
    for _ in range(60):
        choice = rng.random()
        if choice < 0.4:
            offsets = []
            for _ in range(rng.randint(1, 8)):
                position += 1 if rng.random() < 0.8 else rng.randint(2, 9)
                offsets.append(position)
            existing.update(offsets)
            outstanding += [b.ticket for b in made._pack(TP0, [record(o) for o in offsets])]
        elif choice < 0.75 and outstanding:
            ticket = outstanding.pop(rng.randrange(len(outstanding)))
            message = BatchMessage.__new__(BatchMessage)
            message.ticket, message._unacked, message.completed = ticket, set(), rng.random() < 0.8
            message.acked = True
            if message.completed and not ticket.dead:
                done.update(o for o in existing if ticket.first <= o < ticket.next)
        elif choice < 0.95:
            for tp in list(made._filter_tps_with_pending_acks()):
                offset = made._new_offset(tp)
                if offset is not None:
                    assert offset >= committed
                    assert all(o in done for o in existing if committed <= o < offset)
                    committed = offset
        else:
            made._forget([TP0])
            assert all(ticket.dead for ticket in outstanding)
            outstanding.clear()
            position = committed - 1 if committed else 0
            existing = {o for o in existing if o < committed}
            done &= existing


def test_offsets_that_go_back_without_a_seek_stop_the_worker(mortal: None) -> None:
    made = consumer()
    made._pack(TP0, [record(10), record(11)])
    with pytest.raises(Died) as died:
        made._pack(TP0, [record(11)])
    assert died.value.code == lease.WENT_BACK


def test_only_the_oldest_unfinished_batch_is_next() -> None:
    made = consumer(max_records=1)
    first, second = (batch.ticket for batch in made._pack(TP0, [record(1), record(2)]))
    assert made.is_next(TP0, first)
    assert not made.is_next(TP0, second)
    first.done = True
    assert made.is_next(TP0, second)
    assert made.oldest_unfinished() >= 0


def test_an_ack_counts_only_for_a_completed_batch_and_always_frees_the_revocation() -> None:
    for completed in (False, True):
        ticket, unacked = Ticket(0, 5), set[Any]()
        message = BatchMessage.__new__(BatchMessage)
        message.ticket, message.completed, message._unacked = ticket, completed, unacked
        unacked.add(message)
        message.acked = True  # all that _cython/streams.pyx does
        assert ticket.done is completed
        assert not unacked  # else wait_empty waits for ever for an offset that was read twice


def test_a_revocation_waits_for_a_batch_until_it_is_finished() -> None:
    async def scene() -> None:
        made = consumer()
        (batch,) = made._pack(TP0, [record(1)])
        message = BatchMessage.__new__(BatchMessage)
        message.ticket, message._acked, message.completed, message._unacked = batch.ticket, False, True, made._unacked_messages
        made._unacked_messages.add(message)
        made._clean_unacked_messages()  # as the revocation does while it waits
        assert made._unacked_messages == {message}
        made._waiting_for_ack = asyncio.get_running_loop().create_future()
        made.finish(message)
        assert made._waiting_for_ack.done()  # it need not wait for its own time-out
        assert batch.ticket.done
        assert not made._unacked_messages

    asyncio.run(scene())


def test_a_stale_read_offset_never_drops_a_batch() -> None:
    offsets = ReadOffsets(TOPIC)
    offsets[TP0] = 100
    offsets[TP("changelog", 0)] = 7
    assert offsets[TP0] is None
    assert offsets[TP("changelog", 0)] == 7


def test_the_recovery_race_of_faust_reads_nothing_while_rebalancing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def fetch(self: Any, active: Any, timeout: float) -> Any:
        asked.append(active)
        return {}

    async def no_sleep(seconds: float) -> None:
        return None

    monkeypatch.setattr(batches.driver.Consumer, "_getmany", fetch)
    made = consumer()
    made.sleep = no_sleep
    made.app.rebalancing = True
    assert asyncio.run(made._getmany({TP0}, 1.0)) == {}
    assert asked == []  # an empty set would have meant all partitions
    made.flow_active = True
    asyncio.run(made._getmany({TP0, CHANGELOG}, 1.0))
    assert asked == [{CHANGELOG}]


@pytest.mark.parametrize("change", ["rebalancing", "generation", "flow"])
def test_a_fetch_that_crosses_a_rebalance_is_thrown_away_and_sought_back(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    made, recovery = consumer(), Taken()
    made.flow_active = True
    made.app.tables = SimpleNamespace(recovery=recovery)
    sought: list[bool] = []

    async def fetch(self: Any, active: Any, timeout: float) -> Any:
        if change == "rebalancing":
            made.app.rebalancing = True
        elif change == "generation":
            made.app.consumer_generation_id = 2
        else:
            made.flow_active = False
        return {TP0: [record(1)], CHANGELOG: [record(4)]}

    async def perform_seek() -> None:
        sought.append(True)

    monkeypatch.setattr(batches.driver.Consumer, "_getmany", fetch)
    made.perform_seek = perform_seek
    assert asyncio.run(made._getmany({TP0}, 1.0)) == {}
    assert sought == [True]
    assert not made._tickets
    # A changelog is read while the app is rebalancing; only what belongs to another generation would leave a hole.
    assert (recovery.taken, recovery.sought) == (([(CHANGELOG, [4])], []) if change == "rebalancing" else ([], [CHANGELOG]))


class Taken:
    """In the place of the recovery service."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.sought: list[Any] = []

    def take(self, tp: Any, records: list[Any]) -> None:
        self.taken.append((tp, [r.offset for r in records]))

    async def seek_back(self, tps: Any) -> None:
        self.sought += tps


def test_a_seek_begins_at_the_beginning_where_nothing_was_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    other, begun = TP(TOPIC, 1), list[Any]()

    async def committed(self: Any) -> Any:
        return {TP0: None, other: 5, CHANGELOG: None}

    async def call_thread(function: Any, *tps: Any) -> None:
        assert function == "seek_to_beginning"
        begun.extend(tps)

    monkeypatch.setattr(batches.driver.Consumer, "seek_to_committed", committed)
    made = consumer()
    made._thread = SimpleNamespace(
        call_thread=call_thread, _ensure_consumer=lambda: SimpleNamespace(seek_to_beginning="seek_to_beginning")
    )
    asyncio.run(made.seek_to_committed())
    assert begun == [TP0]  # aiokafka leaves it behind the records that were thrown away


def test_a_seek_that_meets_a_rebalance_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended the worker with exit code 1; left out, what had been fetched and thrown away would never be read."""
    answers: list[Any] = [IllegalStateError("No current assignment"), {TP0: 5}]

    async def committed(self: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(batches.driver.Consumer, "seek_to_committed", committed)
    assert asyncio.run(consumer().seek_to_committed()) == {TP0: 5}


def test_a_seek_kills_the_tickets_and_clears_fausts_own_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def seek(self: Any) -> None:
        return None

    monkeypatch.setattr(batches.driver.Consumer, "perform_seek", seek)
    made = consumer()
    ticket = made._pack(TP0, [record(1)])[0].ticket
    asyncio.run(made.perform_seek())
    assert ticket.dead
    ticket.done = True
    assert list(made._filter_tps_with_pending_acks()) == []
    made._pack(TP0, [record(1)])  # read again from the committed offset: no complaint


# -- one batch through the app -----------------------------------------------------------------------------------------------


class Journal:
    """An app whose delivery and table note what happens, in order."""

    def __init__(self, step: Step) -> None:
        self.done: list[str] = []
        self.lost_after: int | None = None
        self.made = consumer(max_records=10)
        self.batch = self.made._pack(TP0, [record(1), record(2)])[0]
        self.made.highwater = lambda tp: 3
        self.message = BatchMessage.__new__(BatchMessage)
        fields = {"topic": TOPIC, "partition": 0, "offset": 1, "generation_id": 1, "value": self.batch, "tp": TP0}
        for name, value in fields.items():
            setattr(self.message, name, value)
        self.message.ticket, self.message.completed, self.message._unacked = self.batch.ticket, False, set()
        table = SimpleNamespace(
            changelog_topic_name="changelog",
            rows=lambda partition: None,
            write=lambda partition, changes, offset: self.done.append(f"wrote {sorted(changes)} at {offset}"),
            _verify_source_topic_partitions=lambda topic: None,
        )
        self.app: Any = SimpleNamespace(
            role="test",
            consumer_generation_id=1,
            consumer=self.made,
            rows_table=table,
            finished=0,
            delivery=SimpleNamespace(send=self.send),
            flow_control=SimpleNamespace(is_active=lambda: self.flowing),
            turn=asyncio.Lock(),
            state_folder=None,
        )
        self.flowing = True
        self.made._waiting_for_ack = None
        step.applied = lambda: self.done.append("applied")
        self.step = step

    async def send(self, messages: Any) -> dict[tuple[str, int], int]:
        messages = list(messages)
        self.done.append("sent " + ",".join(sorted({m.topic for m in messages})))
        if self.lost_after == len(self.done):
            self.batch.ticket.dead = True
        return {(m.topic, m.partition): 41 for m in messages}

    def run(self) -> None:
        asyncio.run(microbatch._process(self.app, lambda partition, records, read: self.step, self.message))

    def work(self) -> None:
        """As a lane does it."""
        asyncio.run(microbatch._work(self.app, lambda partition, records, read: self.step, self.message))


def step() -> Step:
    return Step({b"k": b"v"}, [Message("sla.outcomes", 0, b"o", b"x")])


def test_outcomes_then_changelog_then_the_local_write_then_the_acknowledgement() -> None:
    journal = Journal(step())
    journal.run()
    assert journal.done == ["sent sla.outcomes", "sent changelog", "wrote [b'k'] at 41", "applied"]
    assert journal.message.completed


@pytest.mark.parametrize(("lost_after", "done"), [(1, ["sent sla.outcomes"]), (2, ["sent sla.outcomes", "sent changelog"])])
def test_a_batch_whose_partition_was_taken_meanwhile_writes_nothing(lost_after: int, done: list[str]) -> None:
    journal = Journal(step())
    journal.lost_after = lost_after
    journal.run()
    assert journal.done == done
    assert not journal.message.completed


@pytest.mark.parametrize("moves", ["perform_seek", "seek", "on_partitions_revoked"])
def test_what_was_told_is_saved_and_committed_before_its_partition_is_let_go(monkeypatch: pytest.MonkeyPatch, moves: str) -> None:
    """Told and not saved, it would be told again by whoever reads it next (seen in CI: 15 outcomes of a worker that joined)."""
    journal = Journal(step())
    waiting = journal.made._pack(TP0, [record(3)])[0].ticket

    async def asked(self: Any, *what: Any) -> None:
        return None

    async def slow(messages: Any) -> dict[tuple[str, int], int]:
        topics = await journal.send(messages)
        await asyncio.sleep(0.05)
        return topics

    async def commit() -> bool:
        journal.done.append(f"committed {journal.made._new_offset(TP0)}")
        return True

    async def scene() -> None:
        working = asyncio.create_task(
            microbatch._work(journal.app, lambda partition, records, read: journal.step, journal.message)
        )
        while not journal.done:
            await asyncio.sleep(0)
        await getattr(journal.made, moves)(*{"perform_seek": (), "seek": (TP0, 1), "on_partitions_revoked": ({TP0},)}[moves])
        assert working.done()
        assert waiting.dead  # what was not begun is read again

    monkeypatch.setattr(batches.driver.Consumer, moves, asked)
    journal.app.delivery.send, journal.made.commit, journal.made._commit_fut = slow, commit, None
    asyncio.run(scene())
    assert journal.message.completed
    assert journal.done == ["sent sla.outcomes", "sent changelog", "wrote [b'k'] at 41", "applied", "committed 3"]
    assert not journal.made._tickets.get(TP0)


def test_a_batch_that_waited_in_its_lane_is_not_begun_once_a_rebalance_has() -> None:
    journal = Journal(step())
    journal.flowing = False
    journal.message._unacked.add(journal.message)
    journal.work()
    assert journal.done == []
    assert not journal.batch.ticket.done
    assert not journal.message._unacked  # so the revocation goes on


def test_a_batch_that_fails_stops_the_worker_and_is_not_acknowledged(mortal: None) -> None:
    journal = Journal(step())
    journal.app.delivery.send = None
    with pytest.raises(Died) as died:
        journal.work()
    assert died.value.code == lease.FAILED
    assert not journal.batch.ticket.done


def test_a_batch_of_another_generation_is_not_even_begun() -> None:
    journal = Journal(step())
    journal.app.consumer_generation_id = 2
    journal.run()
    assert journal.done == []
    assert not journal.message.completed


def test_a_batch_out_of_turn_stops_the_worker(mortal: None) -> None:
    journal = Journal(step())
    journal.made._tickets[TP0].appendleft(Ticket(0, 1))
    with pytest.raises(Died) as died:
        journal.run()
    assert died.value.code == lease.SKIPPED
    assert journal.done == []


def test_a_row_over_the_limit_is_refused_before_anything_is_sent() -> None:
    journal = Journal(Step({b"k": b"v" * (microbatch.MAX_STATE_BYTES + 1)}, [Message("sla.outcomes", 0, b"o", b"x")]))
    with pytest.raises(microbatch.StateTooLarge, match="row b'k' has 524289 bytes"):
        journal.run()
    assert journal.done == []


# -- the table --------------------------------------------------------------------------------------------------------------


def test_rows_and_the_changelog_offset_are_written_together_and_the_offset_is_no_row(tmp_path: Any) -> None:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    database = rocksdict.Rdict(str(tmp_path / "db"), options)
    store = SimpleNamespace(_db_for_partition=lambda partition: database, offset_key=b"__faust\0offset__")
    table: Any = SimpleNamespace(data=store)
    microbatch.Table.write(table, 0, {b"a1": b"1", b"a2": b"2", b"b": b"3"}, 17)
    microbatch.Table.write(table, 0, {b"a2": None}, -1)  # offset not known: the tail is read again
    rows = microbatch.Rows(store, 0)
    assert database.get(store.offset_key) == b"17"
    assert rows(b"a1") == b"1"
    assert rows(b"a2") is None
    assert list(rows.items()) == [(b"a1", b"1"), (b"b", b"3")]
    assert list(rows.items(b"a")) == [(b"a1", b"1")]
    assert list(rows.items(b"a", b"a2")) == []
    database.close()


# -- delivery ---------------------------------------------------------------------------------------------------------------


class Broker:
    """aiokafka's producer as `Delivery` uses it: batches of three records, offsets counted per partition."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
        self.fail = False
        self.hang = False

    def create_batch(self) -> Any:
        held: list[tuple[bytes, bytes]] = []

        def append(*, key: bytes, value: bytes, timestamp: None) -> Any:
            if len(held) >= 3:
                return None
            held.append((key, value))
            return object()

        return SimpleNamespace(append=append, close=lambda: None, held=held)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        future = asyncio.get_running_loop().create_future()
        if self.hang:
            return future
        if self.fail:
            future.set_exception(OSError("broker said no"))
            return future
        log = self.logs[topic, partition]
        future.set_result(SimpleNamespace(offset=len(log)))
        log.extend(batch.held)
        return future


def delivery(broker: Broker, timeout: float = 5.0) -> Delivery:
    return Delivery(lambda: broker, {"facts": 4, "out": 2}, timeout, lambda: None)


def test_messages_keep_their_order_in_each_partition_and_give_the_last_offset() -> None:
    broker = Broker()
    messages = [Message("out", n % 2, b"k%d" % n, b"v") for n in range(10)]
    offsets = asyncio.run(delivery(broker).send(messages))
    assert offsets == {("out", 0): 4, ("out", 1): 4}
    assert [key for key, _ in broker.logs["out", 1]] == [b"k1", b"k3", b"k5", b"k7", b"k9"]


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(1, 64))
def test_a_key_goes_where_every_other_client_sends_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions  # kafka-python's, as the gateway uses it


def test_keys_go_where_java_sends_them() -> None:
    """murmur2 test vectors of Kafka's own UtilsTest."""
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    for key, hashed in known.items():
        assert partition_of(key, 1_000_003) == (hashed & 0x7FFFFFFF) % 1_000_003


def test_a_record_that_is_too_large_is_refused_before_anything_is_sent() -> None:
    broker = Broker()
    messages = [Message("out", 0, b"a", b"fine"), Message("out", 0, b"b", b"x" * MAX_RECORD_BYTES)]
    with pytest.raises(RecordTooLarge, match=f"a record of {MAX_RECORD_BYTES + 1} bytes for out, key b'b'"):
        asyncio.run(delivery(broker).send(messages))
    assert not broker.logs


@pytest.mark.parametrize(
    "message", [Message("unknown", 0, b"k", b"v"), Message("out", 2, b"k", b"v"), Message("out", None, None, b"v")]
)
def test_a_message_without_a_place_is_refused(message: Message) -> None:
    with pytest.raises((KeyError, ValueError)):
        asyncio.run(delivery(Broker()).send([message]))


def test_a_failed_or_hanging_delivery_is_an_error_not_a_log_line() -> None:
    broker = Broker()
    broker.fail = True
    with pytest.raises(OSError, match="broker said no"):
        asyncio.run(delivery(broker).send([Message("out", 0, b"k", b"v")]))
    broker.fail, broker.hang = False, True
    with pytest.raises(TimeoutError):
        asyncio.run(delivery(broker, timeout=0.05).send([Message("out", 0, b"k", b"v")]))


def test_the_lease_is_checked_before_each_produce() -> None:
    broker = Broker()

    def frozen() -> None:
        raise Died(lease.FROZEN)

    with pytest.raises(Died):
        asyncio.run(Delivery(lambda: broker, {"out": 1}, 5.0, frozen).send([Message("out", 0, b"k", b"v")]))
    assert not broker.logs


# -- lease and pins -----------------------------------------------------------------------------------------------------------

FROZEN = """
import sys, time
from streams.lease import Lease
held = Lease(1.0)
held.start()
end = time.monotonic() + 2.5
while time.monotonic() < end:  # a long batch: the loop stands still, the process does not
    sum(range(10_000))
held.check()
print("busy is not frozen", flush=True)
time.sleep(30)
"""


def test_a_frozen_process_leaves_on_waking_and_a_busy_one_does_not() -> None:
    with subprocess.Popen([sys.executable, "-c", FROZEN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy is not frozen\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        process.send_signal(signal.SIGCONT)
        try:
            assert process.wait(10) == lease.FROZEN
        finally:
            process.kill()


def test_the_pinned_versions_and_private_names_are_all_there() -> None:
    pinned.verify()


def test_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pinned.VERSIONS, "aiokafka", "0.13.0")
    monkeypatch.setitem(pinned.VERSIONS, "no-such-package", "1")
    with pytest.raises(InvalidConfiguration) as refused:
        pinned.verify()
    assert len(refused.value.faults) == 2
    assert "micro-batches were proved on 0.13.0 only" in refused.value.faults[0]


def test_a_missing_private_name_or_codec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(batches.driver.Producer, "_settings_extra")
    monkeypatch.setattr("faust.transport.base.Producer._settings_extra", None, raising=False)
    monkeypatch.setattr("aiokafka.codec.has_zstd", lambda: False)
    with pytest.raises(InvalidConfiguration) as refused:
        pinned.verify()
    assert any("zstd" in fault for fault in refused.value.faults)


# -- what reads the rows after a recovery --------------------------------------------------------------------------------


class Recovering:
    """An app of one partition after its recovery; `read` notes how often its rows were read to the end."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.go_on = asyncio.Event()
        self.error: Exception | None = None
        table = SimpleNamespace(changelog_topic_name="changelog", rows=lambda partition: None, on_recover=self.take)
        self.app: Any = SimpleNamespace(
            role="test",
            rebalancing_count=1,
            rows_table=table,
            state_folder=None,
            assignor=SimpleNamespace(assigned_actives=lambda: {CHANGELOG}),
            progress=SimpleNamespace(recovery=SimpleNamespace(moved=lambda: None)),
        )
        microbatch._recover(self.app, self.recovered)

    def take(self, callback: Any) -> None:
        self.callback = callback

    async def recovered(self, partition: int, read: Any) -> None:
        if not self.read:
            self.read.append(0)
            await self.go_on.wait()
            if self.error is not None:
                raise self.error
        self.read.append(len(self.read))


def test_a_recovery_that_was_overtaken_reads_no_rows_beside_the_next_one() -> None:
    """It would have put what it read of old rows in the place of what the next one read: deadlines would have been forgotten."""

    async def scene() -> None:
        made = Recovering()
        first = asyncio.create_task(made.callback())
        await asyncio.sleep(0)
        await asyncio.create_task(made.callback())
        made.go_on.set()
        await asyncio.wait([first])
        assert first.cancelled()
        assert made.read == [0, 1]

    asyncio.run(scene())


@pytest.mark.parametrize("overtaken", [True, False])
def test_rows_that_are_closed_by_the_next_rebalance_are_no_reason_to_die(mortal: None, *, overtaken: bool) -> None:
    async def scene() -> None:
        made = Recovering()
        made.error = RuntimeError("the database is closed")
        reading = asyncio.create_task(made.callback())
        await asyncio.sleep(0)
        made.app.rebalancing_count += overtaken
        made.go_on.set()
        await reading

    if overtaken:
        asyncio.run(scene())
    else:
        with pytest.raises(Died):
            asyncio.run(scene())
