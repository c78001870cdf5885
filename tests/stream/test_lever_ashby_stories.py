"""The week of test_vendor_stories as Lever and Ashby tell it: by webhook and by poll, every move told by both."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.fact import Fact
from schemas.outcome import Verdict
from tests.stories import ACCOUNT
from tests.stream.test_vendor_stories import (
    APPLIED,
    BOOKED,
    CARD,
    ENDS,
    MINUTE,
    OPENED,
    STARTS,
    SUBMITTED,
    TAKEN,
    Vendor,
    judged,
    messages,
    z,
)

SECOND = timedelta(seconds=1)
REVIEW, TALKS = "5a9e6e0c-2b43-4a1b-a8c0-1d9a5b7e0005", "5a9e6e0c-2b43-4a1b-a8c0-1d9a5b7e0006"


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def lever() -> tuple[Vendor, str, str, str]:
    told = Vendor("lever", ("postings", "opportunities", "interviews", "feedback"))
    posting = {"id": "J1", "state": "published", "createdAt": ms(OPENED), "updatedAt": ms(OPENED)}
    told.record(OPENED + MINUTE, "postings", {**posting, "owner": "rec", "hiringManager": "mgr", "categories": {}})
    who = {"opportunityId": "o1", "contactId": "c1"}
    opportunity: Any = {"id": "o1", "contact": "c1", "createdAt": ms(APPLIED), "updatedAt": ms(APPLIED), "origin": "applied"}
    opportunity |= {"applications": [{"id": "a1", "posting": "J1", "createdAt": ms(APPLIED)}], "stageChanges": []}
    opportunity |= {"stageNames": {REVIEW: "Manager review", TALKS: "Interviews"}}

    def webhook(when: datetime, event: str, **data: Any) -> None:
        body = {
            "event": event,
            "triggeredAt": ms(when) + 40,
            "token": f"t-{ms(when)}",
            "signature": "00",
            "data": {**who, **data},
        }
        told.webhook(when + MINUTE, body)

    webhook(APPLIED, "applicationCreated")
    for when, stage in ((APPLIED, "applicant-new"), (SUBMITTED, REVIEW), (TAKEN, TALKS)):
        webhook(when, "candidateStageChange", toStageId=stage)
        change = {"toStageId": stage, "updatedAt": ms(when), "userId": None}
        opportunity = {**opportunity, "stageChanges": [*opportunity["stageChanges"], change], "updatedAt": ms(when)}
        told.record(when + 5 * MINUTE, "opportunities", opportunity)
    webhook(BOOKED, "interviewCreated", interviewId="e1")
    interview = {"id": "e1", "createdAt": ms(BOOKED), "date": ms(STARTS), "duration": 60, "interviewers": [{"id": "mgr"}]}
    told.record(BOOKED + MINUTE, "interviews", {**interview, "canceledAt": None, "opportunityId": "o1"})
    fields = [{"type": "score-system", "required": True, "value": "3"}, {"type": "textarea", "value": "because"}]
    card = {"id": "f1", "completedAt": ms(CARD), "user": "mgr", "interview": "e1", "fields": fields, "opportunityId": "o1"}
    told.record(CARD + MINUTE, "feedback", card)
    return told, "J1", "o1", "e1"


def ashby() -> tuple[Vendor, str, str, str]:
    told = Vendor("ashby", ("application_history", "application_feedback"))
    team = [{"userId": "mgr", "role": "Hiring Manager"}, {"userId": "rec", "role": "Recruiter"}]
    job = {"id": "J1", "status": "Open", "createdAt": z(OPENED), "openedAt": z(OPENED), "updatedAt": z(OPENED)}
    told.webhook(OPENED + MINUTE, {"action": "jobCreate", "data": {"job": {**job, "hiringTeam": team}}})

    def application(when: datetime, title: str) -> dict[str, Any]:
        stage = {"id": title[:3], "title": title, "type": "Active"}
        ids = {"id": "a1", "candidate": {"id": "c1"}, "job": {"id": "J1"}, "hiringTeam": team, "status": "Active"}
        return {"application": {**ids, "createdAt": z(APPLIED), "updatedAt": z(when), "currentInterviewStage": stage}}

    told.webhook(APPLIED + MINUTE, {"action": "applicationSubmit", "data": application(APPLIED, "Application Review")})
    for when, title in ((SUBMITTED, "Manager review"), (TAKEN, "Interview")):
        for action in ("candidateStageChange", "applicationUpdate"):  # one action, two deliveries, one id
            body = {"action": action, "webhookActionId": f"w-{title[:3]}", "data": application(when, title)}
            told.webhook(when + MINUTE, body)
        row = {"id": title[:3], "stageId": "s", "title": title, "enteredStageAt": z(when), "applicationId": "a1"}
        told.record(when + 5 * MINUTE, "application_history", row)
    event = {"id": "e1", "interviewerUserIds": ["mgr"], "startTime": z(STARTS), "endTime": z(ENDS), "createdAt": z(BOOKED)}
    schedule = {"id": "s1", "applicationId": "a1", "status": "Scheduled", "updatedAt": z(BOOKED), "interviewEvents": [event]}
    for action in ("interviewScheduleCreate", "interviewScheduleUpdate"):
        told.webhook(BOOKED + MINUTE, {"action": action, "data": {"interviewSchedule": schedule}})
    form = {"sections": [{"fields": [{"isRequired": True, "field": {"path": "overall", "type": "ValueSelect"}}]}]}
    card = {"id": "f1", "applicationId": "a1", "interviewEventId": "e1", "submittedAt": z(CARD), "formDefinition": form}
    card |= {"submittedByUser": {"id": "mgr"}, "submittedValues": {"overall": "hire"}}
    told.record(CARD + MINUTE, "application_feedback", card)
    return told, "J1", "a1", "e1"


@pytest.mark.parametrize("vendor", [lever, ashby], ids=["lever", "ashby"])
@pytest.mark.parametrize("repeat", [1, 2], ids=["once", "sent twice"])
def test_the_week_is_judged_as_it_was(vendor: Any, repeat: int) -> None:
    told, requisition, application, interview = vendor()
    found = judged(told, repeat).obligations()
    about = f"{ACCOUNT}/{requisition}:{application}"
    ids = {
        "review_candidate": f"review_candidate:{about}:1",
        "schedule_interview": f"schedule_interview:{about}:1",
        "submit_feedback": f"submit_feedback:{about}:{interview}:p-manager:1",
    }
    for obligation_id in ids.values():
        assert obligation_id in found, sorted(found)
        assert found[obligation_id].verdict is Verdict.MET, found[obligation_id]
    review, card = found[ids["review_candidate"]], found[ids["submit_feedback"]]
    assert review.ended_at is not None
    assert abs(review.started_at - SUBMITTED) < SECOND > abs(review.ended_at - TAKEN)
    assert (card.owner, card.started_at, card.ended_at) == ("p-manager", ENDS, CARD)
    cycles = [i for i in found if i.startswith(("review_candidate:", "schedule_interview:")) and not i.endswith(":1")]
    assert cycles == [], "a change told twice is one change"


@pytest.mark.parametrize("vendor", [lever, ashby], ids=["lever", "ashby"])
def test_a_move_told_by_webhook_and_by_poll_is_one_fact(vendor: Any) -> None:
    told, *_ = vendor()
    moves: dict[str, set[object]] = {}
    for _, said in messages(told):
        for one in said:
            if isinstance(one, Fact) and one.kind == "application.stage_changed":
                moves.setdefault(one.fact_id, set()).add(one.attributes["stage"])
    assert len(moves) == 3
    assert sorted(map(str, set().union(*moves.values()))) == ["applied", "interview", "manager_review"]
