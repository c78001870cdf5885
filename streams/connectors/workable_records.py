"""Workable's objects as facts: candidates as they are, jobs, requisitions, a candidate's activities, events and offers.

Every vendor word that decides something is in `VOCABULARY`; workable.py says which webhook and record type is read by which.
"""

from __future__ import annotations

import hashlib
from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When
from streams.errors import InvalidPayload

VOCABULARY: dict[str, Any] = {
    # collaboration roles of a job's members -> roles
    "roles": {
        "hiring_manager": "hiring_manager",
        "hiring manager": "hiring_manager",
        "recruiter": "recruiter",
        "recruiting_admin": "recruiter",
        "coordinator": "coordinator",
        "sourcer": "sourcer",
    },
    "job_state": frozenset({"draft", "published", "archived", "closed", "internal"}),
    "job_closed": frozenset({"closed", "archived"}),
    # states of a hiring plan's requisition
    "requisition_state": frozenset(
        {"processing", "draft", "pending", "approved", "open", "filled", "rejected", "cancelled", "reserved", "on_hold"}
    ),
    "requisition_approved": frozenset({"approved", "open", "reserved", "filled"}),
    "requisition_held": "on_hold",
    "stage_kind": {"offer": "moved_to_offer_at", "hired": "hired_at"},  # stages whose time is on the candidate
    "interview": frozenset({"interviewevent", "callevent"}),  # event types; any other event is no interview
    "reverted": frozenset({"reverted", "requalified"}),  # activities that take a disqualification back
    "rating": "rating",
    # words of an evaluation: its `score` was seen as a word, beside a `grade` that is a number on the `scale`
    "score": frozenset({"negative", "neutral", "positive", "definite"})
    | frozenset({"strong_no", "no", "yes", "strong_yes", "definitely_not", "maybe"}),
    # states of an offer -> the fact they are read as
    "offer_state": {
        "approved": "offer.approved",
        "sent": "offer.sent",
        "accepted": "offer.accepted",
        "signed": "offer.accepted",
        "declined": "offer.declined",
    },
}


def _job(node: Node) -> str | None:
    job = node.node("job")
    return (job.id("shortcode") if job else None) or node.id("job_shortcode")


def _candidate(node: Node) -> dict[str, Any]:
    """Whose it is: a candidate object itself, or what hangs on one."""
    person = node.node("candidate")
    native = person.required_id("id") if person else node.required_id("candidate_id")
    return {"requisition": _job(node), "application": native, "candidate": native}


def whose(node: Node) -> dict[str, Any]:
    native = node.required_id("id")
    return {"requisition": _job(node), "application": native, "candidate": native}


def milestones(source: Source, node: Node) -> list[Fact]:
    """What a candidate has times for, whatever the occasion: came in, declined or gone, in the offer stage, hired."""
    named, native = whose(node), node.required_id("id")
    created = When(node.required_instant("created_at"), Origin.OBJECT)
    attributes = {"prospect": bool(node.flag("sourced"))}
    facts = [source.fact("application.created", created, (native,), occurrence="created", attributes=attributes, **named)]
    disqualified_at, hired_at = node.instant("disqualified_at"), node.instant("hired_at")
    if disqualified_at is not None and node.flag("disqualified") is not False:
        kind = "application.withdrawn" if node.flag("withdrew") else "application.rejected"
        facts.append(source.fact(kind, When(disqualified_at, Origin.OBJECT), (native,), **named))
    timed = VOCABULARY["stage_kind"].get(node.text("stage_kind"))
    if timed is not None and node.instant(timed) is not None:
        facts += staged(source, node, When(node.required_instant(timed), Origin.OBJECT))
    if hired_at is not None:
        facts.append(source.fact("application.hired", When(hired_at, Origin.OBJECT), (native,), **named))
    if node.flag("anonymized"):
        facts.append(gone(source, "candidate.deleted", node, "anonymised"))
    return facts


def staged(source: Source, node: Node, when: When) -> list[Fact]:
    """The stage a candidate is in, by its name, as of `when`."""
    name = node.text("stage")
    return [stage_changed(source, name, node.path_of("stage"), when, whose(node))] if name else []


def stage_changed(source: Source, name: str, path: str, when: When, named: dict[str, Any], actor: str | None = None) -> Fact:
    native = (named["application"], " ".join(name.casefold().split()))
    return source.fact("application.stage_changed", when, native, attributes=source.stage(name, path), actor=actor, **named)


def gone(source: Source, kind: str, node: Node, how: str) -> Fact:
    named = whose(node)
    attributes = {"anonymised": True} if how == "anonymised" else None
    return source.fact(kind, source.noticed, (named["application"],), occurrence=how, attributes=attributes, **named)


def job(source: Source, node: Node) -> list[Fact]:
    """Opened, its state and members of the moment, closed. The poller puts the job's members in as `members`."""
    native = node.required_id("shortcode")
    created_at = node.required_instant("created_at")
    state = node.word(VOCABULARY["job_state"], "state")
    people: dict[str, tuple[str, ...]] = {}
    for member in node.nodes("members"):
        role = VOCABULARY["roles"].get((member.text("collaboration_role", "role") or "").casefold())
        if role is not None and member.flag("active") is not False:
            people[role] = tuple(dict.fromkeys([*people.get(role, ()), member.required_id("id")]))
    facts = []
    if state != "draft":
        facts.append(source.fact("requisition.opened", When(created_at, Origin.OBJECT), (native,), requisition=native))
    updated = source.when(node.instant("updated_at"))
    attributes = {"status": state}
    facts.append(source.fact("requisition.updated", updated, (native,), requisition=native, people=people, attributes=attributes))
    if state in VOCABULARY["job_closed"]:
        facts.append(_turned(source, "requisition.closed", native, state, updated))
    elif _before(node) in VOCABULARY["job_closed"]:
        facts.append(_turned(source, "requisition.reopened", native, state, updated))
    return facts


