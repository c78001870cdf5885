"""The ledger's one writer: reads sla.outcomes and ats.rejected, writes rows and positions in one transaction a batch.

Where to go on is in the database (`consumer_position`), never in Kafka: so a crash anywhere leaves each record written
exactly once. Kafka's group offsets are committed afterwards for `status` to show the lag, and never read.

One writer at a time: a lock (PostgreSQL: advisory; SQLite: a lock file beside the database) lets a second one wait, and the
fence is in the transaction itself: positions move only from where this writer believes they are (ledger_batch.Superseded).
"""

from __future__ import annotations

import fcntl
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError

from streams import kafka_security, ledger, ledger_batch, metrics, topics
from streams.check import load_agreement
from streams.clock import Clock
from streams.errors import InvalidConfiguration, Unreachable
from streams.goals import Announcer, to_kafka
from streams.ledger_batch import Record, Superseded
from streams.ledger_database import snapshot, writing
from streams.ledger_lag import LedgerLag
from streams.ledger_tables import consumer_position
from streams.liveness import serve
from streams.settings import Settings
from streams.watchdog import Watchdog
from streams.whole_topic import reader

MAX_RECORDS = 5_000  #: of one transaction: long enough to be quick, short enough not to keep readers of SQLite's log waiting
POLL_MS = 200
LAG_SECONDS = 5.0
LOCK = 724_002  #: PostgreSQL advisory lock of the one writer
RETRY_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0)

log = structlog.get_logger()

OUTCOMES = metrics.LEDGER_OUTCOMES.counter()
COMMIT_SECONDS = metrics.LEDGER_COMMIT_SECONDS.histogram()
LAST_COMMIT = metrics.LEDGER_LAST_COMMIT.gauge()
LAG = metrics.LEDGER_LAG.gauge()
RESULTS = ("applied", "unchanged", "stale", "rejected")


