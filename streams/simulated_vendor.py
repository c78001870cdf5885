"""The simulated ATS account: keeps the state the vendor would show, and says each happening in its words. Pure.

In: happenings in order of time. Out: webhook bodies at once, and every version of every Harvest record with the time from which
a poll sees it (`changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from streams.directory import People
from streams.greenhouse_payloads import Body, Greenhouse, State
from streams.greenhouse_records import Harvest
from streams.simulated_story import Application, Happening, Interview, Offer, What

RECORD_TYPES = ("applications", "jobs", "scheduled_interviews", "scorecards", "offers")

#: The webhook that tells a happening; what is missing here Greenhouse tells nobody.
ACTIONS: Mapping[What, str] = {
    What.JOB_CREATED: "job_created",
    What.JOB_APPROVED: "job_approved",
    What.JOB_UPDATED: "job_updated",
    What.JOB_CLOSED: "job_updated",
    What.APPLIED: "new_candidate_application",
    What.STAGE: "candidate_stage_change",
    What.REJECTED: "reject_candidate",
    What.WITHDREW: "reject_candidate",
    What.UNREJECTED: "unreject_candidate",
    What.EDITED: "update_candidate",
    What.INTERVIEW_DELETED: "interview_deleted",
    What.OFFER_CREATED: "offer_created",
    What.OFFER_APPROVED: "offer_approved",
    What.OFFER_UPDATED: "offer_updated",
    What.HIRED: "hire_candidate",
}


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on a poll sees `record` under this id; None: the object is gone."""

    at: datetime
    id: int
    record: bytes | None


@dataclass(slots=True)
class Booking:
    """An interview as it stands, with the scorecards submitted so far by interviewer."""

    interview: Interview
    scorecards: dict[str, int] = field(default_factory=dict)


class Vendor:
    """One account. Feed it happenings in order of time, each once."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.changes: dict[str, list[Change]] = {record_type: [] for record_type in RECORD_TYPES}
        self._webhooks = Greenhouse(people)
        self._records = Harvest(self._webhooks)
        self._applications: dict[int, State] = {}
        self._closed: dict[int, datetime] = {}
        self._bookings: dict[int, Booking] = {}

    def team(self, person: str) -> str | None:
        return self.people.team_of(person)

    def tell(self, happening: Happening) -> Iterator[tuple[str, bytes]]:
        """(lane, body) of the webhook that tells it, if one does; what a poll will see is kept in `changes`."""
        self._take(happening)
        action = ACTIONS.get(happening.what)
        if action is None:
            return
        application = happening.application
        if application and application.prospect and happening.what is What.APPLIED:
            action = "new_prospect_application"
        lane = f"application/{application.id}" if application else f"job/{happening.requisition.id}"
        yield lane, orjson.dumps({"action": action, "payload": self._payload(happening)})

    # -- state -------------------------------------------------------------------------------------------------------

    def _take(self, happening: Happening) -> None:
        application = happening.application
        if application is None:
            if happening.what is What.JOB_CLOSED:
                self._closed[happening.requisition.id] = happening.at
            if happening.what in ACTIONS:
                closed = self._closed.get(happening.requisition.id)
                self._see(
                    "jobs",
                    happening.at,
                    happening.requisition.id,
                    self._records.job_record(happening.requisition, happening.at, closed),
                )
            return
        state = self._state(application, happening)
        if happening.interview or happening.scorecard:
            self._take_interview(application, happening)
        if happening.offer:
            record = self._records.offer_record(application, happening.offer, happening.at)
            self._see("offers", happening.at, happening.offer.id, record)
        self._see("applications", happening.at, application.id, self._records.application_record(state))

    def _state(self, application: Application, happening: Happening) -> State:
        """The application's state with the happening in it."""
        first = State(application=application, stage=None if application.prospect else "applied", last_activity_at=happening.at)
        state = self._applications.setdefault(application.id, first)
        state.last_activity_at = happening.at
        state.job_closed_at = self._closed.get(application.requisition.id)
        if happening.what is What.STAGE:
            state.stage = happening.stage
        elif happening.what in (What.REJECTED, What.WITHDREW):
            state.status, state.rejected_at, state.reason = "rejected", happening.at, happening.reason
        elif happening.what is What.UNREJECTED:
            state.status, state.rejected_at, state.reason = "active", None, None
        elif happening.what is What.HIRED:
            state.status = "hired"
        return state

    def _take_interview(self, application: Application, happening: Happening) -> None:
        """Interviews and scorecards have no webhook: only their records change, also by the mere end of an interview."""
        if happening.scorecard:
            card, at = happening.scorecard, happening.at
            if card.id % 5 == 0 and card.opened_at < at:
                draft = self._records.scorecard_record(application, card, None, card.opened_at)
                self._see("scorecards", card.opened_at, card.id, draft)
            self._see("scorecards", at, card.id, self._records.scorecard_record(application, card, at, at))
            booking = self._bookings[card.interview.id]
            booking.scorecards[card.interviewer] = card.id
            complete = len(booking.scorecards) == len(booking.interview.interviewers)
            self._see_interview(application, booking, at, "complete" if complete else "awaiting_feedback")
            return
        interview = happening.interview
        if interview is None:
            return
        booking = self._bookings[interview.id] = Booking(interview)
        seen = self.changes["scheduled_interviews"]
        seen[:] = [change for change in seen if change.id != interview.id or change.at <= happening.at]  # it will not end then
        if happening.what is What.INTERVIEW_DELETED:
            seen.append(Change(happening.at, interview.id, None))
            return
        self._see_interview(application, booking, happening.at, "scheduled")
        self._see_interview(application, booking, interview.ends_at + timedelta(seconds=1), "awaiting_feedback")

    def _see_interview(self, application: Application, booking: Booking, at: datetime, status: str) -> None:
        record = self._records.interview_record(application, booking.interview, status, at, booking.scorecards)
        self._see("scheduled_interviews", at, booking.interview.id, record)

    def _see(self, record_type: str, at: datetime, number: int, record: Body) -> None:
        self.changes[record_type].append(Change(at, number, orjson.dumps(record)))

    # -- payloads ----------------------------------------------------------------------------------------------------

    def _payload(self, happening: Happening) -> Body:
        application = happening.application
        if application is None:
            job = self._webhooks.job(happening.requisition, self._closed.get(happening.requisition.id))
            approved = happening.what is What.JOB_APPROVED
            return {"approval_flow": {"approval_flow_type": "open_job"}, "job": job} if approved else {"job": job}
        if happening.interview:
            return {"interview": {"id": happening.interview.id}}
        if happening.what is What.EDITED:
            return {"candidate": self._webhooks.candidate(application)}
        state = self._applications[application.id]
        if happening.offer and happening.what is not What.HIRED:
            return self._webhooks.offer(application, happening.offer)
        renderers: dict[What, Callable[[], Body]] = {
            What.APPLIED: lambda: self._webhooks.new_application(state),
            What.HIRED: lambda: self._webhooks.hired_application(state, _offer(happening)),
        }
        return {"application": renderers.get(happening.what, lambda: self._webhooks.application(state))()}


def _offer(happening: Happening) -> Offer:
    if happening.offer is None:
        raise ValueError("somebody is hired by an offer")
    return happening.offer
