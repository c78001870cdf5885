"""Ashby's objects as facts: what an application, a job, a schedule, an offer ... says, in a webhook or a polled record.

Times are those of the objects: `updatedAt` of an object that was just changed is the time of the change. A job is our
requisition; an event of an interview schedule is our interview. What the poller puts into a record (`applicationId` of a
history, `previous`) is in docs/connectors.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When, native_id

VOCABULARY: dict[str, Any] = {
    # status of an application
    "archived": "archived",
    "hired": "hired",
    "lead": "lead",
    "application_status": frozenset({"active", "archived", "hired", "lead"}),
    # archiveReason.reasonType that says the candidate left; every other is the company's no
    "candidate_left": frozenset({"rejectedbycandidate"}),
    # type of an interview stage that is no stage but the archive
    "no_stage": frozenset({"archived"}),
    # types that say which stage it is, where its title does not, and by which word: "Active" may be any
    "stage_types": {"Lead": "Lead", "PreInterviewScreen": "Screen", "Offer": "Offer", "Hired": "Hired"},
    # roles of a hiring team, compared in lower case
    "roles": {
        "hiring manager": "hiring_manager",
        "recruiter": "recruiter",
        "recruiting coordinator": "coordinator",
        "coordinator": "coordinator",
        "sourcer": "sourcer",
    },
    "job_status": frozenset({"draft", "open", "closed", "archived"}),
    "job_closed": frozenset({"closed", "archived"}),
    "job_was_open": frozenset({"open", "closed"}),  # of an archived one, which may have been a draft, only openedAt says so
    # openingState that says the opening was approved: it comes before it is open
    "opening_approved": frozenset({"approved", "open", "filled"}),
    "opening_state": frozenset({"approved", "closed", "draft", "filled", "open"}),
    "approval": "approved",
    "acceptance": {"accepted": "offer.accepted", "declined": "offer.declined", "cancelled": "offer.updated"},
    "offer_sent": "waitingoncandidateresponse",
}


def minute(moment: datetime) -> str:
    """A webhook's `updatedAt` and the history tell one stage change with times a moment apart: it is known by its minute."""
    return moment.strftime("%Y-%m-%dT%H:%M")


def _named(app: Node) -> dict[str, Any]:
    job_of, person = app.node("job"), app.node("candidate")
    return {
        "requisition": job_of.required_id("id") if job_of else app.id("jobId"),
        "application": app.required_id("id"),
        "candidate": person.required_id("id") if person else app.id("candidateId"),
    }


def _status(node: Node) -> str | None:
    return node.word(VOCABULARY["application_status"], "status")


def created(source: Source, app: Node) -> list[Fact]:
    named, when = _named(app), When(app.required_instant("createdAt"), Origin.OBJECT)
    attributes = {"prospect": _status(app) == VOCABULARY["lead"]}
    native = (named["application"],)
    return [source.fact("application.created", when, native, occurrence="created", attributes=attributes, **named)]


def staged(source: Source, app: Node) -> list[Fact]:
    """The stage it is in; by its type where the title is not mapped. The archive is no stage."""
    stage = app.node("currentInterviewStage")
    if stage is None or (stage.text("type") or "").casefold() in VOCABULARY["no_stage"]:
        return []
    title = stage.text("title")
    if title is None:
        raise stage.missing("title")
    word = VOCABULARY["stage_types"].get(stage.text("type"))
    attributes = source.stage(title, stage.path_of("title"), *([word] if word else []))
    return [_staged(source, _named(app), title, source.when(app.instant("updatedAt")), attributes, None)]


def _staged(
    source: Source, named: dict[str, Any], title: str, when: When, attributes: dict[str, object], actor: str | None
) -> Fact:
    native, kind = (named["application"], " ".join(title.casefold().split())), "application.stage_changed"
    return source.fact(kind, when, native, occurrence=minute(when.at), attributes=attributes, actor=actor, **named)


def archived(source: Source, app: Node) -> list[Fact]:
    """The company's no, or the candidate's; once for each archiving, however often the application changes afterwards."""
    if _status(app) != VOCABULARY["archived"]:
        return []
    named, reason, at = _named(app), app.node("archiveReason"), app.instant("archivedAt")
    left = ((reason.text("reasonType") if reason else None) or "").casefold() in VOCABULARY["candidate_left"]
    kind = "application.withdrawn" if left else "application.rejected"
    when = When(at, Origin.OBJECT) if at else source.when(app.instant("updatedAt"))
    occurrence = None if at else "archived"
    attributes = {"reason_id": reason.id("id") if reason else None}
    return [source.fact(kind, when, (named["application"],), occurrence=occurrence, attributes=attributes, **named)]


def hired(source: Source, app: Node, when: When) -> list[Fact]:
    named = _named(app)
    return [source.fact("application.hired", when, (named["application"],), occurrence="hired", **named)]


def team(source: Source, app: Node) -> list[Fact]:
    """The application's people, and by the job it names where it is now: it may have moved."""
    named, people = _named(app), people_of(app)
    if not people and named["requisition"] is None:
        return []
    when = source.when(app.instant("updatedAt"))
    return [source.fact("application.updated", when, (named["application"],), people=people, **named)]


