"""SmartRecruiters' objects as facts: jobs, candidates, the status history of an application, interviews, reviews, offers.

An application is a candidate in a job; records name no other id of it, so ours is `{candidate}.{job}`. Every vendor word that
decides something is in `VOCABULARY`; smartrecruiters.py says which record type is read by which.
"""

from __future__ import annotations

import hashlib
from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When

VOCABULARY: dict[str, Any] = {
    "roles": {
        "HIRING_MANAGER": "hiring_manager",
        "RECRUITER": "recruiter",
        "COORDINATOR": "coordinator",
        "SOURCER": "sourcer",
    },
    "job_status": frozenset({"created", "sourcing", "interview", "offer", "filled", "cancelled", "on_hold"}),
    "job_closed": frozenset({"filled", "cancelled"}),
    "job_held": "on_hold",
    # application statuses that are no stage -> the fact they are
    "ended": {"REJECTED": "application.rejected", "WITHDRAWN": "application.withdrawn", "HIRED": "application.hired"}
    | {"TRANSFERRED": "application.moved"},
    "undone": {"REJECTED": "application.unrejected", "HIRED": "application.unhired"},
    "stages": frozenset({"NEW", "IN_REVIEW", "INTERVIEW", "OFFERED", "HIRED"}),
    "prospect": "LEAD",
    "slot_cancelled": frozenset({"cancelled", "canceled"}),
    # the vendor's own words are CREATED, PENDING_APPROVAL, APPROVED, NOT_APPROVED, PENDING_ACCEPTANCE, ACCEPTED, NOT_ACCEPTED
    # and ABANDONED; SENT, DECLINED and REJECTED are taken besides
    "offer_status": {"ACCEPTED": "offer.accepted", "NOT_ACCEPTED": "offer.declined", "APPROVED": "offer.approved"}
    | {"PENDING_ACCEPTANCE": "offer.sent", "ABANDONED": "offer.updated"}
    | {"SENT": "offer.sent", "DECLINED": "offer.declined", "REJECTED": "offer.declined"},
}


def application_of(candidate: str, job: str) -> dict[str, Any]:
    return {"requisition": job, "application": f"{candidate}.{job}", "candidate": candidate}


def whose(node: Node) -> dict[str, Any]:
    """Whose it is, in the spelling of webhooks or of records; an interview has the candidate as an object."""
    person = node.node("candidate")
    native = person.required_id("id") if person else node.required_id("candidate_id", "candidateId")
    return application_of(native, node.required_id("job_id", "jobId"))


def job(source: Source, node: Node) -> list[Fact]:
    """Created, its people of the moment, and its status. The poller puts the hiring team in as `hiringTeam`."""
    native, status = node.required_id("id"), node.word(VOCABULARY["job_status"], "status")
    created = When(node.required_instant("createdOn"), Origin.OBJECT)
    updated = source.when(node.instant("updatedOn"))
    people: dict[str, tuple[str, ...]] = {}
    for member in node.nodes("hiringTeam"):
        role = VOCABULARY["roles"].get((member.text("role") or "").upper())
        if role is not None:
            people[role] = tuple(dict.fromkeys([*people.get(role, ()), member.required_id("id")]))
    previous = node.node("previous")  # as a poll saw it the last time
    was = previous.word(VOCABULARY["job_status"], "status") if previous else None
    facts = [
        source.fact("requisition.opened", created, (native,), occurrence="opened", requisition=native),
        source.fact("requisition.updated", updated, (native,), requisition=native, people=people, attributes={"status": status}),
    ]
    kind = _turn(was, status)
    if kind is not None:
        when = source.noticed if source.raw.changed_since is not None else updated
        occurrence = f"{status} {updated.at:%Y-%m-%dT%H:%M:%S}"
        facts.append(source.fact(kind, when, (native,), occurrence=occurrence, requisition=native))
    return facts


def _turn(was: str | None, status: str | None) -> str | None:
    """What the present status means, and the one before where a poll saw it."""
    closed, held = VOCABULARY["job_closed"], VOCABULARY["job_held"]
    if status in closed:
        return "requisition.closed"
    if status == held:
        return "requisition.held"
    if was == held:
        return "requisition.resumed"
    return "requisition.reopened" if was in closed else None


def candidate(source: Source, node: Node) -> list[Fact]:
    """A candidate's applications (assignments): when each began, if it says; stages come with the status history.

    When the candidate was created is when the only application of theirs began; of one among several it says nothing.
    """
    native, facts = node.required_id("id"), []
    first, others = node.node("primaryAssignment"), list(node.nodes("secondaryAssignments"))
    only = first if not others else None
    for assignment in [*([first] if first else []), *others]:
        of = assignment.node("job")
        if of is None:
            continue  # in the talent pool, for no job
        named = application_of(native, of.required_id("id"))
        applied_at = assignment.instant("appliedOn", "createdOn") or (node.instant("createdOn") if assignment is only else None)
        if applied_at is None:
            continue
        prospect = (assignment.text("status") or "").upper() == VOCABULARY["prospect"]
        facts.append(
            source.fact(
                "application.created",
                When(applied_at, Origin.OBJECT),
                (named["application"],),
                occurrence="created",
                attributes={"prospect": prospect},
                **named,
            )
        )
    return facts


