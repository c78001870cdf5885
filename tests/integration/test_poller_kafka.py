"""`mutual-sla poll` as a process, over real HTTP, onto a real Kafka; and with a webhook, what normalise makes of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.fact import Fact, Watermark, facts_record
from schemas.raw import RawHeaders
from streams.clock import FileClock
from streams.connectors.greenhouse import RECORDS
from streams.normalise import Normaliser
from streams.settings import ROOT, Settings
from tests.fake_harvest import FakeHarvest, serving
from tests.greenhouse import BODIES, STAGES

pytestmark = pytest.mark.kafka

THEN = datetime(2026, 3, 6, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 6, 9, 5, tzinfo=UTC)
STARTS, ENDS, CARD = "2026-03-05T09:00:00Z", "2026-03-05T10:00:00Z", "2026-03-05T16:00:00Z"


def harvest(application: int) -> FakeHarvest:
    interview = {"id": 40, "application_id": application, "starts_at": STARTS, "ends_at": ENDS, "status": "complete"}
    card = {"id": 1, "application_id": application, "interviewer_id": 7, "submitted_at": CARD, "candidate_rating": "yes"}
    return FakeHarvest(
        {
            "/interviews": [{**interview, "updated_at": CARD}],
            "/interviewers": [{"id": 9, "interview_id": 40, "user_id": 7, "scorecard_id": 1, "updated_at": STARTS}],
            "/scorecards": [{**card, "updated_at": CARD}],
        }
    )


def poll(settings: Settings, folder: Path, origin: str) -> subprocess.CompletedProcess[str]:
    api = {"base_url": f"{origin}/v3", "token_url": f"{origin}/token", "user": "7"}
    api |= {"client_id": {"env": "T_CLIENT"}, "client_secret": {"env": "T_SECRET"}}  # type: ignore[dict-item]
    account = {"account": "greenhouse", "system": "greenhouse", "polled": ["scheduled_interviews", "scorecards"], "api": api}
    (folder / "sources.yaml").write_text(yaml.safe_dump({"tenant": "acme", "accounts": [account]}))
    clock = {"MUTUAL_SLA_DEPLOY_DIR": str(folder), "MUTUAL_SLA_CLOCK_FILE": str(folder / "clock")}
    secrets = {"T_CLIENT": "client", "T_SECRET": "hush"}
    environment = {**os.environ, **settings.environment(), **clock, **secrets}
    command = [sys.executable, "-m", "streams", "poll", "--once"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


def raw(settings: Settings) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=settings.brokers, auto_offset_reset="earliest", consumer_timeout_ms=3_000)
    topic = settings.topic("ats.raw")
    consumer.assign([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
    try:
        return sorted(consumer, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def tell(settings: Settings) -> None:
    """The webhook of the application, as the gateway keeps it."""
    headers = RawHeaders(
        tenant="acme", account="greenhouse", system="greenhouse", channel="webhook", received_at=THEN, request_id="w"
    )
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    body = json.dumps(BODIES["webhook.new_candidate_application"]).encode()
    producer.send(settings.topic("ats.raw"), value=body, key=b"greenhouse", headers=headers.to_kafka())
    producer.close()


def test_webhook_and_poll_tell_one_story(topics: Any, tmp_path: Path) -> None:
    settings: Settings = topics()
    application = BODIES["webhook.new_candidate_application"]["payload"]["application"]
    FileClock(tmp_path / "clock").set(THEN)
    tell(settings)
    with serving(harvest(application["id"])) as origin:
        first = poll(settings, tmp_path, origin)
        assert first.returncode == 0, first.stderr
        FileClock(tmp_path / "clock").set(LATER)
        again = poll(settings, tmp_path, origin)
        assert again.returncode == 0, again.stderr
    assert "hush" not in first.stdout + first.stderr
    records = raw(settings)
    channels = [RawHeaders.from_kafka(record.headers).channel for record in records]
    assert channels == ["webhook", "record", "watermark", "record", "watermark", "watermark", "watermark"]
    step = Normaliser(STAGES, "ats.facts", "ats.rejected", 1)(0, records, lambda _: None)
    told = [facts_record.validate_json(message.value) for message in step.messages]
    facts = {one.kind: one for one in told if isinstance(one, Fact)}
    job = f"greenhouse/{application['jobs'][0]['id']}"
    for kind in ("application.created", "interview.scheduled", "scorecard.submitted"):
        assert facts[kind].requisition_id == job
    vouched = [mark for mark in told if isinstance(mark, Watermark) and mark.kinds == RECORDS["scorecards"][1]]
    assert [mark.complete_until for mark in vouched] == [THEN, LATER]


def test_a_vendor_that_is_away_is_said_and_exits_69(topics: Any, tmp_path: Path) -> None:
    settings: Settings = topics()
    fake = harvest(1)
    fake.lists.pop("/interviews")
    with serving(fake) as origin:
        done = poll(settings, tmp_path, origin)
    assert done.returncode == 69
    assert "poll_failed" in done.stdout + done.stderr
    kept = [RawHeaders.from_kafka(record.headers) for record in raw(settings)]
    assert [(one.channel, one.record_type) for one in kept] == [("record", "scorecards"), ("watermark", "scorecards")]
