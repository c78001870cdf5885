"""Greenhouse's webhook payloads and Harvest records, each read into facts; greenhouse.py says which action is read by which.

No webhook carries the time of its event. Where the object has a time that is the event's, that is used (`source.when`); else
the fact's time is that of the delivery, and its id hangs on the object instead, so that a retry is the same fact.
"""

from __future__ import annotations

from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors import greenhouse_objects as objects
from streams.connectors.payload import Node, Source, When
from streams.connectors.tables import Reading
from streams.errors import InvalidPayload

# -- webhooks ----------------------------------------------------------------------------------------------------------


def application(payload: Node) -> Node:
    return payload.required_node("application")


def new(source: Source, payload: Node) -> list[Fact]:
    app = application(payload)
    applied_at, active_at = app.instant("applied_at"), app.instant("last_activity_at")
    applied = source.when(applied_at)
    facts = objects.created(source, app, applied)
    # The stage is the one of the moment of the delivery; after later activity it may not be the first any more.
    staged = source.when(max(applied_at, active_at) if applied_at and active_at else applied_at or active_at)
    if app.node("current_stage") is not None:
        facts += objects.staged(source, app, staged)
    return facts + objects.team_of_application(source, app, staged)


def stage_change(source: Source, payload: Node) -> list[Fact]:
    app = application(payload)
    when = source.when(app.instant("last_activity_at"))
    return objects.staged(source, app, when) + objects.team_of_application(source, app, when)


def application_updated(source: Source, payload: Node) -> list[Fact]:
    return objects.team_of_application(source, application(payload), source.delivery)


def reject(source: Source, payload: Node) -> list[Fact]:
    app = application(payload)
    return objects.rejected(source, app, source.when(app.instant("rejected_at")))


def undone(kind: str) -> Reading:
    """Un-reject and un-hire carry no time of theirs: last_activity_at may be that of the reject, but tells one from the next."""

    def read(source: Source, payload: Node) -> list[Fact]:
        app = application(payload)
        version = app.instant("last_activity_at")
        occurrence = f"after {version.replace(microsecond=0).isoformat()}" if version else None
        return objects.happened(source, kind, app, source.delivery, occurrence)

    return read


def hire(source: Source, payload: Node) -> list[Fact]:
    app = application(payload)
    offer = app.node("offer")
    return objects.happened(source, "application.hired", app, source.when(offer.instant("resolved_at") if offer else None))


def delete_application(source: Source, payload: Node) -> list[Fact]:
    return objects.happened(source, "application.deleted", application(payload), source.delivery, "deleted")


def update_candidate(source: Source, payload: Node) -> list[Fact]:
    candidate = payload.required_node("candidate", "person")
    native, people = candidate.required_id("id"), objects.people_of(candidate)
    if not people:
        return []
    return [source.fact("application.updated", source.delivery, ("candidate", native), candidate=native, people=people)]


def merge(source: Source, payload: Node) -> list[Fact]:
    person = payload.required_node("person", "candidate")
    old, new = person.required_id("id"), person.required_id("new_candidate_id")
    attributes = {"into_candidate_id": source.ref(new)}
    fact = source.fact("candidate.merged", source.delivery, (old, new), occurrence="merged", candidate=old, attributes=attributes)
    return [fact]


def delete_candidate(source: Source, payload: Node) -> list[Fact]:
    """An empty list of deleted applications is what a merge leaves: the applications live on with another candidate."""
    person = payload.required_node("person", "candidate")
    native, gone, when = person.required_id("id"), objects.deleted_applications(person), source.delivery
    facts = []
    if gone is None or gone:
        facts.append(source.fact("candidate.deleted", when, (native,), occurrence="deleted", candidate=native))
    for app in dict.fromkeys(gone or ()):
        facts.append(source.fact("application.deleted", when, (app,), occurrence="deleted", application=app, candidate=native))
    return facts


def anonymized(source: Source, payload: Node) -> list[Fact]:
    native = payload.required_id("candidate_id")
    attributes = {"anonymised": True}
    return [
        source.fact(
            "candidate.deleted", source.delivery, (native,), occurrence="anonymised", candidate=native, attributes=attributes
        )
    ]


def offer(kind: str | None) -> Reading:
    """Offers lie flat in the payload. Nothing tells when one was created or approved; v3 may say created_at."""

    def read(source: Source, payload: Node) -> list[Fact]:
        this = objects.offer(payload)
        facts = []
        if kind == "offer.created":
            created = source.when(payload.instant("created_at"))
            facts.append(source.fact(kind, created, this.native, occurrence="created", **this.named))
        elif kind == "offer.approved":
            named = {**this.named, "actor": None}
            facts.append(source.fact(kind, source.delivery, this.native[:1], occurrence="approved", **named))
        progress = objects.offer_progress(source, payload)
        if kind is None and not any(fact.kind != "offer.sent" for fact in progress):
            attributes = {**this.named["attributes"], "status": objects.offer_status(payload)}
            named = {**this.named, "attributes": attributes, "actor": None}
            facts.append(source.fact("offer.updated", source.delivery, this.native, **named))
        return facts + progress

    return read


