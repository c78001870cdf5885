"""What travels in `ats.facts`: facts, ticks, watermarks and requests to judge anew, told apart by `type`.

A fact is one normalised thing that happened in the ATS. Its id is a function of what happened, never of the delivery,
so a webhook and a poll that report the same happening give the same id (`fact_id`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import Field, TypeAdapter

from schemas.base import Agreed, ClockTime, Instant

Json = object  # what JSON can hold; pydantic's JsonValue is recursive and slow in the hot path


class Origin(StrEnum):
    """Where a fact's `occurred_at` came from, best first; ties between copies of a fact go to the better origin."""

    EVENT = "event"  #: the vendor says when it happened
    OBJECT = "object"  #: a time on the object itself (submitted_at, rejected_at, last_activity_at ...)
    REQUEST = "request"  #: the signed time of the request
    POLL = "poll"  #: found by comparing two polls: between `occurred_not_before` and `occurred_at`
    DELIVERY = "delivery"  #: nothing better than when we received it


ORIGIN_RANK: dict[Origin, int] = {origin: rank for rank, origin in enumerate(Origin)}

#: Every fact kind there is. A policy that names another is refused; a connector declares which of these it emits.
FACT_KINDS: dict[str, str] = {
    "requisition.opened": "the requisition exists and work on it may begin",
    "requisition.approved": "role information is complete and approved (job approval, intake form complete)",
    "requisition.updated": "something about the requisition changed; carries the people at that moment",
    "requisition.intake_held": "TA and manager held the intake conversation",
    "requisition.recruiter_assigned": "a recruiter took the requisition",
    "requisition.held": "the requisition was put on hold",
    "requisition.resumed": "the hold ended",
    "requisition.closed": "the requisition was closed or filled",
    "requisition.reopened": "a closed requisition was opened again",
    "requisition.deleted": "the requisition was deleted",
    "application.created": "somebody applied, or was added as a prospect (attribute prospect)",
    "application.stage_changed": "the application entered a stage; attribute stage is canonical, stage_name the vendor's",
    "application.screened": "TA's screening verdict",
    "application.rejected": "the company declined the application",
    "application.unrejected": "the rejection was taken back",
    "application.withdrawn": "the candidate withdrew",
    "application.hired": "the application was marked hired",
    "application.unhired": "the hire was taken back",
    "application.moved": "the application moved to another requisition (attribute to_requisition_id)",
    "application.deleted": "the application was deleted",
    "application.updated": "something else about the application or its candidate changed",
    "candidate.merged": "the candidate was merged into another (attribute into_candidate_id)",
    "candidate.deleted": "the candidate was deleted or anonymised",
    "candidate.informed": "somebody on our side told the candidate where things stand",
    "availability.requested": "TA asked the manager for interview slots",
    "availability.given": "the manager gave interview slots",
    "interview.scheduled": "an interview was scheduled, moved or re-read; attributes starts_at, ends_at, interviewers, status",
    "interview.cancelled": "the interview was cancelled or deleted",
    "interview.no_show": "the candidate did not come",
    "scorecard.submitted": "an interviewer's feedback; person is the interviewer, actor who submitted it",
    "scorecard.deleted": "a scorecard was deleted",
    "offer.created": "an offer was drafted",
    "offer.updated": "an offer changed",
    "offer.approved": "the offer's approval was completed",
    "offer.sent": "the offer went to the candidate",
    "offer.accepted": "the candidate accepted",
    "offer.declined": "the candidate declined",
    "offer.deleted": "the offer was deleted",
    "onboarding.start_set": "the first day at work was agreed (attribute starts_on)",
    "onboarding.planned": "the manager's onboarding plan is there",
    "onboarding.started": "the new colleague's first day",
    "onboarding.reviewed": "manager and new colleague held the review after the first months",
    "request.declined": "TA declined a request (attributes reason_code, request)",
    "exception.requested": "somebody asked for an exception (attributes exception_id, commitment, from, until, reason_code)",
    "exception.approved": "another person approved it (attribute exception_id)",
}

#: Moments the core derives from facts, usable in a policy like kinds; each with the kinds it is derived from.
DERIVED_KINDS: dict[str, tuple[str, ...]] = {
    "recruiter.named": ("requisition.opened", "requisition.updated"),  # the first fact that names a recruiter
    "interview.booked": ("interview.scheduled",),  # first seen, or moved to another time (attribute moved)
    "interview.ended": ("interview.scheduled",),
    "feedback.completed": ("interview.scheduled", "scorecard.submitted"),
}

