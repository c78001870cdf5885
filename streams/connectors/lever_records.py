"""Lever's polled objects as facts: opportunities, requisitions, postings, interviews, panels, feedback, offers.

Times are milliseconds since 1970. An opportunity is our application, a contact our candidate, and a posting our requisition,
because that is what an opportunity names: a Lever requisition's approval and holds go to each posting it lists. What the poller
puts into a record (`opportunityId`, `stageNames`, `archiveReason`, `previous`) is in docs/connectors.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When, native_id
from streams.stages import UNMAPPED

VOCABULARY: dict[str, Any] = {
    "requisition_status": frozenset({"open", "closed", "onhold", "pending", "rejected", "draft"}),
    "requisition_held": "onhold",
    "approved": "approved",
    # the people of a posting or requisition -> roles
    "roles": {"owner": "recruiter", "hiringManager": "hiring_manager"},
    "posting_state": frozenset({"published", "internal", "closed", "draft", "pending", "rejected"}),
    "posting_not_open": frozenset({"draft", "pending", "rejected"}),
    "posting_closed": "closed",
    "sourced": "sourced",  # an opportunity's origin: nobody applied
    "hired": "hired",  # an archive reason's type
    "ended": {"rejected": "application.rejected", "withdrawn": "application.withdrawn", "hired": "application.hired"},
    "no_feedback": "no-feedback",  # feedbackTemplate of an interviewer who is asked for none
    "scores": frozenset({"score-system", "score", "scorecard", "yes-no"}),
    "texts": frozenset({"text", "textarea", "note"}),
    "scorecard": "scorecard",  # the field type whose value is a list of scores
    "offer_sent": frozenset({"sent", "sent-manually", "opened"}),
    "offer_signed": "signed",
    "offer_denied": "denied",  # by the candidate
}


def minute(moment: datetime) -> str:
    """A webhook and the history tell one change with times that differ by less than a second: it is known by its minute."""
    return moment.strftime("%Y-%m-%dT%H:%M")


def staged(
    source: Source, named: Mapping[str, Any], stage: str, when: When, attributes: Mapping[str, object], actor: str | None = None
) -> Fact:
    native = (named["application"], stage)
    kind = "application.stage_changed"
    return source.fact(kind, when, native, occurrence=minute(when.at), attributes=attributes, actor=actor, **named)


def ended(source: Source, named: Mapping[str, Any], meaning: str, reason: str | None, when: When) -> Fact:
    """Archived as hired, withdrawn or rejected. An opportunity is hired once; `candidateHired` and the archive say the same."""
    kind = VOCABULARY["ended"][meaning]
    occurrence = VOCABULARY["hired"] if meaning == "hired" else minute(when.at)
    native, attributes = (named["application"],), {"reason_id": reason}
    return source.fact(kind, when, native, occurrence=occurrence, attributes=attributes, **named)


def _ref(node: Node, *names: str) -> str | None:
    """An id, or the object that an expanded list has in its place."""
    for name in names:
        found = node.value.get(name)
        if isinstance(found, dict):
            return Node(found, node.path_of(name)).required_id("id")
        if found is not None:
            return node.id(name)
    return None


def _ids(node: Node, name: str) -> list[str]:
    path = node.path_of(name)
    found = [
        Node(item, f"{path}[{n}]").required_id("id") if isinstance(item, dict) else native_id(item, f"{path}[{n}]")
        for n, item in enumerate(node.items(name))
        if item is not None
    ]
    return list(dict.fromkeys(found))


def _people(node: Node) -> dict[str, tuple[str, ...]]:
    found = {role: _ref(node, theirs) for theirs, role in VOCABULARY["roles"].items()}
    return {role: (person,) for role, person in found.items() if person is not None}


def opportunity(source: Source, node: Node) -> list[Fact]:
    """Who applied when, every stage with the time it was entered, and the archive; all of the opportunity's postings."""
    native = node.required_id("id")
    applied = [item for item in node.items("applications") if isinstance(item, dict)]  # expanded
    applications = [Node(item, node.path_of(f"applications[{n}]")) for n, item in enumerate(applied)]
    postings: list[str | None] = list(dict.fromkeys(p for p in (_ref(a, "posting") for a in applications) if p)) or [None]
    facts = [f for p in postings for f in _opportunity(source, node, native, p)]
    created = min([m for a in applications if (m := a.millis("createdAt"))], default=None) or node.required_millis("createdAt")
    prospect = not node.items("applications") and node.text("origin") == VOCABULARY["sourced"]
    return [
        source.fact(
            "application.created",
            When(created, Origin.OBJECT),
            (native,),
            occurrence="created",
            requisition=posting,
            application=native,
            candidate=_ref(node, "contact"),
            attributes={"prospect": prospect},
        )
        for posting in postings
    ] + facts


