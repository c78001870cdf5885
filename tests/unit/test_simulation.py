"""The simulated company: the same seed tells the same months, in the vendor's own shapes, and nothing happens out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from schemas.fact import Fact, Watermark
from schemas.outcome import Obligation
from streams.agreement import Agreement
from streams.check import load_agreement
from streams.connectors import CONNECTORS
from streams.errors import InvalidConfiguration, InvalidSignature
from streams.greenhouse_payloads import STAGE_NAMES, sign
from streams.obligations import evaluate
from streams.settings import Settings
from streams.simulated_company import Scale
from streams.simulated_feed import Delivery, Totals, feed
from streams.simulated_story import ENDINGS, What
from streams.simulated_vendor import RECORD_TYPES, Vendor
from streams.simulation import History, simulate
from streams.stages import StageMap, load
from tests.simulated import facts_of

END = datetime(2026, 11, 24, 11, 7, 13, tzinfo=UTC)
REPORTERS = {"ta-emea": "p-001", "ta-americas": "p-005", "ta-apac": "p-008", "platform": "p-011"}
GREENHOUSE = CONNECTORS["greenhouse"]


def keys(names: str) -> set[str]:
    return set(names.split())


#: The vendor's documented keys (github grnhse/greenhouse-api-docs, source/includes/webhooks and harvest).
APPLICATION = keys(
    "id rejected_at prospect status applied_at last_activity_at url source credited_to rejection_reason rejection_details "
    "current_stage custom_fields candidate jobs"
)
JOB = keys(
    "id name requisition_id notes confidential job_post_id status created_by_id created_at opened_at closed_at departments "
    "offices hiring_team openings custom_fields"
)
OFFER = keys("id application_id job_id user_id version sent_on resolved_at start_date notes offer_status custom_fields")
PAYLOADS = {
    "candidate_stage_change": APPLICATION,
    "reject_candidate": APPLICATION,
    "unreject_candidate": APPLICATION,
    "new_candidate_application": APPLICATION | {"prospect_detail"},
    "new_prospect_application": APPLICATION | {"prospect_detail"},
    "hire_candidate": keys("id opening credited_to source url candidate job jobs custom_fields offer"),
    "job_created": JOB,
    "job_updated": JOB,
    "job_approved": JOB,
    "offer_created": OFFER,
    "offer_approved": OFFER,
    "offer_updated": OFFER,
    "interview_deleted": {"id"},
}
RECORDS = {
    "applications": keys(
        "id candidate_id prospect applied_at rejected_at last_activity_at location source credited_to recruiter coordinator "
        "rejection_reason rejection_details jobs job_post_id status current_stage answers prospective_office "
        "prospective_department prospect_detail custom_fields keyed_custom_fields attachments"
    ),
    "jobs": keys(
        "id name requisition_id notes confidential status created_at opened_at closed_at updated_at is_template copied_from_id "
        "departments offices custom_fields keyed_custom_fields hiring_team openings"
    ),
    "scheduled_interviews": keys(
        "id application_id external_event_id start end location video_conferencing_url status created_at updated_at interview "
        "organizer interviewers"
    ),
    "scorecards": keys(
        "id updated_at created_at interview interview_step candidate_id application_id interviewed_at submitted_by interviewer "
        "submitted_at overall_recommendation attributes ratings questions"
    ),
    "offers": keys(
        "id version application_id job_id candidate_id opening created_at updated_at sent_at resolved_at starts_at status "
        "custom_fields keyed_custom_fields"
    ),
}


@dataclass(frozen=True)
class Told:
    agreement: Agreement
    history: History
    deliveries: list[Delivery]


def tell(seed: int, scale: Scale | None = None) -> Told:
    agreement = load_agreement(Settings().deploy_dir)
    history = simulate(agreement.people, agreement.calendars, END, seed, scale)
    return Told(agreement, history, feed(history, Vendor(agreement.people), REPORTERS, "approver", "mail-gateway", seed))


@pytest.fixture(scope="module")
def told() -> Told:
    return tell(7)


@pytest.fixture(scope="module")
def stages() -> StageMap:
    return load(Settings().deploy_dir / "stages.yaml")


def webhooks(told: Told) -> Iterator[tuple[str, dict[str, object]]]:
    for delivery in told.deliveries:
        if delivery.channel == "webhook" and delivery.kind in ("plain", "late", "duplicate"):
            body = orjson.loads(delivery.body)
            yield body["action"], body["payload"]


def test_the_same_seed_tells_the_same_to_the_byte() -> None:
    scale = Scale(requisitions=4, applications=120, weeks=6)
    assert tell(3, scale).deliveries == tell(3, scale).deliveries
    assert tell(3, scale).deliveries != tell(4, scale).deliveries


def test_the_company_is_as_large_as_promised(told: Told) -> None:
    happened = told.history.statistics()
    zones = {told.agreement.calendars.at(name, END).zone for name in ("de-berlin", "us-ny", "in-ka")}
    assert len(told.history.teams) == 12
    assert len(zones) == 3
    assert happened["job_created"] == 40
    assert 2300 <= happened["applied"] <= 2700
    wanted = ("withdrew", "interview_moved", "interview_deleted", "offer_created", "hired", "unrejected", "declined", "held")
    assert [what for what in wanted if not happened.get(what)] == []


def test_every_payload_has_exactly_the_documented_keys(told: Told) -> None:
    seen = set()
    for action, payload in webhooks(told):
        if action == "update_candidate":
            assert set(payload) == {"candidate"}
            continue
        body = payload.get("application") or payload.get("job") or payload.get("interview") or payload
        assert set(body) == PAYLOADS[action], action  # type: ignore[call-overload]
        seen.add(action)
    assert seen == set(PAYLOADS)


def test_every_record_has_exactly_the_documented_keys(told: Told) -> None:
    seen = set()
    for delivery in told.deliveries:
        for record in orjson.loads(delivery.body) if delivery.channel == "records" else ():
            assert set(record) == RECORDS[delivery.record_type]
            seen.add(delivery.record_type)
    assert seen == set(RECORD_TYPES)


def test_histories_only_go_forward(told: Told) -> None:
    applied: dict[int, datetime] = {}
    ended: dict[int, datetime] = {}
    closed: dict[int, datetime] = {}
    allowed_later = {What.SCORECARD, What.EDITED, What.UNREJECTED, What.INFORMED}
    last = told.history.start
    for happening in told.history.happenings:
        assert last <= happening.at < told.history.end
        last = happening.at
        application, job = happening.application, happening.requisition.id
        if happening.what not in allowed_later:
            assert job not in closed, happening
        if happening.what is What.JOB_CLOSED:
            closed[job] = happening.at
        if application is None:
            continue
        if happening.what is What.APPLIED:
            assert applied.setdefault(application.id, happening.at) is happening.at
        assert application.id in applied
        if happening.what is What.UNREJECTED:
            ended.pop(application.id)
        elif happening.what not in allowed_later:
            assert application.id not in ended, happening
        if happening.what in ENDINGS:
            ended[application.id] = happening.at
        if happening.scorecard:
            assert happening.scorecard.interview.ends_at <= happening.scorecard.opened_at <= happening.at


def test_people_act_in_their_own_working_time(told: Told) -> None:
    manual = (What.STAGE, What.SCORECARD, What.JOB_APPROVED)
    outside = Counter(
        happening.what
        for happening in told.history.happenings
        if happening.what in manual
        and not told.agreement.people.calendar_for(happening.by, None, told.agreement.calendars, happening.at)[0].is_working(
            happening.at - timedelta(seconds=1)
        )
        and not (happening.application and happening.application.sourced_until)
    )
    acts = sum(happening.what in manual for happening in told.history.happenings)
    assert outside.total() < 0.04 * acts, outside  # leave learned late, scorecards that the recruiter types in


def test_deliveries_arrive_in_order_of_time_after_what_they_tell(told: Told) -> None:
    times = [delivery.at for delivery in told.deliveries]
    assert times == sorted(times)
    assert told.history.start < times[0]
    assert times[-1] <= told.history.end
    totals = Totals.of(told.deliveries)
    assert totals.kinds["duplicate"] > 100
    assert totals.kinds["late"] > 60
    assert {kind for kind, number in totals.kinds.items() if number} >= {"ping", "unknown", "broken", "forged"}


def test_a_delivery_again_has_the_same_bytes_and_id(told: Told) -> None:
    first = {delivery.event_id: delivery for delivery in told.deliveries if delivery.kind == "plain" and delivery.event_id}
    again = [delivery for delivery in told.deliveries if delivery.kind == "duplicate"]
    assert all(first[delivery.event_id].body == delivery.body for delivery in again)
    assert all(first[delivery.event_id].at < delivery.at for delivery in again)


def test_polls_read_everything_once_and_move_the_watermark_forward(told: Told) -> None:
    for record_type in RECORD_TYPES:
        polls = [delivery for delivery in told.deliveries if delivery.record_type == record_type]
        until = [poll.complete_until for poll in polls if poll.complete_until]
        assert until == sorted(until)
        assert until[-1] == told.history.end
        assert all(poll.complete_until and poll.complete_until <= poll.at for poll in polls)
    submitted = {
        (record["id"], record["submitted_at"])
        for delivery in told.deliveries
        if delivery.record_type == "scorecards"
        for record in orjson.loads(delivery.body)
        if record["submitted_at"]
    }
    assert len(submitted) == told.history.statistics()["scorecard"]


def test_a_deleted_interview_is_in_no_later_poll(told: Told) -> None:
    deleted = {
        happening.interview.id: happening.at
        for happening in told.history.happenings
        if happening.what is What.INTERVIEW_DELETED and happening.interview
    }
    for delivery in told.deliveries:
        if delivery.record_type == "scheduled_interviews" and delivery.complete_until:
            for record in orjson.loads(delivery.body):
                assert record["id"] not in deleted or delivery.complete_until <= deleted[record["id"]]


def test_every_stage_name_is_mapped_to_what_is_meant(stages: StageMap) -> None:
    for canonical, names in STAGE_NAMES.items():
        meant = "interview" if canonical == "final_interview" else canonical
        assert {stages.of("greenhouse", name) for name in names} == {meant}


def test_the_signature_is_the_vendors(told: Told) -> None:
    body = next(delivery.body for delivery in told.deliveries if delivery.channel == "webhook")
    headers = {"signature": sign(body, b"demo secret of this test")}
    GREENHOUSE.verify(headers, body, [b"demo secret of this test"])
    with pytest.raises(InvalidSignature):
        GREENHOUSE.verify(headers, body + b" ", [b"demo secret of this test"])


def test_a_company_without_recruiters_is_refused(told: Told) -> None:
    people = told.agreement.people
    nobody = {key: person for key, person in people.people.items() if not person.team.startswith("ta-")}
    without = type(people)(people.version, people.company, nobody, people.teams, people.locations, {})
    with pytest.raises(InvalidConfiguration, match="TA team"):
        simulate(without, told.agreement.calendars, END, 7)


# -- through the connector and the core ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def facts(told: Told) -> tuple[list[Fact], Counter[str]]:
    return facts_of(told.deliveries, Settings())


@pytest.fixture(scope="module")
def obligations(told: Told, facts: tuple[list[Fact], Counter[str]]) -> list[Obligation]:
    agreement = told.agreement
    kinds = tuple(sorted(GREENHOUSE.webhook_kinds.union(*GREENHOUSE.record_kinds.values())))
    complete = Watermark(account="greenhouse", kinds=kinds, complete_until=END, received_at=END)
    found = evaluate(facts[0], agreement.policy, agreement.calendars, agreement.people, [complete], END, None)
    return list(found.obligations)


def test_only_the_noise_is_unusable(facts: tuple[list[Fact], Counter[str]]) -> None:
    assert facts[1] == {"unknown_action": 2, "not_json": 1, "not_utf8": 1, "missing_field": 1}


def test_the_slipping_team_slips_and_the_shining_team_shines(told: Told, obligations: list[Obligation]) -> None:
    timed = {c.name for c in told.agreement.policy.enabled() if c.quality is None}
    kept: dict[str, Counter[str]] = {}
    for obligation in obligations:
        if obligation.side == "hiring_manager" and obligation.commitment in timed:
            kept.setdefault(obligation.team, Counter())[obligation.verdict] += 1
    shares = {team: n["met"] / (n["met"] + n["missed"] + n["overdue"]) for team, n in kept.items()}
    assert min(shares, key=lambda team: shares[team]) == "data"
    assert max(shares, key=lambda team: shares[team]) == "mobile"
    assert 0.5 < shares["data"] < 0.75
    assert shares["mobile"] > 0.92
    assert all(0.75 < share < 0.96 for team, share in shares.items() if team not in ("data", "mobile"))


def test_a_handful_is_overdue_now_in_several_teams(obligations: list[Obligation]) -> None:
    late = [obligation for obligation in obligations if obligation.verdict == "overdue"]
    assert 4 <= len(late) <= 60
    assert len({obligation.team for obligation in late}) >= 3


def test_every_promise_of_the_agreement_is_kept_and_broken(told: Told, obligations: list[Obligation]) -> None:
    said: dict[str, Counter[str]] = {}
    for obligation in obligations:
        said.setdefault(obligation.commitment, Counter())[obligation.verdict] += 1
    assert set(said) == {commitment.name for commitment in told.agreement.policy.enabled()}
    rarely = {"acknowledge_requisition"}  # each approval names its recruiter
    for commitment, n in said.items():
        share = n["met"] / (n["met"] + n["missed"] + n["overdue"])
        assert 0.5 < share < 1 or (share == 1 and commitment in rarely), f"{commitment}: {n}"


def test_candidates_are_told_by_both_sides_and_the_slipping_team_tells_late(obligations: list[Obligation]) -> None:
    told: dict[tuple[str, str], Counter[str]] = {}
    for obligation in obligations:
        if obligation.commitment in ("inform_candidate", "no_silence"):
            told.setdefault((obligation.side, obligation.team), Counter())[obligation.verdict] += 1
    late = {key: n["missed"] / (n["met"] + n["missed"]) for key, n in told.items()}
    assert {side for side, _ in late} == {"hiring_manager", "talent_acquisition"}
    assert late["hiring_manager", "data"] > 3 * late["hiring_manager", "mobile"]


def test_mail_is_reported_after_it_went_out_and_names_nobody(told: Told) -> None:
    batches = [delivery for delivery in told.deliveries if delivery.identity == "mail-gateway"]
    facts = [(delivery.at, fact) for delivery in batches for fact in orjson.loads(delivery.body)]
    assert len(facts) == told.history.statistics()["informed"]
    for at, fact in facts:
        assert set(fact) == {"kind", "occurred_at", "requisition_id", "application_id"}
        assert timedelta() < at - datetime.fromisoformat(fact["occurred_at"]) <= timedelta(hours=3)
