"""Bodies in shapes that vendors were seen to send, or say that they send, and that a first reading of their pages got wrong."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from schemas.fact import Fact, Origin
from streams.connectors import CONNECTORS
from streams.connectors.smartrecruiters import SMARTRECRUITERS
from streams.connectors.teamtailor import TEAMTAILOR
from streams.errors import InvalidSignature
from streams.pollers import smartrecruiters, workable
from streams.pollers.plan import Found
from tests.fake_ats import drive
from tests.vendors import BODIES, STAGES, facts, headers


def read(vendor: str, name: str, body: Any, **changes: Any) -> list[Fact]:
    """The facts of a whole body, `record.TYPE` or `webhook.EVENT`."""
    return CONNECTORS[vendor].normalise(headers(vendor, name, **changes), json.dumps(body).encode(), STAGES)


def kinds(found: list[Fact]) -> list[str]:
    return [fact.kind for fact in found]


# -- Workable ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rating", "word"),
    [
        ({"score": "positive", "scale": "thumbs", "grade": 1}, "positive"),
        ({"score": "negative", "scale": "thumbs", "grade": 0}, "negative"),
        ({"score": "definite", "scale": "stars", "grade": 5}, "definite"),
        ({"score": "definite"}, "definite"),
        ({"score": "what a day", "grade": 3}, "other"),
    ],
)
def test_workable_scores_with_a_word_and_grades_with_a_number(rating: dict[str, Any], word: str) -> None:
    [card] = facts("workable", "record.activities", {"action": "rating", "target_stage": None, "rating": rating})
    assert (card.kind, card.attributes["rated"], card.attributes["complete"]) == ("scorecard.submitted", True, True)
    assert card.attributes["rating"] == word


@pytest.mark.parametrize("rating", [None, {}, {"score": None, "grade": None}, {"score": ""}, {"score": True}])
def test_workable_an_evaluation_without_a_score_rates_nothing(rating: Any) -> None:
    [card] = facts("workable", "record.activities", {"action": "rating", "target_stage": None, "rating": rating})
    assert (card.attributes["rated"], card.attributes["complete"]) == (False, False)


def workable_people(request: httpx.Request) -> httpx.Response:
    """The list says that somebody was disqualified, and only the candidate's own page when, and by whom."""
    listed = {name: v for name, v in BODIES["workable", "record.candidates"].items() if not name.startswith(("disq", "withd"))}
    if request.url.path.endswith("/candidates"):
        people = [{**listed, "id": "in", "disqualified": False}, {**listed, "id": "out", "disqualified": True}]
        return httpx.Response(200, json={"candidates": people})
    told = {**listed, "disqualified": True, "disqualified_at": "2026-03-09T08:00:00Z", "withdrew": True}
    return httpx.Response(200, json={"candidate": {**told, "id": request.url.path.rpartition("/")[2]}})


def test_workable_when_a_candidate_was_disqualified_is_asked_for_because_no_list_tells() -> None:
    base, token = "https://acme.workable.com/spi/v3", {"Authorization": "Bearer t"}
    found: list[Found] = drive(workable.PLANS["candidates"](None), workable_people, base, token)
    told = {
        one.body["id"]: [f for f in read("workable", "record.candidates", one.body) if f.kind != "application.created"]
        for one in found
    }
    assert "application.withdrawn" not in kinds(told["in"])
    [gone] = [fact for fact in told["out"] if fact.kind == "application.withdrawn"]
    assert gone.occurred_at == datetime(2026, 3, 9, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "event",
    ["employee_created", "employee_updated", "employee_published", "onboarding_completed", "timeoff_updated"],
)
def test_workable_events_of_employees_tell_nothing(event: str) -> None:
    assert read("workable", "webhook.candidate_moved", {"event_type": event, "id": "1", "data": {"id": "e1"}}) == []


# -- Lever -------------------------------------------------------------------------------------------------------------