def _opportunity(source: Source, node: Node, native: str, posting: str | None) -> list[Fact]:
    named: dict[str, Any] = {"requisition": posting, "application": native, "candidate": _ref(node, "contact")}
    names = node.node("stageNames")
    facts = []
    for change in node.nodes("stageChanges"):
        stage = change.required_id("toStageId")
        attributes = {**_stage(source, stage, names, change.path_of("toStageId")), "stage_id": stage}
        when = When(change.required_millis("updatedAt"), Origin.EVENT)
        facts.append(staged(source, named, stage, when, attributes, _ref(change, "userId")))
    archived = node.node("archived")
    if archived is not None and (at := archived.millis("archivedAt")) is not None:
        facts += _archived(source, node, named, archived, When(at, Origin.EVENT))
    owner = _ref(node, "owner")
    if owner is not None:
        updated = source.when(node.millis("updatedAt"))
        people = {"recruiter": (owner,)}
        facts.append(source.fact("application.updated", updated, (native,), people=people, **named))
    if node.flag("isAnonymized"):
        facts.append(_anonymised(source, native, named))
    return facts


def _stage(source: Source, stage: str, names: Node | None, path: str) -> dict[str, object]:
    """By its id where that is mapped, or else by its name, which then is what the fact shows."""
    by_id = source.stage(stage, path)
    name = names.text(stage) if names else None
    return by_id if name is None or by_id["stage"] != UNMAPPED else source.stage(name, path)


def _archived(source: Source, node: Node, named: Mapping[str, Any], archived: Node, when: When) -> list[Fact]:
    reason, known = archived.id("reason"), node.node("archiveReason")
    text = known.text("text") if known else None
    meaning = source.stages.reason(reason, text)
    if meaning is None and known is not None:
        meaning = "hired" if known.text("type") == VOCABULARY["hired"] else "rejected"
    if meaning is None:
        return []  # neither the reason's text nor a pattern for its id: whose no it was is not known
    return [ended(source, named, meaning, reason, when)]


def _anonymised(source: Source, native: str, named: Mapping[str, Any]) -> Fact:
    native_ids, attributes = (named["candidate"] or native,), {"anonymised": True}
    return source.fact("candidate.deleted", source.noticed, native_ids, occurrence="anonymised", attributes=attributes, **named)


