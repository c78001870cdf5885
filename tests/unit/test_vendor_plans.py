"""What is asked of Workable's, SmartRecruiters' and Merge's API, against fakes of them: pages, limits, and what is put in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.fact import Fact, Origin
from streams.connectors import CONNECTORS
from streams.pollers import merge, smartrecruiters, workable
from streams.pollers.plan import Found, UnexpectedAnswer, compared, native, query_of
from tests.fake_ats import Fake, FakeMerge, FakeSmartRecruiters, FakeWorkable, drive
from tests.vendors import BODIES, STAGES, headers

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
OLD, NEW = "2026-02-01T00:00:00Z", "2026-03-05T00:00:00Z"


def workable_api() -> FakeWorkable:
    people = [{"id": f"c{n}", "job": {"shortcode": "J1"}, "stage": "Applied", "updated_at": NEW} for n in range(5)]
    people[3] |= {"stage_kind": "offer"}
    people[4] |= {"updated_at": OLD}
    activity = BODIES["workable", "record.activities"]
    alone = {name: value for name, value in activity.items() if name not in ("candidate", "job_shortcode")}
    lists: dict[str, list[dict[str, Any]]] = {
        "/candidates": people,
        "/jobs": [{"id": f"6{n}", "shortcode": f"J{n}", "state": "published", "updated_at": NEW} for n in range(1, 4)],
        "/requisitions": [
            {"id": "r1", "job": {"id": "62"}, "updated_at": NEW},
            {"id": "r2", "job": {"id": "J3"}, "updated_at": NEW},
            {"id": "r3", "job": None, "updated_at": NEW},
        ],
        "/events": [{**BODIES["workable", "record.events"], "id": f"e{n}"} for n in range(3)],
        "/members": [{"id": "m1"}],
        **{f"/jobs/J{n}/members": [{"id": f"m{k}", "role": "x"} for k in range(3)] for n in range(1, 4)},
        **{f"/candidates/c{n}/activities": [{**alone, "id": f"a{n}{k}"} for k in range(3)] for n in range(4)},
    }
    return FakeWorkable(
        ("Authorization", "Bearer t"), lists=lists, offers={"c3": {"id": "o1", "state": "sent", "created_at": NEW}}
    )


def smartrecruiters_api() -> FakeSmartRecruiters:
    people = [
        {"id": f"c{n}", "updatedOn": NEW, "primaryAssignment": {"job": {"id": "J1"}}, "secondaryAssignments": []}
        for n in range(5)
    ]
    people[0]["secondaryAssignments"] = [{"job": {"id": "J2"}}, {"job": None}]
    people[4]["updatedOn"] = OLD
    pairs = [("c0", "J1"), ("c0", "J2"), ("c1", "J1"), ("c2", "J1"), ("c3", "J1")]
    whose = [{"candidateId": c, "jobId": j} for c, j in pairs]
    lists: dict[str, list[dict[str, Any]]] = {
        "/candidates": people,
        "/jobs": [{"id": f"J{n}", "status": "SOURCING", "updatedOn": NEW} for n in range(1, 4)],
        "/users": [{"id": f"u{n}"} for n in range(3)],
        "/reviews-api/v201910/reviews": [{"id": f"rev{n}", **one} for n, one in enumerate(whose)],
        "/interviews-api/v201904/interviews": [{"id": f"int{n}", **one} for n, one in enumerate(whose)],
        **{f"/jobs/J{n}/hiring-team": [{"id": f"u{k}", "role": "RECRUITER"} for k in range(3)] for n in range(1, 4)},
        **{f"/candidates/{c}/jobs/{j}/status/history": [{"changedOn": NEW, "status": "NEW"}] * 3 for c, j in pairs},
        **{f"/candidates/{c}/jobs/{j}/offers": [{"id": f"off-{c}-{j}", "status": "SENT"}] for c, j in pairs},
    }
    return FakeSmartRecruiters(("X-SmartToken", "t"), lists=lists)


def merge_api() -> FakeMerge:
    lists: dict[str, list[dict[str, Any]]] = {}
    for name, (path, _) in merge.PATHS.items():
        record = BODIES["merge", f"record.{name}"]
        lists[path] = [{**record, "id": f"{name[:3]}{n}", "modified_at": NEW, "remote_was_deleted": n == 2} for n in range(3)]
        lists[path].append({**record, "id": "old", "modified_at": OLD})
    return FakeMerge(("Authorization", "Bearer t"), lists=lists)


VENDORS: dict[str, tuple[Any, Any, str, dict[str, str]]] = {
    "workable": (workable, workable_api, "https://acme.workable.com/spi/v3", {"Authorization": "Bearer t"}),
    "smartrecruiters": (smartrecruiters, smartrecruiters_api, "https://api.smartrecruiters.com", {"X-SmartToken": "t"}),
    "merge": (merge, merge_api, "https://api.merge.dev/api/ats/v1", {"Authorization": "Bearer t", "X-Account-Token": "linked"}),
}


def polled(vendor: str, record_type: str, since: datetime | None = SINCE) -> tuple[list[Found], Fake]:
    plans, api, base, token = VENDORS[vendor]
    fake = api()
    return drive(plans.PLANS[record_type](since), fake, base, token), fake


def ids(found: list[Found]) -> list[str]:
    return [str(one.body.get("id", one.body.get("candidate_id"))) for one in found]


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_there_is_a_plan_for_each_record_type_of_the_connector(vendor: str) -> None:
    assert set(VENDORS[vendor][0].PLANS) == set(CONNECTORS[vendor].record_kinds) >= set(VENDORS[vendor][0].COMPARED)


@pytest.mark.parametrize(
    ("vendor", "record_type", "expected"),
    [
        ("workable", "candidates", ["c0", "c1", "c2", "c3"]),
        ("workable", "jobs", ["61", "62", "63"]),
        ("workable", "requisitions", ["r1", "r2", "r3"]),
        ("workable", "activities", [f"a{n}{k}" for n in range(4) for k in range(3)]),
        ("workable", "events", ["e0", "e1", "e2"]),
        ("workable", "offers", ["o1"]),
        ("workable", "members", ["m1"]),
        ("smartrecruiters", "candidates", ["c0", "c1", "c2", "c3"]),
        ("smartrecruiters", "jobs", ["J1", "J2", "J3"]),
        ("smartrecruiters", "status_history", ["c0", "c0", "c1", "c2", "c3"]),
        ("smartrecruiters", "interviews", [f"int{n}" for n in range(5)]),
        ("smartrecruiters", "reviews", [f"rev{n}" for n in range(5)]),
        ("smartrecruiters", "offers", ["off-c0-J1", "off-c0-J2", "off-c1-J1", "off-c2-J1", "off-c3-J1"]),
        ("smartrecruiters", "users", ["u0", "u1", "u2"]),
        *(("merge", name, [f"{name[:3]}{n}" for n in range(3)]) for name in merge.PATHS),
    ],
)
def test_every_page_of_what_changed_is_read_once(vendor: str, record_type: str, expected: list[str]) -> None:
    found, fake = polled(vendor, record_type)
    assert ids(found) == expected
    assert {one.record_type for one in found} == {record_type}
    assert all(path.startswith(("/spi/v3/", "/api/ats/v1/", "/")) for path in fake.asked)


@pytest.mark.parametrize(
    ("vendor", "record_type"), [("workable", "candidates"), ("smartrecruiters", "candidates"), ("merge", "jobs")]
)
def test_the_first_poll_reads_everything(vendor: str, record_type: str) -> None:
    assert len(polled(vendor, record_type, None)[0]) == len(polled(vendor, record_type)[0]) + 1


@pytest.mark.parametrize(("vendor", "record_type"), [("workable", "activities"), ("smartrecruiters", "status_history")])
def test_the_vendor_s_limit_costs_nothing_but_time(vendor: str, record_type: str) -> None:
    assert polled(vendor, record_type)[1].refused > 0


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_without_the_token_nothing_is_read(vendor: str) -> None:
    plans, api, base, _ = VENDORS[vendor]
    with pytest.raises(httpx.HTTPStatusError):
        drive(plans.PLANS["jobs"](None), api(), base, {"Authorization": "Bearer other", "X-SmartToken": "other"})


def test_what_the_vendor_tells_elsewhere_is_put_in() -> None:
    assert [len(job.body["members"]) for job in polled("workable", "jobs")[0]] == [3, 3, 3]
    shortcodes = [one.body.get("job_shortcode") for one in polled("workable", "requisitions")[0]]
    assert shortcodes == ["J2", "J3", None]
    activity = polled("workable", "activities")[0][0].body
    assert (activity["candidate_id"], activity["job_shortcode"]) == ("c0", "J1")
    assert [len(job.body["hiringTeam"]) for job in polled("smartrecruiters", "jobs")[0]] == [3, 3, 3]
    assert len(polled("smartrecruiters", "status_history")[0][0].body["content"]) == 3
    assert polled("merge", "applications")[0][0].body["current_stage"]["name"] == "Onsite"


def facts(vendor: str, found: list[Found]) -> list[Fact]:
    return [
        fact
        for one in found
        for fact in CONNECTORS[vendor].normalise(
            headers(vendor, f"record.{one.record_type}"), json.dumps(one.body).encode(), STAGES
        )
    ]


def test_what_is_found_is_what_the_connectors_read() -> None:
    kinds = {fact.kind for name in ("activities", "events", "offers") for fact in facts("workable", polled("workable", name)[0])}
    assert kinds == {"application.stage_changed", "interview.scheduled", "offer.created", "offer.sent"}
    assert {f.kind for f in facts("smartrecruiters", polled("smartrecruiters", "status_history")[0])} == {
        "application.created",
        "application.stage_changed",
    }
    assert [f.kind for f in facts("merge", polled("merge", "scorecards")[0])] == ["scorecard.submitted"] * 2 + [
        "scorecard.deleted"
    ]


@pytest.mark.parametrize(
    ("vendor", "answer"),
    [
        ("workable", {"jobs": "none"}),
        ("workable", {"jobs": [1]}),
        ("workable", []),
        ("workable", {"jobs": [], "paging": {"next": 7}}),
        ("workable", {"jobs": [], "paging": {"next": "https://x.example/jobs?limit=100"}}),  # for ever
        ("workable", {"jobs": [{"shortcode": "../accounts"}]}),
        ("smartrecruiters", {"error": "x"}),
        ("smartrecruiters", {"content": [{"id": "a/../b"}]}),
        ("smartrecruiters", {"content": [], "nextPageId": 7}),
        ("smartrecruiters", {"content": [], "nextPageId": "again"}),
        ("merge", {"results": None}),
        ("merge", {"results": [], "next": 7}),
        ("merge", {"results": [], "next": "again"}),
    ],
)
def test_an_answer_that_is_not_as_documented_is_said_to_be(vendor: str, answer: Any) -> None:
    plans, _, base, token = VENDORS[vendor]
    with pytest.raises(UnexpectedAnswer):
        drive(plans.PLANS["jobs"](None), lambda _: httpx.Response(200, json=answer), base, token)


def test_a_link_leads_nowhere_but_to_the_next_page() -> None:
    assert query_of("http://169.254.169.254/latest?since_id=5&limit=2", "/jobs") == {"since_id": "5", "limit": "2"}
    assert query_of(None, "/jobs") is query_of("", "/jobs") is None
    for odd in ("", "a/b", "..", "a?b", "ä", True, None):
        with pytest.raises(UnexpectedAnswer):
            native({"id": odd}, "id")


def test_a_change_is_seen_with_what_was_before_and_no_more_is_remembered_than_that() -> None:
    rule = merge.COMPARED["applications"]
    record = BODIES["merge", "record.applications"]
    first = compared(Found("applications", record), rule, None, None)
    assert set(first.fields) == {"current_stage", "rejected_at", "remote_was_deleted"}
    assert (first.previous, first.since) == (None, None)
    moved = {**record, "current_stage": {"id": "s2", "name": "Offer"}}
    change = compared(Found("applications", moved), rule, first, SINCE)
    assert (change.previous, change.since) == (first.fields, SINCE)
    again = compared(Found("applications", {**moved, "modified_at": NEW}), rule, change, SINCE + timedelta(days=1))
    assert again == change, "what else changes is no change of it"
    body = {**moved, "previous": change.previous}
    raw = headers("merge", "record.applications", changed_since=SINCE)
    staged = [
        f for f in CONNECTORS["merge"].normalise(raw, json.dumps(body).encode(), STAGES) if f.kind == "application.stage_changed"
    ]
    assert [(f.occurred_at_source, f.occurred_not_before, f.attributes["stage"]) for f in staged] == [
        (Origin.POLL, SINCE, "offer")
    ]
    event = BODIES["workable", "record.events"]
    assert "Kim" not in json.dumps(compared(Found("events", event), workable.COMPARED["events"], None, None))
