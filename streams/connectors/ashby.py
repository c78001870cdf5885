"""Ashby: its webhooks as facts, and its signature; ashby_objects.py reads the objects in them, which the API lists alike.

`ACTIONS` and `RECORDS` say what there is and which fact kinds each can give; every other vendor word that decides something is
in `VOCABULARY` of ashby_objects. One action of a user comes as up to three deliveries with one `webhookActionId` and the same
object: facts are known by what happened to the object, so that the three are one. See docs/connectors.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.fact import Fact
from streams.connectors import ashby_interviews as interviews
from streams.connectors import ashby_objects as objects
from streams.connectors import signatures
from streams.connectors.payload import Node, Source
from streams.connectors.tables import Reading, Tabled, nothing
from streams.errors import InvalidSignature


def submitted(source: Source, data: Node) -> list[Fact]:
    app = data.required_node("application")
    return objects.created(source, app) + objects.staged(source, app) + objects.team(source, app)


def updated(source: Source, data: Node) -> list[Fact]:
    """Archived or not, and the people; which of its fields changed is not told. The stage has an action of its own."""
    app = data.required_node("application")
    return objects.archived(source, app) + objects.team(source, app)


def stage_changed(source: Source, data: Node) -> list[Fact]:
    app = data.required_node("application")
    return objects.staged(source, app) + objects.archived(source, app) + objects.team(source, app)


def hired(source: Source, data: Node) -> list[Fact]:
    app = data.required_node("application")
    return objects.hired(source, app, source.when(app.instant("updatedAt"))) + objects.team(source, app)


def merged(source: Source, data: Node) -> list[Fact]:
    old = data.required_node("deletedCandidate").required_id("id")
    new = data.required_node("mergedCandidate").required_id("id")
    attributes = {"into_candidate_id": source.ref(new)}
    return [
        source.fact("candidate.merged", source.delivery, (old, new), occurrence="merged", candidate=old, attributes=attributes)
    ]


def candidate_deleted(source: Source, data: Node) -> list[Fact]:
    native = data.required_node("candidate").required_id("id")
    return [source.fact("candidate.deleted", source.delivery, (native,), occurrence="deleted", candidate=native)]


def job(source: Source, data: Node) -> list[Fact]:
    return objects.job(source, data.required_node("job"))


def opening(source: Source, data: Node) -> list[Fact]:
    return objects.opening(source, data.required_node("opening"))


def schedule(source: Source, data: Node) -> list[Fact]:
    return interviews.schedule(source, data.required_node("interviewSchedule"))


def offer(source: Source, data: Node) -> list[Fact]:
    return objects.offer(source, data.required_node("offer"))


def offer_deleted(source: Source, data: Node) -> list[Fact]:
    gone = data.required_node("offer")
    native = gone.required_id("id")
    attributes, application = {"offer_id": native}, gone.id("applicationId")
    when = source.delivery
    return [source.fact("offer.deleted", when, (native,), occurrence="deleted", application=application, attributes=attributes)]


_STAGE = ("application.stage_changed",)
_ENDED = ("application.rejected", "application.withdrawn")
_JOB = ("requisition.opened", "requisition.updated", "requisition.closed")
_OFFER = ("offer.created", "offer.sent", "offer.approved", "offer.accepted", "offer.declined", "offer.updated")

#: Webhook action -> how its data is read, and the fact kinds it can give; any other is `unknown_action`. None: no fact in it.
ACTIONS: dict[str, tuple[Reading | None, tuple[str, ...]]] = {
    "applicationSubmit": (submitted, ("application.created", *_STAGE, "application.updated")),
    "applicationUpdate": (updated, (*_ENDED, "application.updated")),
    "candidateStageChange": (stage_changed, (*_STAGE, *_ENDED, "application.updated")),
    "candidateHire": (hired, ("application.hired", "application.updated")),
    "candidateMerge": (merged, ("candidate.merged",)),
    "candidateDelete": (candidate_deleted, ("candidate.deleted",)),
    "jobCreate": (job, _JOB),
    "jobUpdate": (job, _JOB),
    "openingCreate": (opening, ("requisition.approved",)),
    "interviewScheduleCreate": (schedule, ("interview.scheduled", "interview.cancelled")),
    "interviewScheduleUpdate": (schedule, ("interview.scheduled", "interview.cancelled")),
    "offerCreate": (offer, _OFFER),
    "offerUpdate": (offer, _OFFER),
    "offerDelete": (offer_deleted, ("offer.deleted",)),
    "interviewPlanTransition": (None, ()),
    "jobPostingUpdate": (None, ()),
    "jobPostingPublish": (None, ()),
    "jobPostingUnpublish": (None, ()),
    "pushToHRIS": (None, ()),
    "signatureRequestUpdate": (None, ()),
    "surveySubmit": (None, ()),
    "ping": (None, ()),
}

#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "applications": (
        objects.application,
        ("application.created", *_ENDED, "application.unrejected", "application.hired", "application.updated"),
    ),
    "application_history": (objects.history, _STAGE),
    "application_feedback": (interviews.feedback, ("scorecard.submitted",)),
    "interview_schedules": (interviews.schedule, ("interview.scheduled", "interview.cancelled")),
    "jobs": (objects.job, (*_JOB, "requisition.reopened")),
    "openings": (objects.opening, ("requisition.approved",)),
    "offers": (objects.offer, _OFFER),
    "users": (nothing, ()),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("application_history", ("enteredStageAt",)),
    ("application_feedback", ("submittedValues",)),
    ("interview_schedules", ("interviewEvents",)),
    ("offers", ("latestVersion", "applicationId")),
    ("openings", ("openingState",)),
    ("applications", ("candidate", "status")),
    ("jobs", ("hiringTeam", "status")),
    ("users", ("globalRole",)),
)


class Ashby(Tabled):
    """The connector (streams.connectors.Connector)."""

    system = "ashby"
    #: Ashby never tries again after 401, 403, 404, 405 or 410: a secret that was rotated too early would lose events.
    bad_signature_status = 503
    webhooks = ACTIONS
    records = RECORDS
    shapes = SHAPES
    content = ("data",)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`Ashby-Signature: sha256=<hex>`: HMAC-SHA256 over the body exactly as it came."""
        scheme, _, given = headers.get("ashby-signature", "").strip().partition("=")
        digest = signatures.from_hex(given) if scheme.casefold() == "sha256" else None
        if digest is None:
            raise InvalidSignature("no header 'Ashby-Signature: sha256=<hex>'")
        signatures.check(body, [digest], secrets)

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return "action" in body and "data" in body


ASHBY = Ashby()
