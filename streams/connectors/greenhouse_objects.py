"""Greenhouse's objects as facts: what a job, an application, an offer, an interview ... says, in a webhook or a polled record.

Every vendor word that decides something is in `VOCABULARY`. Field names of Harvest v3 are not published; the v1 names come
first and plausible flat ones (`candidate.id` as `candidate_id`) as aliases. docs/connectors.md has the whole matrix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When, native_id, on_day
from streams.errors import InvalidPayload

VOCABULARY: dict[str, Any] = {
    # hiring_team lists -> roles
    "roles": {
        "recruiters": "recruiter",
        "coordinators": "coordinator",
        "hiring_managers": "hiring_manager",
        "sourcers": "sourcer",
    },
    # rejection_reason.type.name that says the candidate left, compared in lower case
    "candidate_left": frozenset({"they rejected us", "candidate withdrew", "withdrawn"}),
    "job_status": frozenset({"open", "closed", "draft"}),
    # offer_status (webhook) and status (Harvest) -> the fact kind its resolved_at is the time of
    "offer_resolved": {"accepted": "offer.accepted", "rejected": "offer.declined", "deprecated": "offer.updated"},
    "offer_status": frozenset({"created", "unresolved", "accepted", "rejected", "deprecated"}),
    "approval_status": frozenset({"pending", "approved", "rejected"}),
    # the subject of an activity, and its body's text
    "stage_change": (
        "candidate stage change",
        re.compile(r"was moved into (?P<stage>.+?) for (?P<job>.+) on \d\d?/\d\d?/\d{4} by "),
    ),
    # approval_type, approval_flow_type: start recruiting on a job; make offers on a job; one candidate's offer
    "approves": {"open_job": "requisition.approved", "offer_job": "requisition.updated", "offer_candidate": "offer.approved"},
}


class Application(NamedTuple):
    """Which application, whose, and for which jobs (a prospect may have none or several)."""

    id: str
    candidate: str | None
    jobs: tuple[str, ...]
    prospect: bool

    def common(self) -> dict[str, Any]:
        return {"application": self.id, "candidate": self.candidate}


def application(node: Node) -> Application:
    """The ids of an application object in any of its shapes."""
    person, job = node.node("candidate"), node.node("job")
    jobs = [j.required_id("id") for j in node.nodes("jobs")] or [
        i for i in (job.id("id") if job else None, node.id("job_id")) if i
    ]
    return Application(
        id=node.required_id("id"),
        candidate=person.required_id("id") if person else node.id("candidate_id"),
        jobs=tuple(dict.fromkeys(jobs)),
        prospect=bool(node.flag("prospect")),
    )


def _of_application(source: Source, kind: str, app: Application, when: When, native: tuple[str, ...], **more: Any) -> list[Fact]:
    """The fact for each of the application's jobs, with one id; without a job once, for the router to place."""
    attributes = dict(more.pop("attributes", None) or {})
    if app.prospect and not app.jobs:
        attributes["prospect"] = True
    return [
        source.fact(kind, when, native, requisition=job, attributes=attributes, **app.common(), **more)
        for job in app.jobs or (None,)
    ]


def created(source: Source, node: Node, applied: When) -> list[Fact]:
    app = application(node)
    attributes = {"prospect": app.prospect}
    return _of_application(source, "application.created", app, applied, (app.id,), occurrence="created", attributes=attributes)


def staged(source: Source, node: Node, when: When) -> list[Fact]:
    """The stage an application is in as of `when`."""
    app, stage = application(node), node.required_node("current_stage")
    name = stage.text("name")
    if name is None:
        raise stage.missing("name")
    return _staged(source, app, name, stage.id("id"), when)


def _staged(
    source: Source, app: Application, name: str, stage_id: str | None, when: When, actor: str | None = None
) -> list[Fact]:
    where = "current_stage.name, or the text of an activity"
    attributes = {**source.stage(name, where), "stage_id": stage_id}
    native = (app.id, " ".join(name.casefold().split()))
    return _of_application(source, "application.stage_changed", app, when, native, attributes=attributes, actor=actor)


