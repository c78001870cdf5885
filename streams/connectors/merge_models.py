"""Merge's unified models as facts: jobs, applications, interviews, scorecards, offers, and what is gone.

Every vendor word that decides something is in `VOCABULARY`, `MODELS` and `DELETED`. What has no time of the ATS is found by
comparing two polls; a webhook cannot compare, so it gives only what has a time.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When, native_id
from streams.connectors.tables import Reading, nothing

VOCABULARY: dict[str, Any] = {
    "roles": {"hiring_managers": "hiring_manager", "recruiters": "recruiter"},
    "job_status": frozenset({"open", "closed", "draft", "archived", "pending"}),
    "job_not_opened": frozenset({"draft", "pending"}),
    "job_closed": frozenset({"closed", "archived"}),
    "interview_status": frozenset({"scheduled", "awaiting_feedback", "complete"}),
    "recommendation": frozenset({"definitely_no", "no", "yes", "strong_yes", "no_decision"}),
    "not_rated": "no_decision",
    # offer statuses that have no time of their own, or closed_at, -> the fact they are
    "offer_noticed": {"approved": "offer.approved"},
    "offer_sent": frozenset({"sent", "sent-manually", "opened"}),
    "offer_closed": {"signed": "offer.accepted", "denied": "offer.declined"},
    # what an (expanded) reject reason's name begins with where the candidate left
    "candidate_left": re.compile(r"(candidate )?(withdr[ae]w|declined us|they rejected us|not interested)", re.IGNORECASE),
}


def _id(node: Node, name: str) -> str | None:
    """The id of a related model, which is an object where the request asked to expand it."""
    found = node.value.get(name)
    return node.required_node(name).required_id("id") if isinstance(found, dict) else node.id(name)


def _ids(node: Node, name: str) -> tuple[str, ...]:
    path = node.path_of(name)
    found = [item.get("id") if isinstance(item, dict) else item for item in node.items(name) if item is not None]
    return tuple(dict.fromkeys(native_id(item, path) for item in found))


def _is_polled(source: Source) -> bool:
    return source.raw.channel == "record"


def _previous(node: Node) -> Node | None:
    """What a poll saw of it the last time, as far as it is compared."""
    return node.node("previous")


def job(source: Source, node: Node) -> list[Fact]:
    native, status = node.required_id("id"), node.word(VOCABULARY["job_status"], "status")
    created_at, updated_at = node.instant("remote_created_at"), node.instant("remote_updated_at")
    people = {role: found for name, role in VOCABULARY["roles"].items() if (found := _ids(node, name))}
    facts = []
    if created_at is not None and status not in VOCABULARY["job_not_opened"]:
        opened = When(created_at, Origin.OBJECT)
        facts.append(source.fact("requisition.opened", opened, (native,), occurrence="opened", requisition=native))
    updated = source.noticed if updated_at is None else When(updated_at, Origin.OBJECT)
    facts.append(
        source.fact(
            "requisition.updated",
            updated,
            (native,),
            occurrence=_since(source) if updated_at is None and _is_polled(source) else None,
            requisition=native,
            people=people,
            attributes={"status": status},
        )
    )
    previous = _previous(node)
    was = previous.word(VOCABULARY["job_status"], "status") if previous else None
    is_closed, was_closed = status in VOCABULARY["job_closed"], was in VOCABULARY["job_closed"]
    if _is_polled(source) and is_closed != was_closed and (is_closed or previous is not None):
        kind = "requisition.closed" if is_closed else "requisition.reopened"
        when = _seen(source, created_at)
        facts.append(source.fact(kind, when, (native,), occurrence=_since(source), requisition=native))
    return facts


def _seen(source: Source, began: datetime | None) -> When:
    """When a poll found it so: since the last look, or, at the first, since `began`."""
    when = source.noticed
    if when.not_before is None and began is not None:
        return When(when.at, Origin.POLL, min(began, when.at))
    return when


def _since(source: Source) -> str:
    """Tells one change from the next of the same kind, and is the same however often that change is read."""
    since = source.raw.changed_since
    return f"since {since.isoformat()}" if since else "first seen"


def application(source: Source, node: Node) -> list[Fact]:
    native, applied_at = node.required_id("id"), node.instant("applied_at", "remote_created_at")
    named: dict[str, Any] = {
        "requisition": _id(node, "job"),
        "application": native,
        "candidate": _id(node, "candidate"),
    }
    facts = []
    if applied_at is not None:
        applied, about = When(applied_at, Origin.OBJECT), {"prospect": False}
        facts.append(source.fact("application.created", applied, (native,), occurrence="created", attributes=about, **named))
    rejected_at, reason = node.instant("rejected_at"), node.value.get("reject_reason")
    if rejected_at is not None and (_is_polled(source) or not isinstance(reason, str)):
        name = node.required_node("reject_reason").text("name") if isinstance(reason, dict) else None
        left = VOCABULARY["candidate_left"].match(name or "") is not None
        kind = "application.withdrawn" if left else "application.rejected"
        facts.append(source.fact(kind, When(rejected_at, Origin.OBJECT), (native,), **named))
    if _is_polled(source):
        facts += _compared(source, node, native, applied_at, named)
    return facts


def _compared(source: Source, node: Node, native: str, applied_at: datetime | None, named: dict[str, Any]) -> list[Fact]:
    """What a poll found different: the stage, and a rejection that was taken back. Neither has a time at the vendor."""
    facts, previous, stage = [], _previous(node), _id(node, "current_stage")
    if previous is not None and previous.instant("rejected_at") is not None and node.instant("rejected_at") is None:
        facts.append(source.fact("application.unrejected", source.noticed, (native,), occurrence=_since(source), **named))
    if stage is not None and (previous is None or _id(previous, "current_stage") != stage):
        name = node.required_node("current_stage").text("name") if isinstance(node.value["current_stage"], dict) else None
        when = _seen(source, applied_at)
        attributes = {**source.stage(name or stage, node.path_of("current_stage.name")), "stage_id": stage}
        facts.append(
            source.fact(
                "application.stage_changed",
                when,
                (native, stage),
                occurrence=_since(source),
                attributes=attributes,
                **named,
            )
        )
    return facts


def interview(source: Source, node: Node) -> list[Fact]:
    """One version of an interview: by the ATS's own time of change, else as a poll found it."""
    native, app = node.required_id("id"), _id(node, "application")
    if app is None:
        raise node.missing("application")
    updated_at, starts_at, ends_at = node.instant("remote_updated_at"), node.instant("start_at"), node.instant("end_at")
    people = source.refs(_ids(node, "interviewers"))
    attributes = {
        "status": node.word(VOCABULARY["interview_status"], "status"),
        "interviewers": list(people),
        "starts_at": starts_at.isoformat() if starts_at else None,
        "ends_at": ends_at.isoformat() if ends_at else None,
    }
    when = When(updated_at, Origin.OBJECT) if updated_at else source.noticed
    version = "\x1f".join([str(attributes["starts_at"]), str(attributes["ends_at"]), *sorted(people)])
    return [
        source.fact(
            "interview.scheduled",
            when,
            (native,),
            occurrence=None if updated_at else hashlib.sha256(version.encode()).hexdigest()[:16],
            application=app,
            interview=native,
            actor=_id(node, "organizer"),
            attributes=attributes,
        )
    ]


