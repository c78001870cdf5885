"""One week of hiring as each vendor tells it, by webhook and by poll, through normalise's and the tracker's pure steps.

On Monday somebody applies and is submitted to the manager, who takes them on on Tuesday; the interview, booked the same day, is
on Wednesday, and the manager's scorecard comes on Thursday morning. What the vendor does not tell is not expected of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.fact import Fact, Watermark, facts_record
from schemas.outcome import Verdict
from schemas.raw import RawHeaders
from schemas.sources import Account, SecretRef, Sources
from streams.connectors import declared_kinds
from streams.normalise import Normaliser
from tests.stories import ACCOUNT, agreement
from tests.tracked import Table, Told, Tracked
from tests.vendors import STAGES

MINUTE = timedelta(minutes=1)


def at(day: int, clock: str) -> datetime:
    """An instant of the first week of March 2026; `day` 2 is the Monday."""
    return datetime.fromisoformat(f"2026-03-{day:02}T{clock}:00+00:00")


def z(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


OPENED, APPLIED, SUBMITTED = at(2, "08:30"), at(2, "09:00"), at(2, "12:00")
TAKEN, BOOKED, STARTS, ENDS, CARD = at(3, "09:00"), at(3, "11:00"), at(4, "09:00"), at(4, "10:00"), at(5, "07:30")
END = at(6, "12:00")


@dataclass
class Vendor:
    """What a vendor sends: (received, raw headers' own, body)."""

    system: str
    polled: tuple[str, ...]
    sent: list[tuple[datetime, dict[str, Any], Any]] = field(default_factory=list)

    def webhook(self, when: datetime, body: Any, **vendor: str) -> None:
        self.sent.append((when, {"channel": "webhook", "vendor": vendor}, body))

    def record(self, when: datetime, kind: str, body: Any, since: datetime | None = None) -> None:
        self.sent.append((when, {"channel": "record", "record_type": kind, "changed_since": since}, body))


def workable() -> tuple[Vendor, str, str, str]:
    told = Vendor("workable", ("jobs", "activities", "events", "candidates"))
    members = [{"id": "mgr", "collaboration_role": "hiring_manager"}, {"id": "rec", "collaboration_role": "recruiter"}]
    job = {
        "id": "61",
        "shortcode": "J1",
        "state": "published",
        "created_at": z(OPENED),
        "updated_at": z(OPENED),
        "members": members,
    }
    told.record(OPENED + MINUTE, "jobs", job)
    candidate = {"id": "c1", "job": {"shortcode": "J1"}, "created_at": z(APPLIED), "updated_at": z(APPLIED), "sourced": False}
    candidate |= {"stage": "Applied", "stage_kind": "applied"}
    told.webhook(APPLIED + MINUTE, {"event_type": "candidate_created", "data": candidate})

    def moved(number: int, when: datetime, stage: str) -> None:
        after = {**candidate, "stage": stage, "stage_kind": "x", "updated_at": z(when + timedelta(seconds=2))}
        told.webhook(when + MINUTE, {"event_type": "candidate_moved", "data": after})
        activity = {"id": f"m{number}", "action": stage.lower(), "target_stage": {"name": stage}, "created_at": z(when)}
        told.record(when + 10 * MINUTE, "activities", {**activity, "candidate_id": "c1", "job_shortcode": "J1"})

    moved(1, SUBMITTED, "Manager review")
    moved(2, TAKEN, "Interview")
    event = {"id": "e1", "type": "InterviewEvent", "starts_at": z(STARTS), "ends_at": z(ENDS), "cancelled": False}
    event |= {"members": [{"id": "mgr", "status": "accepted"}], "candidate": {"id": "c1"}, "job": {"shortcode": "J1"}}
    told.record(BOOKED, "events", event, since=BOOKED - 5 * MINUTE)
    rating = {
        "id": "r1",
        "action": "rating",
        "created_at": z(CARD),
        "member": {"id": "mgr"},
        "rating": {"score": 1, "grade": "yes"},
    }
    told.record(CARD + MINUTE, "activities", {**rating, "candidate_id": "c1", "job_shortcode": "J1"})
    return told, "J1", "c1", "e1"


def smartrecruiters() -> tuple[Vendor, str, str, str]:
    told = Vendor("smartrecruiters", ("jobs", "status_history", "interviews", "reviews", "candidates"))
    team = [{"id": "mgr", "role": "HIRING_MANAGER"}, {"id": "rec", "role": "RECRUITER"}]
    job = {"id": "J1", "status": "SOURCING", "createdOn": z(OPENED), "updatedOn": z(OPENED), "hiringTeam": team}
    told.record(OPENED + MINUTE, "jobs", job)
    ids = {"job_id": "J1", "candidate_id": "c1"}
    stamp = {"smartrecruiters-timestamp": str(int(APPLIED.timestamp()))}
    told.webhook(APPLIED + MINUTE, ids, **{"event-name": "application.created", **stamp})
    history: list[Any] = [{"changedOn": z(APPLIED), "status": "NEW"}]
    for when, status, sub in ((SUBMITTED, "IN_REVIEW", "Manager review"), (TAKEN, "INTERVIEW", None)):
        told.webhook(when + MINUTE, ids, **{"event-name": "application.status.updated", **stamp})
        history.append({"changedOn": z(when), "status": status, "subStatus": sub})
        told.record(when + 2 * MINUTE, "status_history", {**ids, "content": list(history)})
    slot = {"id": "s", "startsOn": z(STARTS), "endsOn": z(ENDS), "interviewers": [{"id": "mgr"}]}
    whose = {"candidateId": "c1", "jobId": "J1"}
    told.record(
        BOOKED + MINUTE, "interviews", {"id": "e1", **whose, "createdOn": z(BOOKED), "updatedOn": z(BOOKED), "timeslots": [slot]}
    )
    told.record(CARD + MINUTE, "reviews", {"id": "r1", **whose, "reviewer": {"id": "mgr"}, "rating": 4, "createdOn": z(CARD)})
    return told, "J1", "c1.J1", "e1"


def merge() -> tuple[Vendor, str, str, str]:
    told = Vendor("merge", ("jobs", "applications", "interviews", "scorecards"))
    job = {"id": "J1", "status": "OPEN", "remote_created_at": z(OPENED), "hiring_managers": ["mgr"], "recruiters": ["rec"]}
    told.record(OPENED + MINUTE, "jobs", job)
    app = {"id": "a1", "job": "J1", "candidate": "c1", "applied_at": z(APPLIED), "modified_at": z(END)}
    before: Any = None
    for when, stage in ((APPLIED, "Applied"), (SUBMITTED, "Manager review"), (TAKEN, "Interview")):
        now = {**app, "current_stage": {"id": f"s-{stage[:3]}", "name": stage}}
        told.webhook(when + MINUTE, {"hook": {"event": "Application.changed"}, "linked_account": {}, "data": app})
        since = when - 4 * MINUTE if before else None
        told.record(when + 2 * MINUTE, "applications", {**now, **({"previous": before} if before else {})}, since=since)
        before = {"current_stage": now["current_stage"]["id"]}
    interview = {"id": "e1", "application": "a1", "interviewers": ["mgr"], "start_at": z(STARTS), "end_at": z(ENDS)}
    told.record(BOOKED + MINUTE, "interviews", interview, since=BOOKED - 4 * MINUTE)
    card = {"id": "r1", "application": "a1", "interview": "e1", "interviewer": "mgr", "submitted_at": z(CARD)}
    told.webhook(CARD + MINUTE, {"hook": {"event": "Scorecard.added"}, "data": {**card, "overall_recommendation": "YES"}})
    return told, "J1", "a1", "e1"


def teamtailor() -> tuple[Vendor, str, str, str]:
    told = Vendor("teamtailor", ())
    attributes = {"status": "open", "created-at": z(OPENED), "updated-at": z(OPENED)}
    related: Any = {"user": {"data": {"id": "rec", "type": "users"}}}
    job = {"id": "J1", "type": "jobs", "attributes": attributes, "relationships": related}
    told.webhook(OPENED + MINUTE, {"payload": {"event_name": "job.create", "data": job}})
    for event, when, stage in (
        ("create", APPLIED, "Inbox"),
        ("update", SUBMITTED, "Manager review"),
        ("update", TAKEN, "Interview"),
    ):
        related = {n: {"data": {"id": i, "type": n}} for n, i in (("job", "J1"), ("candidate", "c1"), ("stage", stage[:3]))}
        data = {"id": "a1", "type": "job-applications", "relationships": related}
        data["attributes"] = {"created-at": z(APPLIED), "updated-at": z(when), "changed-stage-at": z(when)}
        included = [{"id": stage[:3], "type": "stages", "attributes": {"name": stage}}]
        told.webhook(when + MINUTE, {"payload": {"event_name": f"job_application.{event}", "data": data, "included": included}})
    return told, "J1", "a1", "-"


def messages(told: Vendor, repeat: int = 1) -> Iterable[tuple[datetime, list[Told]]]:
    """What normalise makes of each body, in order of receipt, and of each finished poll at the end."""
    table, step = Table(), Normaliser(STAGES, "ats.facts", "ats.rejected", 1)
    marks = [(END, {"channel": "watermark"}, {"record_type": kind, "complete_until": z(END)}) for kind in told.polled]
    for when, own, body in [*sorted(told.sent, key=lambda one: one[0]), *marks]:
        raw = RawHeaders.model_validate(
            {"tenant": "acme", "account": ACCOUNT, "system": told.system, "received_at": when, "request_id": "r"} | own
        )
        record = SimpleNamespace(
            topic="ats.raw", partition=0, offset=1, timestamp=0, value=json.dumps(body).encode(), headers=raw.to_kafka()
        )
        result = step(0, [record] * repeat, table)  # type: ignore[arg-type]
        table.write(result.changes)
        assert not [m for m in result.messages if m.topic == "ats.rejected"], [m.value for m in result.messages]
        said = [facts_record.validate_json(m.value or b"") for m in result.messages]
        yield when, [one for one in said if isinstance(one, Fact | Watermark)]


def judged(told: Vendor, repeat: int = 1) -> Tracked:
    source = Account(account=ACCOUNT, system=told.system, webhook_secrets=(SecretRef(env="X"),), polled=told.polled)
    tracked = Tracked(agreement(), declared_kinds(Sources(tenant="acme", accounts=(source,))))
    for when, said in messages(told, repeat):
        if said:
            tracked.feed(*said)
        tracked.tick(when)
    tracked.tick(END)
    assert tracked.letters == []
    return tracked


FULL = ("review_candidate", "schedule_interview", "submit_feedback")


@pytest.mark.parametrize(
    ("vendor", "kept"),
    [(workable, FULL), (smartrecruiters, FULL), (merge, FULL), (teamtailor, ("review_candidate",))],
    ids=["workable", "smartrecruiters", "merge", "teamtailor"],
)
@pytest.mark.parametrize("repeat", [1, 2], ids=["once", "sent twice"])
def test_the_week_is_judged_as_it_was(vendor: Any, kept: tuple[str, ...], repeat: int) -> None:
    told, requisition, application, interview = vendor()
    found = judged(told, repeat).obligations()
    about = f"{ACCOUNT}/{requisition}:{application}"
    ids = {
        "review_candidate": f"review_candidate:{about}:1",
        "schedule_interview": f"schedule_interview:{about}:1",
        "submit_feedback": f"submit_feedback:{about}:{interview}:p-manager:1",
    }
    for commitment in kept:
        assert ids[commitment] in found, sorted(found)
        assert found[ids[commitment]].verdict is Verdict.MET, found[ids[commitment]]
    review = found[ids["review_candidate"]]
    assert abs(review.started_at - SUBMITTED) <= 6 * MINUTE
    assert review.ended_at is not None and abs(review.ended_at - TAKEN) <= 6 * MINUTE
    if "submit_feedback" in kept:
        card = found[ids["submit_feedback"]]
        assert (card.owner, card.started_at, card.ended_at) == ("p-manager", ENDS, CARD)
    cycles = [i for i in found if i.startswith(("review_candidate:", "schedule_interview:")) and not i.endswith(":1")]
    assert cycles == [], "a change told twice is one change"
