"""Greenhouse's Harvest records of the simulated company, as a poll lists them. Pure.

In: objects of `streams/simulated_story.py` in the state they are in. Out: JSON-ready dicts with the keys the vendor documents
(github grnhse/greenhouse-api-docs), times to the millisecond. Nobody in them exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from streams.greenhouse_payloads import SOURCES, Body, Greenhouse, State, day, starts
from streams.simulated_company import Requisition
from streams.simulated_story import Application, Interview, Offer, Scorecard

TAKE_AWAY = "As the rubric asks, with an example from the conversation."
RECOMMENDATIONS = ("definitely_not", "no", "yes", "yes", "strong_yes")
SKILLS = ("Communication", "Problem Solver", "Domain knowledge")


def millis(at: datetime | None) -> str | None:
    """A time as Harvest writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z" if at else None


@dataclass(frozen=True, slots=True)
class Harvest:
    """Renders records; jobs, stages and reasons are named as in the webhooks."""

    webhooks: Greenhouse

    def user(self, person: str) -> Body:
        first, _, last = self.webhooks.people.people[person].name.partition(" ")
        name = f"{first} {last}"
        return {"id": self.webhooks.user_id(person), "first_name": first, "last_name": last, "name": name, "employee_id": None}

    def job_record(self, requisition: Requisition, updated_at: datetime, closed_at: datetime | None) -> Body:
        """A job as Harvest lists it."""
        recruiter = {**self.user(requisition.recruiter), "responsible": True}
        team = {
            "hiring_managers": [self.user(requisition.manager)],
            "recruiters": [recruiter],
            "coordinators": [],
            "sourcers": [],
        }
        openings = [
            {
                "id": requisition.id + 2 + n,
                "opening_id": f"{n + 1}",
                "status": "closed" if closed_at else "open",
                "opened_at": millis(requisition.opened_at),
                "closed_at": millis(closed_at),
                "application_id": None,
                "close_reason": None,
            }
            for n in range(requisition.openings)
        ]
        return {
            "id": requisition.id,
            "name": requisition.title,
            "requisition_id": None,
            "notes": None,
            "confidential": False,
            "status": "closed" if closed_at else "open",
            "created_at": millis(requisition.opened_at),
            "opened_at": millis(requisition.opened_at),
            "closed_at": millis(closed_at),
            "updated_at": millis(updated_at),
            "is_template": False,
            "copied_from_id": None,
            **self.webhooks.place(requisition),
            "custom_fields": {"employment_type": "Full-time"},
            "keyed_custom_fields": {},
            "hiring_team": team,
            "openings": openings,
        }

    def application_record(self, state: State) -> Body:
        """An application as Harvest lists it."""
        application, requisition = state.application, state.application.requisition
        source = SOURCES[application.id % len(SOURCES)]
        credited = self.user(requisition.recruiter) if application.sourced_until else None
        return {
            "id": application.id,
            "candidate_id": application.candidate_id,
            "prospect": application.prospect,
            "applied_at": millis(application.applied_at),
            "rejected_at": millis(state.rejected_at),
            "last_activity_at": millis(state.last_activity_at),
            "location": None,
            "source": {"id": 30 + len(source), "public_name": source},
            "credited_to": credited,
            "recruiter": self.user(requisition.recruiter),
            "coordinator": None,
            "rejection_reason": self.webhooks.reason(state),
            "rejection_details": {"custom_fields": {}, "keyed_custom_fields": {}} if state.reason else None,
            "jobs": [{"id": requisition.id, "name": requisition.title}],
            "job_post_id": requisition.id + 1,
            "status": state.status,
            "current_stage": self.webhooks.stage(requisition, state.stage),
            "answers": [],
            "prospective_office": None,
            "prospective_department": None,
            "prospect_detail": {"prospect_pool": None, "prospect_stage": None, "prospect_owner": None},
            "custom_fields": {},
            "keyed_custom_fields": {},
            "attachments": [],
        }

    def interview_record(
        self, application: Application, interview: Interview, status: str, updated_at: datetime, scorecards: Mapping[str, int]
    ) -> Body:
        """A scheduled interview as Harvest lists it; `scorecards` are the ids of those already submitted, by interviewer."""
        interviewers = [
            {
                "id": self.webhooks.user_id(person),
                "employee_id": None,
                "name": self.webhooks.people.people[person].name,
                "email": self.webhooks.people.people[person].contact.email,
                "response_status": "accepted",
                "scorecard_id": scorecards.get(person),
            }
            for person in interview.interviewers
        ]
        return {
            "id": interview.id,
            "application_id": application.id,
            "external_event_id": f"event{interview.id}",
            "start": {"date_time": millis(interview.starts_at)},
            "end": {"date_time": millis(interview.ends_at)},
            "location": None,
            "video_conferencing_url": None,
            "status": status,
            "created_at": millis(interview.set_at),
            "updated_at": millis(updated_at),
            "interview": {"id": 7000 + interview.round, "name": self.round_name(interview)},
            "organizer": self.user(application.requisition.recruiter),
            "interviewers": interviewers,
        }

    def round_name(self, interview: Interview) -> str:
        return "First interview" if interview.round == 1 else "Panel interview"

    def scorecard_record(
        self, application: Application, scorecard: Scorecard, submitted_at: datetime | None, updated_at: datetime
    ) -> Body:
        """A scorecard as Harvest lists it; a draft has no `submitted_at`."""
        rating = RECOMMENDATIONS[scorecard.id % len(RECOMMENDATIONS)]
        name = self.round_name(scorecard.interview)
        attributes = [{"name": skill, "type": "Skills", "note": None, "rating": rating} for skill in SKILLS]
        ratings: dict[str, list[str]] = {key: [] for key in ("definitely_not", "no", "mixed", "yes", "strong_yes")}
        ratings[rating] = list(SKILLS)
        return {
            "id": scorecard.id,
            "updated_at": millis(updated_at),
            "created_at": millis(scorecard.opened_at),
            "interview": name,
            "interview_step": {"id": 430 + scorecard.interview.round, "name": name},
            "candidate_id": application.candidate_id,
            "application_id": application.id,
            "interviewed_at": millis(scorecard.interview.starts_at),
            "submitted_by": self.user(scorecard.submitted_by) if submitted_at else None,
            "interviewer": self.user(scorecard.interviewer),
            "submitted_at": millis(submitted_at),
            "overall_recommendation": rating if submitted_at else "no_decision",
            "attributes": attributes,
            "ratings": ratings,
            "questions": [{"id": None, "question": "Key Take-Aways", "answer": "" if scorecard.id % 11 == 0 else TAKE_AWAY}],
        }

    def offer_record(self, application: Application, offer: Offer, updated_at: datetime) -> Body:
        """An offer as Harvest lists it; what a webhook calls Created is `unresolved` here."""
        return {
            "id": offer.id,
            "version": offer.version,
            "application_id": application.id,
            "job_id": application.requisition.id,
            "candidate_id": application.candidate_id,
            "opening": None,
            "created_at": millis(offer.created_at),
            "updated_at": millis(updated_at),
            "sent_at": day(offer.sent_at),
            "resolved_at": millis(offer.resolved_at),
            "starts_at": day(starts(offer)),
            "status": "unresolved" if offer.status == "Created" else offer.status.lower(),
            "custom_fields": {},
            "keyed_custom_fields": {},
        }