def test_lever_an_interview_of_a_panel_has_the_panel_s_time_of_creation() -> None:
    created, starts = 1782973120306, 1783000000000
    member = {"id": "u-int", "email": "x@example.com", "name": "X", "responseStatus": "needsAction", "feedbackTemplate": "f1"}
    nested = {"id": "i1", "date": starts, "duration": 45, "feedbackTemplate": None, "interviewers": [member], "subject": "x"}
    panel = {"id": "p1", "opportunityId": "o1", "createdAt": created, "canceledAt": None, "interviews": [nested], "user": "u-rec"}
    raw = headers("workable", "record.panels").model_copy(
        update={"account": "lever", "system": "lever", "received_at": datetime(2026, 7, 2, 12, tzinfo=UTC)}
    )
    [fact] = CONNECTORS["lever"].normalise(raw, json.dumps(panel).encode(), STAGES)
    assert (fact.kind, fact.occurred_at_source, fact.interview_id) == ("interview.scheduled", Origin.POLL, "lever/i1")
    assert fact.occurred_not_before == datetime(2026, 7, 2, 6, 18, 40, 306_000, tzinfo=UTC)
    assert fact.attributes["interviewers"] == ["lever/u-int"]
    alone = {**nested, "createdAt": created, "panel": "p1", "user": "u-rec", "opportunityId": "o1"}
    again = raw.model_copy(update={"record_type": "interviews"})
    [same] = CONNECTORS["lever"].normalise(again, json.dumps(alone).encode(), STAGES)
    assert same.fact_id == fact.fact_id, "the panel and the list of interviews tell one happening"


# -- SmartRecruiters ---------------------------------------------------------------------------------------------------

SMART_INTERVIEW: dict[str, Any] = {
    "id": "int-7",
    "candidate": {"id": "c1", "status": "accepted"},
    "jobId": "j1",
    "location": None,
    "organizerId": "u-rec",
    "timezone": "Europe/Berlin",
    "timeslots": [
        {"id": "t1", "startsOn": "2026-06-10T09:00:00.000Z", "endsOn": "2026-06-10T10:00:00.000Z", "place": None}
        | {"interviewers": [{"id": "u-int", "status": "declined"}], "candidateStatus": "pending"}
    ],
    "createdOn": "2026-05-30T09:00:00.000Z",
    "refUrl": None,
}


def smart(name: str, body: Any, **changes: Any) -> list[Fact]:
    return read("smartrecruiters", name, body, **changes)


def test_smartrecruiters_an_interview_names_its_candidate_as_an_object() -> None:
    [fact] = smart("record.interviews", SMART_INTERVIEW)
    assert (fact.kind, fact.application_id, fact.candidate_id, fact.requisition_id) == (
        "interview.scheduled", "smartrecruiters/c1.j1", "smartrecruiters/c1", "smartrecruiters/j1",
    )  # fmt: skip
    assert fact.attributes["interviewers"] == ["smartrecruiters/u-int"]


def test_smartrecruiters_an_interview_that_moved_is_another_version_though_it_has_no_time_of_change() -> None:
    slot = SMART_INTERVIEW["timeslots"][0]
    moved = {**SMART_INTERVIEW, "timeslots": [{**slot, "startsOn": "2026-06-12T09:00:00Z", "endsOn": "2026-06-12T10:00:00Z"}]}
    since = datetime(2026, 6, 1, 11, tzinfo=UTC)
    [first], [second] = smart("record.interviews", SMART_INTERVIEW), smart("record.interviews", moved, changed_since=since)
    assert first.fact_id != second.fact_id
    assert (first.occurred_at_source, first.occurred_not_before) == (Origin.POLL, datetime(2026, 5, 30, 9, tzinfo=UTC))
    assert (second.occurred_at_source, second.occurred_not_before) == (Origin.POLL, since)
    [again] = smart("record.interviews", moved, changed_since=since, received_at=datetime(2026, 6, 3, tzinfo=UTC))
    assert again.fact_id == second.fact_id


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("PENDING_ACCEPTANCE", "offer.sent"),
        ("NOT_ACCEPTED", "offer.declined"),
        ("ACCEPTED", "offer.accepted"),
        ("APPROVED", "offer.approved"),
        ("ABANDONED", "offer.updated"),
        *((word, None) for word in ("CREATED", "PENDING_APPROVAL", "NOT_APPROVED")),
    ],
)
def test_smartrecruiters_says_how_far_an_offer_is_in_words_of_its_own(status: str, kind: str | None) -> None:
    assert kinds(facts("smartrecruiters", "record.offers", {"status": status})) == ["offer.created", *([kind] if kind else [])]