def scorecard(source: Source, node: Node) -> list[Fact]:
    """A submitted scorecard; one without `submitted_at` is a draft. Whose it is is optional: then it is nobody's."""
    native, submitted_at = node.required_id("id"), node.instant("submitted_at")
    if submitted_at is None:
        return []
    app = _id(node, "application")
    if app is None:
        raise node.missing("application")
    rating = node.word(VOCABULARY["recommendation"], "overall_recommendation")
    rated = rating not in (None, VOCABULARY["not_rated"])
    attributes = {"scorecard_id": native, "rating": rating, "rated": rated, "complete": rated}
    return [
        source.fact(
            "scorecard.submitted",
            When(submitted_at, Origin.OBJECT),
            (native,),
            application=app,
            interview=_id(node, "interview"),
            person=_id(node, "interviewer"),
            attributes=attributes,
        )
    ]


def offer(source: Source, node: Node) -> list[Fact]:
    """As far as an offer has come, each step by its own time; a step without one only where a poll found it."""
    native, status = node.required_id("id"), (node.text("status") or "").casefold()
    named: dict[str, Any] = {"application": _id(node, "application"), "attributes": {"offer_id": native}}
    created_at, sent_at, closed_at = (node.instant(n) for n in ("remote_created_at", "sent_at", "closed_at"))
    steps: list[tuple[str, datetime | None]] = []
    if created_at is not None or _is_polled(source):
        steps.append(("offer.created", created_at))
    if status in VOCABULARY["offer_noticed"]:
        steps.append((VOCABULARY["offer_noticed"][status], None))
    if sent_at is not None or status in VOCABULARY["offer_sent"]:
        steps.append(("offer.sent", sent_at))
    if status in VOCABULARY["offer_closed"]:
        steps.append((VOCABULARY["offer_closed"][status], closed_at))
    return [
        source.fact(kind, When(at, Origin.OBJECT) if at else source.noticed, (native,), occurrence=kind, **named)
        for kind, at in steps
        if at is not None or _is_polled(source)
    ]


