"""Workable: its webhooks and its API's records as facts, and its signature.

Every vendor word that decides something is in `VOCABULARY`, `EVENTS` and `RECORDS`. A candidate is one person's application to
one job, so candidate and application have the same native id; our requisition is Workable's job, by its shortcode. A webhook
holds the candidate as they are when it is sent, not as when it was triggered. See docs/connectors.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams.connectors import signatures
from streams.connectors.payload import Node, Source, When, parse
from streams.errors import InvalidPayload, InvalidSignature
from streams.stages import StageMap

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
    "grade": frozenset({"strong_no", "no", "yes", "strong_yes", "definitely_not", "maybe"}),
    # states of an offer -> the fact they are read as
    "offer_state": {
        "approved": "offer.approved",
        "sent": "offer.sent",
        "accepted": "offer.accepted",
        "signed": "offer.accepted",
        "declined": "offer.declined",
    },
}

Reading = Callable[[Source, Node], list[Fact]]


def _job(node: Node) -> str | None:
    job = node.node("job")
    return (job.id("shortcode") if job else None) or node.id("job_shortcode")


def _candidate(node: Node) -> dict[str, Any]:
    """Whose it is: a candidate object itself, or what hangs on one."""
    person = node.node("candidate")
    native = person.required_id("id") if person else node.required_id("candidate_id")
    return {"requisition": _job(node), "application": native, "candidate": native}


def _named(node: Node) -> dict[str, Any]:
    native = node.required_id("id")
    return {"requisition": _job(node), "application": native, "candidate": native}


def _milestones(source: Source, node: Node) -> list[Fact]:
    """What a candidate has times for, whatever the occasion: came in, declined or gone, in the offer stage, hired."""
    named, native = _named(node), node.required_id("id")
    created = When(node.required_instant("created_at"), Origin.OBJECT)
    attributes = {"prospect": bool(node.flag("sourced"))}
    facts = [source.fact("application.created", created, (native,), occurrence="created", attributes=attributes, **named)]
    disqualified_at, hired_at = node.instant("disqualified_at"), node.instant("hired_at")
    if disqualified_at is not None and node.flag("disqualified") is not False:
        kind = "application.withdrawn" if node.flag("withdrew") else "application.rejected"
        facts.append(source.fact(kind, When(disqualified_at, Origin.OBJECT), (native,), **named))
    timed = VOCABULARY["stage_kind"].get(node.text("stage_kind"))
    if timed is not None and node.instant(timed) is not None:
        facts += _staged(source, node, When(node.required_instant(timed), Origin.OBJECT))
    if hired_at is not None:
        facts.append(source.fact("application.hired", When(hired_at, Origin.OBJECT), (native,), **named))
    if node.flag("anonymized"):
        facts.append(_gone(source, "candidate.deleted", node, "anonymised"))
    return facts


def _staged(source: Source, node: Node, when: When) -> list[Fact]:
    """The stage a candidate is in, by its name, as of `when`."""
    name = node.text("stage")
    return [_stage_changed(source, name, node.path_of("stage"), when, _named(node))] if name else []


def _stage_changed(source: Source, name: str, path: str, when: When, named: dict[str, Any], actor: str | None = None) -> Fact:
    native = (named["application"], " ".join(name.casefold().split()))
    return source.fact("application.stage_changed", when, native, attributes=source.stage(name, path), actor=actor, **named)


def _gone(source: Source, kind: str, node: Node, how: str) -> Fact:
    named = _named(node)
    attributes = {"anonymised": True} if how == "anonymised" else None
    return source.fact(kind, source.noticed, (named["application"],), occurrence=how, attributes=attributes, **named)


def candidate_moved(source: Source, node: Node) -> list[Fact]:
    """The stage at the time of sending. `updated_at` is the best there is: late deliveries may have seen a later change."""
    if node.text("stage_kind") in VOCABULARY["stage_kind"] or node.flag("disqualified"):
        return _milestones(source, node)
    return _milestones(source, node) + _staged(source, node, source.when(node.instant("updated_at")))


def candidate_created(source: Source, node: Node) -> list[Fact]:
    created_at, updated_at = node.required_instant("created_at"), node.instant("updated_at")
    if node.text("stage_kind") in VOCABULARY["stage_kind"]:
        return _milestones(source, node)
    return _milestones(source, node) + _staged(source, node, When(max(created_at, updated_at or created_at), Origin.OBJECT))


def candidate_deleted(source: Source, node: Node) -> list[Fact]:
    return [_gone(source, "application.deleted", node, "deleted"), _gone(source, "candidate.deleted", node, "deleted")]


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
    return [_stage_changed(source, name, "target_stage.name", when, named, actor)] if name else []


def _rated(source: Source, node: Node, native: str, when: When, actor: str | None, named: dict[str, Any]) -> list[Fact]:
    """An interviewer's evaluation; it names no interview, so it is for their last one with the candidate."""
    if actor is None:
        raise node.missing("member.id")
    rating = node.node("rating")
    score = rating.value.get("score") if rating else None
    rated = isinstance(score, int | float) and not isinstance(score, bool)
    attributes = {
        "scorecard_id": native,
        "rating": rating.word(VOCABULARY["grade"], "grade") if rating else None,
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


def _nothing(source: Source, node: Node) -> list[Fact]:
    node.required_id("id")  # people.yaml says who is who
    return []


_SINCE = (
    "application.created",
    "application.rejected",
    "application.withdrawn",
    "application.stage_changed",
    "application.hired",
)

#: Webhook event -> how its candidate is read, and the fact kinds it can give. Any other is `unknown_action`.
EVENTS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "candidate_created": (candidate_created, (*_SINCE, "candidate.deleted")),
    "candidate_moved": (candidate_moved, (*_SINCE, "candidate.deleted")),
    "candidate_deleted": (candidate_deleted, ("application.deleted", "candidate.deleted")),
}