@pytest.mark.parametrize(("rating", "rated"), [(4, True), (3.5, True), (None, False)])
def test_smartrecruiters_a_review_rates_overall(rating: Any, rated: bool) -> None:
    review = {"id": "r1", "candidateId": "c1", "jobId": "j1", "reviewerId": "u-int", "overallRating": rating, "comment": "x"}
    [card] = smart("record.reviews", {**review, "createdOn": "2026-05-30T18:27:45.060Z", "updatedOn": "2026-05-31T00:00:00Z"})
    assert (card.kind, card.person) == ("scorecard.submitted", "smartrecruiters/u-int")
    assert (card.attributes["rated"], card.attributes["reasoned"]) == (rated, True)


def test_smartrecruiters_a_review_that_was_deleted_is_known_by_itself() -> None:
    [fact] = smart("webhook.review.deleted", {"application_id": "9edf8e34-8c63", "review_id": "r1"})
    assert (fact.kind, fact.occurred_at_source, fact.attributes["scorecard_id"]) == ("scorecard.deleted", Origin.REQUEST, "r1")
    assert fact.application_id is None


@pytest.mark.parametrize("event", ["review.created", "review.updated", "onboarding.process.started"])
def test_smartrecruiters_knows_every_event_of_the_vendor_s_list(event: str) -> None:
    assert smart(f"webhook.{event}", {"application_id": "a1", "review_id": "r1"}) == []


def test_smartrecruiters_a_transferred_candidate_has_left_the_job() -> None:
    entries = [
        {"changedOn": "2026-03-02T09:00:00Z", "status": "LEAD", "subStatus": None},
        {"changedOn": "2026-03-03T09:00:00Z", "status": "IN_REVIEW", "subStatus": "Manager review"},
        {"changedOn": "2026-03-05T09:00:00Z", "status": "TRANSFERRED"},
    ]
    found = smart("record.status_history", {"candidate_id": "c1", "job_id": "j1", "content": entries[::-1]})
    assert kinds(found) == ["application.created", "application.stage_changed", "application.moved"]
    assert found[0].attributes["prospect"] is True
    assert found[0].occurred_at == datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_smartrecruiters_a_candidate_known_for_years_did_not_apply_then_to_each_job() -> None:
    job = {"id": "j1", "title": "x"}
    person: dict[str, Any] = {"id": "c1", "createdOn": "2023-01-01T09:00:00Z", "primaryAssignment": {"job": job, "status": "NEW"}}
    assert kinds(smart("record.candidates", {**person, "secondaryAssignments": [{"job": {"id": "j0"}}]})) == []
    assert kinds(smart("record.candidates", {**person, "secondaryAssignments": []})) == ["application.created"]


def test_smartrecruiters_signatures_of_schemes_to_come_leave_room_for_ours() -> None:
    right = hmac.digest(b"key", b".{}....", "sha256").hex()
    others = ";".join(f"v2={n:064x}" for n in range(16))
    SMARTRECRUITERS.verify({"smartrecruiters-signature": f"{others};v1={right}"}, b"{}", [b"key"])


def test_smartrecruiters_thin_webhooks_are_followed_by_the_ids_that_are_documented() -> None:
    def signals(event: str, body: dict[str, Any]) -> list[tuple[str, str]]:
        return [(s.record_type, s.about) for s in smartrecruiters.follow({"event-name": event}, body, lambda link: link)]

    assert signals("job.status.updated", {"id": "j1"}) == [("jobs", "j1")]
    assert signals("job.approval.approved", {"approval_id": "a1", "job_id": "j1"}) == [("jobs", "j1")]
    interview = {"interview_id": "i1", "application_id": "a1", "candidate_id": "c1", "company_id": "x"}
    assert signals("interview.updated", interview) == [("interviews", "i1")]
    assert signals("review.created", {"application_id": "a1", "review_id": "r1"}) == [("reviews", "r1")]
    assert signals("review.deleted", {"application_id": "a1", "review_id": "r1"}) == []