def offer_deleted(source: Source, payload: Node) -> list[Fact]:
    this = objects.offer(payload.node("offer") or payload)
    named = {**this.named, "actor": None}
    return [source.fact("offer.deleted", source.delivery, this.native, occurrence="deleted", **named)]


def job(source: Source, payload: Node) -> list[Fact]:
    return objects.job(source, payload.required_node("job"), source.delivery)


def job_approved(source: Source, payload: Node) -> list[Fact]:
    flow, job = payload.required_node("approval_flow"), payload.required_node("job")
    native = job.required_id("id")
    approved = objects.approval(
        source, flow.text("approval_flow_type", "approval_type"), flow, source.delivery, native, flow.id("offer_id")
    )
    return [approved, *objects.job(source, job, source.delivery)]


def job_deleted(source: Source, payload: Node) -> list[Fact]:
    native = payload.required_node("job").required_id("id")
    return [source.fact("requisition.deleted", source.delivery, (native,), occurrence="deleted", requisition=native)]


def interview_deleted(source: Source, payload: Node) -> list[Fact]:
    """Cancelled or deleted: the vendor does not tell which, nor when."""
    native = payload.required_node("interview").required_id("id")
    return [source.fact("interview.cancelled", source.delivery, (native,), occurrence="deleted", interview=native)]


def scorecard_deleted(source: Source, payload: Node) -> list[Fact]:
    card = payload.required_node("scorecard")
    native = card.required_id("id")
    attributes = {"scorecard_id": native}
    named: dict[str, Any] = {
        "application": card.id("application_id"),
        "candidate": card.id("candidate_id"),
        "attributes": attributes,
    }
    return [source.fact("scorecard.deleted", source.delivery, (native,), occurrence="deleted", **named)]


# -- records -----------------------------------------------------------------------------------------------------------


def job_record(source: Source, job: Node) -> list[Fact]:
    if job.id("id") is None and "hiring_managers" in job.value:
        raise InvalidPayload("missing_field", "id: wrap a hiring team as {id, hiring_team}, with the id of its job")
    return objects.job(source, job, source.when(job.instant("updated_at")))


def application_record(source: Source, app: Node) -> list[Fact]:
    """Its state without history: who applied when, and the rejection; the present stage has no time and gives nothing."""
    facts = objects.created(source, app, When(app.required_instant("applied_at", "created_at"), Origin.OBJECT))
    rejected_at = app.instant("rejected_at")
    if rejected_at is not None:
        facts += objects.rejected(source, app, When(rejected_at, Origin.OBJECT))
    return facts + objects.team_of_application(source, app, source.when(app.instant("last_activity_at")))


def stage_record(source: Source, visit: Node) -> list[Fact]:
    """v3: one stay of an application in a stage, with the stage's name that the poller adds; without a time it tells nothing."""
    entered_at, _ = visit.instant("entered_at"), visit.required_id("application_id")
    if entered_at is None:
        return []
    return objects.visited(source, visit, When(entered_at, Origin.OBJECT))


def offer_record(source: Source, offer: Node) -> list[Fact]:
    this = objects.offer(offer)
    when = When(offer.required_instant("created_at"), Origin.OBJECT)
    return [
        source.fact("offer.created", when, this.native, occurrence="created", **this.named),
        *objects.offer_progress(source, offer),
    ]


def approval_record(source: Source, flow: Node) -> list[Fact]:
    """An approved flow, at the moment its last group resolved; a pending or rejected one gives nothing."""
    if flow.word(objects.VOCABULARY["approval_status"], "approval_status") != "approved":
        return []
    resolved = [moment for group in flow.nodes("approver_groups") if (moment := group.instant("resolved_at"))]
    resolved = resolved or [moment for moment in [flow.instant("updated_at")] if moment]  # v3, should groups not tell
    if not resolved:
        raise flow.missing("approver_groups[].resolved_at", "updated_at")
    when = When(max(resolved), Origin.OBJECT)
    return [objects.approval(source, flow.text("approval_type"), flow, when, flow.id("job_id"), flow.id("offer_id"))]


def activity_feed(source: Source, feed: Node) -> list[Fact]:
    """A candidate's feed, which does not say whose it is: the extractor wraps it with candidate_id and application_id."""
    candidate = feed.id("candidate_id")
    if candidate is None:
        raise InvalidPayload("missing_field", "candidate_id: wrap the feed as {candidate_id, application_id, activities}")
    inner = feed.node("activity_feed") or feed
    applications = list(feed.nodes("applications"))
    only = feed.id("application_id")
    return [
        fact
        for activity in inner.nodes("activities")
        for fact in objects.activity(source, activity, candidate, applications, only)
    ]
