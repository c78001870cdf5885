"""Greenhouse bodies to facts: which facts, when they happened, and that the same happening is the same fact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.fact import FACT_KINDS, Fact, Origin
from streams.connectors import CONNECTORS, MANUAL_KINDS, declared_kinds
from streams.connectors.greenhouse import ACTIONS, GREENHOUSE, RECORDS
from streams.errors import InvalidPayload
from streams.stages import StageMap
from tests.greenhouse import BODIES, RECEIVED, STAGES, facts, headers

#: (kind, seconds of occurred_at after the epoch's start as ISO, origin) of every fixture.
OBJECT, DELIVERY = Origin.OBJECT, Origin.DELIVERY
EXPECTED: dict[str, list[tuple[str, str, Origin]]] = {
    "record.application_stages": [("application.stage_changed", "2026-03-04T11:20:30", OBJECT)],
    "webhook.new_candidate_application": [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.stage_changed", "2026-03-02T09:00:05", OBJECT),
        ("application.updated", "2026-03-02T09:00:05", OBJECT),
    ],
    "webhook.new_prospect_application": [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.updated", "2026-03-02T09:00:05", OBJECT),
    ],
    "webhook.candidate_stage_change": [
        ("application.stage_changed", "2026-03-04T11:20:30", OBJECT),
        ("application.updated", "2026-03-04T11:20:30", OBJECT),
    ],
    "webhook.application_updated": [("application.updated", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.update_candidate": [("application.updated", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.reject_candidate": [("application.rejected", "2026-03-20T15:50:41", OBJECT)],
    "webhook.unreject_candidate": [("application.unrejected", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.hire_candidate": [("application.hired", "2026-04-07T16:05:00", OBJECT)],
    "webhook.unhire_candidate": [("application.unhired", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.delete_application": [("application.deleted", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.merge_candidate": [("candidate.merged", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.delete_candidate": [
        ("candidate.deleted", "2026-06-01T12:00:00", DELIVERY),
        ("application.deleted", "2026-06-01T12:00:00", DELIVERY),
        ("application.deleted", "2026-06-01T12:00:00", DELIVERY),
    ],
    "webhook.candidate_anonymized": [("candidate.deleted", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.offer_created": [("offer.created", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.offer_updated": [
        ("offer.sent", "2026-04-03T12:00:00", OBJECT),
        ("offer.accepted", "2026-04-07T16:05:00", OBJECT),
    ],
    "webhook.offer_approved": [("offer.approved", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.offer_deleted": [("offer.deleted", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.job_created": [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-06-01T12:00:00", DELIVERY),
    ],
    "webhook.job_updated": [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-06-01T12:00:00", DELIVERY),
        ("requisition.closed", "2026-05-04T07:00:00", OBJECT),
    ],
    "webhook.job_approved": [
        ("requisition.approved", "2026-06-01T12:00:00", DELIVERY),
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-06-01T12:00:00", DELIVERY),
    ],
    "webhook.job_deleted": [("requisition.deleted", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.interview_deleted": [("interview.cancelled", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.scorecard_deleted": [("scorecard.deleted", "2026-06-01T12:00:00", DELIVERY)],
    "webhook.ping": [],
    "record.applications": [
        ("application.created", "2026-03-02T09:00:05", OBJECT),
        ("application.rejected", "2026-03-20T15:50:41", OBJECT),
        ("application.updated", "2026-03-21T08:00:00", OBJECT),
    ],
    "record.scheduled_interviews": [("interview.scheduled", "2026-03-06T09:30:00", OBJECT)],
    "record.scorecards": [("scorecard.submitted", "2026-03-11T09:30:00", OBJECT)],
    "record.jobs": [
        ("requisition.opened", "2026-02-23T10:00:00", OBJECT),
        ("requisition.updated", "2026-05-04T07:00:00", OBJECT),
        ("requisition.closed", "2026-05-04T07:00:00", OBJECT),
    ],
    "record.offers": [
        ("offer.created", "2026-04-01T10:00:00", OBJECT),
        ("offer.sent", "2026-04-03T12:00:00", OBJECT),
        ("offer.accepted", "2026-04-07T16:05:00", OBJECT),
    ],
    "record.approvals": [("offer.approved", "2026-04-01T15:00:00", OBJECT)],
    "record.activity_feed": [("application.stage_changed", "2026-03-04T11:20:30", OBJECT)],
    "record.users": [],
}


def of(found: list[Fact], kind: str) -> Fact:
    [fact] = [fact for fact in found if fact.kind == kind]
    return fact


def test_every_action_with_facts_and_every_record_type_has_a_fixture() -> None:
    told = {f"webhook.{action}" for action, (_, kinds) in ACTIONS.items() if kinds} | {"webhook.ping"}
    assert told | {f"record.{name}" for name in RECORDS} == set(BODIES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_body_gives_these_facts_at_these_times(name: str) -> None:
    found = [(f.kind, f.occurred_at.replace(microsecond=0, tzinfo=None).isoformat(), f.occurred_at_source) for f in facts(name)]
    assert found == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_kind_is_emitted_that_is_not_declared(name: str) -> None:
    channel, _, kind = name.partition(".")
    declared = ACTIONS[kind][1] if channel == "webhook" else RECORDS[kind][1]
    assert {fact.kind for fact in facts(name)} <= set(declared) <= set(FACT_KINDS)


# -- the same happening is one fact ------------------------------------------------------------------------------------

SAME = [
    ("application.created", "webhook.new_candidate_application", "record.applications"),
    ("application.rejected", "webhook.reject_candidate", "record.applications"),
    ("application.stage_changed", "webhook.candidate_stage_change", "record.activity_feed"),
    ("requisition.opened", "webhook.job_created", "record.jobs"),
    ("requisition.closed", "webhook.job_updated", "record.jobs"),
    ("offer.created", "webhook.offer_created", "record.offers"),
    ("offer.sent", "webhook.offer_updated", "record.offers"),
    ("offer.accepted", "webhook.offer_updated", "record.offers"),
    ("offer.approved", "webhook.offer_approved", "record.approvals"),
]


@pytest.mark.parametrize(("kind", "webhook", "record"), SAME)
def test_a_webhook_and_a_poll_of_one_happening_give_one_fact_id(kind: str, webhook: str, record: str) -> None:
    assert of(facts(webhook), kind).fact_id == of(facts(record, received_at=RECEIVED.replace(day=9)), kind).fact_id


@pytest.mark.parametrize("name", sorted(n for n in EXPECTED if n.startswith("record.")))
def test_polled_again_a_record_gives_the_same_facts(name: str) -> None:
    first, second = facts(name), facts(name, received_at=RECEIVED.replace(day=9), request_id="r-2")
    assert [f.content_hash for f in first] == [f.content_hash for f in second]


def test_a_redelivery_is_the_same_fact_even_without_a_time_of_its_own() -> None:
    for name in (
        "unreject_candidate",
        "unhire_candidate",
        "interview_deleted",
        "delete_application",
        "merge_candidate",
        "job_approved",
    ):
        first, again = (
            facts(f"webhook.{name}")[0],
            facts(f"webhook.{name}", received_at=RECEIVED.replace(hour=20), delivery_id="d")[0],
        )
        assert first.fact_id == again.fact_id


def test_a_second_unreject_is_another_fact() -> None:
    def later(payload: Any) -> None:
        payload["application"]["last_activity_at"] = "2026-03-25T09:00:00Z"

    assert facts("webhook.unreject_candidate")[0].fact_id != facts("webhook.unreject_candidate", later)[0].fact_id


def test_a_new_version_of_an_interview_is_another_fact_and_the_same_version_is_not() -> None:
    def moved(record: Any) -> None:
        record["updated_at"] = "2026-03-07T09:30:00.000Z"
        record["start"] = {"date_time": "2026-03-12T13:00:00.000Z"}

    first, second = facts("record.scheduled_interviews")[0], facts("record.scheduled_interviews", moved)[0]
    assert first.fact_id != second.fact_id
    assert first.interview_id == second.interview_id == "greenhouse/640001"


def test_tenants_and_accounts_keep_their_facts_apart() -> None:
    ids = {
        facts("record.scorecards", tenant=tenant, account=account)[0].fact_id
        for tenant in ("acme", "other")
        for account in ("greenhouse", "greenhouse-us")
    }
    assert len(ids) == 4


# -- what facts say ----------------------------------------------------------------------------------------------------


def test_an_interview_tells_who_when_and_which_scorecards() -> None:
    fact = facts("record.scheduled_interviews")[0]
    assert (fact.application_id, fact.requisition_id, fact.actor) == ("greenhouse/900100", None, "greenhouse/4102")
    assert fact.attributes == {
        "status": "awaiting_feedback",
        "interviewers": ["greenhouse/5001", "greenhouse/5002"],
        "scorecards": {"greenhouse/5001": "81001"},
        "interview_step_id": "51003",
        "created_at": "2026-03-05T09:00:00.019000+00:00",
        "starts_at": "2026-03-10T13:00:00+00:00",
        "ends_at": "2026-03-10T14:00:00+00:00",
    }


def test_an_all_day_interview_has_days_and_no_times() -> None:
    def all_day(record: Any) -> None:
        record["start"], record["end"] = {"date": "2026-03-10"}, {"date": "2026-03-11"}

    attributes = facts("record.scheduled_interviews", all_day)[0].attributes
    assert (attributes["starts_on"], attributes["ends_on"]) == ("2026-03-10", "2026-03-11")
    assert "starts_at" not in attributes
    assert "ends_at" not in attributes


def test_an_interview_never_updated_happened_when_it_was_created() -> None:
    fact = facts("record.scheduled_interviews", lambda record: record.pop("updated_at"))[0]
    assert fact.occurred_at == datetime(2026, 3, 5, 9, 0, 0, 19_000, tzinfo=UTC)


def test_a_scorecard_is_the_interviewers_whoever_submitted_it() -> None:
    fact = facts("record.scorecards")[0]
    assert (fact.person, fact.actor) == ("greenhouse/5001", "greenhouse/5009")
    assert fact.attributes["scorecard_id"] == "81001"
    assert fact.attributes["interview_step_id"] == "51003"
    assert fact.attributes["interviewed_at"] == "2026-03-10T13:00:00+00:00"
    assert (fact.attributes["rating"], fact.attributes["complete"]) == ("yes", True)


def test_a_draft_scorecard_is_no_feedback() -> None:
    assert facts("record.scorecards", lambda record: record.update(submitted_at=None)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(overall_recommendation=None),
        lambda record: record.update(overall_recommendation="no_decision"),
        lambda record: record["attributes"][1].update(rating=None),
        lambda record: record["attributes"][1].update(rating="no_decision"),
    ],
)
def test_a_scorecard_with_something_unrated_is_not_complete(change: Any) -> None:
    assert facts("record.scorecards", change)[0].attributes["complete"] is False


@pytest.mark.parametrize(
    ("reason", "kind"), [("They rejected us", "withdrawn"), ("We rejected them", "rejected"), (None, "rejected")]
)
def test_whether_the_candidate_left_is_the_type_of_the_reason(reason: str | None, kind: str) -> None:
    def change(payload: Any) -> None:
        payload["application"]["rejection_reason"] = reason and {"id": 1, "name": "x", "type": {"id": 2, "name": reason}}

    assert [f.kind for f in facts("webhook.reject_candidate", change)] == [f"application.{kind}"]


def test_the_responsible_come_first_and_the_inactive_not_at_all() -> None:
    fact = of(facts("record.jobs"), "requisition.updated")
    assert fact.people == {
        "recruiter": ("greenhouse/4101", "greenhouse/4103"),
        "coordinator": ("greenhouse/4102",),
        "hiring_manager": ("greenhouse/5001",),
        "sourcer": ("greenhouse/4104",),
    }

    def team(record: Any) -> None:
        record["hiring_team"] = {
            "hiring_managers": [{"user_id": 11, "active": True}, {"user_id": "12", "active": False}],
            "recruiters": [
                {"user_id": 13, "active": False, "responsible": True},
                {"user_id": 14, "active": True, "responsible": False},
            ],
        }

    people = of(facts("record.jobs", team), "requisition.updated").people
    assert people == {"hiring_manager": ("greenhouse/11",), "recruiter": ("greenhouse/14",)}


def test_people_are_never_part_of_a_fact_that_two_ways_report() -> None:
    # They are as of the reading, so a webhook's and a poll's copy would contradict each other.
    two_ways = {kind for kind, _, _ in SAME}
    assert not [f for name in BODIES for f in facts(name) if f.kind in two_ways and f.people]


def test_a_stage_is_canonical_and_an_unknown_one_is_said_to_be() -> None:
    fact = of(facts("webhook.candidate_stage_change"), "application.stage_changed")
    assert fact.attributes == {"stage": "manager_review", "stage_name": "Hiring Manager Review", "stage_id": "31002"}
    body = b'{"action":"candidate_stage_change","payload":{"application":{"id":1,"current_stage":{"id":2,"name":"Zorbing"}}}}'
    [fact] = GREENHOUSE.normalise(headers("webhook.x"), body, STAGES)
    assert fact.attributes["stage"] == "unmapped"
    [fact] = GREENHOUSE.normalise(headers("webhook.x"), body, StageMap((("zorb*", "screen"),)))
    assert fact.attributes["stage"] == "screen"


def test_the_first_stage_is_not_dated_before_later_activity() -> None:
    def late(payload: Any) -> None:
        payload["application"]["last_activity_at"] = "2026-03-03T08:00:00Z"

    found = facts("webhook.new_candidate_application", late)
    assert of(found, "application.created").occurred_at == datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
    assert of(found, "application.stage_changed").occurred_at == datetime(2026, 3, 3, 8, tzinfo=UTC)


def test_a_day_is_an_interval_over_all_time_zones_cut_by_what_we_know() -> None:
    sent = of(facts("record.offers"), "offer.sent")
    assert sent.occurred_not_before == datetime(2026, 4, 1, 10, tzinfo=UTC)
    assert sent.occurred_at == datetime(2026, 4, 3, 12, tzinfo=UTC)
    read_early = of(facts("record.offers", received_at=datetime(2026, 4, 2, 9, tzinfo=UTC)), "offer.sent")
    assert read_early.occurred_at == datetime(2026, 4, 2, 9, tzinfo=UTC)
    assert read_early.fact_id == sent.fact_id
    in_the_future = facts("record.offers", received_at=datetime(2026, 4, 1, 9, tzinfo=UTC))
    assert "offer.sent" not in {f.kind for f in in_the_future}


@pytest.mark.parametrize(
    ("status", "kind"), [("Rejected", "offer.declined"), ("Deprecated", "offer.updated"), ("Created", "offer.updated")]
)
def test_an_offer_update_is_what_its_status_says(status: str, kind: str) -> None:
    found = facts("webhook.offer_updated", lambda payload: payload.update(offer_status=status, sent_on=None))
    assert [(f.kind, f.attributes["status"]) for f in found] == [(kind, status.casefold())]


def test_a_draft_of_a_job_is_not_open_yet_whatever_day_it_names() -> None:
    polled = facts("record.jobs", lambda record: record.update(status="draft", closed_at=None))
    told = facts("webhook.job_created", lambda payload: payload["job"].update(status="draft", opened_at=None))
    for found in (polled, told):
        assert [(fact.kind, fact.attributes["status"]) for fact in found] == [("requisition.updated", "draft")]


def test_a_job_approval_to_start_recruiting_completes_the_role_information() -> None:
    approval = {"approval_type": "open_job", "offer_id": None}
    polled = facts("record.approvals", lambda record: record.update(approval))[0]
    told = facts("webhook.job_approved")[0]
    assert polled.kind == told.kind == "requisition.approved"
    assert polled.fact_id == told.fact_id
    assert (polled.occurred_at_source, told.occurred_at_source) == (OBJECT, DELIVERY)


def test_an_approval_to_make_offers_is_neither_the_roles_nor_an_offers() -> None:
    flow = {"approval_flow": {"approval_flow_type": "offer_job"}}
    first = facts("webhook.job_approved", lambda payload: payload.update(flow))[0]
    assert (first.kind, first.attributes) == ("requisition.updated", {"approval": "offer_job"})


@pytest.mark.parametrize("status", ["pending", "rejected", None])
def test_an_approval_that_was_not_given_is_no_fact(status: str | None) -> None:
    assert facts("record.approvals", lambda record: record.update(approval_status=status)) == []


def test_a_deletion_that_a_merge_causes_deletes_no_application() -> None:
    assert facts("webhook.delete_candidate", lambda payload: payload["person"].update(deleted_application_ids=[])) == []
    gone = facts("webhook.delete_candidate", lambda payload: payload["person"].pop("deleted_application_ids"))
    assert [f.kind for f in gone] == ["candidate.deleted"]


def test_ids_may_be_text_and_flat_as_a_later_version_may_have_them() -> None:
    def flat(record: Any) -> None:
        record.update(id="640001", application_id="900100", starts_at="2026-03-10T13:00:00Z", ends_at="2026-03-10T14:00:00Z")
        for name in ("start", "end"):
            record.pop(name)

    flat_fact, fact = facts("record.scheduled_interviews", flat)[0], facts("record.scheduled_interviews")[0]
    assert flat_fact == fact

    def user_ids(record: Any) -> None:
        record.update(interviewer_id=record.pop("interviewer")["id"], submitted_by_id=str(record.pop("submitted_by")["id"]))

    assert facts("record.scorecards", user_ids) == facts("record.scorecards")


def test_a_prospect_belongs_to_each_of_its_jobs_or_to_none_yet() -> None:
    created = facts("webhook.new_prospect_application")[0]
    assert (created.requisition_id, created.attributes["prospect"]) == (None, True)
    two = {"jobs": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    found = [
        f
        for f in facts("webhook.new_prospect_application", lambda p: p["application"].update(two))
        if f.kind == "application.created"
    ]
    assert [f.requisition_id for f in found] == ["greenhouse/1", "greenhouse/2"]
    assert len({f.fact_id for f in found}) == 1


def test_a_candidates_feed_finds_the_application_by_its_job() -> None:
    def wrapped(record: Any) -> None:
        record.pop("application_id")
        record["applications"] = [
            {"id": 900100, "jobs": [{"id": 88001, "name": "Rigger"}]},
            {"id": 900102, "jobs": [{"id": 88002, "name": "Cook for the crew"}]},
        ]
        record["activities"][1]["body"] = "Z was moved into Debrief for Cook for the crew on 03/04/2026 by Rita"

    fact = facts("record.activity_feed", wrapped)[0]
    assert (fact.application_id, fact.requisition_id) == ("greenhouse/900102", "greenhouse/88002")
    assert fact.attributes["stage_name"] == "Debrief"


# -- what cannot be used -----------------------------------------------------------------------------------------------

UNUSABLE = [
    (b"{", "not_json", "line 1, column 2: unexpected end of data"),
    (b"", "not_json", "line 1, column 1: Input is a zero-length, empty document"),
    (b"\xff\xfe", "not_utf8", "byte 0"),
    (b"[]", "not_an_object", ""),
    (b'{"payload":{}}', "missing_field", "action"),
    (b'{"action":"candidate_hired","payload":{}}', "unknown_action", "action"),
    (b'{"action":"job_created"}', "missing_field", "payload"),
    (b'{"action":"job_created","payload":{"job":{}}}', "missing_field", "payload.job.id"),
    (b'{"action":"job_created","payload":{"job":{"id":true}}}', "not_an_id", "payload.job.id"),
    (b'{"action":"job_created","payload":{"job":{"id":"Zuleika Ombrage"}}}', "not_an_id", "payload.job.id"),
    (
        b'{"action":"job_created","payload":{"job":{"id":1,"opened_at":"2026-01-01T00:00:00"}}}',
        "time_without_zone",
        "payload.job.opened_at",
    ),
    (b'{"action":"job_created","payload":{"job":{"id":1,"opened_at":"01/02/2026"}}}', "not_a_time", "payload.job.opened_at"),
    (
        b'{"action":"job_created","payload":{"job":{"id":1,"opened_at":"0001-01-01T00:00:00+14:00"}}}',
        "time_out_of_range",
        "payload.job.opened_at",
    ),
]


@pytest.mark.parametrize(("body", "reason", "detail"), UNUSABLE)
def test_an_unusable_body_is_refused_with_a_reason_and_the_field(body: bytes, reason: str, detail: str) -> None:
    with pytest.raises(InvalidPayload) as error:
        GREENHOUSE.normalise(headers("webhook.x"), body, STAGES)
    assert (error.value.reason, error.value.detail) == (reason, detail)


def test_a_feed_without_its_candidate_says_how_to_mend_it() -> None:
    with pytest.raises(InvalidPayload, match=r"wrap the feed as \{candidate_id, application_id, activities\}"):
        facts("record.activity_feed", lambda record: record.pop("candidate_id"))
    with pytest.raises(InvalidPayload, match="activity_without_application"):
        facts("record.activity_feed", lambda record: record.pop("application_id"))


def test_a_record_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="unknown_record_type"):
        GREENHOUSE.normalise(headers("record.tags"), b"{}", STAGES)


@pytest.mark.parametrize("name", sorted(n for n in BODIES if n.startswith("record.")))
def test_a_record_is_told_by_its_shape(name: str) -> None:
    assert not GREENHOUSE.is_webhook(BODIES[name])
    assert GREENHOUSE.record_type(BODIES[name]) == name.removeprefix("record.")


# -- privacy and declarations ------------------------------------------------------------------------------------------

VENDOR_WORDS = re.compile(
    r"[\d:TZ.+-]+|yes|no|mixed|open|closed|rejected|accepted|created|awaiting_feedback|offer_candidate", re.IGNORECASE
)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item, path)
    elif isinstance(value, str) and value:
        yield path, value


@pytest.mark.parametrize("name", sorted(BODIES))
def test_no_text_of_a_body_gets_into_a_fact_but_stage_names(name: str) -> None:
    free = {text for _, text in leaves(BODIES[name]) if not VENDOR_WORDS.fullmatch(text)}
    for fact in facts(name):
        body = fact.model_dump(mode="json", exclude={"kind", "system", "account"})
        assert body["attributes"].pop("stage_name", None) in {None, "Application Review", "Hiring Manager Review"}
        said = [text.casefold() for _, text in leaves(body)]
        assert not [text for text in free if any(text.casefold() in one for one in said)]


def test_only_a_stage_change_in_the_feed_is_read_for_a_stage() -> None:
    def gossip(record: Any) -> None:
        record["activities"][1]["subject"] = "Note"

    assert facts("record.activity_feed", gossip) == []
    with pytest.raises(InvalidPayload, match="not_a_stage_name"):
        facts(
            "record.activity_feed",
            lambda record: record["activities"][1].update(body=f"Z was moved into {'x' * 200} for J on 1/1/2026 by R"),
        )


def test_what_an_account_can_emit_is_what_it_is_configured_for() -> None:
    from schemas.sources import Account, SecretRef, Sources

    secret = (SecretRef(env="X"),)
    sources = Sources(
        tenant="acme",
        accounts=(
            Account(account="hooks", system="greenhouse", webhook_secrets=secret),
            Account(account="polls", system="greenhouse", polled=("scorecards", "users")),
            Account(account="both", system="greenhouse", webhook_secrets=secret, polled=("scheduled_interviews",)),
            Account(account="other", system="nobody", webhook_secrets=secret),
        ),
    )
    declared = declared_kinds(sources)
    assert declared["hooks"] == GREENHOUSE.webhook_kinds
    assert declared["polls"] == {"scorecard.submitted"}
    assert declared["both"] == GREENHOUSE.webhook_kinds | {"interview.scheduled"}
    assert declared["other"] == frozenset()


def test_the_managers_half_is_never_vouched_for_by_webhooks() -> None:
    assert not {"scorecard.submitted", "interview.scheduled"} & GREENHOUSE.webhook_kinds


def test_declared_kinds_exist() -> None:
    assert set(FACT_KINDS) >= MANUAL_KINDS
    for connector in CONNECTORS.values():
        assert connector.webhook_kinds.union(*connector.record_kinds.values()) <= set(FACT_KINDS)