def test_smartrecruiters_reviews_come_as_a_bare_list_of_an_api_of_their_own() -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        if request.url.path == "/candidates":
            assignment = {"job": {"id": "j1"}, "applicationId": "9edf8e34"}
            return httpx.Response(200, json={"content": [{"id": "c1", "primaryAssignment": assignment}]})
        return httpx.Response(200, json=[{"id": "r1"}] if "reviews" in request.url.path else {"content": []})

    base, token = "https://api.smartrecruiters.com", {"X-SmartToken": "t"}
    found = drive(smartrecruiters.PLANS["reviews"](None), answer, base, token)
    assert [one.body for one in found] == [{"candidateId": "c1", "jobId": "j1", "id": "r1"}]
    assert (asked[-1].path, dict(asked[-1].params)) == (
        "/reviews-api/v201910/reviews", {"limit": "100", "candidateId": "c1", "jobId": "j1"},
    )  # fmt: skip
    drive(smartrecruiters.PLANS["interviews"](None), answer, base, token)
    assert dict(asked[-1].params) == {"limit": "100", "applicationId": "9edf8e34"}


# -- Teamtailor --------------------------------------------------------------------------------------------------------

#: As captured: no envelope, underscores, numbers as ids, the stage by its name, and no time of creation.
FLAT: dict[str, Any] = {
    "event_name": "job_application.update",
    "id": 9003,
    "candidate": {"id": 7001, "company_uuid": "x", "created_at": "2026-03-01T09:00:00.000+01:00", "first_name": "Robin"},
    "company_uuid": "x",
    "job_id": 812,
    "job_title": "Straßenbau",
    "last_moved_at": "2026-03-05T09:23:20.954+01:00",
    "rejected_at": None,
    "referring_site": None,
    "stage_name": "On-site",
    "updated_at": "2026-03-05T09:23:20.977+01:00",
}


def tailored(body: Any, name: str = "webhook.x") -> list[Fact]:
    return read("teamtailor", name, body)


def test_teamtailor_a_webhook_may_be_the_resource_itself() -> None:
    [moved] = tailored(FLAT)
    assert (moved.kind, moved.attributes["stage_name"], moved.attributes["stage"]) == (
        "application.stage_changed", "On-site", "interview",
    )  # fmt: skip
    assert (moved.requisition_id, moved.application_id, moved.candidate_id) == (
        "teamtailor/812", "teamtailor/9003", "teamtailor/7001",
    )  # fmt: skip
    assert (moved.occurred_at, moved.occurred_at_source) == (
        datetime(2026, 3, 5, 8, 23, 20, 954_000, tzinfo=UTC), Origin.OBJECT,
    )  # fmt: skip
    declined = tailored({**FLAT, "rejected_at": "2026-03-06T09:00:00+01:00"})
    assert kinds(declined) == ["application.rejected", "application.stage_changed"]
    [created, _] = tailored({**FLAT, "event_name": "job_application.create"})
    assert (created.kind, created.occurred_at_source) == ("application.created", Origin.OBJECT)
    [gone] = tailored({"event_name": "job_application.destroy", "id": 9003, "company_uuid": "x"})
    assert (gone.kind, gone.application_id) == ("application.deleted", "teamtailor/9003")
    opened = tailored({"event_name": "job.create", "id": 812, "status": "open", "created_at": "2026-02-23T11:00:00+01:00"})
    assert kinds(opened) == ["requisition.opened", "requisition.updated"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ({"rejected-by-company": False}, "application.withdrawn"),
        ({"rejected-by-company": True}, "application.rejected"),
        ({}, "application.rejected"),
        (None, "application.rejected"),
    ],
)
def test_teamtailor_a_reason_that_is_not_the_company_s_is_the_candidate_s(reason: Any, kind: str) -> None:
    data = {
        "id": "1", "type": "job-applications",
        "attributes": {"created-at": "2026-03-02T09:00:00+01:00", "rejected-at": "2026-03-04T09:00:00+01:00"},
        "relationships": {"reject-reason": {"data": {"type": "reject-reasons", "id": "5"}}, "job": {"links": {"self": "x"}}},
    }  # fmt: skip
    included = [] if reason is None else [{"id": "5", "type": "reject-reasons", "attributes": {"reason": "x", **reason}}]
    assert kinds(tailored({"data": data, "included": included}, "record.job_applications")) == ["application.created", kind]


