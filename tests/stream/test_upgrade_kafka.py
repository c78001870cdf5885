"""Today's workers on the topics, changelogs and group offsets of a release that kept rows of schema 1.

tests/fixtures/state_v1/topics.jsonl.gz is what its normalise and track workers (commit a911ced) left on a Kafka of their own: a
line for each record of each topic, in order, for each group's offsets, and for each file of its agreement. They had read two
applications to one job, a scorecard of an application that nobody knew, and the deletion of an interview that nobody ever told
of; it was 5 March.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from rich.progress import Progress

from schemas.raw import Rejected
from streams import changelog, ledger, ports, rebuild, waiting
from streams.clock import FileClock
from streams.settings import Settings
from streams.shelf import State
from tests.background import writing_in_background
from tests.conftest import MakeTopics
from tests.greenhouse import BODIES, headers
from tests.settled import doubled
from tests.stream.test_normalise import Worker, letters
from tests.stream.test_normalise import facts as told_by
from tests.waiting import until
from tests.workers import Heard, running

LEFT = Path(__file__).parents[1] / "fixtures/state_v1/topics.jsonl.gz"
ROLES = {"normalise": "ats.raw", "track": "ats.facts"}
DELETED = "interview.cancelled: in 30 days nothing told which requisition it belongs to"


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}:00+00:00")


def left() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(LEFT.read_bytes()).splitlines()]


def as_bytes(text: str | None) -> bytes | None:
    if text is not None and text.startswith("base64:"):
        return base64.b64decode(text.removeprefix("base64:"))
    return None if text is None else text.encode()


def body(name: str, *changes: tuple[str, str]) -> bytes:
    text = json.dumps(BODIES[name])
    for old, new in changes:
        text = text.replace(old, new)
    return text.encode()


def watermark(when: datetime) -> bytes:
    return json.dumps({"record_type": "scorecards", "complete_until": when.isoformat()}).encode()


OTHER = (("900100", "900103"), ("700200", "700203"))
#: What comes after the upgrade: the unknown application, an interview with its scorecard, a rejection, and April.
NEWS = [
    ("record.applications", at("03-06T09:00"), body("record.applications", *OTHER)),
    ("record.scheduled_interviews", at("03-09T09:00"), body("record.scheduled_interviews")),
    ("record.scorecards", at("03-11T10:00"), body("record.scorecards")),
    ("webhook.reject_candidate", at("03-20T16:00"), body("webhook.reject_candidate")),
]
APRIL = at("04-10T09:00")


# -- what an earlier release parked ----------------------------------------------------------------------------------------


@pytest.fixture
def upgraded() -> Worker:
    """Today's step on the old rows."""
    worker = Worker()
    for line in left():
        if line.get("topic") == "old-normalise-state-changelog":
            worker.rows[str(line["key"]).encode()] = str(line["value"]).encode()
    assert not [key for key in worker.rows if key.startswith(b"due|")]
    asyncio.run(worker.step.recovered(2, worker))
    return worker


def mark(worker: Worker, when: datetime) -> Any:
    raw = headers("record.scorecards", channel="watermark", received_at=when)
    return worker.record(watermark(when), raw.to_kafka())


def test_facts_that_waited_before_the_upgrade_are_let_go_thirty_days_after_they_came(upgraded: Worker) -> None:
    assert letters(upgraded.fold([mark(upgraded, at("03-05T10:00"))])) == []
    assert len([key for key in upgraded.rows if key.startswith(b"due|")]) == 2
    assert letters(upgraded.fold([mark(upgraded, at("04-03T11:59"))])) == []
    [letter] = letters(upgraded.fold([mark(upgraded, at("04-03T12:01"))]))
    assert (letter.reason, letter.detail, letter.account) == (waiting.REASON, DELETED, "greenhouse")
    assert (letter.topic, letter.partition, letter.offset) == ("ats.raw", 2, -1), "which record it came with nobody knows"
    [letter] = letters(upgraded.fold([mark(upgraded, at("04-03T12:06"))]))
    assert letter.detail.startswith("scorecard.submitted: in 30 days")
    assert upgraded.rows[b"parked"] == b"0"
    assert letters(upgraded.fold([mark(upgraded, at("06-03T12:06"))])) == []


def test_a_way_that_comes_after_the_upgrade_releases_what_waited_before(upgraded: Worker) -> None:
    raw = headers("record.applications", received_at=at("03-06T09:00"))
    found = told_by(upgraded.fold([upgraded.record(NEWS[0][2], raw.to_kafka())]))
    assert "scorecard.submitted" in {fact.kind for fact in found}
    [letter] = letters(upgraded.fold([mark(upgraded, APRIL)]))
    assert letter.detail == DELETED


