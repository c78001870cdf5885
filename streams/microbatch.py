"""Micro-batches inside faust-streaming 0.15.3: one Faust message per fetched chunk of records of one partition.

Comes in: a pure step function and the topics. Goes out: a worker that loses nothing and doubles nothing that matters:
messages delivered -> changelog delivered -> one local RocksDB write that carries the changelog offset -> acknowledgement.
Batches of different partitions are in flight together (`lanes`), those of one partition one after the other.
All Faust internals the project touches are here and in `batches`; `pinned` refuses other versions. Subclasses, no patches.
Faust's exactly_once loses state (measured) and is not used.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import faust
import rocksdict
import structlog

from streams import changelog, damage, kafka_security, lease, metrics, pinned
from streams.assignment import PartitionAssignor
from streams.batches import BatchSchema, Transport
from streams.delivery import RECORD_BATCH_BYTES, Delivery
from streams.errors import MutualSLAError
from streams.exclusive import exclusive
from streams.lanes import Lanes
from streams.lease import FAILED, SKIPPED, STALLED, Lease, die
from streams.recovery import TableManager
from streams.settings import Settings
from streams.step import Message, Read, Recovered, Step, StepFunction
from streams.watchdog import Watchdog
from streams.worker_progress import WorkerProgress

MAX_STATE_BYTES = 512 << 10  #: of one row: far below what a record batch takes
OFFSET_KEY = b"__faust\0offset__"  #: under which Faust's store keeps the changelog offset
MAX_IN_FLIGHT = 16  #: batches that are begun, or wait in their lanes
HOPS = 12  #: rounds of the event loop from a message to the wire, or from the answer to whoever waits for it
STOP_SECONDS = 15.0  #: from SIGTERM to the end at the latest; without a broker Faust would wait for a minute and more

__all__ = ["App", "Message", "Read", "Step", "StepFunction", "build", "pause", "run_worker"]

log = structlog.get_logger()

RECORDS = metrics.WORKER_RECORDS.counter()
BATCHES = metrics.WORKER_BATCHES.counter()
BATCH_SECONDS = metrics.WORKER_BATCH_SECONDS.histogram()
MESSAGES = metrics.WORKER_MESSAGES.counter()
LAG = metrics.WORKER_LAG.gauge()
POSITION = metrics.WORKER_POSITION.gauge()
REJECTED = metrics.WORKER_REJECTED.counter()  #: counted by the steps, which know why


#: When garbage in circles is looked for: a step makes many objects and next to none in circles. Python's own thresholds took a
#: fifth of a tracker's processor time (186 µs an event instead of 231).
GARBAGE = (50_000, 20, 50)


class StateTooLarge(MutualSLAError):
    """A row over MAX_STATE_BYTES: the step function has to split it."""


class Rows:
    """`Read` over the RocksDB of one partition. Holds no iterator longer than it is used: it would keep the lock."""

    def __init__(self, store: Any, partition: int) -> None:
        self._db = store._db_for_partition(partition)
        self._hidden = store.offset_key

    def __call__(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._db.items(from_key=max(prefix, start)):
            if not key.startswith(prefix):
                return
            if key != self._hidden:
                yield key, value


class Table(faust.Table):  # type: ignore[misc]
    """A RocksDB table, one database a partition, written a batch at a time."""

    def rows(self, partition: int) -> Rows:
        return Rows(self.data, partition)

    def write(self, partition: int, changes: Mapping[bytes, bytes | None], offset: int) -> None:
        """The changes and the changelog offset that holds them, atomically, after the changelog has them.

        So local state is never ahead of the changelog, and a replay needs no rule of its own. Without the offset (-1) the
        tail of the changelog is read again at the next recovery.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if offset >= 0:
            batch.put(self.data.offset_key, b"%d" % offset)
        self.data._db_for_partition(partition).write(batch)


