"""`mutual-sla exception`: asked for by one, approved by another; the command refuses who asked, the gateway who may not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from schemas.fact import Fact, Origin
from streams import ports
from streams.check import load_sources
from streams.report import exceptions
from streams.settings import ROOT, Settings
from tests.conftest import MakeTopics
from tests.gateway_process import raw_records, until_answers
from tests.workers import Feeder, running

pytestmark = pytest.mark.kafka

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
MANAGER, APPROVER, RECRUITER = (f"MUTUAL_SLA_TOKEN_{who}" for who in ("HIRING_MANAGER", "APPROVER", "TA_EMEA"))
SECRETS = {str(token.token.env): f"{token.identity}-0123456789abcdef" for token in load_sources(ROOT / "deploy").tokens}


def told(kind: str, name: str, actor: str, **said: str) -> Fact:
    return Fact(
        fact_id=f"{kind}-{name}-{actor}",
        kind=kind,
        tenant="demo",
        account="greenhouse",
        system="facts",
        occurred_at=NOW,
        occurred_at_source=Origin.EVENT,
        received_at=NOW,
        requisition_id="greenhouse/17",
        actor=actor,
        attributes={"exception_id": name, **said},
    )


def asked(name: str, actor: str = "p-011") -> Fact:
    span = {"from": "2026-05-04T00:00:00Z", "until": "2026-05-08T00:00:00Z"}
    return told("exception.requested", name, actor, reason_code="site_visit", **span)


def command(settings: Settings, *words: str, token: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings.environment(), **SECRETS}
    arguments = [sys.executable, "-m", "streams", *words, "--token-env", token]
    return subprocess.run(arguments, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_who_asked_cannot_approve_and_somebody_else_can(topics: MakeTopics) -> None:
    settings = topics(gateway_port=ports.free(), deploy_dir=ROOT / "deploy")
    feeder = Feeder(settings)
    feeder.facts([asked("e1")])
    feeder.close()
    with running(settings, "gateway", environment={**SECRETS, "GREENHOUSE_WEBHOOK_SECRET": "s" * 20}):
        until_answers(settings, "/readyz", 200)
        own = command(settings, "exception", "approve", "e1", token=MANAGER)
        assert own.returncode == 65
        assert "p-011 asked for e1; another person has to approve it, with their own token" in own.stderr
        unknown = command(settings, "exception", "approve", "e2", token=APPROVER)
        assert (unknown.returncode, "nobody asked for 'e2'" in unknown.stderr) == (65, True)
        assert command(settings, "exception", "approve", "e1", token=RECRUITER).returncode == 65  # the gateway: not their role
        assert raw_records(settings) == []  # nothing of it is written down
        other = command(settings, "exception", "approve", "e1", token=APPROVER)
        assert (other.returncode, other.stdout.strip()) == (0, "exception e1 approved"), other.stderr
        subject = ("--requisition", "greenhouse/17")
        span = ("--from", "2026-05-04T00:00:00Z", "--until", "2026-05-03T00:00:00Z")
        backwards = command(settings, "exception", "request", *span, "--reason", "site_visit", *subject, token=MANAGER)
        assert (backwards.returncode, "give --until a later time" in backwards.stderr) == (65, True)
        declined = command(settings, "decline", "--reason", "illegal", *subject, token=RECRUITER)
        assert (declined.returncode, declined.stdout.strip()) == (0, "declined: what depends on it is charged to nobody")
    said = [json.loads(record.value) for record in raw_records(settings)]
    assert sorted((fact["kind"], fact["requisition_id"], str(fact["attributes"])) for fact in said) == [
        ("exception.approved", "greenhouse/17", "{'exception_id': 'e1'}"),
        ("request.declined", "greenhouse/17", "{'reason_code': 'illegal'}"),
    ]


def test_an_exception_counts_only_with_the_word_of_another_person(topics: MakeTopics) -> None:
    settings = topics()
    feeder = Feeder(settings)
    for name, approvers in (("open", []), ("own", ["p-011"]), ("both", ["approver", "p-011"])):
        feeder.facts([asked(name), *(told("exception.approved", name, who) for who in approvers)])
    feeder.close()
    assert {e.exception_id: (e.approved_by, e.counts) for e in exceptions(settings)} == {
        "open": (None, False),
        "own": ("p-011", False),
        "both": ("approver", True),  # who asked says nothing more by approving, too
    }