def test_many_are_found_some_in_each_batch_and_each_once(upgraded: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AT_ONCE", 1)
    nodes = len({key.split(b"\x1f")[0] for key in upgraded.rows if key.startswith(b"facts|")})
    batches = 0
    while upgraded.rows.get(waiting.LOOKED) != b"to the end":
        upgraded.fold([mark(upgraded, at("03-05T10:00"))])
        batches += 1
    assert batches == nodes == 4
    due = {key: value for key, value in upgraded.rows.items() if key.startswith(b"due|")}
    assert len(due) == 2
    upgraded.fold([mark(upgraded, at("03-05T11:00"))])
    assert {key: value for key, value in upgraded.rows.items() if key.startswith(b"due|")} == due


def test_a_fact_that_has_a_row_gets_no_second_one() -> None:
    worker = Worker()
    worker.fold([worker.body("webhook.interview_deleted")])
    del worker.rows[waiting.LOOKED]
    before = dict(worker.rows)
    worker.fold([worker.body("record.jobs")])
    due = {key: value for key, value in worker.rows.items() if key.startswith(b"due|")}
    assert due == {key: value for key, value in before.items() if key.startswith(b"due|")}
    assert State(worker.rows.get).number(b"parked") == 1


# -- on a real Kafka -------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(topics: MakeTopics, tmp_path: Path) -> Settings:
    """A cluster as the old release left it."""
    records, deploy = left(), tmp_path / "deploy"
    deploy.mkdir()
    for line in records:
        if "file" in line:
            (deploy / line["file"]).write_text(line["text"])
    names = ("normalise_metrics_port", "track_metrics_port", "ledger_metrics_port")
    made = topics(deploy_dir=deploy, tick_seconds=1.0, **{name: ports.free() for name in names})
    for role, source in ROLES.items():
        changelog.prepare(made, made.topic(source), [], f"{made.app_id}-{role}-state-changelog")
    _produce(made, [line for line in records if "offset" in line])
    for line in records:
        if "group" in line:
            _commit(made, line)
    return made


def _produce(made: Settings, lines: list[dict[str, Any]]) -> None:
    producer = KafkaProducer(bootstrap_servers=made.brokers)
    for line in lines:
        old: str = line["topic"]
        name = old.replace("old-", f"{made.app_id}-", 1) if old.startswith("old-") else made.topic(old)
        raw = [(key, value.encode()) for key, value in line["headers"]]
        where = {"partition": line["partition"], "timestamp_ms": line["timestamp"], "headers": raw}
        sent = producer.send(name, as_bytes(line["value"]), key=as_bytes(line["key"]), **where)
        if line is lines[-1] or line["topic"] != lines[lines.index(line) + 1]["topic"]:
            producer.flush()
            assert sent.get(timeout=30).offset == line["offset"], "as it was"
    producer.close()


def _commit(made: Settings, line: dict[str, Any]) -> None:
    consumer = KafkaConsumer(bootstrap_servers=made.brokers, group_id=f"{made.app_id}-{line['group']}", enable_auto_commit=False)
    topic = made.topic(line["topic"])
    consumer.assign([TopicPartition(topic, int(number)) for number in line["next"]])
    consumer.commit({TopicPartition(topic, int(number)): OffsetAndMetadata(n, "", -1) for number, n in line["next"].items()})
    consumer.close()


def tell(made: Settings, news: list[tuple[str, datetime, bytes]], **changes: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=made.brokers)
    for name, when, value in news:
        raw = headers(name, received_at=when, **changes).to_kafka()
        producer.send(made.topic("ats.raw"), value, key=b"greenhouse", headers=raw, timestamp_ms=int(when.timestamp() * 1000))
    producer.flush()
    producer.close()


def dead_letters(made: Settings) -> Iterator[Rejected]:
    consumer = KafkaConsumer(made.topic("ats.rejected"), bootstrap_servers=made.brokers, auto_offset_reset="earliest")
    for records in consumer.poll(timeout_ms=3000).values():
        yield from (Rejected.model_validate_json(record.value) for record in records)
    consumer.close()


def test_new_workers_go_on_where_the_old_ones_stopped(settings: Settings, tmp_path: Path) -> None:
    clock, heard = FileClock(tmp_path / "clock"), Heard(settings)
    clock.set(at("03-05T09:00"))
    engine = ledger.open_ledger(settings.ledger)
    said_before = sum(line.get("topic") == "sla.outcomes" and line["key"] != "progress" for line in left())
    with (
        running(settings, "worker", "normalise", clock=clock.path) as normalise,
        running(settings, "worker", "track", clock=clock.path) as track,
        writing_in_background(settings, engine, clock),
    ):
        tell(settings, NEWS)
        tell(settings, [("record.scorecards", APRIL, watermark(APRIL))], channel="watermark")
        until(lambda: any(":900103:" in key for key in heard.listen().obligations()), track)
        clock.set(APRIL)
        until(lambda: heard.ticked(APRIL), track)
        (folder := tmp_path / "rebuild").mkdir()
        with Progress(disable=True) as progress:
            found = rebuild.rebuild(settings, folder, progress, workers=1)
        assert normalise.alive() and track.alive()
    twice = doubled(engine)
    engine.dispose()
    assert [line["subject"] for line in found.lines()] == [], "the ledger is what all facts say, old and new"
    assert found.obligations > 10
    assert [letter.detail for letter in dead_letters(settings)] == [DELETED]
    assert twice == [], "what the old release said and the new one says again is one revision"
    assert len(heard.outcomes) > said_before > 10
    heard.close()