def told(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_teamtailor_signs_a_company_s_webhook_in_a_header_of_its_own() -> None:
    body = json.dumps(FLAT).encode()
    for signed in (body, b"9003"):
        TEAMTAILOR.verify({"tt-signature": told(hmac.digest(b"key", signed, "sha256").hex())}, body, [b"old", b"key"])
    dated = hmac.digest(b"key", b"1780000000." + body, "sha256").hex()
    TEAMTAILOR.verify({"tt-signature": told(f"t=1780000000,v2={dated}")}, body, [b"key"])


@pytest.mark.parametrize(
    "given",
    [
        "",
        "not base64!",
        told("t=1780000000"),
        told("v2=" + "0" * 64),
        told("t=1780000001,v2=" + hmac.digest(b"key", b"1780000000.{}", "sha256").hex()),
        told("t=1780000000,v2=" + hmac.digest(b"key", b"1", "sha256").hex()),
        told(hmac.digest(b"other", b"{}", "sha256").hex()),
    ],
)
def test_teamtailor_another_signature_is_refused(given: str) -> None:
    with pytest.raises(InvalidSignature):
        TEAMTAILOR.verify({"tt-signature": given}, b'{"id":1}', [b"key"])


# -- Ashby -------------------------------------------------------------------------------------------------------------


def ashby(action: str, data: Any) -> list[Fact]:
    raw = headers("workable", f"webhook.{action}").model_copy(update={"account": "ashby", "system": "ashby"})
    body = {"webhookActionId": "w1", "action": action, "data": data}
    return CONNECTORS["ashby"].normalise(raw, json.dumps(body).encode(), STAGES)


@pytest.mark.parametrize(
    ("status", "opened_at", "opened"),
    [
        ("Archived", None, []),
        ("Archived", "2026-03-02T00:00:00.000Z", ["requisition.opened"]),
        ("Draft", None, []),
        ("Closed", None, ["requisition.opened"]),
        ("Open", None, ["requisition.opened"]),
    ],
)
def test_ashby_a_draft_that_was_archived_was_never_open(status: str, opened_at: str | None, opened: list[str]) -> None:
    times = {"createdAt": "2026-03-01T09:00:00Z", "updatedAt": "2026-03-03T09:00:00Z", "openedAt": opened_at, "closedAt": None}
    found = ashby("jobUpdate", {"job": {"id": "j1", "status": status, "hiringTeam": [], **times}})
    assert [kind for kind in kinds(found) if kind == "requisition.opened"] == opened


def test_ashby_a_schedule_is_cancelled_when_it_was_and_not_when_its_event_was_changed_last() -> None:
    event = {"id": "e1", "startTime": "2026-03-10T09:00:00Z", "endTime": None, "updatedAt": "2026-03-02T09:00:00Z"}
    schedule = {"id": "s1", "applicationId": "a1", "status": "Cancelled", "updatedAt": "2026-03-06T09:00:00Z"}
    [fact] = ashby("interviewScheduleUpdate", {"interviewSchedule": {**schedule, "interviewEvents": [event]}})
    assert (fact.kind, fact.occurred_at) == ("interview.cancelled", datetime(2026, 3, 6, 9, tzinfo=UTC))


# -- Lever's offers and forms, by the vendor's page --------------------------------------------------------------------

LOOKED, SIGNED = datetime(2026, 5, 31, tzinfo=UTC), 1772445600000


def lever_offer(**said: Any) -> dict[str, Any]:
    return {"id": "f", "opportunityId": "o", "createdAt": SIGNED - 9000, **said}


@pytest.mark.parametrize("status", ["sent", "sent-manually", "opened"])
def test_lever_an_offer_that_is_sent_without_a_time_was_sent_since_the_last_look(status: str) -> None:
    found = read("lever", "record.offers", lever_offer(status=status), changed_since=LOOKED)
    sent = next(fact for fact in found if fact.kind == "offer.sent")
    assert (sent.occurred_at_source, sent.occurred_not_before) == (Origin.POLL, LOOKED)
    assert kinds(found) == ["offer.created", "offer.sent"]


def test_lever_an_offer_that_was_opened_later_is_not_sent_again() -> None:
    opened = lever_offer(status="opened", previous={"status": "sent"})
    assert kinds(read("lever", "record.offers", opened, changed_since=LOOKED)) == ["offer.created"]


@pytest.mark.parametrize("status", ["draft", "approval-sent", "approved"])
def test_lever_an_offer_that_is_not_sent_yet_is_not(status: str) -> None:
    assert kinds(read("lever", "record.offers", lever_offer(status=status))) == ["offer.created"]


def test_lever_the_candidate_s_signature_says_when_the_offer_was_accepted() -> None:
    signatures = {"candidate": {"signed": True, "signedAt": SIGNED}, "signatory": {"signed": True, "signedAt": SIGNED + 5000}}
    found = read("lever", "record.offers", lever_offer(status="signed", sentAt=SIGNED - 5000, signatures=signatures))
    accepted = found[-1]
    assert (accepted.kind, accepted.occurred_at) == ("offer.accepted", datetime.fromtimestamp(SIGNED / 1000, UTC))
    assert accepted.occurred_at_source == Origin.OBJECT
    bare = read("lever", "record.offers", lever_offer(status="signed", sentAt=SIGNED - 5000, signatures=None))[-1]
    assert (bare.fact_id, bare.occurred_at_source) == (accepted.fact_id, Origin.DELIVERY)


def test_lever_a_denied_offer_is_the_candidate_s_no() -> None:
    found = read("lever", "record.offers", lever_offer(status="denied", sentAt=SIGNED), changed_since=LOOKED)
    assert kinds(found) == ["offer.created", "offer.sent", "offer.declined"]
    assert (found[-1].occurred_at_source, found[-1].occurred_not_before) == (Origin.POLL, LOOKED)
    assert "offer.declined" in CONNECTORS["lever"].record_kinds["offers"]


@pytest.mark.parametrize(("score", "rated"), [(None, False), (3, True)])
def test_lever_a_scorecard_lists_its_skills_also_where_none_has_a_score(score: int | None, rated: bool) -> None:
    skills = {"type": "scorecard", "required": True, "value": [{"score": None, "comment": ""}, {"score": score, "comment": ""}]}
    form = {"id": "f", "opportunityId": "o", "user": "u", "completedAt": SIGNED, "fields": [skills]}
    [card] = read("lever", "record.feedback", form)
    assert (card.attributes["rated"], card.attributes["complete"]) == (rated, rated)


# -- Greenhouse and Merge ----------------------------------------------------------------------------------------------


def greenhouse(name: str, body: Any) -> list[Fact]:
    raw = headers("workable", name).model_copy(update={"account": "greenhouse", "system": "greenhouse"})
    return CONNECTORS["greenhouse"].normalise(raw, json.dumps(body).encode(), STAGES)


@pytest.mark.parametrize(
    "action",
    [
        "job_post_created",
        "job_post_updated",
        "job_post_deleted",
        "job_interview_stage_deleted",
        "department_deleted",
        "office_deleted",
    ],
)
def test_greenhouse_events_about_what_no_clock_knows_are_no_dead_letters(action: str) -> None:
    assert greenhouse("webhook.x", {"action": action, "payload": {"id": 1}}) == []


@pytest.mark.parametrize(
    ("answer", "reasoned"), [(True, False), (5, False), (["a"], False), (None, False), (" ", False), ("a", True)]
)
def test_greenhouse_an_answer_that_is_no_text_costs_no_scorecard(answer: Any, reasoned: bool) -> None:
    card = {"id": 1, "application_id": 2, "interviewer": {"id": 3}, "submitted_at": "2026-03-11T09:30:00Z", "attributes": []}
    [fact] = greenhouse("record.scorecards", {**card, "questions": [{"id": None, "question": "x", "answer": answer}]})
    assert (fact.kind, fact.attributes["reasoned"]) == ("scorecard.submitted", reasoned)


@pytest.mark.parametrize("event", ["Department.changed", "JobPosting.added", "EEOC.removed", "Tag.changed", "Activity.added"])
def test_merge_models_that_no_clock_knows_are_no_dead_letters(event: str) -> None:
    assert read("merge", "webhook.x", {"hook": {"event": event}, "linked_account": {"id": "l"}, "data": {"id": "d1"}}) == []


def test_merge_a_scorecard_may_be_nobody_s() -> None:
    card = {"id": "s", "application": "a", "interviewer": None, "submitted_at": "2026-03-11T09:30:00Z"}
    [fact] = read("merge", "record.scorecards", card)
    assert (fact.kind, fact.person) == ("scorecard.submitted", None)