def status_history(source: Source, node: Node) -> list[Fact]:
    """The whole history of an application, from its beginning; the poller wraps it as {candidate_id, job_id, content}."""
    named, facts, before = whose(node), [], ""
    entries = [(entry.required_instant("changedOn"), index, entry) for index, entry in enumerate(node.nodes("content"))]
    for at, _index, entry in sorted(entries, key=lambda one: one[:2]):
        status = (entry.text("status") or "").upper()
        when, native = When(at, Origin.EVENT), (named["application"],)
        if not before:
            about = {"prospect": status == VOCABULARY["prospect"]}
            facts.append(source.fact("application.created", when, native, occurrence="created", attributes=about, **named))
        if status != before and before in VOCABULARY["undone"] and status not in VOCABULARY["ended"]:
            facts.append(source.fact(VOCABULARY["undone"][before], when, native, **named))
        if status in VOCABULARY["ended"] and status != before:
            facts.append(source.fact(VOCABULARY["ended"][status], when, native, **named))
        if status in VOCABULARY["stages"]:
            name = entry.text("subStatus") or status
            key = (*native, " ".join(name.casefold().split()))
            attributes = source.stage(name, entry.path_of("subStatus"), status)
            facts.append(source.fact("application.stage_changed", when, key, attributes=attributes, **named))
        before = status
    return facts


def interview(source: Source, node: Node) -> list[Fact]:
    """An interview with its slots as one, from the first start to the last end; without a slot left it is cancelled.

    It is documented without a time of its last change: then a version is known by its slots, and was made between its creation,
    or the last look at another version, and now.
    """
    named, native = whose(node), node.required_id("id")
    updated_at = node.instant("updatedOn")
    slots = [s for s in node.nodes("timeslots") if (s.text("status") or "").casefold() not in VOCABULARY["slot_cancelled"]]
    if not slots:
        gone = source.noticed if updated_at is None else When(updated_at, Origin.OBJECT)
        return [source.fact("interview.cancelled", gone, (native,), occurrence="deleted", interview=native, **named)]
    people = list(dict.fromkeys(who.required_id("id") for slot in slots for who in slot.nodes("interviewers")))
    starts_at = min(slot.required_instant("startsOn") for slot in slots).isoformat()
    ends_at = max(slot.required_instant("endsOn") for slot in slots).isoformat()
    attributes = {"starts_at": starts_at, "ends_at": ends_at, "interviewers": list(source.refs(people))}
    when, version = source.when(updated_at), None
    if updated_at is None:
        when, since = source.noticed_after(node.instant("createdOn")), source.raw.changed_since
        said = [starts_at, ends_at, *sorted(people), since.isoformat() if since else ""]
        version = hashlib.sha256("\x1f".join(said).encode()).hexdigest()[:16]
    return [
        source.fact("interview.scheduled", when, (native,), occurrence=version, interview=native, attributes=attributes, **named)
    ]


def review(source: Source, node: Node) -> list[Fact]:
    """An evaluation of a candidate: the vendor's scorecard. It names no interview."""
    native, named = node.required_id("id"), whose(node)
    when = When(node.required_instant("createdOn"), Origin.OBJECT)
    reviewer, rating = node.node("reviewer"), node.value.get("overallRating", node.value.get("rating"))
    person = reviewer.required_id("id") if reviewer else node.required_id("reviewerId")
    rated = isinstance(rating, int | float) and not isinstance(rating, bool)
    attributes = {"scorecard_id": native, "rated": rated, "complete": rated, "reasoned": bool(node.text("comments", "comment"))}
    return [source.fact("scorecard.submitted", when, (native,), person=person, actor=person, attributes=attributes, **named)]


def offer(source: Source, node: Node) -> list[Fact]:
    native, named = node.required_id("id"), whose(node)
    attributes = {"offer_id": native}
    created = When(node.required_instant("createdOn"), Origin.OBJECT)
    facts = [source.fact("offer.created", created, (native,), occurrence="created", attributes=attributes, **named)]
    kind = VOCABULARY["offer_status"].get((node.text("status") or "").upper())
    if kind is not None:  # updatedOn may be of a later change
        when = source.noticed if source.raw.changed_since is not None else source.when(node.instant("updatedOn"))
        occurrence = kind.rpartition(".")[2]
        facts.append(source.fact(kind, when, (native,), occurrence=occurrence, attributes=attributes, **named))
    return facts
