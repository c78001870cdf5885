"""Greenhouse's applications, visits to stages and approvals by v3, and all of v1: what is asked, and the facts of the answers."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.fact import Fact
from schemas.sources import Account, Api
from streams.connectors import CONNECTORS
from streams.poll_state import PollState
from streams.poller import Poller
from streams.polling import SOURCES, Fixed
from streams.safe_fetch import Vendor
from tests.fake_harvest import FakeHarvest
from tests.greenhouse import STAGES
from tests.unit.test_poller import LATER, NEW, OLD, START, Bench, Hands, Log
from tests.weeks.greenhouse import GreenhouseV1
from tests.weeks.week import APPLIED, MINUTE, basic

MANY = 120  #: more than two questions of 50 ids


def harvest() -> FakeHarvest:
    applied = {"prospect": False, "job_id": 88, "applied_at": OLD, "updated_at": NEW}
    gone = [{**applied, "id": n, "candidate_id": n, "rejected_at": NEW} for n in range(1, MANY + 1)]
    details = [{"id": 5000 + n, "application_id": n, "rejection_reason_id": 1 + n % 2, "updated_at": NEW} for n in range(1, MANY)]
    reasons = [
        {"id": 1, "name": "Other offer", "type": {"id": 3, "name": "They rejected us"}},
        {"id": 2, "name": "Skills", "type": {"id": 4, "name": "We rejected them"}},
    ]
    visits = [
        {"id": 1, "application_id": 7, "job_interview_stage_id": 71, "entered_at": OLD, "updated_at": OLD},
        {"id": 2, "application_id": 7, "job_interview_stage_id": 72, "entered_at": NEW, "updated_at": NEW},
        {"id": 3, "application_id": 7, "job_interview_stage_id": 73, "entered_at": None, "updated_at": NEW},
    ]
    names = {71: "Applied", 72: "Manager review", 73: "Interview"}
    flow = {"approval_status": "approved", "job_id": 88, "updated_at": OLD}
    flows = [
        {**flow, "id": 1, "approval_type": "open_job"},
        {**flow, "id": 2, "approval_type": "offer_candidate", "offer_id": 64},
        {**flow, "id": 3, "approval_type": "open_job", "approval_status": "pending"},
    ]
    groups = [
        {"id": 11, "approval_flow_id": 1, "resolved_at": OLD, "updated_at": OLD},
        {"id": 12, "approval_flow_id": 1, "resolved_at": NEW, "updated_at": OLD},
    ]
    return FakeHarvest(
        {
            "/applications": gone,
            "/rejection_details": details,
            "/rejection_reasons": reasons,
            "/application_stages": visits,
            "/job_interview_stages": [{"id": n, "name": name, "updated_at": OLD} for n, name in names.items()],
            "/approval_flows": flows,
            "/approver_groups": groups,
        },
        page=100,
    )


def polled(tmp_path: Path, record_type: str) -> tuple[Bench, list[Fact]]:
    bench = Bench(tmp_path, harvest(), polled=(record_type,))
    assert bench.poll()
    return bench, bench.facts()


def test_rejections_have_their_reasons_however_many_there_are(tmp_path: Path) -> None:
    bench, facts = polled(tmp_path, "applications")
    ended = [fact for fact in facts if fact.kind in ("application.rejected", "application.withdrawn")]
    assert len(ended) == MANY
    assert [sum(fact.kind == kind for fact in ended) for kind in ("application.withdrawn", "application.rejected")] == [
        (MANY - 1) // 2,
        MANY - (MANY - 1) // 2,  # with the one whose reason is not told
    ]
    questions = [dict(r.url.params) for r in bench.fake.asked if r.url.path.endswith("/rejection_details")]
    assert [len(one["application_ids"].split(",")) for one in questions] == [50, 50, 20]


def test_an_application_comes_again_when_only_its_rejection_changed(tmp_path: Path) -> None:
    bench, _ = polled(tmp_path, "applications")
    bench.log.records.clear()
    bench.clock.at = START + timedelta(hours=1)
    bench.fake.lists["/rejection_details"][6] |= {"rejection_reason_id": 1, "updated_at": LATER}
    assert bench.poll()
    (body,) = bench.log.of("record")
    assert (body["id"], body["rejection_reason"]["type"]["name"]) == (7, "They rejected us")


def test_the_details_say_when_an_application_was_rejected_whose_own_record_has_the_status_only(tmp_path: Path) -> None:
    fake = harvest()
    rejected = {"prospect": False, "job_id": 88, "applied_at": OLD, "updated_at": NEW, "status": "rejected", "candidate_id": 7}
    fake.lists["/applications"] = [{**rejected, "id": 7}, {**rejected, "id": 8}, {**rejected, "id": 9, "status": "in_process"}]
    detail = {"rejection_reason_id": 2, "rejected_at": NEW, "updated_at": NEW}
    # The second one's detail has not come yet; of the third, which was taken back, it is still there.
    fake.lists["/rejection_details"] = [{**detail, "id": 5007, "application_id": 7}, {**detail, "id": 5009, "application_id": 9}]
    bench = Bench(tmp_path, fake, polled=("applications",))
    assert bench.poll()
    ended = [fact for fact in bench.facts() if fact.kind in ("application.rejected", "application.withdrawn")]
    assert [(fact.kind, fact.application_id, fact.occurred_at.isoformat()) for fact in ended] == [
        ("application.rejected", "gh/7", NEW.replace("Z", "+00:00"))
    ]


def test_visits_have_the_stage_s_name_and_a_visit_without_a_time_tells_nothing(tmp_path: Path) -> None:
    bench, facts = polled(tmp_path, "application_stages")
    told = {(fact.attributes["stage"], fact.occurred_at.isoformat(), fact.application_id) for fact in facts}
    assert told == {("applied", OLD.replace("Z", "+00:00"), "gh/7"), ("manager_review", NEW.replace("Z", "+00:00"), "gh/7")}
    assert len(bench.log.of("record")) == 3


def test_an_approval_is_dated_by_its_last_group_else_by_the_flow(tmp_path: Path) -> None:
    _, facts = polled(tmp_path, "approvals")
    assert {(fact.kind, fact.occurred_at.isoformat()) for fact in facts} == {
        ("requisition.approved", NEW.replace("Z", "+00:00")),
        ("offer.approved", OLD.replace("Z", "+00:00")),
    }


def test_an_approval_comes_again_when_a_group_resolved(tmp_path: Path) -> None:
    bench, _ = polled(tmp_path, "approvals")
    bench.log.records.clear()
    bench.clock.at = START + timedelta(hours=1)
    bench.fake.lists["/approval_flows"][2] |= {"approval_status": "approved"}
    bench.fake.lists["/approver_groups"].append({"id": 13, "approval_flow_id": 3, "resolved_at": LATER, "updated_at": LATER})
    assert bench.poll()
    assert [(fact.kind, fact.occurred_at.isoformat()) for fact in bench.facts()] == [
        ("requisition.approved", LATER.replace("Z", "+00:00"))
    ]


# -- v1 ------------------------------------------------------------------------------------------------------------------


class OldBench:
    """One account of the old API, whose pages hold one object."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.clock, self.asked = folder, Log(), Hands(APPLIED), list[Any]()
        self.week = GreenhouseV1("gh")
        self.handler = self.week.handler()
        self.week.moved_to("https://old.example")

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path, dict(request.url.params)))
        return self.handler(request)

    def poll(self, key: str = "token-of-the-week") -> bool:
        async def inside() -> bool:
            state = PollState(self.folder)
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                vendor = Vendor(client, "https://old.example/v1", Fixed({"Authorization": basic(key)}))
                account = Account(account="gh", system="greenhouse", polled=self.week.polled, api=Api(version="v1"))
                poller = Poller("acme", account, SOURCES["greenhouse"], vendor, self.log, state, self.clock, 900_000)
                found = await poller.poll()
            state.close()
            return found

        return asyncio.run(inside())

    def kinds(self) -> set[str]:
        records = [r for r in self.log.records if r.headers.channel == "record"]
        normalise = CONNECTORS["greenhouse"].normalise
        return {fact.kind for r in records for fact in normalise(r.headers, r.body, STAGES)}


def test_v1_is_read_page_by_page_and_then_what_changed(tmp_path: Path) -> None:
    bench = OldBench(tmp_path)
    for moment in ("opened", "applied", "booked", "card"):
        bench.week.tell(moment)
    assert bench.poll()
    assert [path for path, _ in bench.asked].count("/v1/jobs") == 2
    assert {json.loads(r.body)["id"] for r in bench.log.records if r.headers.record_type == "jobs" and b'"id"' in r.body} == {
        87,
        88,
    }
    assert bench.kinds() >= {"requisition.opened", "application.created", "interview.scheduled", "scorecard.submitted"}
    bench.asked.clear()
    bench.clock.at = APPLIED + 60 * MINUTE
    assert bench.poll()
    asked = {path.rpartition("/")[2]: query for path, query in bench.asked if "page" not in query}
    assert asked["jobs"]["updated_after"] == asked["applications"]["last_activity_after"] == "2026-03-02T08:50:00Z"


@pytest.mark.parametrize("key", ["", "another"])
def test_v1_with_a_wrong_key_reads_nothing_and_moves_nothing(tmp_path: Path, key: str) -> None:
    bench = OldBench(tmp_path)
    bench.week.tell("opened")
    assert not bench.poll(key)
    assert bench.log.records == []
