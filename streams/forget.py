"""`mutual-sla forget`: every body that speaks of a candidate leaves `ats.raw`, for good; what is left are opaque ids.

Kafka deletes only from the front of a partition. So all other bodies of the account's partition are appended once more, as they
are, and then everything before them is deleted. Bodies that arrive meanwhile stay. A segment is closed first, because Kafka
removes whole segments from disk: the old ones go within minutes. If it breaks off, run it again: copies are told and made once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import orjson
import structlog
from kafka import TopicPartition
from kafka.admin import ConfigResource
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from schemas.raw import RawHeaders
from streams import stages, topics
from streams.check import load_sources
from streams.clock import Clock, record_time
from streams.delivery import partition_of
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.person import Person, facts_of
from streams.raw_copies import Copies, Seen, copies, pointer, records, settle_dead_letters
from streams.settings import Settings
from streams.stages import StageMap
from streams.whole_topic import reader

WAIT_SECONDS = 60.0  #: for normalise to have read everything
SEGMENT_MS = 100

log = structlog.get_logger()


class StillThere(MutualSLAError):
    """Bodies of the candidate are in the topic after all; the message says what to do."""

    exit_code = 69


def run(settings: Settings, candidate_id: str, clock: Clock) -> int:
    """Erase the candidate `account/native-id`; returns how many bodies went.

    Raises InvalidConfiguration for an id without a known account, Unreachable if normalise has not read all bodies yet (they
    would be lost) or Kafka does not answer, and StillThere if a body of theirs arrived meanwhile.
    """
    account, slash, native = candidate_id.partition("/")
    sources = load_sources(settings.deploy_dir)
    known = [source.account for source in sources.accounts]
    if not (slash and native) or account not in known:
        raise InvalidConfiguration([f"write the candidate as account/native-id; accounts: {', '.join(known)}"])
    mapping = stages.load(settings.deploy_dir / "stages.yaml")
    place = TopicPartition(settings.topic("ats.raw"), partition_of(account.encode(), topics.partition_count(settings, "ats.raw")))
    with reader(settings) as consumer:
        erased = _Erasure(settings, clock, sources.tenant, consumer, place, Person(candidate_id), mapping).run()
    Console().print(f"{erased} bodies of {candidate_id} erased", highlight=False)
    return erased


@dataclass(slots=True)
class _Erasure:
    """One candidate out of one partition."""

    settings: Settings
    clock: Clock
    tenant: str
    consumer: Any
    place: TopicPartition
    person: Person
    mapping: StageMap

    def run(self) -> int:
        start, end = self._bounds()
        self._wait_for_normalise(end)
        newest = self._learn(start, end)
        theirs = {record.offset for record in self._records(start, end) if self._is_theirs(record)}
        if not theirs:
            return 0
        moved = self._rewrite(start, end, theirs, newest)
        # Before the bodies go: whoever runs it again after a kill in between finds them, and so their dead letters.
        settle_dead_letters(self.settings, moved, self.clock)
        with topics.admin(self.settings) as client:
            client.delete_records({self.place: end})
        log.info("candidate_forgotten", bodies=len(theirs), partition=self.place.partition, records=end - start)
        left = sum(self._is_theirs(record) for record in self._records(*self._bounds()))
        if left:
            words = f"{left} bodies of {self.person.candidate_id} arrived meanwhile"
            raise StillThere(f"{words}: delete them in the ATS, then run it again")
        return len(theirs)

    def _bounds(self) -> tuple[int, int]:
        first, last = self.consumer.beginning_offsets([self.place]), self.consumer.end_offsets([self.place])
        return first[self.place], last[self.place]

    def _records(self, start: int, end: int) -> Iterator[Any]:
        return records(self.consumer, self.place, start, end)

    def _wait_for_normalise(self, end: int) -> None:
        group, deadline = f"{self.settings.app_id}-normalise", monotonic() + WAIT_SECONDS
        with topics.admin(self.settings) as client:
            while True:
                read = topics.committed(client, [group]).get(group, {})
                left = end - read.get((self.place.topic, self.place.partition), 0)
                if left <= 0:
                    return
                if monotonic() > deadline:
                    raise Unreachable(f"normalise has {left} bodies of {self.place.topic} to read: let it run, then come again")
                sleep(0.5)

    def _learn(self, start: int, end: int) -> int:
        """All facts of the partition to the person; returns the newest Kafka timestamp in it."""
        newest = 0
        with Progress(console=Console(stderr=True)) as progress:
            for record in progress.track(self._records(start, end), total=end - start, description="looking for what is theirs"):
                newest = max(newest, record.timestamp)
                raw = _headers(record)
                if raw is not None:
                    self.person.learn(facts_of(raw, record.value or b"", self.mapping))
        self.person.close()
        return newest

    def _is_theirs(self, record: Any) -> bool:
        account = self.person.candidate_id.partition("/")[0].encode()
        raw = _headers(record)
        if record.key != account or (raw is not None and raw.channel in ("watermark", "erasure")):
            return False
        body = record.value or b""
        facts = facts_of(raw, body, self.mapping) if raw is not None else []
        known = self.person.told_of(facts)
        return known or self.person.named_in(body, raw.record_type if raw else None, understood=bool(facts))

    def _rewrite(self, start: int, end: int, theirs: set[int], newest: int) -> set[str]:
        """Append everything that is not theirs once more. Returns pointers to all old records."""
        moved: set[str] = set()
        seen = Seen()
        with copies(self.settings) as made, Progress(console=Console(stderr=True)) as progress:
            with _short_segments(self.settings, self.place.topic):
                self._mark(made, newest)
            for record in progress.track(self._records(start, end), total=end - start, description="keeping the others"):
                moved.add(pointer(record))
                if record.offset not in theirs and not seen.before(record):
                    made.add(record, record.headers or ())
        return moved

    def _mark(self, made: Copies, newest: int) -> None:
        """The erasure itself, on record; being younger than the segment it also begins a new one."""
        account = self.person.candidate_id.partition("/")[0]
        raw = RawHeaders(
            tenant=self.tenant,
            account=account,
            system="forget",
            channel="erasure",
            received_at=self.clock.now(),
            request_id=uuid.uuid4().hex,
        )
        value = orjson.dumps({"candidate_id": self.person.candidate_id})
        at = max(record_time(raw.received_at), newest + 10 * SEGMENT_MS)
        made.append(self.place.topic, self.place.partition, account.encode(), value, raw.to_kafka(), at)
        made.settle()


@contextmanager
def _short_segments(settings: Settings, topic: str) -> Iterator[None]:
    """While the block runs, the next younger record of the topic begins a new segment."""
    with topics.admin(settings) as client:
        client.alter_configs([ConfigResource("TOPIC", topic, {"segment.ms": str(SEGMENT_MS)})])
        try:
            sleep(1.0)  # the broker takes it from the controller's log
            yield
        finally:
            client.reset_configs([ConfigResource("TOPIC", topic, {"segment.ms": None})])


def _headers(record: Any) -> RawHeaders | None:
    try:
        return RawHeaders.from_kafka(record.headers or ())
    except (ValidationError, UnicodeDecodeError, AttributeError):
        return None