def people_of(node: Node) -> dict[str, tuple[str, ...]]:
    """Role -> users of a hiring team; roles that are not in the vocabulary are the company's own and mean nothing here."""
    found: dict[str, tuple[str, ...]] = {}
    for member in node.nodes("hiringTeam"):
        role = VOCABULARY["roles"].get((member.text("role") or "").casefold())
        if role is not None:
            found[role] = tuple(dict.fromkeys([*found.get(role, ()), member.required_id("userId")]))
    return found


def application(source: Source, app: Node) -> list[Fact]:
    """Its state without history: created, archived or hired; taken back where a poll saw it so before. No stage: no time."""
    named, status, previous = _named(app), _status(app), app.node("previous")
    before = _status(previous) if previous else None
    facts = created(source, app) + archived(source, app)
    if status == VOCABULARY["hired"]:
        facts += hired(source, app, source.noticed)
    elif before == VOCABULARY["archived"] and status != before:
        version = app.instant("updatedAt")
        occurrence = f"after {version:%Y-%m-%dT%H:%M:%S}" if version else None
        facts.append(
            source.fact("application.unrejected", source.noticed, (named["application"],), occurrence=occurrence, **named)
        )
    return facts + team(source, app)


def history(source: Source, row: Node) -> list[Fact]:
    """One stage of an application's history, with the time it was entered. The archive is a row like others, by its title."""
    title = row.text("title")
    if title is None:
        raise row.missing("title")
    if title.casefold() in VOCABULARY["no_stage"]:
        return []
    named = {"requisition": row.id("jobId"), "application": row.required_id("applicationId")}
    when = When(row.required_instant("enteredStageAt"), Origin.EVENT)
    return [_staged(source, named, title, when, source.stage(title, row.path_of("title")), row.id("actorId"))]


def job(source: Source, node: Node) -> list[Fact]:
    native, status = node.required_id("id"), node.word(VOCABULARY["job_status"], "status")
    previous = node.node("previous")
    before = previous.word(VOCABULARY["job_status"], "status") if previous else None
    opened_at, closed_at = node.instant("openedAt"), node.instant("closedAt")
    if opened_at is None and status in VOCABULARY["job_was_open"]:
        opened_at = node.instant("createdAt")
    updated, people, attributes = source.when(node.instant("updatedAt")), people_of(node), {"status": status}
    facts = []
    if opened_at is not None:
        facts.append(source.fact("requisition.opened", When(opened_at, Origin.OBJECT), (native,), requisition=native))
    facts.append(source.fact("requisition.updated", updated, (native,), requisition=native, people=people, attributes=attributes))
    if status in VOCABULARY["job_closed"]:
        closed = When(closed_at, Origin.OBJECT) if closed_at else updated
        occurrence = None if closed_at else "closed"
        facts.append(source.fact("requisition.closed", closed, (native,), occurrence=occurrence, requisition=native))
    elif before in VOCABULARY["job_closed"]:
        occurrence = f"{status} {updated.at:%Y-%m-%dT%H:%M:%S}"
        facts.append(source.fact("requisition.reopened", source.noticed, (native,), occurrence=occurrence, requisition=native))
    return facts


def opening(source: Source, node: Node) -> list[Fact]:
    """An approved opening approves each job it is for. Only `openedAt` is a time: approved and not yet open has none."""
    native = node.required_id("id")
    if node.word(VOCABULARY["opening_state"], "openingState") not in VOCABULARY["opening_approved"]:
        return []
    opened_at, version = node.instant("openedAt"), node.node("latestVersion")
    when = When(opened_at, Origin.OBJECT) if opened_at else source.noticed
    path = version.path_of("jobIds") if version else ""
    jobs = [native_id(item, f"{path}[{n}]") for n, item in enumerate(version.items("jobIds") if version else ())]
    return [
        source.fact("requisition.approved", when, (one, native), occurrence="approved", requisition=one)
        for one in dict.fromkeys(jobs)
    ]


def offer(source: Source, node: Node) -> list[Fact]:
    """Its process as far as it has come. When it was approved or sent is not told: not later than now."""
    native, latest = node.required_id("id"), node.node("latestVersion")
    versions = [*node.nodes("versions"), *([latest] if latest else [])]
    made = min([at for version in versions if (at := version.instant("createdAt"))], default=None)
    number = latest.id("id") if latest else None
    named: dict[str, Any] = {"application": node.required_id("applicationId")}
    named["attributes"] = {"offer_id": native, "offer_version": number}
    facts = []
    if made is not None:
        facts.append(source.fact("offer.created", When(made, Origin.OBJECT), (native,), occurrence="created", **named))
    if latest is not None and (latest.text("approvalStatus") or "").casefold() == VOCABULARY["approval"]:
        approved = (native, number or "")
        facts.append(source.fact("offer.approved", source.noticed, approved, occurrence="approved", **named))
    if (node.text("offerStatus") or "").casefold() == VOCABULARY["offer_sent"]:
        facts.append(source.fact("offer.sent", source.noticed, (native, number or ""), occurrence="sent", **named))
    kind = VOCABULARY["acceptance"].get((node.text("acceptanceStatus") or "").casefold())
    if kind is not None:
        decided_at = node.instant("decidedAt")
        when = When(decided_at, Origin.OBJECT) if decided_at else source.noticed
        occurrence = None if decided_at else kind
        facts.append(source.fact(kind, when, (native,), occurrence=occurrence, **named))
    return facts