#: Canonical stages in order; deploy/stages.yaml maps each vendor's free-form names to them.
STAGES: tuple[str, ...] = ("applied", "screen", "manager_review", "interview", "debrief", "offer", "hired")


class Fact(Agreed):
    """One normalised happening. Ids are `{account}/{native id}`, people are `{account}/{native user id}`; both opaque."""

    type: Literal["fact"] = "fact"
    fact_id: str
    kind: str
    tenant: str
    account: str  #: the configured source account, such as `greenhouse`
    system: str  #: the connector that read it
    occurred_at: Instant
    occurred_at_source: Origin
    occurred_not_before: Instant | None = None  #: lower bound where only two polls are known
    received_at: ClockTime  #: when the gateway took it in: the time we learned it
    requisition_id: str | None = None
    application_id: str | None = None
    candidate_id: str | None = None
    interview_id: str | None = None
    person: str | None = None  #: whom the fact is about, beside the candidate (the interviewer of a scorecard)
    actor: str | None = None  #: who did it
    people: dict[str, tuple[str, ...]] = Field(default_factory=dict)  #: role -> people, as of this fact
    attributes: dict[str, Json] = Field(default_factory=dict)
    backfill: bool = False  #: learned from history (import, renormalise): never pages unless still overdue now

    @property
    def content_hash(self) -> str:
        """Hash of what the fact says, without when we learned it; orders copies of one fact deterministically."""
        body = self.model_dump(mode="json", exclude={"received_at", "backfill"})
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def to_json(self) -> bytes:
        return self.model_dump_json(exclude_defaults=False, exclude_none=True).encode()


class Tick(Agreed):
    """'It is now `at`' in one partition of `ats.facts`: the only way time passes for the tracker."""

    type: Literal["tick"] = "tick"
    at: ClockTime


class Watermark(Agreed):
    """Everything of `kinds` that happened in `account` before `complete_until` has been read (design: completeness)."""

    type: Literal["watermark"] = "watermark"
    account: str
    kinds: tuple[str, ...]
    complete_until: Instant
    received_at: ClockTime


class Rejudge(Agreed):
    """`rebuild` found the tracker's row of a requisition (or application) wrong: judge it again, and say what is new.

    `revive`: the requisition had left the tracker's table, and all its facts have been told again before this.
    """

    type: Literal["rejudge"] = "rejudge"
    requisition_id: str
    application_id: str | None = None
    revive: bool = False


FactsRecord = Annotated[Fact | Tick | Watermark | Rejudge, Field(discriminator="type")]
facts_record: TypeAdapter[Fact | Tick | Watermark | Rejudge] = TypeAdapter(FactsRecord)


def fact_id(tenant: str, account: str, kind: str, native_ids: Iterable[str | int], occurrence: datetime | str) -> str:
    """The deterministic id of a happening.

    `native_ids` are the vendor's ids of the objects involved, in a fixed order; `occurrence` is the object's version, or
    the time it happened, which is cut to the second because vendors mix precisions between webhook and API.
    """
    if isinstance(occurrence, datetime):
        occurrence = occurrence.replace(microsecond=0).isoformat()
    text = "\x1f".join([tenant, account, kind, *map(str, native_ids), occurrence])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


#: Kinds of which it matters who said so: two people's are two facts, or one could take over another's request.
PERSONAL_KINDS = frozenset({"exception.requested", "exception.approved", "request.declined"})


def manual_fact_id(
    tenant: str,
    account: str,
    kind: str,
    occurred_at: datetime,
    subjects: Iterable[str | None],
    actor: str | None,
    exception_id: object = None,
) -> str:
    """The id of a fact that came by POST /facts; the gateway answers it, the normalise processor gives it to the fact.

    `subjects` are requisition_id, application_id, candidate_id, interview_id and person, in this order. The same happening
    reported twice, or by two people, is one fact; but for `PERSONAL_KINDS`, where `actor` (the token's identity) counts.
    """
    who = actor if kind in PERSONAL_KINDS else ""
    native = [subject or "" for subject in subjects]
    return fact_id(tenant, account, kind, [*native, who or "", str(exception_id or "")], occurred_at.astimezone(UTC))
