"""What is asked of Lever's and Ashby's API, against fakes of them: pages, limits, errors, and what is put into the records."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from schemas.fact import Fact, Origin
from streams.connectors import CONNECTORS
from streams.pollers import ashby, lever
from streams.pollers.plan import Found, UnexpectedAnswer, compared
from tests.every_fixture import BODIES
from tests.fake_ats import Fake, FakeAshby, FakeLever, drive
from tests.vendors import STAGES, headers

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
KEY = {"Authorization": "Basic " + base64.b64encode(b"key:").decode()}
LEVER, ASHBY = "https://api.lever.co/v1", "https://api.ashbyhq.com"


def lever_api(**lists: Any) -> FakeLever:
    one = BODIES["lever", "record.opportunities"]
    bare = {name: value for name, value in one.items() if name not in ("stageNames", "archiveReason")}
    people = [{**bare, "id": f"o{n}", "confidentiality": "confidential" if n == 1 else "non-confidential"} for n in range(5)]
    people[4] = {**people[4], "updatedAt": 1}
    parts: dict[str, list[dict[str, Any]]] = {}
    for name in ("interviews", "panels", "feedback", "offers"):
        record = {k: v for k, v in BODIES["lever", f"record.{name}"].items() if k != "opportunityId"}
        parts |= {f"/opportunities/o{n}/{name}": [{**record, "id": f"{name[0]}{n}{k}"} for k in range(3)] for n in range(4)}
    return FakeLever(
        ("Authorization", KEY["Authorization"]),
        lists={
            "/opportunities": people,
            "/stages": [{"id": stage, "text": text} for stage, text in one["stageNames"].items()],
            "/archive_reasons": [{"id": "other", "text": "Withdrew", "type": "non-hired"}, one["archiveReason"]],
            "/requisitions": [{**BODIES["lever", "record.requisitions"], "id": f"r{n}", "updatedAt": 1} for n in range(3)],
            "/postings": [
                *({**BODIES["lever", "record.postings"], "id": f"p{n}"} for n in range(3)),
                {
                    **BODIES["lever", "record.postings"],
                    "id": "inside",
                    "state": "published",
                    "distributionChannels": ["internal"],
                },
                {**BODIES["lever", "record.postings"], "id": "draft", "state": "draft", "distributionChannels": ["internal"]},
            ],
            "/users": [{**BODIES["lever", "record.users"], "id": f"u{n}"} for n in range(3)],
            **parts,
            **lists,
        },
    )


def ashby_api(**lists: Any) -> FakeAshby:
    app = BODIES["ashby", "record.applications"]
    people = [{**app, "id": f"a{n}", "status": "Active" if n == 4 else "Archived"} for n in range(5)]
    for n in (3, 4):
        people[n] = {**people[n], "updatedAt": "2026-01-01T00:00:00.000Z"}
    rows = {
        call: [
            {**BODIES["ashby", f"record.{name}"], "id": f"{name[12:15]}{n}{k}", "applicationId": f"a{n}"}
            for n in range(5)
            for k in range(3)
        ]
        for call, name in (
            ("/application.listHistory", "application_history"),
            ("/applicationFeedback.list", "application_feedback"),
        )
    }
    others = {
        call: [{**BODIES["ashby", f"record.{name}"], "id": f"x{n}"} for n in range(3)]
        for name, call in ashby.CALLS.items()
        if name != "applications"
    }
    return FakeAshby(("Authorization", KEY["Authorization"]), lists={"/application.list": people, **rows, **others, **lists})


def polled(system: str, record_type: str, since: datetime | None = SINCE) -> tuple[list[Found], Fake]:
    fake: Fake = lever_api() if system == "lever" else ashby_api()
    plans, base = (lever.PLANS, LEVER) if system == "lever" else (ashby.PLANS, ASHBY)
    return drive(plans[record_type](since), fake, base, KEY), fake


def facts(system: str, found: list[Found], **changes: Any) -> list[Fact]:
    return [
        fact
        for one in found
        for fact in CONNECTORS[system].normalise(
            headers(system, f"record.{one.record_type}", **changes), orjson.dumps(one.body), STAGES
        )
    ]


def test_there_is_a_plan_for_each_record_type_of_the_connectors() -> None:
    for system, plans in (("lever", lever), ("ashby", ashby)):
        assert set(plans.PLANS) == set(CONNECTORS[system].record_kinds) >= set(plans.COMPARED)


@pytest.mark.parametrize(
    ("system", "record_type", "expected"),
    [
        ("lever", "opportunities", ["o0", "o1", "o2", "o3"]),  # o1 is confidential
        ("lever", "requisitions", ["r0", "r1", "r2"]),  # whatever their updatedAt
        ("lever", "postings", ["p0", "p1", "p2", "draft", "inside"]),
        ("lever", "users", ["u0", "u1", "u2"]),
        ("lever", "feedback", [f"f{n}{k}" for n in range(4) for k in range(3)]),
        ("lever", "interviews", [f"i{n}{k}" for n in range(4) for k in range(3)]),
        ("lever", "panels", [f"p{n}{k}" for n in range(4) for k in range(3)]),
        ("lever", "offers", [f"o{n}{k}" for n in range(4) for k in range(3)]),
        ("ashby", "applications", ["a0", "a1", "a2"]),
        ("ashby", "application_history", [f"his{n}{k}" for n in (0, 1, 2, 4) for k in range(3)]),
        ("ashby", "application_feedback", [f"fee{n}{k}" for n in (0, 1, 2, 4) for k in range(3)]),
        ("ashby", "interview_schedules", ["x0", "x1", "x2"]),
        ("ashby", "jobs", ["x0", "x1", "x2"]),
        ("ashby", "openings", ["x0", "x1", "x2"]),
        ("ashby", "offers", ["x0", "x1", "x2"]),
    ],
)
def test_every_page_of_what_changed_is_read_once(system: str, record_type: str, expected: list[str]) -> None:
    assert [one.body["id"] for one in polled(system, record_type)[0]] == expected


def test_the_first_poll_reads_everything_and_a_limit_costs_nothing_but_time() -> None:
    for system, record_type in (("lever", "opportunities"), ("ashby", "applications")):
        assert len(polled(system, record_type, None)[0]) == 5
    assert polled("lever", "feedback")[1].refused > 0 < polled("ashby", "application_history")[1].refused


@pytest.mark.parametrize("system", ["lever", "ashby"])
def test_a_wrong_key_reads_nothing(system: str) -> None:
    plans, fake, base = (lever.PLANS, lever_api(), LEVER) if system == "lever" else (ashby.PLANS, ashby_api(), ASHBY)
    with pytest.raises(httpx.HTTPStatusError):
        drive(plans["users"](None), fake, base, {"Authorization": "Basic eDo="})


@pytest.mark.parametrize(
    ("system", "answer"),
    [
        ("lever", {"data": "none"}),
        ("lever", {"data": [1]}),
        ("lever", {"data": [], "hasNext": True}),
        ("lever", {"data": [], "hasNext": True, "next": 7}),
        ("lever", {"data": [], "hasNext": True, "next": "again"}),
        ("ashby", {"success": False, "errors": ["missing_endpoint_permission"]}),
        ("ashby", {"results": []}),
        ("ashby", []),
        ("ashby", {"success": True, "results": {}}),
        ("ashby", {"success": True, "results": [], "moreDataAvailable": True}),
        ("ashby", {"success": True, "results": [], "moreDataAvailable": True, "nextCursor": "again"}),
    ],
)
def test_an_answer_that_is_not_as_documented_is_said_to_be(system: str, answer: Any) -> None:
    plans, base = (lever.PLANS, LEVER) if system == "lever" else (ashby.PLANS, ASHBY)
    with pytest.raises(UnexpectedAnswer):
        drive(plans["users"](None), lambda _: httpx.Response(200, json=answer), base, KEY)


def test_an_error_inside_a_success_names_ashby_s_code_and_nothing_else() -> None:
    answer = {"success": False, "errors": ["Robin Example was not found", "invalid_input"]}
    with pytest.raises(UnexpectedAnswer, match=r"/user\.list: no success: invalid_input$"):
        drive(ashby.PLANS["users"](None), lambda _: httpx.Response(200, json=answer), ASHBY, KEY)


def test_a_polled_opportunity_knows_names_and_reason_and_tells_the_webhook_s_facts() -> None:
    found, _ = polled("lever", "opportunities")
    [first, *_] = found
    assert first.body["archiveReason"]["text"] == "Underqualified" and len(first.body["stageNames"]) == 2
    opportunity = BODIES["lever", "record.opportunities"]["id"]
    told = facts("lever", [Found("opportunities", {**first.body, "id": opportunity})])
    webhook = CONNECTORS["lever"].normalise(
        headers("lever", "webhook.candidateStageChange"), orjson.dumps(BODIES["lever", "webhook.candidateStageChange"]), STAGES
    )
    assert {f.fact_id for f in webhook} < {f.fact_id for f in told}
    staged = [f.attributes["stage"] for f in told if f.kind == "application.stage_changed"]
    assert staged == ["applied", "screen", "manager_review"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ({"text": "Withdrew", "type": "non-hired"}, "application.withdrawn"),
        ({"text": "Underqualified", "type": "non-hired"}, "application.rejected"),
        ({"text": "Joined", "type": "hired"}, "application.hired"),
        (None, None),
    ],
)
def test_whose_no_an_archive_is_is_read_from_its_reason_and_never_guessed(reason: Any, kind: str | None) -> None:
    body = {**BODIES["lever", "record.opportunities"], "archiveReason": reason}
    ended = {f.kind for f in facts("lever", [Found("opportunities", body)])} & {
        "application.withdrawn",
        "application.rejected",
        "application.hired",
    }
    assert ended == ({kind} if kind else set())


def test_a_hold_and_its_end_are_found_by_comparing() -> None:
    rule, record = lever.COMPARED["requisitions"], BODIES["lever", "record.requisitions"]
    opened = {**record, "status": "open"}
    seen = compared(Found("requisitions", opened), rule, None, None)
    assert "requisition.held" not in {f.kind for f in facts("lever", [Found("requisitions", opened)])}
    seen = compared(Found("requisitions", record), rule, seen, SINCE)
    body = {**record, "previous": seen.previous}
    [held] = [f for f in facts("lever", [Found("requisitions", body)], changed_since=SINCE) if f.kind == "requisition.held"]
    assert (held.occurred_at_source, held.occurred_not_before) == (Origin.POLL, SINCE)
    body = {**opened, "previous": compared(Found("requisitions", opened), rule, seen, SINCE).previous}
    [resumed] = [f for f in facts("lever", [Found("requisitions", body)], changed_since=SINCE) if f.kind == "requisition.resumed"]
    assert resumed.requisition_id == f"lever/{record['postings'][0]}"


def test_a_moved_interview_is_another_version_made_since_the_last_look() -> None:
    record = BODIES["lever", "record.interviews"]
    [first] = facts("lever", [Found("interviews", record)])
    [moved] = facts("lever", [Found("interviews", {**record, "date": record["date"] + 3_600_000})], changed_since=SINCE)
    assert first.fact_id != moved.fact_id and first.attributes["starts_at"] != moved.attributes["starts_at"]
    assert first.occurred_at_source == moved.occurred_at_source == Origin.POLL
    assert first.attributes["interviewers"] == [f"lever/{record['interviewers'][0]['id']}"]  # the other is asked for none


def test_a_draft_is_no_feedback_and_nobody_s_feedback_names_nobody() -> None:
    record = BODIES["lever", "record.feedback"]
    assert facts("lever", [Found("feedback", {**record, "completedAt": None})]) == []
    [fact] = facts("lever", [Found("feedback", {**record, "user": None})])
    assert fact.person is None and fact.attributes["complete"] is True