class App(faust.App):  # type: ignore[misc]
    """One agent, one table, concurrency 1. Made by `build`, run by `run_worker`."""

    batch_topic: str = ""
    max_records: int = 1000
    role: str = ""
    partition_counts: Mapping[str, int]
    state_folder: Path
    lease: Lease
    delivery: Delivery
    turn: asyncio.Lock  #: whose step runs: one at a time, or a delivery would wait for the steps of all lanes
    rows_table: Table
    watchdog: Watchdog
    progress: WorkerProgress
    finished: int = 0  #: batches, since the start
    _recovered: int = 0  #: the rebalance, as `rebalancing_count` has it, whose recovery has ended

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return Transport(self.conf.broker_producer, self)

    @property
    def rebalancing(self) -> bool:
        """From the beginning of a rebalance to the end of the recovery that it brought."""
        return bool(self.rebalancing_count != self._recovered)

    @rebalancing.setter
    def rebalancing(self, begun: bool) -> None:
        # Faust's is a flag: what ends one rebalance took the word away from the next, which the consumer's thread had begun.
        if not begun:
            self._recovered = self.tables.recovery.latest

    def raw_producer(self) -> Any:
        """The running AIOKafkaProducer; raises NotReady before the app has started."""
        return self.producer._ensure_producer()

    def owned(self) -> list[int]:
        """Partitions of the source that this worker owns, recovered and not rebalancing; [] otherwise."""
        if self.rebalancing or not self.tables.actives_ready:
            return []
        name = self.rows_table.changelog_topic_name
        return sorted(tp.partition for tp in self.assignor.assigned_actives() if tp.topic == name)

    @property
    def ready(self) -> bool:
        return bool(self.tables.actives_ready) and not self.rebalancing


class AnotherWorker(MutualSLAError):
    """Two workers with one folder: they would remove each other's state, and Kafka would take them for one."""

    exit_code = 69


def alone(settings: Settings, role: str) -> AbstractContextManager[None]:
    """Hold this worker's folder as long as it runs. Raises AnotherWorker if another process has it."""
    folder = _folder(settings, role)
    mend = "give each worker its own MUTUAL_SLA_WORKER_ID"
    return exclusive(folder / "lock", AnotherWorker(f"another {role} worker is at work in {folder}: {mend}"))


def _folder(settings: Settings, role: str) -> Path:
    return settings.state_dir / "workers" / f"{settings.app_id}-{role}-{settings.worker_id}"


def build(
    settings: Settings,
    role: str,
    source: str,
    step: StepFunction,
    *,
    outputs: Iterable[str],
    same_count: Iterable[str] = (),
    recovered: Recovered | None = None,
    max_records: int = 1000,
) -> App:
    """A worker that folds topic `source` through `step` into one table and sends to `outputs` only.

    `role` names application, group and changelog (`{app_id}-{role}…`); topic names are whole, prefix included. `same_count`:
    outputs that must have as many partitions as the source. `max_records` bounds a batch, and with it the time during which
    the event loop stands still. Blocks for the cluster's answers; raises InvalidConfiguration or Unreachable.
    """
    pinned.verify()
    name = f"{settings.app_id}-{role}"
    topics = [source, *outputs]
    cluster = changelog.prepare(settings, source, outputs, f"{name}-state-changelog", same_count)
    # A data directory per worker, because RocksDB locks it, and per cluster, because offsets of another cluster's changelog
    # in it make recovery fail or hang.
    datadir = _folder(settings, role) / cluster.cluster_id
    datadir.mkdir(parents=True, exist_ok=True)
    damage.remove_damaged(datadir, OFFSET_KEY)
    app = App(name, **_faust_settings(settings, name, str(datadir)))
    app.role, app.batch_topic, app.max_records = role, source, max_records
    app.state_folder = datadir
    app.lease = Lease(settings.lease_seconds)
    app.turn = asyncio.Lock()
    app.watchdog = Watchdog(role, settings.stall_seconds)
    app.progress = WorkerProgress(app, app.watchdog)
    partitions = {**{t: cluster.partitions[t] for t in topics}, f"{name}-state-changelog": cluster.partitions[source]}
    app.partition_counts = partitions
    # Longer than a session we cannot know that the partitions are still ours.
    app.delivery = Delivery(app.raw_producer, partitions, settings.session_timeout, app.lease.check)
    options = {"driver": "rocksdict", "block_cache_size": 32 << 20, "write_buffer_size": 16 << 20}
    app.rows_table = app.Table("state", partitions=partitions[source], key_type=bytes, value_type=bytes, options=options)
    _subscribe(app, step)
    _recover(app, recovered)
    return app


