"""Greenhouse's own words for what happens in the simulated company: webhook bodies and their signature. Pure.

In: objects of `streams/simulated_story.py` in the state they are in. Out: JSON-ready dicts with the keys the vendor documents
(github grnhse/greenhouse-api-docs), in its formats: times to the second, `sent_on` a date, `start_date` the American way.
Nobody in them exists.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.directory import People
from streams.simulated_company import ACCOUNT, Requisition
from streams.simulated_story import Application, Offer

Body = dict[str, object]

FIRST_NAMES = (
    "Ada", "Bilal", "Chiara", "Dmitri", "Esme", "Farid", "Gitte", "Hugo", "Ines", "Jonas", "Keiko", "Liam", "Maya", "Noor",
    "Otis", "Priya", "Quinn", "Rafael", "Sofia", "Tomasz", "Uma", "Viktor", "Wren", "Ximena", "Yusuf", "Zora",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Brandt", "Costa", "Dupont", "Eriksen", "Fontaine", "Garcia", "Haddad", "Ibsen", "Jansen", "Kowalski", "Larsen",
    "Mehta", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Varga", "Weiss", "Xu", "Yilmaz", "Zieger",
)  # fmt: skip
SOURCES = ("LinkedIn", "Jobs page on your website", "Referral", "Indeed", "Agency")
OFFICES = {"berlin": "Berlin, Germany", "new-york": "New York, NY", "bengaluru": "Bengaluru, India"}
#: What teams call their stages; deploy/stages.yaml maps each to the canonical stage (`final_interview` is an interview too).
STAGE_NAMES: dict[str, tuple[str, ...]] = {
    "applied": ("Application Review", "New Applicants", "Inbox"),
    "screen": ("Recruiter Phone Screen", "Phone Screen", "Screening"),
    "manager_review": ("Hiring Manager Review", "Submitted to Hiring Manager", "Team Review"),
    "interview": ("First Interview", "Interview", "Technical Interview"),
    "final_interview": ("Onsite", "Final Round", "Panel Interview"),
    "debrief": ("Debrief", "Hiring Committee", "Decision"),
    "offer": ("Offer", "Offer Stage", "Offer"),
}
#: Reasons that mean the candidate left; Greenhouse types reasons as "We rejected them" or "They rejected us".
CANDIDATES_REASONS = ("Took another offer", "Withdrew", "Compensation")


def sign(body: bytes, secret: bytes) -> str:
    """The value of Greenhouse's `Signature` header over exactly these bytes."""
    return "sha256 " + hmac.new(secret, body, hashlib.sha256).hexdigest()