def requisition(source: Source, node: Node) -> list[Fact]:
    """Its approval, its hold and its people, for each posting it is for. It is closed posting by posting, see `posting`."""
    code, status = node.required_id("id"), node.word(VOCABULARY["requisition_status"], "status")
    previous = node.node("previous")
    before = previous.word(VOCABULARY["requisition_status"], "status") if previous else None
    held, approval = VOCABULARY["requisition_held"], node.node("approval")
    approved_at = approval.millis("approvedAt") if approval else None
    updated_at, people = node.millis("updatedAt"), _people(node)
    version = f"{status} {updated_at:%Y-%m-%dT%H:%M:%S}" if updated_at else f"{status}"
    facts = []
    for posting in _ids(node, "postings"):
        native = (posting, code)
        if approved_at is not None:
            when = When(approved_at, Origin.OBJECT)
            facts.append(source.fact("requisition.approved", when, native, occurrence="approved", requisition=posting))
        if status == held and before != held:
            facts.append(source.fact("requisition.held", source.noticed, native, occurrence=version, requisition=posting))
        elif before == held and status != held:
            facts.append(source.fact("requisition.resumed", source.noticed, native, occurrence=version, requisition=posting))
        attributes = {"status": status}
        when = source.when(updated_at)
        facts.append(source.fact("requisition.updated", when, native, requisition=posting, people=people, attributes=attributes))
    return facts


def posting(source: Source, node: Node) -> list[Fact]:
    """Opened, its people of the moment; closed and reopened by its state, which has no time of its own."""
    native, state = node.required_id("id"), node.word(VOCABULARY["posting_state"], "state")
    previous = node.node("previous")
    before = previous.word(VOCABULARY["posting_state"], "state") if previous else None
    created, updated = When(node.required_millis("createdAt"), Origin.OBJECT), source.when(node.millis("updatedAt"))
    closed = VOCABULARY["posting_closed"]
    facts = []
    if state not in VOCABULARY["posting_not_open"]:
        facts.append(source.fact("requisition.opened", created, (native,), requisition=native))
    people, attributes = _people(node), {"status": state}
    facts.append(source.fact("requisition.updated", updated, (native,), requisition=native, people=people, attributes=attributes))
    version = f"{state} {updated.at:%Y-%m-%dT%H:%M:%S}" if node.millis("updatedAt") else str(state)
    if state == closed and before != closed:
        facts.append(
            source.fact("requisition.closed", _turned(source, updated), (native,), occurrence=version, requisition=native)
        )
    elif before == closed and state != closed:
        facts.append(
            source.fact("requisition.reopened", _turned(source, updated), (native,), occurrence=version, requisition=native)
        )
    return facts


def _turned(source: Source, updated: When) -> When:
    """Since the last look where a poll compared; else no later than the object's last change."""
    return source.noticed if source.raw.changed_since is not None else updated


def interview(source: Source, node: Node) -> list[Fact]:
    return _interview(source, node, node.required_id("opportunityId"))


def _interview(source: Source, node: Node, opportunity_id: str, of: Node | None = None) -> list[Fact]:
    """One version of an interview, made between its creation, or the last look at another version, and now.

    `of`: the panel it is listed in, which has the times of creation and cancellation and the creator that it lacks there.
    """
    native = node.required_id("id")
    named: dict[str, Any] = {"application": opportunity_id, "interview": native}
    starts_at = node.required_millis("date")
    created_at = node.millis("createdAt") or (of or node).required_millis("createdAt")
    minutes = node.value.get("duration")
    whole = isinstance(minutes, int) and not isinstance(minutes, bool) and 0 <= minutes <= 7 * 24 * 60
    ends_at = starts_at + timedelta(minutes=minutes) if isinstance(minutes, int) and whole else None
    people = sorted(
        {
            member.required_id("id")
            for member in node.nodes("interviewers")
            if member.text("feedbackTemplate") != VOCABULARY["no_feedback"]
        }
    )
    since = source.raw.changed_since
    when = source.noticed_after(created_at)
    said = [starts_at.isoformat(), ends_at.isoformat() if ends_at else "", *people, since.isoformat() if since else ""]
    attributes = {
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat() if ends_at else None,
        "interviewers": list(source.refs(people)),
        "created_at": created_at.isoformat(),
    }
    version = hashlib.sha256("\x1f".join(said).encode()).hexdigest()[:16]
    actor = _ref(node, "user") or (_ref(of, "user") if of else None)
    facts = [source.fact("interview.scheduled", when, (native,), occurrence=version, actor=actor, attributes=attributes, **named)]
    gone_at = node.millis("canceledAt") or (of.millis("canceledAt") if of else None)
    if gone_at is not None:
        gone = When(gone_at, Origin.OBJECT)
        facts.append(source.fact("interview.cancelled", gone, (native,), occurrence="cancelled", **named))
    return facts


