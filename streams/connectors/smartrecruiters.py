"""SmartRecruiters: its thin webhooks as facts, its signature, and its handshake; smartrecruiters_records.py reads the records.

A webhook's body holds ids only; what happened is in headers (`vendor_headers`), and when, is the signed time of the request.
Where the name of the event alone tells what happened, that is a fact of that time; every other event is a signal that the
poller follows. `EVENTS` and `RECORDS` say what there is and which fact kinds each can give. See docs/connectors.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams.connectors import signatures
from streams.connectors import smartrecruiters_records as records
from streams.connectors.payload import Node, Source, When
from streams.connectors.tables import Reading, Tabled, nothing
from streams.errors import InvalidPayload, InvalidSignature

#: Headers that are signed along with the body, in the order in which they are joined around it.
SIGNED = ("event-id", "event-name", "event-version", "link")
TIMESTAMP = "smartrecruiters-timestamp"
KEYS = 16  #: live secrets a subscription may have, and so signatures a header may carry
SECRET = re.compile(r"[\x21-\x7e]{1,256}")  #: what the handshake's secret may look like


def _signed(source: Source) -> When:
    """The time of the request, which is signed."""
    at = _timestamp(source.raw.vendor.get(TIMESTAMP, ""))
    if at is None:
        raise InvalidPayload("not_a_time", f"header {TIMESTAMP}")
    return When(at, Origin.REQUEST)


def application_created(source: Source, body: Node) -> list[Fact]:
    named = records.whose(body)
    attributes = {"prospect": False}
    native = (named["application"],)
    return [source.fact("application.created", _signed(source), native, occurrence="created", attributes=attributes, **named)]


def candidate_deleted(source: Source, body: Node) -> list[Fact]:
    native = body.required_id("candidate_id", "id")
    return [source.fact("candidate.deleted", _signed(source), (native,), occurrence="deleted", candidate=native)]


def of_job(kind: str, occurrence: str) -> Reading:
    def read(source: Source, body: Node) -> list[Fact]:
        native = body.required_id("job_id", "id")
        return [source.fact(kind, _signed(source), (native,), occurrence=occurrence, requisition=native)]

    return read


def interview_cancelled(source: Source, body: Node) -> list[Fact]:
    native = body.required_id("interview_id", "id")
    return [source.fact("interview.cancelled", _signed(source), (native,), occurrence="deleted", interview=native)]


def review_deleted(source: Source, body: Node) -> list[Fact]:
    """By the review alone: the application is named by an id that no record has."""
    native = body.required_id("review_id", "id")
    attributes = {"scorecard_id": native}
    return [source.fact("scorecard.deleted", _signed(source), (native,), occurrence="deleted", attributes=attributes)]


def of_offer(kind: str, occurrence: str) -> Reading:
    def read(source: Source, body: Node) -> list[Fact]:
        native = body.required_id("offer_id", "id")
        whose = records.whose(body) if body.id("job_id") and body.id("candidate_id") else {}
        return [source.fact(kind, _signed(source), (native,), occurrence=occurrence, attributes={"offer_id": native}, **whose)]

    return read


#: Webhook event -> how it is read, and the fact kinds it can give; None: a signal, its change is read by the poller.
EVENTS: dict[str, tuple[Reading | None, tuple[str, ...]]] = {
    "application.created": (application_created, ("application.created",)),
    "application.updated": (None, ()),
    "application.status.updated": (None, ()),
    "application.source.updated": (None, ()),
    "application.attachment.created": (None, ()),
    "application.fields.updated": (None, ()),
    "application.onboarding-status.updated": (None, ()),
    "application.screening-answers.created": (None, ()),
    "application.screening-answers.updated": (None, ()),
    "candidate.created": (None, ()),
    "candidate.updated": (None, ()),
    "candidate.deleted": (candidate_deleted, ("candidate.deleted",)),
    "job.created": (None, ()),  # a draft, or already open: the record tells
    "job.updated": (None, ()),
    "job.status.updated": (None, ()),
    "job.hiring-team.updated": (None, ()),
    "job.ad.created": (None, ()),
    "job.ad.updated": (None, ()),
    "job.ad.postings.updated": (None, ()),
    "job.approval.created": (None, ()),
    "job.approval.approved": (of_job("requisition.approved", "approved"), ("requisition.approved",)),
    "job.approval.rejected": (None, ()),
    "job.approval.step.created": (None, ()),
    "job.approval.step.approved": (None, ()),
    "job.approval.step.rejected": (None, ()),
    "job.approval.abandoned": (None, ()),
    "job.approval.comment.created": (None, ()),
    "job.approver.skipped": (None, ()),
    "job.approver.delegated": (None, ()),
    "interview.created": (None, ()),
    "interview.updated": (None, ()),
    "interview.canceled": (interview_cancelled, ("interview.cancelled",)),
    "offer.created": (of_offer("offer.created", "created"), ("offer.created",)),
    "offer.updated": (None, ()),
    "offer.approval.created": (None, ()),
    "offer.approval.approved": (of_offer("offer.approved", "approved"), ("offer.approved",)),
    "offer.approval.rejected": (None, ()),
    "offer.approval.abandoned": (None, ()),
    "offer.approval.comment.created": (None, ()),
    "offer.approval.step.approved": (None, ()),
    "offer.approval.step.rejected": (None, ()),
    "offer.approver.skipped": (None, ()),
    "offer.approver.delegated": (None, ()),
    "position.created": (None, ()),
    "position.updated": (None, ()),
    "position.deleted": (None, ()),
    "review.created": (None, ()),
    "review.updated": (None, ()),
    "review.deleted": (review_deleted, ("scorecard.deleted",)),
    "onboarding.process.started": (None, ()),
    "onboarding.assignments.completed": (None, ()),
    "onboarding.assignments.high-priority.completed": (None, ()),
    "subscription.created": (None, ()),
}


#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "jobs": (
        records.job,
        ("requisition.opened", "requisition.updated", *(f"requisition.{k}" for k in ("closed", "held", "resumed", "reopened"))),
    ),
    "candidates": (records.candidate, ("application.created",)),
    "status_history": (
        records.status_history,
        (
            "application.created",
            "application.stage_changed",
            *records.VOCABULARY["ended"].values(),
            *records.VOCABULARY["undone"].values(),
        ),
    ),
    "interviews": (records.interview, ("interview.scheduled", "interview.cancelled")),
    "reviews": (records.review, ("scorecard.submitted",)),
    "offers": (records.offer, ("offer.created", *records.VOCABULARY["offer_status"].values())),
    "users": (nothing, ()),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("status_history", ("content",)),
    ("interviews", ("timeslots",)),
    ("reviews", ("overallRating",)),
    ("reviews", ("rating", "createdOn")),
    ("candidates", ("primaryAssignment",)),
    ("offers", ("candidateId", "status")),
    ("jobs", ("refNumber", "status")),
    ("users", ("email", "role")),
)


class SmartRecruiters(Tabled):
    """The connector (streams.connectors.Connector, Handshaking and Timestamped)."""

    system = "smartrecruiters"
    success_status = 202
    #: A delivery that fails is sent again with a new time; whether the first time is kept is not documented.
    max_age = timedelta(minutes=10)
    vendor_headers = frozenset({*SIGNED, TIMESTAMP})
    webhooks = EVENTS
    records = RECORDS
    shapes = SHAPES
    named_by = ("header event-name",)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`v1=<hex>;v1=<hex>…` over timestamp.body.event-id.event-name.event-version.link; an absent header is empty."""
        schemes = (part.strip().partition("=") for part in headers.get("smartrecruiters-signature", "").split(";"))
        found = (digest for scheme, _, text in schemes if scheme == "v1" and (digest := signatures.from_hex(text)))
        claimed = list(islice(found, KEYS))
        if not claimed:
            raise InvalidSignature("no header 'smartrecruiters-signature: v1=<hex>'")
        timestamp, *rest = (headers.get(name, "").encode("latin-1", "replace") for name in (TIMESTAMP, *SIGNED))
        signatures.check(b".".join([timestamp, body, *rest]), claimed, secrets)

    def signed_at(self, headers: Mapping[str, str], body: bytes) -> datetime:
        found = _timestamp(headers.get(TIMESTAMP, ""))
        if found is None:
            raise InvalidSignature(f"no header '{TIMESTAMP}' in seconds")
        return found

    def handshake(self, headers: Mapping[str, str]) -> Mapping[str, str] | None:
        """The activation of a subscription carries a secret that is to be sent back; it is not signed yet."""
        secret = headers.get("x-hook-secret")
        if secret is None or not SECRET.fullmatch(secret) or headers.get("event-name", "subscription.created") in _OTHERS:
            return None
        return {"X-Hook-Secret": secret}

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("event-id") or None

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return False  # a body without its headers says nothing

    def event(self, raw: RawHeaders, node: Node) -> str:
        name = raw.vendor.get("event-name")
        if name is None:
            raise InvalidPayload("missing_field", *self.named_by)
        return name


_OTHERS: Iterable[str] = frozenset(EVENTS) - {"subscription.created"}


def _timestamp(text: str) -> datetime | None:
    """Seconds since 1970 as they are in the header, as an instant; None if they are none."""
    if not re.fullmatch(r"[0-9]{1,10}", text):
        return None
    return datetime.fromtimestamp(int(text), UTC)


SMARTRECRUITERS = SmartRecruiters()