def _faust_settings(settings: Settings, name: str, datadir: str) -> dict[str, Any]:
    return {
        "broker": [f"kafka://{address}" for address in settings.brokers.split(",")],
        "broker_credentials": kafka_security.broker_credentials(settings),
        "store": "rocksdb://",
        "datadir": datadir,
        "Table": Table,
        "TableManager": TableManager,
        "PartitionAssignor": PartitionAssignor,
        "processing_guarantee": "at_least_once",
        "key_serializer": "raw",
        "value_serializer": "raw",
        "topic_allow_declare": False,  # topics are provisioned and verified by `changelog` and `topics`
        "topic_disable_leader": True,
        "table_standby_replicas": settings.standbys,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": f"{name}-{settings.worker_id}",  # static: a restart takes 2 s, not a session
        "broker_session_timeout": settings.session_timeout,
        "broker_heartbeat_interval": settings.session_timeout / 6,
        "broker_commit_interval": 1.0,
        "broker_max_poll_records": 10_000,
        "stream_buffer_maxsize": 16,  # counts batches here
        "stream_wait_empty": True,
        "producer_linger": 0.0,  # a batch is closed by us, so there is nothing to wait for
        "producer_max_batch_size": RECORD_BATCH_BYTES,
        "producer_compression_type": "zstd",  # aiokafka packs lz4 at its slowest level: seven times the CPU for twice the bytes
        "web_enabled": False,  # it would show the table to anybody
        "web_tables_enabled": False,
        "worker_redirect_stdouts": False,
        "autodiscover": False,
    }


def _subscribe(app: App, step: StepFunction) -> None:
    schema = BatchSchema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    lanes = Lanes(partial(_work, app, step), MAX_IN_FLIGHT)

    async def batches(stream: Any) -> None:
        stream.enable_acks = False  # the body of the loop is left when a batch is queued; what acknowledges it is `finish`
        async for event in stream.events():
            await lanes.put(event.message)

    app.agent(app.topic(app.batch_topic, schema=schema), concurrency=1)(batches)


async def _work(app: App, step: StepFunction, message: Any) -> None:
    try:
        await _process(app, step, message)
        app.consumer.finish(message)
    except Exception as error:
        # A worker that went on would commit what comes after this batch. So it never does.
        damage.note(app.state_folder, error)
        die(FAILED, "batch_failed", topic=message.topic, partition=message.partition, offset=message.offset)
    finally:
        if message.ticket.saved is not None:
            message.ticket.saved.set()


async def _process(app: App, step: StepFunction, message: Any) -> None:
    partition, ticket = message.partition, message.ticket
    async with app.turn:
        for _ in range(HOPS):  # what other lanes have to deliver goes on its way before the loop stands still again
            await asyncio.sleep(0)
        if _lost(app, message) or not app.flow_control.is_active():  # a rebalance, or the end, has begun
            return  # not completed, so not committed: whoever owns it then reads it again, like what Faust still holds
        if not app.consumer.is_next(message.tp, ticket):
            die(SKIPPED, "an_earlier_batch_was_skipped", partition=partition, offset=message.offset)
        app.rows_table._verify_source_topic_partitions(message.topic)
        begun = time.perf_counter()
        result = step(partition, message.value, app.rows_table.rows(partition))
    ticket.saved = asyncio.Event()
    await _save(app, message, result)
    if message.completed:
        _measure(app, message, result, time.perf_counter() - begun)