def visited(source: Source, node: Node, when: When) -> list[Fact]:
    """v3: the stage an application came to."""
    name = node.text("name")
    if name is None:
        raise node.missing("name")
    app = Application(node.required_id("application_id"), None, (), False)
    return _staged(source, app, name, node.id("job_interview_stage_id"), when)


def rejected(source: Source, node: Node, when: When) -> list[Fact]:
    """The company's no, or the candidate's, by the type of the reason."""
    app, reason = application(node), node.node("rejection_reason")
    kind_of = reason.node("type") if reason else None
    left = ((kind_of.text("name") if kind_of else None) or "").casefold() in VOCABULARY["candidate_left"]
    attributes = {"reason_id": reason.id("id") if reason else None, "reason_type_id": kind_of.id("id") if kind_of else None}
    kind = "application.withdrawn" if left else "application.rejected"
    return _of_application(source, kind, app, when, (app.id,), attributes=attributes)


def happened(source: Source, kind: str, node: Node, when: When, occurrence: str | None = None) -> list[Fact]:
    """A fact about an application that says nothing but that it happened."""
    app = application(node)
    return _of_application(source, kind, app, when, (app.id,), occurrence=occurrence)


def team_of_application(source: Source, node: Node, when: When) -> list[Fact]:
    """The people of an application as a fact of their own.

    They change without a time, so they must not be part of a fact that a webhook and a later poll both report.
    """
    app, found = application(node), people_of(node)
    return _of_application(source, "application.updated", app, when, (app.id,), people=found) if found else []


def people_of(node: Node) -> dict[str, tuple[str, ...]]:
    """Recruiter and coordinator of an application (or of its candidate, in webhooks), and its one job's hiring team."""
    found: dict[str, tuple[str, ...]] = {}
    jobs = list(node.nodes("jobs"))
    team = jobs[0].node("hiring_team") if len(jobs) == 1 else None
    if team is not None:
        found.update(hiring_team(team))
    for holder in (node.node("candidate"), node):
        for role in ("recruiter", "coordinator"):
            user = holder.node(role) if holder else None
            native = user.id("id") if user else (holder.id(f"{role}_user_id", f"{role}_id") if holder else None)
            if native is not None:
                found[role] = (native,)
    return found


def hiring_team(team: Node) -> dict[str, tuple[str, ...]]:
    """Role -> user ids, the responsible first, those marked inactive left out; webhooks say user_id, Harvest says id."""
    found: dict[str, tuple[str, ...]] = {}
    for theirs, role in VOCABULARY["roles"].items():
        members = [m for m in team.nodes(theirs) if m.flag("active") is not False]
        members.sort(key=lambda m: m.flag("responsible") is not True)
        natives = tuple(dict.fromkeys(m.required_id("user_id", "id") for m in members))
        if natives:
            found[role] = natives
    return found


def job(source: Source, node: Node, updated: When) -> list[Fact]:
    """Opened, closed, and what it is like as of `updated` with the people of the moment."""
    native = node.required_id("id")
    opened_at = node.instant("opened_at", "open_date", "created_at")
    status = node.word(VOCABULARY["job_status"], "status")
    facts = []
    if opened_at is not None and status != "draft":  # nobody has to look for candidates yet
        opened = When(opened_at, Origin.OBJECT)
        facts.append(source.fact("requisition.opened", opened, (native,), requisition=native))
    team, openings = node.node("hiring_team"), list(node.nodes("openings"))
    attributes = {"status": status, "openings": len(openings) if openings else None}
    facts.append(
        source.fact(
            "requisition.updated",
            updated,
            (native,),
            requisition=native,
            people=hiring_team(team) if team else None,
            attributes=attributes,
        )
    )
    if status == "closed":
        closed = source.when(node.instant("closed_at", "close_date"))
        facts.append(source.fact("requisition.closed", closed, (native,), requisition=native))
    return facts