def run(settings: Settings, clock: Clock) -> None:
    """Write until SIGTERM or SIGINT.

    Raises Unreachable if Kafka or the database cannot be reached at the start, InvalidConfiguration if the topics are not
    those that the stored positions belong to, and Superseded if another writer took over.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = ledger.open_ledger(settings.ledger)
    announcer = Announcer(engine, load_agreement(settings.deploy_dir).policy, to_kafka(settings))
    writer = Writer(settings, clock, engine, announcer)
    with serve(settings.host, settings.ledger_metrics_port, writer.ready, writer.watchdog.stuck):
        writer.watchdog.start()
        try:
            writer.run(stop)
        finally:
            engine.dispose()
    log.info("ledger_writer_stopped")


class Writer:
    """The loop of `run`, for one engine; `ready` tells whether it is up to its work, `watchdog` whether it gets on."""

    def __init__(self, settings: Settings, clock: Clock, engine: Engine, announcer: Announcer | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.engine = engine
        self.announcer = announcer
        self.positions: dict[tuple[str, int], int] = {}
        self.rejected_topic = settings.topic("ats.rejected")
        self.outcomes_topic = settings.topic("sla.outcomes")
        self.watchdog = Watchdog("ledger", settings.stall_seconds)
        self._loop, self._lag = self.watchdog.watch("loop"), LedgerLag(self.watchdog)
        self._failing = False
        self._lag_due = 0.0
        for result in RESULTS:
            OUTCOMES.labels(result)

    def ready(self) -> bool:
        """False while the database refuses our writes. Waiting for the other writer to leave is fine."""
        return not self._failing

    def run(self, stop: threading.Event) -> None:
        """Take the lock, find the positions, then poll and write until `stop`."""
        with ExitStack() as stack:
            if not stack.enter_context(only_writer(self.engine, stop)):
                return
            ids = topic_ids(self.settings, (self.outcomes_topic, self.rejected_topic))
            consumer = self._consumer()
            stack.callback(consumer.close)
            self._start(consumer, ids)
            log.info("ledger_writer_started", partitions=len(self.positions))
            while not stop.is_set():
                self._loop.moved()
                self._turn(consumer, stop)
            self._loop.idle()
            if self.announcer is not None:
                self.announcer.close()
            self._report(consumer)

    def _turn(self, consumer: Any, stop: threading.Event) -> None:
        try:
            polled = consumer.poll(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        except OffsetOutOfRangeError as error:
            raise InvalidConfiguration([f"the broker no longer has the records to go on with: {error}"]) from error
        if polled:
            self.write([self._record(r) for records in polled.values() for r in records], stop)
        if time.monotonic() >= self._lag_due:
            self._lag_due = time.monotonic() + LAG_SECONDS
            if self._report(consumer) == 0 and self.announcer is not None:  # of a ledger that is behind, nothing is said
                self.announcer.look_aside()

    def _record(self, record: Any) -> Record:
        rejecting = record.topic == self.rejected_topic
        return Record(record.topic, record.partition, record.offset, record.timestamp, record.value, rejecting)

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, records: Sequence[Record], stop: threading.Event) -> Counter[str]:
        """Write `records`, however often the database has to be asked; a record it will not take becomes a dead letter.

        In log order within each partition, beginning where the positions are. Returns the tally; if `stop` is set while the
        database is away, what was not written is left for the next start.
        """
        batch = ledger_batch.decode(records, self.positions)
        try:
            tally = self._commit(batch, stop)
        except (StatementError, OverflowError, UnicodeError) as error:
            # not the database being away (that is retried) but something it cannot store: halve until it is found
            if len(records) > 1:
                half = len(records) // 2
                return self.write(records[:half], stop) + self.write(records[half:], stop)
            log.warning("record_refused_by_database", pointer=records[0].pointer, error=type(error).__name__)
            alone = ledger_batch.Batch(moves=batch.moves)
            ledger_batch.refuse(alone, records[0], "refused_by_database", type(error).__name__)
            tally = self._commit(alone, stop)
        for result in RESULTS:
            OUTCOMES.labels(result).inc(tally[result])
        return tally

    def _commit(self, batch: ledger_batch.Batch, stop: threading.Event) -> Counter[str]:
        for seconds in _waits():
            try:
                with COMMIT_SECONDS.time(), writing(self.engine) as conn:
                    tally = ledger_batch.write(conn, batch)
                break
            except Superseded:
                if not self._already_there(batch):
                    raise
                tally = Counter(batch.tally)  # a commit whose answer was lost
                break
            except DBAPIError as error:
                if not _away(error):
                    raise
                self._failing = True
                self._loop.moved()
                self._lag.nothing_to_do()  # it is the database that does not get on; to start again would not help
                log.warning("ledger_database_away", error=str(error.orig).strip(), retry_in_seconds=seconds)
                if stop.wait(seconds):
                    raise Unreachable("the ledger database does not answer; nothing was lost, start again") from error
        self._failing = False
        self._lag.wrote()
        self.positions.update({at: end for at, (_, end) in batch.moves.items()})
        LAST_COMMIT.set(self.clock.now().timestamp())
        return tally

    def _already_there(self, batch: ledger_batch.Batch) -> bool:
        with self.engine.connect() as conn:
            stored = ledger.positions(conn)
        return all(stored.get(at) == end for at, (_, end) in batch.moves.items())

    # -- positions -----------------------------------------------------------------------------------------------------

    def _consumer(self) -> Any:
        try:
            return KafkaConsumer(
                **kafka_security.connection(self.settings),
                group_id=f"{self.settings.app_id}-ledger",
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=POLL_MS,
                max_partition_fetch_bytes=8 * 1024 * 1024,
            )
        except (KafkaError, OSError) as error:
            raise kafka_security.unreachable(self.settings, error) from error

    def _start(self, consumer: Any, ids: Mapping[str, tuple[str, int]]) -> None:
        """Assign every partition of both topics by hand and go to the stored positions; new partitions from their beginning."""
        partitions = [TopicPartition(name, number) for name, (_, count) in ids.items() for number in range(count)]
        consumer.assign(partitions)
        try:
            first, last = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        except KafkaError as error:
            raise Unreachable(f"Kafka at {self.settings.brokers}: {error}") from error
        with writing(self.engine) as conn:
            stored = {(r.topic, r.partition): r for r in conn.execute(select(consumer_position))}
            faults, fresh = [], []
            for at in partitions:
                row, topic_id = stored.get((at.topic, at.partition)), ids[at.topic][0]
                if row is None:
                    start = first[at]
                    fresh.append({"topic": at.topic, "partition": at.partition, "next_offset": start, "topic_id": topic_id})
                else:
                    start = row.next_offset
                    faults += _faults(at, row, topic_id, first[at], last[at])
                self.positions[at.topic, at.partition] = start
            if faults:
                mend = "the ledger belongs to another log: begin with an empty database, it is filled from sla.outcomes"
                raise InvalidConfiguration([*faults, mend])
            if fresh:
                conn.execute(insert(consumer_position), fresh)
        for at in partitions:
            consumer.seek(at, self.positions[at.topic, at.partition])

    def _report(self, consumer: Any) -> int | None:
        """Lag as metrics, and the group's offsets for `status`. A broker that is away is only noted: nothing depends on it.

        Returns how many records are not yet in the ledger; None if that is not known.
        """
        at = {TopicPartition(*key): position for key, position in self.positions.items()}
        try:
            behind = {one: max(end - at[one], 0) for one, end in consumer.end_offsets(list(at)).items()}
        except KafkaError as error:
            log.warning("lag_unknown", error=type(error).__name__)
            self._lag.is_unknown()
            return None
        for one, records in behind.items():
            LAG.labels(one.topic.removeprefix(self.settings.topic_prefix), str(one.partition)).set(records)
        self._lag.is_now(total := sum(behind.values()))
        try:
            consumer.commit({one: OffsetAndMetadata(position, "", -1) for one, position in at.items()}, timeout_ms=2_000)
        except KafkaError as error:
            log.warning("positions_not_shown", error=type(error).__name__)
        return int(total)


def refuse_another_log(settings: Settings, engine: Engine) -> None:
    """Raises InvalidConfiguration if the ledger has read another sla.outcomes than this Kafka's."""
    topic = settings.topic("sla.outcomes")
    topic_id, count = topic_ids(settings, (topic,))[topic]
    partitions = [TopicPartition(topic, number) for number in range(count)]
    with snapshot(engine) as conn:
        rows = {row.partition: row for row in conn.execute(select(consumer_position).where(consumer_position.c.topic == topic))}
    with reader(settings) as consumer:  # asked after the rows were read, as a writer may be at work
        first, last = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    read = [(at, rows[at.partition]) for at in partitions if at.partition in rows]
    if faults := [fault for at, row in read for fault in _faults(at, row, topic_id, first[at], last[at])]:
        raise InvalidConfiguration([*faults, "the ledger belongs to another log: nothing was compared"])