#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "candidates": (_milestones, (*_SINCE, "candidate.deleted")),
    "jobs": (job, ("requisition.opened", "requisition.updated", "requisition.closed", "requisition.reopened")),
    "requisitions": (
        requisition,
        ("requisition.approved", "requisition.held", "requisition.resumed", "requisition.updated"),
    ),
    "activities": (activity, ("application.stage_changed", "application.unrejected", "scorecard.submitted")),
    "events": (event, ("interview.scheduled", "interview.cancelled")),
    "offers": (offer, ("offer.created", "offer.approved", "offer.sent", "offer.accepted", "offer.declined")),
    "members": (_nothing, ()),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("activities", ("action", "created_at")),
    ("events", ("starts_at", "cancelled")),
    ("requisitions", ("plan_date",)),
    ("jobs", ("shortcode", "state")),
    ("offers", ("candidate", "state")),
    ("candidates", ("stage", "created_at")),
    ("members", ("role", "email")),
)


class Workable:
    """The connector (streams.connectors.Connector)."""

    system = "workable"
    success_status = 200
    webhook_kinds = frozenset(kind for _, kinds in EVENTS.values() for kind in kinds)
    record_kinds: Mapping[str, frozenset[str]] = MappingProxyType(
        {name: frozenset(kinds) for name, (_, kinds) in RECORDS.items()}
    )

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`X-Workable-Signature`: HMAC-SHA256 over the body, in hex or base64; which of them is not documented.

        The two cannot be mistaken: a digest is 64 hex digits, or 44 characters of base64 that end in `=`.
        """
        given = headers.get("x-workable-signature", "").strip()
        digest = signatures.from_hex(given) or _from_base64(given)
        if digest is None:
            raise InvalidSignature("no header 'X-Workable-Signature' with a SHA-256 digest in hex or base64")
        signatures.check(body, [digest], secrets)

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        return None

    def is_ping(self, body: bytes) -> bool:
        return False

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return any(body.get(name) in EVENTS for name in ("event_type", "type", "action"))

    def record_type(self, record: Mapping[str, object]) -> str | None:
        return next((name for name, names in SHAPES if all(n in record for n in names)), None)

    def normalise(self, raw: RawHeaders, body: bytes, stages: StageMap) -> list[Fact]:
        """One webhook body, or one record of `raw.record_type`, with what the poller put in (docs/connectors.md)."""
        source, node = Source(raw, stages), parse(body)
        if raw.channel == "record":
            if raw.record_type not in RECORDS:
                raise InvalidPayload("unknown_record_type", "there are " + ", ".join(RECORDS))
            return RECORDS[raw.record_type][0](source, node)
        named = node.text("event_type", "type", "action")
        if named is None and "stage" in node.value:
            return candidate_moved(source, node)  # the bare resource, as the vendor's page words it: the state it is in
        if named is None:
            raise node.missing("event_type", "type", "action")
        if named not in EVENTS:
            raise InvalidPayload("unknown_action", "event_type or type or action")
        return EVENTS[named][0](source, node.node("data") or node.required_node("candidate"))


def _from_base64(text: str) -> bytes | None:
    try:
        digest = base64.b64decode(text, validate=True) if len(text) == 44 else b""
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == 32 else None


WORKABLE = Workable()