def seconds(at: datetime | None) -> str | None:
    """A time as webhooks write it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


@dataclass(slots=True, kw_only=True)
class State:
    """What the vendor shows of an application at one moment."""

    application: Application
    stage: str | None  #: key of STAGE_NAMES; None for a prospect
    last_activity_at: datetime
    status: str = "active"
    rejected_at: datetime | None = None
    reason: str | None = None
    job_closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Greenhouse:
    """Renders webhook payloads; `streams/greenhouse_records.py` has the Harvest records."""

    people: People

    # -- people ------------------------------------------------------------------------------------------------------

    def user_id(self, person: str) -> int:
        return int(self.people.people[person].identities[ACCOUNT][0])

    def webhook_user(self, person: str) -> Body:
        known = self.people.people[person]
        return {"id": self.user_id(person), "email": known.contact.email, "name": known.name, "employee_id": None}

    # -- jobs --------------------------------------------------------------------------------------------------------

    def stage(self, requisition: Requisition, canonical: str | None) -> Body | None:
        """A stage by the name this job gives it: teams name theirs freely."""
        if canonical is None:
            return None
        names = STAGE_NAMES[canonical]
        return {"id": requisition.id * 10 + list(STAGE_NAMES).index(canonical), "name": names[requisition.id % len(names)]}

    def place(self, requisition: Requisition) -> Body:
        office = OFFICES.get(requisition.team.location, requisition.team.location)
        return {
            "departments": [
                {"id": 100 + len(requisition.team.department), "name": requisition.team.department, "external_id": None}
            ],
            "offices": [{"id": 200 + len(office), "name": office.partition(",")[0], "location": office, "external_id": None}],
        }

    def job_in_application(self, requisition: Requisition, closed_at: datetime | None) -> Body:
        """A job as it appears inside an application's webhook."""
        return {
            "id": requisition.id,
            "name": requisition.title,
            "requisition_id": None,
            "notes": None,
            "confidential": False,
            "job_post_id": requisition.id + 1,
            "status": "closed" if closed_at else "open",
            "created_by_id": self.user_id(requisition.manager),
            "created_at": seconds(requisition.opened_at),
            "opened_at": seconds(requisition.opened_at),
            "closed_at": seconds(closed_at),
            **self.place(requisition),
            "custom_fields": {"employment_type": {"name": "Employment Type", "type": "single_select", "value": "Full-time"}},
        }

    def hiring_team(self, requisition: Requisition) -> Body:
        """The people of a job as webhooks name them: ids only."""

        def member(person: str) -> Body:
            return {"user_id": self.user_id(person), "employee_id": None}

        recruiter = member(requisition.recruiter)
        return {"hiring_managers": [member(requisition.manager)], "sourcers": [], "recruiters": [recruiter], "coordinators": []}

    def job(self, requisition: Requisition, closed_at: datetime | None = None) -> Body:
        """The job of job_created, job_approved and job_updated."""
        openings = [
            {"id": requisition.id + 2 + n, "opening_id": f"{n + 1}", "custom_fields": []} for n in range(requisition.openings)
        ]
        inside = self.job_in_application(requisition, closed_at)
        return {**inside, "hiring_team": self.hiring_team(requisition), "openings": openings}

    # -- applications ------------------------------------------------------------------------------------------------

    def candidate(self, application: Application) -> Body:
        number = application.candidate_id
        first = FIRST_NAMES[number % len(FIRST_NAMES)]
        last = LAST_NAMES[number // 7 % len(LAST_NAMES)]
        recruiter = self.webhook_user(application.requisition.recruiter)
        return {
            "id": number,
            "first_name": first,
            "last_name": last,
            "title": None,
            "company": None,
            "created_at": seconds(application.applied_at),
            "external_id": None,
            "photo_url": None,
            "url": f"https://app.greenhouse.io/people/{number}",
            "is_private": False,
            "can_email": True,
            "phone_numbers": [],
            "email_addresses": [{"value": f"{first}.{last}.{number}@example.net".lower(), "type": "personal"}],
            "addresses": [],
            "website_addresses": [],
            "social_media_addresses": [],
            "educations": [],
            "employments": [],
            "recruiter": recruiter,
            "coordinator": None,
            "attachments": [{"filename": "resume.pdf", "url": "https://prod-heroku.s3.amazonaws.com/...", "type": "resume"}],
            "tags": [],
            "custom_fields": {},
        }

    def reason(self, state: State) -> Body | None:
        if state.reason is None:
            return None
        left = state.reason in CANDIDATES_REASONS
        kind = {"id": 2, "name": "They rejected us"} if left else {"id": 1, "name": "We rejected them"}
        return {"id": 900 + len(state.reason), "name": state.reason, "type": kind}

    def application(self, state: State) -> Body:
        """The application of candidate events, whole as it stands."""
        application, requisition = state.application, state.application.requisition
        stage = self.stage(requisition, state.stage)
        source = SOURCES[application.id % len(SOURCES)]
        return {
            "id": application.id,
            "rejected_at": seconds(state.rejected_at),
            "prospect": application.prospect,
            "status": state.status,
            "applied_at": seconds(application.applied_at),
            "last_activity_at": seconds(state.last_activity_at),
            "url": f"https://app.greenhouse.io/people/{application.candidate_id}?application_id={application.id}",
            "source": {"id": 30 + len(source), "public_name": source},
            "credited_to": self.webhook_user(requisition.recruiter) if application.sourced_until else None,
            "rejection_reason": self.reason(state),
            "rejection_details": {"custom_fields": {}} if state.reason else None,
            "current_stage": {**stage, "interviews": []} if stage else None,
            "custom_fields": {},
            "candidate": self.candidate(application),
            "jobs": [self.job_in_application(requisition, state.job_closed_at)],
        }

    def new_application(self, state: State) -> Body:
        """The application of new_candidate_application and new_prospect_application; its job names the hiring team."""
        body = self.application(state)
        job = self.job_in_application(state.application.requisition, None)
        body["jobs"] = [{**job, "hiring_team": self.hiring_team(state.application.requisition)}]
        body["prospect_detail"] = {"prospect_pool": None, "prospect_stage": None, "prospect_owner": None}
        return body

    def hired_application(self, state: State, offer: Offer) -> Body:
        """The application of hire_candidate, which has a shape of its own."""
        application = self.application(state)
        job = self.job_in_application(state.application.requisition, None)
        kept = ("id", "name", "requisition_id", "departments", "offices", "custom_fields")
        short = {key: job[key] for key in kept}
        return {
            **{key: application[key] for key in ("id", "credited_to", "source", "url", "candidate", "custom_fields")},
            "opening": {"opening_id": "1", "custom_fields": []},
            "job": {**short, "open_date": job["opened_at"], "close_date": None},
            "jobs": [{**short, "confidential": False, "opened_at": job["opened_at"], "closed_at": None}],
            "offer": {
                "id": offer.id,
                "version": offer.version,
                "created_at": seconds(offer.created_at),
                "sent_at": day(offer.sent_at),
                "resolved_at": seconds(offer.resolved_at),
                "starts_at": day(starts(offer)),
                "custom_fields": {},
            },
        }

    # -- offers ------------------------------------------------------------------------------------------------------

    def offer(self, application: Application, offer: Offer) -> Body:
        """The flat payload of offer_created, offer_approved and offer_updated."""
        start = starts(offer)
        return {
            "id": offer.id,
            "application_id": application.id,
            "job_id": application.requisition.id,
            "user_id": self.user_id(application.requisition.recruiter),
            "version": offer.version,
            "sent_on": day(offer.sent_at),
            "resolved_at": seconds(offer.resolved_at),
            "start_date": f"{start:%m/%d/%Y}",
            "notes": None,
            "offer_status": offer.status,
            "custom_fields": {},
        }


def starts(offer: Offer) -> datetime:
    """The first day at work an offer names: six weeks after it was drafted."""
    return offer.created_at + timedelta(weeks=6)


def day(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%d}" if at else None