def _faults(at: Any, row: Any, topic_id: str, first: int, last: int) -> list[str]:
    where = f"{at.topic}:{at.partition}"
    if row.topic_id and topic_id and row.topic_id != topic_id:
        return [f"{where} was made anew since the ledger read it (topic id {row.topic_id}, now {topic_id})"]
    if row.next_offset > last:
        return [f"{where} ends at offset {last}, but the ledger has read up to {row.next_offset}"]
    if row.next_offset < first:
        return [f"{where} begins at offset {first}, but the ledger has read only up to {row.next_offset}: records are gone"]
    return []


def topic_ids(settings: Settings, names: Sequence[str]) -> Mapping[str, tuple[str, int]]:
    """Topic -> its id on the broker, and how many partitions it has. Raises InvalidConfiguration for a missing one."""
    with topics.admin(settings) as client:
        found = {t["name"]: t for t in client.describe_topics(list(names)) if t["error_code"] == 0}
    if missing := sorted(set(names) - set(found)):
        raise InvalidConfiguration([f"{settings.brokers} has no topic {name}: run `mutual-sla topics`" for name in missing])
    return {name: (str(found[name].get("topic_id") or ""), len(found[name]["partitions"])) for name in names}


def _waits() -> Iterator[float]:
    yield from RETRY_SECONDS
    while True:
        yield RETRY_SECONDS[-1]


def _away(error: DBAPIError) -> bool:
    """Whether the database is away, locked or shutting down, as opposed to refusing what it was given."""
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated


# -- one writer at a time ----------------------------------------------------------------------------------------------


@contextmanager
def only_writer(engine: Engine, stop: threading.Event) -> Iterator[bool]:
    """Hold the writer's lock of this ledger; waits for it. False if `stop` was set first. A dead holder's lock is free."""
    with ExitStack() as stack:
        if engine.dialect.name == "sqlite":
            database = engine.url.database or ""
            path = Path(f"{database}.writer")
            handle = stack.enter_context(path.open("w"))
            take: Callable[[], bool] = partial(_flock, handle)
        else:
            # a connection of its own: the lock lives as long as its session
            conn = stack.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
            take = partial(_advisory_lock, conn)
            stack.callback(_advisory_unlock, conn)
        waited = False
        while not (held := take()):
            if not waited:
                log.info("waiting_for_the_other_ledger_writer")
                waited = True
            if stop.wait(0.5):
                break
        yield held


def _flock(handle: Any) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _advisory_lock(conn: Connection) -> bool:
    return bool(conn.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": LOCK}).scalar_one())


def _advisory_unlock(conn: Connection) -> None:
    # the pool keeps the session, and with it the lock; a broken session has let go already
    with suppress(DBAPIError):
        conn.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": LOCK})
