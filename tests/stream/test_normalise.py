"""The normalise worker: its pure step on records in memory, and the whole of it once on a real Kafka."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.fact import Fact, Origin, Watermark, facts_record, manual_fact_id
from schemas.raw import RawHeaders, Rejected
from streams import metrics, ports
from streams.connectors import MANUAL_ACCOUNT
from streams.connectors.greenhouse import GREENHOUSE
from streams.normalise import FACTS, PARKED, REJECTED, UNMAPPED_STAGES, Normaliser
from streams.settings import Settings
from streams.step import Message
from tests.greenhouse import BODIES, RECEIVED, STAGES, headers

PARTITIONS = 3


@dataclass
class Worker:
    """The step over a table in memory, a batch at a time, as the micro-batch worker applies it."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    offset: int = 0
    step: Normaliser = field(default_factory=lambda: Normaliser(STAGES, "ats.facts", "ats.rejected", PARTITIONS))

    def record(self, value: bytes | None, kafka_headers: Any) -> Any:
        self.offset += 1
        at = int(RECEIVED.timestamp() * 1000)
        return SimpleNamespace(
            topic="ats.raw", partition=2, offset=self.offset, timestamp=at, key=b"greenhouse", value=value, headers=kafka_headers
        )

    def fold(self, records: list[Any], applied: bool = True) -> list[Message]:
        result = self.step(2, records, self)  # type: ignore[arg-type]
        if applied:
            for key, value in result.changes.items():
                assert value is None or value, "a row is never empty"
                if value is None:
                    del self.rows[key]
                else:
                    self.rows[key] = value
            assert result.applied is not None
            result.applied()
        return result.messages

    def __call__(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        yield from sorted((k, v) for k, v in self.rows.items() if k.startswith(prefix) and k >= start)

    def body(self, name: str, **changes: Any) -> Any:
        return self.record(json.dumps(BODIES[name]).encode(), headers(name, **changes).to_kafka())


def facts(messages: list[Message]) -> list[Fact]:
    parsed = [facts_record.validate_json(m.value or b"") for m in messages if m.topic == "ats.facts"]
    return [one for one in parsed if isinstance(one, Fact)]


def watermarks(messages: list[Message]) -> list[tuple[int | None, Watermark]]:
    parsed = [(m.partition, facts_record.validate_json(m.value or b"")) for m in messages if m.topic == "ats.facts"]
    return [(partition, one) for partition, one in parsed if isinstance(one, Watermark)]


def letters(messages: list[Message]) -> list[Rejected]:
    return [Rejected.model_validate_json(m.value or b"") for m in messages if m.topic == "ats.rejected"]


def value(metric: Any, *labels: str) -> float:
    return float(metric.labels(*labels)._value.get())


# -- facts -------------------------------------------------------------------------------------------------------------


def test_facts_are_keyed_by_their_requisition() -> None:
    worker = Worker()
    messages = worker.fold([worker.body("webhook.new_candidate_application"), worker.body("record.scheduled_interviews")])
    found = [(m.partition, m.key, facts_record.validate_json(m.value or b"").type) for m in messages if m.key is not None]
    assert found == [(None, b"greenhouse/88001", "fact")] * 4
    assert [fact.kind for fact in facts(messages)][-1] == "interview.scheduled"


def test_links_live_on_from_batch_to_batch_and_within_one() -> None:
    worker = Worker()
    assert facts(worker.fold([worker.body("record.scorecards")])) == []
    assert value(PARKED, "normalise") == 1
    found = facts(worker.fold([worker.body("webhook.candidate_stage_change"), worker.body("webhook.interview_deleted")]))
    assert "scorecard.submitted" in {fact.kind for fact in found}
    assert value(PARKED, "normalise") == 1  # now it is the interview
    found = facts(worker.fold([worker.body("record.scheduled_interviews")]))
    assert {fact.kind for fact in found} == {"interview.cancelled", "interview.scheduled"}
    assert value(PARKED, "normalise") == 0


def test_a_batch_that_was_not_applied_is_the_same_when_it_is_read_again() -> None:
    worker = Worker()
    batch = [worker.body("record.scorecards"), worker.body("webhook.candidate_stage_change"), worker.record(b"{", [])]
    before = value(FACTS, "greenhouse", "scorecard.submitted"), value(REJECTED, "normalise", "invalid_headers")
    lost = worker.fold(batch, applied=False)
    assert (value(FACTS, "greenhouse", "scorecard.submitted"), value(REJECTED, "normalise", "invalid_headers")) == before
    assert worker.fold(batch) == lost
    assert value(FACTS, "greenhouse", "scorecard.submitted") == before[0] + 1
    assert value(REJECTED, "normalise", "invalid_headers") == before[1] + 1


def test_backfill_marks_the_facts_and_leaves_their_ids() -> None:
    [live], [backfilled] = (
        facts((worker := Worker()).fold([worker.body("record.jobs", **changes)]))[:1] for changes in ({}, {"backfill": True})
    )
    assert (live.fact_id, live.backfill, backfilled.backfill) == (backfilled.fact_id, False, True)


def test_an_unmapped_stage_is_counted_and_its_fact_kept() -> None:
    worker, before = Worker(), value(UNMAPPED_STAGES, "greenhouse")
    body = json.loads(json.dumps(BODIES["webhook.candidate_stage_change"]))
    body["payload"]["application"]["current_stage"]["name"] = "Zorbing"
    found = facts(worker.fold([worker.record(json.dumps(body).encode(), headers("webhook.x").to_kafka())]))
    assert found[0].attributes["stage"] == "unmapped"
    assert value(UNMAPPED_STAGES, "greenhouse") == before + 1


async def _recover(worker: Worker) -> None:
    await worker.step.recovered(2, worker)


def test_after_a_restart_the_parked_are_known_before_anything_is_read() -> None:
    import asyncio

    worker = Worker()
    worker.fold([worker.body("record.scorecards")])
    again = Worker(rows=worker.rows)
    PARKED.labels("normalise").set(0)
    asyncio.run(_recover(again))
    assert value(PARKED, "normalise") == 1


# -- reported facts ----------------------------------------------------------------------------------------------------

AT = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REPORTED = {"kind": "requisition.intake_held", "occurred_at": "2026-05-04T11:30:00+02:00", "requisition_id": "greenhouse/88001"}


def reported(worker: Worker, body: Any, **changes: Any) -> list[Message]:
    values = {
        "account": MANUAL_ACCOUNT,
        "system": MANUAL_ACCOUNT,
        "channel": "fact",
        "actor": "p-001",
        "actor_role": "talent_acquisition",
    }
    return worker.fold([worker.record(json.dumps(body).encode(), headers("webhook.x", **(values | changes)).to_kafka())])


def test_a_reported_fact_is_its_reporters_by_the_token_and_happened_when_they_say() -> None:
    [fact] = facts(reported(Worker(), {**REPORTED, "attributes": {"note": "by phone"}}))
    subjects = ["greenhouse/88001", None, None, None, None]
    assert fact.fact_id == manual_fact_id("acme", "manual", fact.kind, AT, subjects, "p-001")
    assert (fact.occurred_at, fact.occurred_at_source, fact.account, fact.system) == (AT, Origin.EVENT, "manual", "manual")
    assert (fact.actor, fact.attributes) == ("p-001", {"note": "by phone", "actor_role": "talent_acquisition"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actor": "p-999"}, "unknown_field"),
        ({"backfill": True}, "unknown_field"),
        ({"kind": "scorecard.submitted"}, "kind_cannot_be_reported"),
        ({"kind": ["x"]}, "kind_cannot_be_reported"),
        ({"occurred_at": "2026-05-04T09:30:00"}, "invalid_fact"),
        ({"occurred_at": None}, "invalid_fact"),
        ({"requisition_id": 7}, "invalid_fact"),
        ({"requisition_id": None}, "missing_field"),
        ({"attributes": []}, None),
        ({"attributes": "x"}, "not_an_object"),
    ],
)
def test_a_reported_fact_that_is_not_theirs_to_say_or_not_sound_is_rejected(change: Any, reason: str | None) -> None:
    messages = reported(Worker(), REPORTED | change)
    assert [letter.reason for letter in letters(messages)] == ([reason] if reason else [])
    assert len(facts(messages)) == (0 if reason else 1)


def test_a_reported_fact_about_an_application_waits_for_its_requisition_like_any_other() -> None:
    worker = Worker()
    given = {"kind": "availability.given", "occurred_at": "2026-05-04T09:30:00Z", "application_id": "greenhouse/900100"}
    assert facts(reported(worker, given)) == []
    found = facts(worker.fold([worker.body("webhook.candidate_stage_change")]))
    assert ("availability.given", "greenhouse/88001") in {(fact.kind, fact.requisition_id) for fact in found}


# -- watermarks --------------------------------------------------------------------------------------------------------


def poll(worker: Worker, body: Any) -> list[Message]:
    raw = headers("record.scorecards", channel="watermark")
    return worker.fold([worker.body("record.jobs"), worker.record(json.dumps(body).encode(), raw.to_kafka())])


def test_a_finished_poll_vouches_for_its_kinds_in_every_partition_behind_the_facts() -> None:
    until = RECEIVED - timedelta(minutes=3)
    messages = poll(Worker(), {"record_type": "scorecards", "complete_until": until.isoformat()})
    assert [partition for partition, _ in watermarks(messages)] == list(range(PARTITIONS))
    assert {m.topic for m in messages[-PARTITIONS:]} == {"ats.facts"}
    assert [m.partition for m in messages[-PARTITIONS:]] == list(range(PARTITIONS))
    mark = watermarks(messages)[0][1]
    assert (mark.account, mark.kinds, mark.complete_until, mark.received_at) == (
        "greenhouse",
        ("scorecard.submitted",),
        until,
        RECEIVED,
    )


def test_a_poll_vouches_for_nothing_after_we_heard_of_it() -> None:
    ahead = RECEIVED + timedelta(hours=1)
    messages = poll(Worker(), {"record_type": "scorecards", "complete_until": ahead.isoformat()})
    assert watermarks(messages)[0][1].complete_until == RECEIVED


@pytest.mark.parametrize(
    "body", [{}, {"record_type": "tags", "complete_until": "2026-01-01T00:00:00Z"}, {"record_type": "scorecards"}]
)
def test_an_unsound_watermark_vouches_for_nothing(body: Any) -> None:
    messages = poll(Worker(), body)
    assert watermarks(messages) == []
    assert len(letters(messages)) == 1


def test_webhooks_vouch_for_webhook_kinds_at_most_every_thirty_seconds() -> None:
    worker, found = Worker(), []
    for seconds in (0, 10, 29, 30, 31, 65):
        received = RECEIVED + timedelta(seconds=seconds)
        found += watermarks(worker.fold([worker.body("webhook.job_created", received_at=received)]))
    assert [(mark.complete_until - RECEIVED).seconds for partition, mark in found if partition == 0] == [0, 30, 65]
    assert {mark.kinds for _, mark in found} == {tuple(sorted(GREENHOUSE.webhook_kinds))}


def test_neither_history_nor_what_cannot_be_read_vouches_for_anything() -> None:
    worker = Worker()
    assert watermarks(worker.fold([worker.body("webhook.job_created", backfill=True)])) == []
    assert watermarks(worker.fold([worker.record(b"{}", headers("webhook.x").to_kafka())])) == []
    assert watermarks(worker.fold([worker.body("record.jobs")])) == []


# -- what nothing ever comes for -----------------------------------------------------------------------------------------


def mark(worker: Worker, at: datetime) -> Any:
    body = json.dumps({"record_type": "scorecards", "complete_until": at.isoformat()}).encode()
    return worker.record(body, headers("record.scorecards", channel="watermark", received_at=at).to_kafka())


def test_an_interview_deleted_before_any_poll_saw_it_is_let_go_after_thirty_days() -> None:
    worker = Worker()
    deleted = worker.body("webhook.interview_deleted")
    worker.fold([deleted])
    assert value(PARKED, "normalise") == 1
    assert letters(worker.fold([mark(worker, RECEIVED + timedelta(days=30, seconds=-1))])) == []
    late = RECEIVED + timedelta(days=30, seconds=1)
    [letter] = letters(worker.fold([mark(worker, late), mark(worker, late + timedelta(minutes=5))]))
    assert (letter.reason, letter.pointer, letter.rejected_at) == ("never_placed", f"ats.raw:2:{deleted.offset}", late)
    assert letter.detail == "interview.cancelled: in 30 days nothing told which requisition it belongs to"
    assert letter.sha256 == hashlib.sha256(deleted.value).hexdigest()
    assert value(PARKED, "normalise") == 0
    assert letters(worker.fold([mark(worker, late + timedelta(days=40))])) == []
    assert worker.fold([deleted]) == [], "put back, it is known and waits no more"
    assert value(PARKED, "normalise") == 0


def test_what_was_let_go_is_released_all_the_same_when_a_way_comes() -> None:
    worker = Worker()
    worker.fold([worker.body("webhook.interview_deleted"), mark(worker, RECEIVED + timedelta(days=31))])
    worker.fold([mark(worker, RECEIVED + timedelta(days=31, minutes=1))])
    assert value(PARKED, "normalise") == 0
    deleted = BODIES["webhook.interview_deleted"]["payload"]["interview"]["id"]
    scheduled = json.dumps({**BODIES["record.scheduled_interviews"], "id": deleted}).encode()
    found = facts(
        worker.fold(
            [worker.record(scheduled, headers("record.scheduled_interviews").to_kafka()), worker.body("record.applications")]
        )
    )
    assert "interview.cancelled" in {fact.kind for fact in found}
    assert value(PARKED, "normalise") == 0


def test_a_fact_that_found_its_way_in_time_is_not_told_of() -> None:
    worker = Worker()
    scorecard = worker.body("record.scorecards")
    worker.fold([scorecard])
    assert value(PARKED, "normalise") == 1
    worker.fold([worker.body("record.applications")])
    assert value(PARKED, "normalise") == 0
    assert letters(worker.fold([mark(worker, RECEIVED + timedelta(days=60))])) == []
    assert not [key for key in worker.rows if key.startswith(b"due|")], "and its row is gone"


def test_another_account_s_life_lets_nothing_go() -> None:
    worker = Worker()
    worker.fold([worker.body("webhook.interview_deleted")])
    at = RECEIVED + timedelta(days=60)
    body = json.dumps({"record_type": "scorecards", "complete_until": at.isoformat()}).encode()
    other = headers("record.scorecards", channel="watermark", received_at=at, account="greenhouse-emea")
    assert letters(worker.fold([worker.record(body, other.to_kafka())])) == []


# -- dead letters ------------------------------------------------------------------------------------------------------


def replaced(name: str, new: bytes | None) -> Any:
    kept = [pair for pair in headers("webhook.x").to_kafka() if pair[0] != name]
    return kept if new is None else [*kept, (name, new)]


@pytest.mark.parametrize(
    ("value", "kafka_headers", "reason"),
    [
        (b"{", headers("webhook.x").to_kafka(), "not_json"),
        (b"\xff", headers("webhook.x").to_kafka(), "not_utf8"),
        (None, headers("webhook.x").to_kafka(), "not_json"),
        (b'{"action":"x","payload":{}}', headers("webhook.x").to_kafka(), "unknown_action"),
        (b"{}", headers("webhook.x", system="taleo").to_kafka(), "unknown_system"),
        (b"{}", headers("record.tags").to_kafka(), "unknown_record_type"),
        (b"{}", [], "invalid_headers"),
        (b"{}", None, "invalid_headers"),
        (b"{}", replaced("received_at", None), "invalid_headers"),
        (b"{}", replaced("received_at", b"2026-01-01T00:00:00"), "invalid_headers"),
        (b"{}", replaced("account", b"\xff"), "invalid_headers"),
        (b"{}", [*headers("webhook.x").to_kafka(), ("account", None)], "invalid_headers"),
    ],
)
def test_what_cannot_be_used_is_noted_and_the_rest_goes_on(value: bytes | None, kafka_headers: Any, reason: str) -> None:
    worker = Worker()
    messages = worker.fold([worker.body("record.jobs"), worker.record(value, kafka_headers), worker.body("webhook.job_created")])
    assert [fact.kind for fact in facts(messages)][-1] == "requisition.updated"
    [letter] = letters(messages)
    assert (letter.reason, letter.pointer, letter.sha256) == (reason, "ats.raw:2:2", hashlib.sha256(value or b"").hexdigest())
    assert letter.rejected_at == RECEIVED


def test_a_dead_letter_holds_nothing_of_the_body() -> None:
    worker = Worker()
    body = json.dumps(BODIES["webhook.new_candidate_application"]).replace('"id": 900100', '"id": "Zuleika Ombrage"').encode()
    [message] = [m for m in worker.fold([worker.record(body, headers("webhook.x").to_kafka())]) if m.topic == "ats.rejected"]
    assert b"not_an_id" in (message.value or b"")
    assert b"Zuleika" not in (message.value or b"")


def test_a_connector_that_breaks_costs_one_record_and_not_the_worker() -> None:
    class Broken:
        webhook_kinds: frozenset[str] = frozenset()

        def normalise(self, *_: Any) -> list[Fact]:
            raise ZeroDivisionError("Zuleika Ombrage")

    step = Normaliser(STAGES, "ats.facts", "ats.rejected", PARTITIONS, {"greenhouse": GREENHOUSE, "broken": Broken()})  # type: ignore[dict-item]
    worker = Worker(step=step)
    messages = worker.fold([worker.body("webhook.job_created", system="broken"), worker.body("record.jobs")])
    [letter] = letters(messages)
    assert letter.reason == "connector_error:ZeroDivisionError"
    assert "Zuleika" not in letter.model_dump_json()
    assert len(facts(messages)) == 3


def test_a_fact_too_large_for_the_state_is_rejected() -> None:
    worker = Worker()
    body = {**BODIES["record.scheduled_interviews"], "interviewers": [{"id": number} for number in range(20_000)]}
    raw = headers("record.scheduled_interviews")
    [letter] = letters(worker.fold([worker.record(json.dumps(body).encode(), raw.to_kafka())]))
    assert letter.reason == "fact_too_large"


def test_every_metric_of_the_worker_has_its_name_in_one_place() -> None:
    for metric in (metrics.NORMALISED_FACTS, metrics.PARKED_FACTS, metrics.UNMAPPED_STAGES, metrics.WORKER_REJECTED):
        assert metric.name.startswith("mutual_sla_")


# -- on a real Kafka ---------------------------------------------------------------------------------------------------


def read(settings: Settings, topic: str, until: Callable[[list[Any]], bool], seconds: float = 60) -> list[Any]:
    """Records of all partitions of a topic, until they are as wanted."""
    consumer = KafkaConsumer(bootstrap_servers=settings.brokers, group_id=None)
    name, found = settings.topic(topic), []
    consumer.assign([TopicPartition(name, p) for p in sorted(consumer.partitions_for_topic(name))])
    consumer.seek_to_beginning()
    deadline = time.monotonic() + seconds
    try:
        while not until(found):
            assert time.monotonic() < deadline, f"{len(found)} records of {topic} and not as wanted"
            for records in consumer.poll(timeout_ms=200).values():
                found += records
    finally:
        consumer.close()
    return found


def test_a_real_worker_turns_raw_bodies_into_facts_watermarks_and_dead_letters(topics: Any) -> None:
    settings: Settings = topics(normalise_metrics_port=ports.free())
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    sent = [(name, json.dumps(BODIES[name]).encode(), headers(name)) for name in sorted(BODIES)]
    until = json.dumps({"record_type": "scorecards", "complete_until": RECEIVED.isoformat()}).encode()
    sent += [("broken", b"{", headers("webhook.x")), ("mark", until, headers("record.scorecards", channel="watermark"))]
    for _, body, raw in sent:
        producer.send(settings.topic("ats.raw"), key=raw.account.encode(), value=body, headers=raw.to_kafka())
    producer.flush()
    producer.close()
    environment = {**os.environ, **settings.environment()}
    worker = subprocess.Popen([sys.executable, "-m", "streams", "worker", "normalise"], env=environment)
    try:
        wanted = Worker()
        expected = wanted.fold([wanted.record(body, raw.to_kafka()) for _, body, raw in sent])
        number = sum(message.topic == "ats.facts" for message in expected) - 2 * PARTITIONS + 2 * 8
        found = read(settings, "ats.facts", lambda records: len(records) >= number)
        letter = read(settings, "ats.rejected", lambda records: len(records) >= 1)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    parsed = [(record.partition, facts_record.validate_json(record.value)) for record in found]
    assert sorted(one.to_json() for _, one in parsed if isinstance(one, Fact)) == sorted(
        fact.to_json() for fact in facts(expected)
    )
    marks = [(partition, one) for partition, one in parsed if isinstance(one, Watermark)]
    assert sorted(partition for partition, mark in marks if mark.kinds == ("scorecard.submitted",)) == list(range(8))
    assert Rejected.model_validate_json(letter[0].value).reason == "not_json"
    assert RawHeaders.from_kafka(headers("webhook.x").to_kafka()) == headers("webhook.x")