def _before(node: Node) -> str | None:
    """The state in which a poll saw it the last time."""
    previous = node.node("previous")
    return previous.text("state") if previous else None


def _turned(source: Source, kind: str, native: str, state: str | None, updated: When, *also: str) -> Fact:
    """A state that was reached at some time: after the last look if a poll compared, and not later than `updated`."""
    when = source.noticed if source.raw.changed_since is not None else updated
    return source.fact(kind, when, (native, *also), occurrence=f"{state} {updated.at:%Y-%m-%dT%H:%M:%S}", requisition=native)


def requisition(source: Source, node: Node) -> list[Fact]:
    """A hiring plan's requisition: approvals and holds of the job it is for. Without a job there is nothing to hold yet."""
    code, state = node.required_id("id"), node.word(VOCABULARY["requisition_state"], "state")
    native = _job(node)
    if native is None:
        if node.node("job") is not None:
            raise InvalidPayload("missing_field", node.path_of("job.shortcode or job_shortcode: the poller adds it"))
        return []
    updated = source.when(node.instant("updated_at"))
    facts = []
    if state in VOCABULARY["requisition_approved"]:
        approved_at = node.instant("approved_at")
        when = When(approved_at, Origin.OBJECT) if approved_at else source.noticed
        facts.append(source.fact("requisition.approved", when, (native, code), occurrence="approved", requisition=native))
    if state == VOCABULARY["requisition_held"]:
        facts.append(_turned(source, "requisition.held", native, state, updated, code))
    elif _before(node) == VOCABULARY["requisition_held"]:
        facts.append(_turned(source, "requisition.resumed", native, state, updated, code))
    manager = node.node("hiring_manager")
    if manager is not None:
        people = {"hiring_manager": (manager.required_id("id"),)}
        facts.append(source.fact("requisition.updated", updated, (native, code), requisition=native, people=people))
    return facts


def activity(source: Source, node: Node) -> list[Fact]:
    """One entry of a candidate's history. A move's `action` is the slug of the stage it went to, so the target decides."""
    named, native = _candidate(node), node.required_id("id")
    when = When(node.required_instant("created_at"), Origin.EVENT)
    member, target = node.node("member"), node.node("target_stage")
    actor = member.id("id") if member else None
    action = (node.text("action") or "").casefold()
    if action == VOCABULARY["rating"]:
        return _rated(source, node, native, when, actor, named)
    if action in VOCABULARY["reverted"]:
        return [source.fact("application.unrejected", when, (native,), occurrence="reverted", actor=actor, **named)]
    name = target.text("name") if target else None
    return [stage_changed(source, name, "target_stage.name", when, named, actor)] if name else []


def _rated(source: Source, node: Node, native: str, when: When, actor: str | None, named: dict[str, Any]) -> list[Fact]:
    """An interviewer's evaluation; it names no interview, so it is for their last one with the candidate."""
    if actor is None:
        raise node.missing("member.id")
    rating = node.node("rating")
    given = {name: rating.value.get(name) for name in ("score", "grade")} if rating else {}
    word = next((name for name, value in given.items() if isinstance(value, str)), None)
    rated = any(isinstance(one, int | float | str) and not isinstance(one, bool) and one != "" for one in given.values())
    attributes = {
        "scorecard_id": native,
        "rating": rating.word(VOCABULARY["score"], word) if rating and word else None,
        "rated": rated,
        "complete": rated,
        "reasoned": bool(node.text("body")),
    }
    return [source.fact("scorecard.submitted", when, (native,), person=actor, actor=actor, attributes=attributes, **named)]


def event(source: Source, node: Node) -> list[Fact]:
    """An interview or a call. It has no time of its own: what is new or moved happened since a poll last saw it otherwise."""
    if (node.text("type") or "").casefold() not in VOCABULARY["interview"] or node.node("candidate") is None:
        return []
    named, native = _candidate(node), node.required_id("id")
    starts_at, ends_at = node.required_instant("starts_at"), node.instant("ends_at")
    people = sorted({member.required_id("id") for member in node.nodes("members")})
    version = "\x1f".join([starts_at.isoformat(), ends_at.isoformat() if ends_at else "", *people])
    if node.flag("cancelled"):
        return [source.fact("interview.cancelled", source.noticed, (native,), occurrence="deleted", interview=native, **named)]
    attributes = {
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat() if ends_at else None,
        "interviewers": list(source.refs(people)),
    }
    occurrence = hashlib.sha256(version.encode()).hexdigest()[:16]
    return [
        source.fact(
            "interview.scheduled",
            source.noticed,
            (native,),
            occurrence=occurrence,
            interview=native,
            attributes=attributes,
            **named,
        )
    ]


def offer(source: Source, node: Node) -> list[Fact]:
    """A candidate's offer. Without an offer the vendor answers the bare candidate: then there is none."""
    named, state = _candidate(node), node.text("state", "status")
    created_at = node.instant("created_at")
    if state is None and created_at is None:
        return []
    native = node.id("id") or named["application"]
    attributes = {"offer_id": native}
    facts = []
    if created_at is not None:
        created = When(created_at, Origin.OBJECT)
        facts.append(source.fact("offer.created", created, (native,), occurrence="created", attributes=attributes, **named))
    kind = VOCABULARY["offer_state"].get((state or "").casefold())
    if kind is not None:
        facts.append(source.fact(kind, source.noticed, (native,), occurrence=kind, attributes=attributes, **named))
    return facts
