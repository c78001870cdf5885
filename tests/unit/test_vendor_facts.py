"""Merge, SmartRecruiters, Teamtailor and Workable bodies to facts: which, when they happened, and that one happening is one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.fact import FACT_KINDS, Origin
from streams.connectors import CONNECTORS, smartrecruiters, teamtailor, workable
from streams.errors import InvalidPayload
from streams.routing import Router
from streams.stages import StageMap
from tests.vendors import BODIES, RECEIVED, STAGES, VENDORS, facts, headers, of

EVENT, OBJECT, REQUEST, POLL, DELIVERY = Origin
NOTICED = {"changed_since": datetime(2026, 6, 1, 11, 50, tzinfo=UTC)}

EXPECTED: dict[tuple[str, str], list[tuple[str, str, Origin]]] = {
    ("merge", "record.applications"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.withdrawn", "2026-03-12T08:00:00", OBJECT),
        ("application.stage_changed", "2026-06-01T12:00:00", POLL),
    ],
    ("merge", "record.candidates"): [],
    ("merge", "record.interviews"): [
        ("interview.scheduled", "2026-03-06T09:30:00", OBJECT),
    ],
    ("merge", "record.job_interview_stages"): [],
    ("merge", "record.jobs"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
        ("requisition.closed", "2026-06-01T12:00:00", POLL),
    ],
    ("merge", "record.offers"): [
        ("offer.created", "2026-03-13T08:10:00", OBJECT),
        ("offer.sent", "2026-03-14T10:00:00", OBJECT),
        ("offer.accepted", "2026-03-18T16:05:00", OBJECT),
    ],
    ("merge", "record.reject_reasons"): [],
    ("merge", "record.scorecards"): [
        ("scorecard.submitted", "2026-03-11T09:30:00", OBJECT),
    ],
    ("merge", "record.users"): [],
    ("merge", "webhook.Application.changed"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.rejected", "2026-03-12T08:00:00", OBJECT),
    ],
    ("merge", "webhook.Application.removed"): [
        ("application.deleted", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("merge", "webhook.Job.added"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
    ],
    ("merge", "webhook.LinkedAccount.synced"): [],
    ("merge", "webhook.Offer.changed"): [
        ("offer.created", "2026-03-13T08:10:00", OBJECT),
        ("offer.sent", "2026-03-14T10:00:00", OBJECT),
        ("offer.accepted", "2026-03-18T16:05:00", OBJECT),
    ],
    ("merge", "webhook.ScheduledInterview.changed"): [
        ("interview.scheduled", "2026-03-06T09:30:00", OBJECT),
    ],
    ("merge", "webhook.Scorecard.added"): [
        ("scorecard.submitted", "2026-03-11T09:30:00", OBJECT),
    ],
    ("smartrecruiters", "record.candidates"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
    ],
    ("smartrecruiters", "record.interviews"): [
        ("interview.scheduled", "2026-03-06T09:30:00", OBJECT),
    ],
    ("smartrecruiters", "record.jobs"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
        ("requisition.closed", "2026-05-04T07:00:00", OBJECT),
    ],
    ("smartrecruiters", "record.offers"): [
        ("offer.created", "2026-03-13T08:10:00", OBJECT),
        ("offer.accepted", "2026-03-18T16:05:00", OBJECT),
    ],
    ("smartrecruiters", "record.reviews"): [
        ("scorecard.submitted", "2026-03-11T09:30:00", OBJECT),
    ],
    ("smartrecruiters", "record.status_history"): [
        ("application.created", "2026-03-02T09:00:05", EVENT),
        ("application.stage_changed", "2026-03-02T09:00:05", EVENT),
        ("application.stage_changed", "2026-03-03T10:30:00", EVENT),
        ("application.stage_changed", "2026-03-05T08:23:20", EVENT),
        ("application.rejected", "2026-03-12T08:00:00", EVENT),
        ("application.unrejected", "2026-03-13T08:00:00", EVENT),
        ("application.stage_changed", "2026-03-13T08:00:00", EVENT),
        ("application.hired", "2026-03-20T08:00:00", EVENT),
        ("application.stage_changed", "2026-03-20T08:00:00", EVENT),
    ],
    ("smartrecruiters", "record.users"): [],
    ("smartrecruiters", "webhook.application.created"): [
        ("application.created", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.application.status.updated"): [],
    ("smartrecruiters", "webhook.candidate.deleted"): [
        ("candidate.deleted", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.interview.canceled"): [
        ("interview.cancelled", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.job.approval.approved"): [
        ("requisition.approved", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.offer.approval.approved"): [
        ("offer.approved", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.offer.created"): [
        ("offer.created", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.review.deleted"): [
        ("scorecard.deleted", "2026-06-01T11:59:30", REQUEST),
    ],
    ("smartrecruiters", "webhook.subscription.created"): [],
    ("teamtailor", "record.candidates"): [],
    ("teamtailor", "record.job_applications"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.stage_changed", "2026-03-05T08:23:20", OBJECT),
    ],
    ("teamtailor", "record.jobs"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
        ("requisition.closed", "2026-05-04T07:00:00", OBJECT),
    ],
    ("teamtailor", "record.users"): [],
    ("teamtailor", "webhook.candidate.create"): [],
    ("teamtailor", "webhook.candidate.destroy"): [
        ("candidate.deleted", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("teamtailor", "webhook.candidate.update"): [],
    ("teamtailor", "webhook.job.create"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
    ],
    ("teamtailor", "webhook.job.destroy"): [
        ("requisition.deleted", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("teamtailor", "webhook.job.update"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
        ("requisition.closed", "2026-05-04T07:00:00", OBJECT),
    ],
    ("teamtailor", "webhook.job_application.create"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.stage_changed", "2026-03-05T08:23:20", OBJECT),
    ],
    ("teamtailor", "webhook.job_application.destroy"): [
        ("application.deleted", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("teamtailor", "webhook.job_application.update"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.rejected", "2026-03-12T08:00:00", OBJECT),
        ("application.stage_changed", "2026-03-05T08:23:20", OBJECT),
    ],
    ("workable", "record.activities"): [
        ("application.stage_changed", "2026-03-05T08:23:20", EVENT),
    ],
    ("workable", "record.candidates"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.rejected", "2026-03-24T12:00:00", OBJECT),
        ("application.stage_changed", "2026-03-20T08:00:00", OBJECT),
    ],
    ("workable", "record.events"): [
        ("interview.scheduled", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("workable", "record.jobs"): [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
        ("requisition.closed", "2026-05-04T07:00:00", OBJECT),
    ],
    ("workable", "record.members"): [],
    ("workable", "record.offers"): [
        ("offer.created", "2026-03-20T08:05:00", OBJECT),
        ("offer.approved", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("workable", "record.requisitions"): [
        ("requisition.held", "2026-02-25T11:00:00", OBJECT),
        ("requisition.updated", "2026-02-25T11:00:00", OBJECT),
    ],
    ("workable", "webhook.candidate_created"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.stage_changed", "2026-03-02T09:00:05", OBJECT),
    ],
    ("workable", "webhook.candidate_deleted"): [
        ("application.deleted", "2026-06-01T12:00:00", DELIVERY),
        ("candidate.deleted", "2026-06-01T12:00:00", DELIVERY),
    ],
    ("workable", "webhook.candidate_moved"): [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.stage_changed", "2026-03-03T10:30:00", OBJECT),
    ],
}

MODULES: dict[str, Any] = {
    "smartrecruiters": smartrecruiters.EVENTS,
    "teamtailor": teamtailor.EVENTS,
    "workable": workable.EVENTS,
}


def test_every_record_type_and_every_event_with_facts_has_a_fixture() -> None:
    assert set(EXPECTED) == set(BODIES)
    for vendor in VENDORS:
        records = {name.removeprefix("record.") for v, name in BODIES if v == vendor and name.startswith("record.")}
        assert records == set(CONNECTORS[vendor].record_kinds)
    for vendor, events in MODULES.items():
        told = {name for name, (_, kinds) in events.items() if kinds}
        assert told <= {name.removeprefix("webhook.") for v, name in BODIES if v == vendor}


@pytest.mark.parametrize(("vendor", "name"), sorted(EXPECTED))
def test_each_body_gives_these_facts_at_these_times(vendor: str, name: str) -> None:
    found = [
        (f.kind, f.occurred_at.replace(microsecond=0, tzinfo=None).isoformat(), f.occurred_at_source) for f in facts(vendor, name)
    ]
    assert found == EXPECTED[vendor, name]


@pytest.mark.parametrize(("vendor", "name"), sorted(EXPECTED))
def test_no_kind_is_emitted_that_is_not_declared(vendor: str, name: str) -> None:
    connector, (channel, _, kind) = CONNECTORS[vendor], name.partition(".")
    declared = connector.webhook_kinds if channel == "webhook" else connector.record_kinds[kind]
    assert {fact.kind for fact in facts(vendor, name)} <= declared <= set(FACT_KINDS)


@pytest.mark.parametrize(("vendor", "name"), sorted(EXPECTED))
def test_no_candidate_data_is_in_a_fact(vendor: str, name: str) -> None:
    for fact in facts(vendor, name):
        assert not re.search(
            r"robin|example\.org|\+49|kim|sample|solid|dear|acme\.example", fact.to_json().decode(), re.IGNORECASE
        )


@pytest.mark.parametrize(("vendor", "name"), sorted(n for n in EXPECTED if n[1].startswith("record.")))
def test_polled_again_unchanged_a_record_is_the_same_facts(vendor: str, name: str) -> None:
    later = facts(vendor, name, received_at=RECEIVED + timedelta(days=3))
    assert [fact.fact_id for fact in later] == [fact.fact_id for fact in facts(vendor, name)]


@pytest.mark.parametrize(("vendor", "name"), sorted(EXPECTED))
def test_two_accounts_of_a_vendor_share_nothing(vendor: str, name: str) -> None:
    one, other = facts(vendor, name), facts(vendor, name, account=f"{vendor}-emea")
    assert not {fact.fact_id for fact in one} & {fact.fact_id for fact in other}
    for fact in other:
        ids = (fact.requisition_id, fact.application_id, fact.candidate_id, fact.interview_id, fact.person, fact.actor)
        assert all(i is None or i.startswith(f"{vendor}-emea/") for i in ids)


@pytest.mark.parametrize(("vendor", "name"), sorted(n for n in EXPECTED if n[1].startswith("record.")))
def test_a_record_is_told_by_its_shape(vendor: str, name: str) -> None:
    assert CONNECTORS[vendor].record_type(BODIES[vendor, name]) == name.removeprefix("record.")


SAME = [
    ("merge", "application.created", "webhook.Application.changed", "record.applications"),
    ("merge", "interview.scheduled", "webhook.ScheduledInterview.changed", "record.interviews"),
    ("merge", "scorecard.submitted", "webhook.Scorecard.added", "record.scorecards"),
    ("merge", "offer.accepted", "webhook.Offer.changed", "record.offers"),
    ("merge", "requisition.opened", "webhook.Job.added", "record.jobs"),
    ("smartrecruiters", "application.created", "webhook.application.created", "record.candidates"),
    ("smartrecruiters", "offer.created", "webhook.offer.created", "record.offers"),
    ("teamtailor", "application.stage_changed", "webhook.job_application.create", "record.job_applications"),
    ("workable", "application.created", "webhook.candidate_moved", "record.candidates"),
]


@pytest.mark.parametrize(("vendor", "kind", "webhook", "record"), SAME)
def test_a_webhook_and_a_poll_of_one_happening_give_one_fact_id(vendor: str, kind: str, webhook: str, record: str) -> None:
    assert of(facts(vendor, webhook), kind).fact_id == of(facts(vendor, record), kind).fact_id


@pytest.mark.parametrize(("vendor", "channel"), [(v, c) for v in VENDORS for c in ("webhook", "record")])
def test_what_nobody_knows_is_refused_by_name(vendor: str, channel: str) -> None:
    body = {"merge": b'{"hook":{"event":"Pet.fed"},"data":{}}', "teamtailor": b'{"payload":{"event_name":"pet.fed","data":{}}}'}
    raw = headers(vendor, f"{channel}.pet.fed")
    with pytest.raises(InvalidPayload) as error:
        CONNECTORS[vendor].normalise(raw, body.get(vendor, b'{"event_type":"pet_fed","data":{}}'), STAGES)
    assert error.value.reason == {"webhook": "unknown_action", "record": "unknown_record_type"}[channel]


# -- what only changes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "name", "kind"),
    [
        ("merge", "record.applications", "application.stage_changed"),
        ("merge", "record.jobs", "requisition.closed"),
        ("smartrecruiters", "record.jobs", "requisition.closed"),
        ("smartrecruiters", "record.offers", "offer.accepted"),
        ("workable", "record.events", "interview.scheduled"),
        ("workable", "record.jobs", "requisition.closed"),
        ("workable", "record.offers", "offer.approved"),
        ("workable", "record.requisitions", "requisition.held"),
    ],
)
def test_state_without_a_time_lies_between_two_polls(vendor: str, name: str, kind: str) -> None:
    fact = of(facts(vendor, name, **NOTICED), kind)
    assert (fact.occurred_at_source, fact.occurred_at, fact.occurred_not_before) == (POLL, RECEIVED, NOTICED["changed_since"])


@pytest.mark.parametrize(
    ("vendor", "name", "now", "kind"),
    [
        ("workable", "record.requisitions", {"state": "open", "previous": {"state": "on_hold"}}, "requisition.resumed"),
        ("workable", "record.jobs", {"state": "published", "previous": {"state": "closed"}}, "requisition.reopened"),
        ("smartrecruiters", "record.jobs", {"status": "SOURCING", "previous": {"status": "ON_HOLD"}}, "requisition.resumed"),
        ("smartrecruiters", "record.jobs", {"status": "INTERVIEW", "previous": {"status": "FILLED"}}, "requisition.reopened"),
        ("smartrecruiters", "record.jobs", {"status": "ON_HOLD", "previous": {"status": "SOURCING"}}, "requisition.held"),
        ("merge", "record.jobs", {"status": "OPEN", "previous": {"status": "CLOSED"}}, "requisition.reopened"),
        (
            "merge",
            "record.applications",
            {"rejected_at": None, "previous": {"rejected_at": "2026-03-12T08:00:00Z"}},
            "application.unrejected",
        ),
    ],
)
def test_a_state_that_was_left_is_a_fact_too(vendor: str, name: str, now: dict[str, Any], kind: str) -> None:
    fact = of(facts(vendor, name, now, **NOTICED), kind)
    assert (fact.occurred_at_source, fact.occurred_not_before) == (POLL, NOTICED["changed_since"])


def test_merge_tells_no_stage_that_did_not_change() -> None:
    stage = BODIES["merge", "record.applications"]["current_stage"]["id"]
    unchanged = facts("merge", "record.applications", {"previous": {"current_stage": stage}}, **NOTICED)
    assert "application.stage_changed" not in {fact.kind for fact in unchanged}


def test_merge_seen_for_the_first_time_a_stage_was_reached_since_the_application() -> None:
    fact = of(facts("merge", "record.applications"), "application.stage_changed")
    assert (fact.occurred_not_before, fact.attributes["stage"]) == (datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC), "interview")


def test_merge_s_sync_time_is_never_the_time_of_anything() -> None:
    synced = datetime(2026, 3, 21, 4, tzinfo=UTC)
    for vendor, name in BODIES:
        if vendor == "merge":
            assert all(synced not in (f.occurred_at, f.occurred_not_before) for f in facts(vendor, name, **NOTICED))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("jobs", "requisition.deleted"),
        ("applications", "application.deleted"),
        ("interviews", "interview.cancelled"),
        ("scorecards", "scorecard.deleted"),
        ("offers", "offer.deleted"),
        ("candidates", "candidate.deleted"),
    ],
)
def test_merge_what_was_deleted_in_the_ats_is_that_and_nothing_else(name: str, kind: str) -> None:
    [fact] = facts("merge", f"record.{name}", {"remote_was_deleted": True})
    assert (fact.kind, fact.occurred_at) == (kind, RECEIVED)


# -- one vendor's own ---------------------------------------------------------------------------------------------------


def test_workable_a_rating_is_the_interviewer_s_scorecard() -> None:
    rating = {"action": "rating", "target_stage": None, "rating": {"score": 0.75, "scale": "thumbs", "grade": "yes"}, "body": "x"}
    [fact] = facts("workable", "record.activities", rating)
    assert (fact.kind, fact.person, fact.occurred_at_source) == ("scorecard.submitted", "workable/1f3961", EVENT)
    assert (fact.attributes["complete"], fact.attributes["reasoned"], fact.attributes["rating"]) == (True, True, "yes")


def test_workable_a_move_takes_its_stage_from_the_target_not_from_the_slug() -> None:
    moved = {"action": "custom-slug-2", "target_stage": {"id": 1, "name": "Hiring committee", "slug": "custom-slug-2"}}
    [fact] = facts("workable", "record.activities", moved)
    assert (fact.attributes["stage"], fact.actor) == ("debrief", "workable/1f3961")


def test_workable_an_activity_without_a_target_or_a_member_invents_nothing() -> None:
    assert facts("workable", "record.activities", {"action": "uploaded", "target_stage": None, "member": None}) == []
    with pytest.raises(InvalidPayload):
        facts("workable", "record.activities", {"action": "rating", "member": None})
    [undone] = facts("workable", "record.activities", {"action": "reverted", "target_stage": None})
    assert undone.kind == "application.unrejected"


def test_workable_whoever_withdrew_was_not_rejected() -> None:
    found = {fact.kind for fact in facts("workable", "record.candidates", {"withdrew": True})}
    assert "application.withdrawn" in found and "application.rejected" not in found


def test_workable_a_meeting_is_no_interview_and_a_cancelled_one_is_cancelled() -> None:
    assert facts("workable", "record.events", {"type": "MeetingEvent"}) == []
    [fact] = facts("workable", "record.events", {"cancelled": True})
    assert fact.kind == "interview.cancelled"
    moved = facts("workable", "record.events", {"starts_at": "2026-03-11T09:00:00.000Z"})
    assert moved[0].fact_id != facts("workable", "record.events")[0].fact_id


def test_workable_a_requisition_without_a_job_waits_and_one_whose_job_is_not_named_is_refused() -> None:
    assert facts("workable", "record.requisitions", {"job": None, "job_shortcode": None}) == []
    with pytest.raises(InvalidPayload, match="job_shortcode"):
        facts("workable", "record.requisitions", {"job_shortcode": None})


def test_workable_an_approved_requisition_approves_its_job() -> None:
    assert of(facts("workable", "record.requisitions", {"state": "approved"}), "requisition.approved").requisition_id == (
        "workable/7C1AB90E22"
    )


def test_workable_without_an_offer_the_bare_candidate_gives_nothing() -> None:
    assert facts("workable", "record.offers", {"state": None, "created_at": None}) == []


def test_smartrecruiters_a_webhook_without_its_headers_is_refused() -> None:
    for kept in ({}, {"event-name": "application.created"}):
        with pytest.raises(InvalidPayload):
            facts("smartrecruiters", "webhook.application.created", vendor=kept)


def test_smartrecruiters_the_record_s_own_time_beats_the_request_s() -> None:
    thin = of(facts("smartrecruiters", "webhook.application.created"), "application.created")
    full = of(facts("smartrecruiters", "record.candidates"), "application.created")
    assert (thin.fact_id, thin.occurred_at_source, full.occurred_at_source) == (full.fact_id, REQUEST, OBJECT)


def test_smartrecruiters_a_sub_status_is_the_stage_and_its_status_stands_in() -> None:
    stages = {
        fact.attributes["stage_name"]: fact.attributes["stage"]
        for fact in facts("smartrecruiters", "record.status_history")
        if fact.kind == "application.stage_changed"
    }
    assert stages == {
        "NEW": "applied", "Manager review": "manager_review", "On-site": "interview", "Sent": "offer", "HIRED": "hired",
    }  # fmt: skip


def test_smartrecruiters_an_interview_is_its_slots_and_none_left_is_cancelled() -> None:
    [fact] = facts("smartrecruiters", "record.interviews")
    assert fact.attributes["starts_at"] == "2026-03-10T09:00:00+00:00"
    assert fact.attributes["ends_at"] == "2026-03-10T11:00:00+00:00"
    assert fact.attributes["interviewers"] == ["smartrecruiters/u-hm", "smartrecruiters/u-int"]
    slots = [{**slot, "status": "CANCELLED"} for slot in BODIES["smartrecruiters", "record.interviews"]["timeslots"]]
    [gone] = facts("smartrecruiters", "record.interviews", {"timeslots": slots})
    assert gone.kind == "interview.cancelled"


def test_smartrecruiters_an_interview_s_cancellation_finds_its_requisition() -> None:
    router = Router({}.get)
    assert router.route(facts("smartrecruiters", "webhook.interview.canceled")) == []
    found = router.route(facts("smartrecruiters", "record.interviews"))
    assert {(fact.kind, fact.requisition_id) for fact in found} == {
        ("interview.scheduled", "smartrecruiters/7440a1"),
        ("interview.cancelled", "smartrecruiters/7440a1"),
    }


def test_teamtailor_a_stage_without_a_name_is_named_by_its_id_which_stages_yaml_can_map() -> None:
    record = {"data": BODIES["teamtailor", "record.job_applications"]["data"], "included": []}
    fact = of(facts("teamtailor", "record.job_applications", record), "application.stage_changed")
    assert (fact.attributes["stage"], fact.attributes["stage_name"]) == ("unmapped", "555")
    assert StageMap(by_account={"teamtailor": (("555", "screen"),)}).of("teamtailor", "555") == "screen"


def test_teamtailor_a_time_with_an_offset_is_that_instant() -> None:
    assert of(facts("teamtailor", "record.jobs"), "requisition.closed").occurred_at == datetime(2026, 5, 4, 7, tzinfo=UTC)