def panel(source: Source, node: Node) -> list[Fact]:
    """Its interviews, which are cancelled with it."""
    opportunity_id = node.required_id("opportunityId")
    return [f for one in node.nodes("interviews") for f in _interview(source, one, opportunity_id, node)]


def feedback(source: Source, node: Node) -> list[Fact]:
    """A completed form; without `completedAt` it is a draft. Who wrote it can be missing: then it is nobody's in particular."""
    native, opportunity_id = node.required_id("id"), node.required_id("opportunityId")
    completed_at, deleted_at, user = node.millis("completedAt"), node.millis("deletedAt"), _ref(node, "user")
    named: dict[str, Any] = {"application": opportunity_id, "interview": _ref(node, "interview")}
    facts = []
    if completed_at is not None:
        fields = list(node.nodes("fields"))
        scores = [f for f in fields if f.text("type") in VOCABULARY["scores"]]
        rated = any(_filled(f) for f in scores)
        attributes = {
            "scorecard_id": native,
            "rated": rated,
            "complete": rated and all(_filled(f) for f in fields if f.flag("required")),
            "reasoned": any(_filled(f) for f in fields if f.text("type") in VOCABULARY["texts"]),
        }
        when = When(completed_at, Origin.OBJECT)
        facts.append(source.fact("scorecard.submitted", when, (native,), person=user, actor=user, attributes=attributes, **named))
    if deleted_at is not None and completed_at is not None:
        when, attributes = When(deleted_at, Origin.OBJECT), {"scorecard_id": native}
        facts.append(source.fact("scorecard.deleted", when, (native,), occurrence="deleted", attributes=attributes, **named))
    return facts


def _filled(field: Node) -> bool:
    """Whether anything was answered; what it says is not looked at. A scorecard lists its skills also where none has a score."""
    value = field.value.get("value")
    if field.text("type") == VOCABULARY["scorecard"] and isinstance(value, list):
        return any(isinstance(one, dict) and one.get("score") is not None for one in value)
    return value not in (None, "", [], {})


def offer(source: Source, node: Node) -> list[Fact]:
    """How far it has come. Where the status has no time, it is told between the last look and now."""
    native, status = node.required_id("id"), node.text("status")
    named: dict[str, Any] = {"application": node.required_id("opportunityId"), "requisition": _ref(node, "posting")}
    named["attributes"] = {"offer_id": native}
    created_at, approved_at, sent_at = (node.millis(name) for name in ("createdAt", "approvedAt", "sentAt"))
    previous = node.node("previous")
    before = previous.text("status") if previous else None
    newly_sent = status in VOCABULARY["offer_sent"] and before not in VOCABULARY["offer_sent"]
    sent = source.noticed if sent_at is None and newly_sent else _at(sent_at)
    steps = [("offer.created", _at(created_at)), ("offer.approved", _at(approved_at)), ("offer.sent", sent)]
    facts = [source.fact(kind, when, (native,), occurrence=kind, **named) for kind, when in steps if when is not None]
    if status == VOCABULARY["offer_signed"]:
        signatures = node.node("signatures")
        theirs = signatures.node("candidate") if signatures else None
        when = _at(theirs.millis("signedAt") if theirs else None) or source.noticed
        facts.append(source.fact("offer.accepted", when, (native,), occurrence="signed", **named))
    elif status == VOCABULARY["offer_denied"]:
        facts.append(source.fact("offer.declined", source.noticed, (native,), occurrence="denied", **named))
    return facts


def _at(moment: datetime | None) -> When | None:
    return When(moment, Origin.OBJECT) if moment else None