async def _save(app: App, message: Any, result: Step) -> None:
    _refuse_large(result.changes)
    await app.delivery.send(result.messages)
    if _lost(app, message):
        return
    if result.changes:
        log_name = app.rows_table.changelog_topic_name
        changes = (Message(log_name, message.partition, k, v) for k, v in result.changes.items())
        offsets = await app.delivery.send(changes)
        if _lost(app, message):
            return
        app.rows_table.write(message.partition, result.changes, offsets[log_name, message.partition])
    if result.applied is not None:
        result.applied()
    message.completed = True
    app.finished += 1


def _lost(app: App, message: Any) -> bool:
    return bool(message.ticket.dead or message.generation_id != app.consumer_generation_id)


def _refuse_large(changes: Mapping[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is not None and len(value) > MAX_STATE_BYTES:
            raise StateTooLarge(f"row {key!r} has {len(value)} bytes; at most {MAX_STATE_BYTES}")


def _measure(app: App, message: Any, result: Step, seconds: float) -> None:
    role, partition = app.role, str(message.partition)
    BATCHES.labels(role).inc()
    RECORDS.labels(role).inc(len(message.value))
    BATCH_SECONDS.labels(role).observe(seconds)
    POSITION.labels(role, partition).set(message.value[-1].timestamp / 1000)
    highwater = app.consumer.highwater(message.tp)
    LAG.labels(role, partition).set(max((highwater or 0) - message.ticket.next, 0))
    for topic in {m.topic for m in result.messages}:
        MESSAGES.labels(role, topic).inc(sum(m.topic == topic for m in result.messages))


def _recover(app: App, recovered: Recovered | None) -> None:
    at_work: asyncio.Task[Any] | None = None

    async def on_recover() -> None:
        # Faust swallows what is raised here and starts on rows that the callback has not seen. And where a recovery was
        # overtaken by a rebalance it lets this run on beside that of the next one: what it has read is old by then, and would
        # have the last word.
        nonlocal at_work
        if at_work is not None:
            at_work.cancel()
        at_work, begun = asyncio.current_task(), app.rebalancing_count
        try:
            name = app.rows_table.changelog_topic_name
            for tp in sorted(app.assignor.assigned_actives()):
                if tp.topic == name and recovered is not None:
                    await recovered(tp.partition, app.rows_table.rows(tp.partition))
                    app.progress.recovery.moved()
            log.info("recovered", role=app.role)
        except Exception as error:
            if app.rebalancing_count != begun:  # its rows were closed under it; the next recovery reads them
                return
            damage.note(app.state_folder, error)
            die(error.exit_code if isinstance(error, MutualSLAError) else FAILED, "recovery_failed", role=app.role)

    app.rows_table.on_recover(on_recover)


class Worker(faust.Worker):  # type: ignore[misc]
    """Faust's, which stops in bounded time: what was not committed then is read again."""

    def _schedule_shutdown(self, signal: Any) -> None:
        late = threading.Timer(STOP_SECONDS, die, (STALLED, "stop_took_too_long"))
        late.daemon = True
        late.start()
        super()._schedule_shutdown(signal)


async def pause() -> None:
    """Let the event loop go on; for long `recovered` callbacks."""
    await asyncio.sleep(0)


def run_worker(app: App) -> NoReturn:
    """Run until SIGTERM or SIGINT, then finish the batch at hand, commit and exit 0; exit 70-74 if it must not go on."""
    gc.freeze()  # modules, policy, calendars: there to the end
    gc.set_threshold(*GARBAGE)
    for name in ("faust", "mode", "aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    app.lease.start()
    app.progress.start()
    app.watchdog.start()
    worker = Worker(app, quiet=True, override_logging=False, redirect_stdouts=False, daemon=True)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if end.code:  # mode swallows what happened; whoever looks into it needs the word
            log.critical("worker_crashed", exit_code=end.code, exc_info=end.__context__)
        raise
    sys.exit(lease.FAILED)  # not reached: the line above leaves by SystemExit
