"""Greenhouse: its webhooks and its Harvest records as facts, and its signature.

`ACTIONS` and `RECORDS` say which there are and which fact kinds each can give. No webhook carries the time of the event, and
none tells that an interview was scheduled or a scorecard submitted: those are polled. See docs/connectors.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.connectors import greenhouse_interviews as interviews
from streams.connectors import greenhouse_readings as readings
from streams.connectors import signatures
from streams.connectors.tables import Reading, Tabled, nothing
from streams.errors import InvalidSignature

_JOB = ("requisition.opened", "requisition.updated", "requisition.closed")
_OFFER = ("offer.sent", "offer.accepted", "offer.declined", "offer.updated")
_REJECTED = ("application.rejected", "application.withdrawn")
_NEW = ("application.created", "application.stage_changed", "application.updated")

#: Webhook action -> how it is read, and the fact kinds it can give. Any other is `unknown_action`; None means nothing to a clock.
ACTIONS: dict[str, tuple[Reading | None, tuple[str, ...]]] = {
    "new_candidate_application": (readings.new, _NEW),
    "new_prospect_application": (readings.new, _NEW),
    "candidate_stage_change": (readings.stage_change, ("application.stage_changed", "application.updated")),
    "application_updated": (readings.application_updated, ("application.updated",)),
    "update_candidate": (readings.update_candidate, ("application.updated",)),
    "reject_candidate": (readings.reject, _REJECTED),
    "unreject_candidate": (readings.undone("application.unrejected"), ("application.unrejected",)),
    "hire_candidate": (readings.hire, ("application.hired",)),
    "unhire_candidate": (readings.undone("application.unhired"), ("application.unhired",)),
    "delete_application": (readings.delete_application, ("application.deleted",)),
    "merge_candidate": (readings.merge, ("candidate.merged",)),
    "delete_candidate": (readings.delete_candidate, ("candidate.deleted", "application.deleted")),
    "candidate_anonymized": (readings.anonymized, ("candidate.deleted",)),
    "offer_created": (readings.offer("offer.created"), ("offer.created", *_OFFER)),
    "offer_updated": (readings.offer(None), _OFFER),
    "offer_approved": (readings.offer("offer.approved"), ("offer.approved", *_OFFER)),
    "offer_deleted": (readings.offer_deleted, ("offer.deleted",)),
    "job_created": (readings.job, _JOB),
    "job_updated": (readings.job, _JOB),
    "job_approved": (readings.job_approved, ("requisition.approved", *_JOB)),
    "job_deleted": (readings.job_deleted, ("requisition.deleted",)),
    "interview_deleted": (readings.interview_deleted, ("interview.cancelled",)),
    "scorecard_deleted": (readings.scorecard_deleted, ("scorecard.deleted",)),
    "job_post_created": (None, ()),
    "job_post_updated": (None, ()),
    "job_post_deleted": (None, ()),
    "job_interview_stage_deleted": (None, ()),
    "department_deleted": (None, ()),
    "office_deleted": (None, ()),
    "ping": (None, ()),
}

#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "scheduled_interviews": (interviews.interview, ("interview.scheduled",)),
    "scorecards": (interviews.scorecard, ("scorecard.submitted",)),
    "jobs": (readings.job_record, _JOB),
    "applications": (readings.application_record, ("application.created", *_REJECTED, "application.updated")),
    "application_stages": (readings.stage_record, ("application.stage_changed",)),
    "offers": (readings.offer_record, ("offer.created", *_OFFER)),
    "approvals": (readings.approval_record, ("requisition.approved", "requisition.updated", "offer.approved")),
    "activity_feed": (readings.activity_feed, ("application.stage_changed",)),
    "users": (nothing, ()),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("activity_feed", ("activities",)),
    ("approvals", ("approval_type",)),
    ("scorecards", ("submitted_at", "interviewer")),
    ("scheduled_interviews", ("application_id", "interviewers")),
    ("application_stages", ("job_interview_stage_id", "entered_at")),
    ("applications", ("applied_at", "candidate_id")),
    ("applications", ("candidate_id", "stage_id", "prospect")),
    ("scorecards", ("submitted_at", "interviewer_id")),
    ("offers", ("application_id", "starts_at", "version")),
    ("jobs", ("hiring_team",)),
    ("jobs", ("openings",)),
    ("jobs", ("hiring_managers", "recruiters")),
    ("users", ("primary_email_address",)),
)


class Greenhouse(Tabled):
    """The connector (streams.connectors.Connector)."""

    system = "greenhouse"
    webhooks = ACTIONS
    records = RECORDS
    shapes = SHAPES
    content = ("payload",)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`Signature: sha256 <hex>`: HMAC-SHA256 over the body exactly as it came; any of `secrets` may be the one."""
        scheme, _, given = headers.get("signature", "").strip().partition(" ")
        digest = signatures.from_hex(given.strip()) if scheme.casefold() == "sha256" else None
        if digest is None:
            raise InvalidSignature("no header 'Signature: sha256 <hex>'")
        signatures.check(body, [digest], secrets)

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("greenhouse-event-id") or None

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return "action" in body and "payload" in body


GREENHOUSE = Greenhouse()