def _deleted(source: Source, model: str, node: Node) -> list[Fact]:
    """Gone in the ATS, or no longer seen by Merge."""
    kind, subject = DELETED[model]
    if kind is None:
        return nothing(source, node)
    native = node.required_id("id")
    named: dict[str, Any] = {subject: native}
    if subject in ("scorecard_id", "offer_id"):
        named = {"attributes": {subject: native}, "application": _id(node, "application")}
    return [source.fact(kind, source.noticed, (native,), occurrence="deleted", **named)]


#: Record type -> how it is read; the kinds a webhook can give, which lack what only comparing finds; and besides by polling.
MODELS: dict[str, tuple[Reading, tuple[str, ...], tuple[str, ...]]] = {
    "jobs": (job, ("requisition.opened", "requisition.updated"), ("requisition.closed", "requisition.reopened")),
    "applications": (
        application,
        ("application.created", "application.rejected", "application.withdrawn"),
        ("application.stage_changed", "application.unrejected"),
    ),
    "interviews": (interview, ("interview.scheduled",), ()),
    "scorecards": (scorecard, ("scorecard.submitted",), ()),
    "offers": (offer, ("offer.created", "offer.sent", "offer.accepted", "offer.declined"), ("offer.approved",)),
    "candidates": (nothing, (), ()),
    "job_interview_stages": (nothing, (), ()),
    "users": (nothing, (), ()),
    "reject_reasons": (nothing, (), ()),
}

#: Record type -> the fact that it is gone, and what the id then is.
DELETED: dict[str, tuple[str | None, str]] = {
    "jobs": ("requisition.deleted", "requisition"),
    "applications": ("application.deleted", "application"),
    "interviews": ("interview.cancelled", "interview"),
    "scorecards": ("scorecard.deleted", "scorecard_id"),
    "offers": ("offer.deleted", "offer_id"),
    "candidates": ("candidate.deleted", "candidate"),
    "job_interview_stages": (None, ""),
    "users": (None, ""),
    "reject_reasons": (None, ""),
}


def read(source: Source, node: Node, *, model: str, gone: bool) -> list[Fact]:
    if gone or node.flag("remote_was_deleted"):
        return _deleted(source, model, node)
    return MODELS[model][0](source, node)


def kinds_of_model(model: str, *, polled: bool) -> frozenset[str]:
    _, always, compared = MODELS[model]
    gone = DELETED[model][0]
    return frozenset([*always, *(compared if polled else ()), *([gone] if gone else ())])
