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
from kafka import KafkaProducer

from schemas.fact import Fact, Watermark, facts_record
from schemas.raw import RawHeaders
from streams import ports
from streams.clock import FileClock
from streams.connectors.greenhouse import RECORDS
from streams.normalise import Normaliser
from streams.settings import ROOT, Settings
from streams.whole_topic import everything, reader
from tests.fake_harvest import FakeHarvest, serving
from tests.greenhouse import BODIES, STAGES
from tests.tracked import Table
from tests.waiting import until
from tests.weeks.smartrecruiters import SmartRecruiters
from tests.weeks.week import OPENED
from tests.workers import running

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
    with reader(settings) as consumer:
        found = list(everything(consumer, settings.topic("ats.raw")))
    return sorted(found, key=lambda record: (record.partition, record.offset))


def tell(settings: Settings, system: str, account: str, body: bytes, vendor: dict[str, str]) -> None:
    """A webhook, as the gateway keeps it."""
    own = {"tenant": "acme", "account": account, "system": system, "channel": "webhook", "received_at": THEN, "request_id": "w"}
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    headers = RawHeaders.model_validate({**own, "vendor": vendor}).to_kafka()
    producer.send(settings.topic("ats.raw"), value=body, key=account.encode(), headers=headers)
    producer.close()


def test_webhook_and_poll_tell_one_story(topics: Any, tmp_path: Path) -> None:
    settings: Settings = topics()
    application = BODIES["webhook.new_candidate_application"]["payload"]["application"]
    FileClock(tmp_path / "clock").set(THEN)
    body = json.dumps(BODIES["webhook.new_candidate_application"]).encode()
    tell(settings, "greenhouse", "greenhouse", body, {})
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
    step = Normaliser(STAGES, "ats.facts", "ats.rejected", 1)(0, records, Table())
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


def test_a_thin_webhook_makes_the_running_poller_read_what_it_is_about(topics: Any, tmp_path: Path) -> None:
    settings: Settings = topics(deploy_dir=tmp_path, poller_metrics_port=ports.free())
    week = SmartRecruiters("acc")
    handler = week.handler()
    FileClock(tmp_path / "clock").set(OPENED)
    week.tell("opened")
    week.tell("applied")
    with serving(handler) as origin:
        week.moved_to(origin)
        account = {**week.source(origin), "poll_every": 3600, "webhook_secrets": []}
        (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"tenant": "acme", "accounts": [account]}))
        secret = {"WEEK_TOKEN": "token-of-the-week"}

        def interviews() -> list[Any]:
            return [r for r in raw(settings) if RawHeaders.from_kafka(r.headers).record_type == "interviews"]

        with running(settings, "poll", clock=tmp_path / "clock", environment=secret) as process:
            until(lambda: len(interviews()) == 1, process)  # the first poll's watermark: there is none yet
            ((headers, body),) = week.tell("booked")
            tell(settings, "smartrecruiters", "acc", body, {"event-name": "interview.created", "link": headers["link"]})
            until(lambda: len(interviews()) == 2, process)
    assert json.loads(interviews()[1].value)["id"] == "e1"
