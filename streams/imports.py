"""`mutual-sla import`: a file of history into `ats.raw`, whole or not at all, once however often it is given.

First the whole file is read and judged; anything wrong with it is told line by line, and nothing is sent. Then every fact goes to
`ats.raw` (channel `import`, marked as backfill) and how far it got is kept in the state directory by the file's hash: a run that
was broken off goes on there. Fact ids hang on what happened, so a part that is sent twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.raw import RawHeaders
from streams import import_files, imported, kafka_security, ledger_writer, stages, whole_topic
from streams.check import load_sources
from streams.clock import Clock, record_time
from streams.connectors.payload import written
from streams.errors import InvalidConfiguration, InvalidPayload, MutualSLAError
from streams.import_mapping import Mapping, load
from streams.settings import Settings
from streams.stages import StageMap

TOGETHER = 5_000  #: facts between two notes of how far it got
SHOWN = 20  #: faults of a file that are printed
ANSWER_SECONDS = 60.0
SYSTEM = "import"


class InvalidFile(MutualSLAError):
    """A file with something in it that is no fact; the message has the lines and the mend."""

    exit_code = 65


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file."""

    path: Path
    facts: int
    sent: int  #: by this run; the others were there already


@dataclass(frozen=True, slots=True)
class _Reading:
    """How files are read in this run."""

    mapping: Mapping
    headers: RawHeaders
    stages: StageMap

    def facts(self, path: Path) -> Iterator[tuple[str, dict[str, Any] | InvalidPayload]]:
        return import_files.facts(path, self.mapping, self.headers.account)


def run(settings: Settings, files: list[Path], clock: Clock, *, mapping: Path | None, account: str | None) -> list[Done]:
    """Import `files`, in this order; `account` (default: the mapping's, else the only one of sources.yaml) is theirs.

    Raises InvalidFile (65) before anything of that file is sent, InvalidConfiguration (78) and Unreachable (69).
    """
    reading = _reading(settings, clock.now(), mapping, account)
    topic = settings.topic("ats.raw")
    topic_id, _ = ledger_writer.topic_ids(settings, [topic])[topic]
    folder = settings.state_dir / "imports"
    console, done = Console(stderr=True), []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for path in files:
            task = progress.add_task(f"checking {path.name}", total=None)
            total = _judge(reading, path, lambda task=task: progress.advance(task, 1_000))
            position = _Position(folder, _key(path, mapping, reading.headers, topic_id), lambda number: _end_of(settings, number))
            progress.update(task, description=f"importing {path.name}", total=total, completed=position.sent)
            before = position.sent
            _send(settings, reading, path, position, lambda n, task=task: progress.update(task, completed=n))
            done.append(Done(path, total, total - before))
    for one in done:
        words = f"{one.facts} facts, {one.sent} sent now" if one.sent else f"{one.facts} facts, all of them sent before"
        Console().print(f"{one.path}: {words}", highlight=False, soft_wrap=True)
    return done


def _reading(settings: Settings, now: datetime, mapping: Path | None, account: str | None) -> _Reading:
    plan, sources = load(mapping), load_sources(settings.deploy_dir)
    names = [source.account for source in sources.accounts]
    whose = account or plan.account or (names[0] if len(names) == 1 else None)
    if whose is None:
        raise InvalidConfiguration([f"whose history is it? give --account, one of {', '.join(names)} or a new name"])
    headers = RawHeaders(
        tenant=sources.tenant,
        account=whose,
        system=SYSTEM,
        channel="import",
        received_at=now,
        request_id=uuid.uuid4().hex,
        backfill=True,
    )
    return _Reading(plan, headers, stages.load(settings.deploy_dir / "stages.yaml"))


def _end_of(settings: Settings, number: int) -> int:
    with whole_topic.reader(settings) as consumer:
        return whole_topic.end_of(consumer, settings.topic("ats.raw"), number)


def _judge(reading: _Reading, path: Path, thousand_more: Any) -> int:
    """How many facts the file has. Raises InvalidFile with the first faults and the number of all."""
    faults: list[str] = []
    wrong = count = 0
    for where, found in reading.facts(path):
        try:
            if isinstance(found, InvalidPayload):
                raise found
            written(found)
            imported.fact_of(reading.headers, found, reading.stages)
        except InvalidPayload as error:
            wrong += 1
            if wrong <= SHOWN:
                faults.append(f"{path}:{f'{where}:' if where else ''} {error}")
        count += 1
        if count % 1_000 == 0:
            thousand_more()
    if wrong:
        more = [f"and {wrong - SHOWN} more"] if wrong > SHOWN else []
        raise InvalidFile("\n".join([*faults, *more, f"nothing of {path} was imported"]))
    return count


class _Position:
    """How many facts of a file are in `ats.raw`, durably, and where its partition ended by them.

    A partition that ends before that is one of an older copy of Kafka: then nothing of the file counts as sent.
    """

    def __init__(self, folder: Path, key: str, end_of: Callable[[int], int]) -> None:
        self._path = folder / f"{key}.json"
        told = json.loads(self._path.read_text()) if self._path.exists() else {"sent": 0}
        self.partition, self.end = told.get("partition", 0), told.get("end", 0)
        self.sent = int(told["sent"]) if not self.end or end_of(self.partition) >= self.end else 0

    def note(self, sent: int, last: Any) -> None:
        """`last`: what Kafka said of the last of them, None where there was none to send."""
        self.sent = sent
        if last is not None:
            self.partition, self.end = last.partition, last.offset + 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"sent": sent, "partition": self.partition, "end": self.end}))
        fresh.replace(self._path)


def _key(path: Path, mapping: Path | None, headers: RawHeaders, topic_id: str) -> str:
    """The file, how it is read, and where to: another of any of them is another import."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    digest.update(mapping.read_bytes() if mapping else b"")
    digest.update("\x1f".join([path.suffix, headers.tenant, headers.account, topic_id]).encode())
    return digest.hexdigest()[:32]


def _send(settings: Settings, reading: _Reading, path: Path, position: _Position, at: Any) -> None:
    topic, headers = settings.topic("ats.raw"), reading.headers.to_kafka()
    key, when = reading.headers.account.encode(), record_time(reading.headers.received_at)
    try:
        producer = KafkaProducer(
            **kafka_security.connection(settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            batch_size=256 * 1024,
            compression_type="lz4",
            delivery_timeout_ms=int(ANSWER_SECONDS * 1000),
            allow_auto_create_topics=False,
        )
        try:
            sent: list[Any] = []
            number = 0
            for number, (_, found) in enumerate(reading.facts(path), 1):
                if number <= position.sent:
                    continue
                if isinstance(found, InvalidPayload):
                    raise InvalidFile(f"{path} changed while it was imported")
                sent.append(producer.send(topic, value=orjson.dumps(found), key=key, headers=headers, timestamp_ms=when))
                if len(sent) == TOGETHER:
                    position.note(number, _acknowledged(sent))
                    at(number)
            position.note(number, _acknowledged(sent))
            at(number)
        finally:
            producer.close(timeout=5)
    except KafkaError as error:
        raise kafka_security.unreachable(settings, error) from error


def _acknowledged(sent: list[Any]) -> Any:
    """Where the last of them is; None where there are none."""
    last = None
    for future in sent:
        last = future.get(timeout=ANSWER_SECONDS)
    sent.clear()
    return last