def approval(source: Source, kind_of_flow: str | None, flow: Node, when: When, job_id: str | None, offer_id: str | None) -> Fact:
    """A completed approval: of the job (work may begin), of making offers on it, or of one candidate's offer."""
    kind = VOCABULARY["approves"].get(kind_of_flow)
    if kind is None:
        raise InvalidPayload("unknown_approval_type", flow.path)
    if kind == "offer.approved":
        if offer_id is None:
            raise flow.missing("offer_id")
        return source.fact(kind, when, (offer_id,), occurrence="approved", requisition=job_id, attributes={"offer_id": offer_id})
    if job_id is None:
        raise flow.missing("job_id")
    if kind == "requisition.approved":
        return source.fact(kind, when, (job_id,), occurrence="approved", requisition=job_id)
    return source.fact(kind, when, (job_id, "offer_job"), requisition=job_id, attributes={"approval": "offer_job"})


class Offer(NamedTuple):
    """The ids of an offer's version, as its facts name them."""

    native: tuple[str, ...]
    named: dict[str, Any]


def offer(node: Node) -> Offer:
    native = (node.required_id("id"), node.id("version") or "1")
    attributes = {"offer_id": native[0], "offer_version": native[1]}
    return Offer(
        native,
        {
            "requisition": node.id("job_id"),
            "application": node.required_id("application_id"),
            "candidate": node.id("candidate_id"),
            "actor": node.id("user_id", "offering_user_id"),
            "attributes": attributes,
        },
    )


def offer_status(node: Node) -> str | None:
    return node.word(VOCABULARY["offer_status"], "offer_status", "status")


def offer_progress(source: Source, node: Node) -> list[Fact]:
    """Sent (a day, no instant) and resolved, as far as the offer has come."""
    this = offer(node)
    named = {**this.named, "actor": None}  # user_id is who made the offer, not who sent or resolved it
    resolved_at = node.instant("resolved_at")
    facts = []
    day = node.day("sent_at", "sent_on")
    sent = on_day(day, (source.raw.received_at, resolved_at)) if day else None
    if day is not None and sent is not None:
        attributes = {**named["attributes"], "sent_on": day.isoformat()}
        facts.append(
            source.fact("offer.sent", sent, this.native, occurrence=day.isoformat(), **{**named, "attributes": attributes})
        )
    kind = VOCABULARY["offer_resolved"].get(offer_status(node))
    if kind is not None and resolved_at is not None:
        attributes = {**named["attributes"], "status": offer_status(node)}
        facts.append(source.fact(kind, When(resolved_at, Origin.OBJECT), this.native, **{**named, "attributes": attributes}))
    return facts


def activity(source: Source, node: Node, candidate: str, applications: Iterable[Node], only: str | None) -> list[Fact]:
    """A stage change told in English; anything else in the feed gives nothing.

    `only`: the application the feed was wrapped with; else the candidate's one application for a job of the name in the text.
    """
    subject, wording = VOCABULARY["stage_change"]
    match = wording.search(node.text("body") or "")
    if match is None or (node.text("subject") or "").casefold() != subject:
        return []
    stage, rest = match["stage"], f"{match['stage']} for {match['job']}"
    fitting: list[Application] = []
    for known in applications:
        names = [j.text("name") for j in known.nodes("jobs")]
        named = next((name for name in names if name and rest.endswith(f" for {name}")), None)
        if named is not None:
            fitting.append(application(known))
            stage = rest.removesuffix(f" for {named}")
    if only is None and len(fitting) != 1:
        raise InvalidPayload(
            "activity_without_application",
            f"{node.path}: wrap the feed as {{candidate_id, application_id, activities}} or with the candidate's applications",
        )
    app = Application(only, candidate, (), False) if only is not None else fitting[0]._replace(candidate=candidate)
    return _staged(source, app, stage, None, When(node.required_instant("created_at"), Origin.OBJECT), user_of(node, "user"))


def user_of(node: Node, name: str, *, required: bool = False) -> str | None:
    user = node.node(name)
    native = user.required_id("id", "user_id") if user else node.id(f"{name}_id")
    if native is None and required:
        raise node.missing(name, f"{name}_id")
    return native


def deleted_applications(node: Node) -> list[str] | None:
    """The applications a candidate's deletion took with it; None where the vendor does not say."""
    if node.value.get("deleted_application_ids") is None:
        return None
    path = node.path_of("deleted_application_ids")
    return [native_id(item, f"{path}[{index}]") for index, item in enumerate(node.items("deleted_application_ids"))]
