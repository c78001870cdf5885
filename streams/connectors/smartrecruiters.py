"""SmartRecruiters: its thin webhooks and its API's records as facts, its signature, and its handshake.

A webhook's body holds ids only; what happened is in headers (`vendor_headers`), and when, is the signed time of the request.
Where the name of the event alone tells what happened, that is a fact of that time; every other event is a signal that the
poller's next read answers. An application is a candidate in a job and has no id of its own: ours is `{candidate}.{job}`.
Every vendor word that decides something is in `VOCABULARY`, `EVENTS` and `RECORDS`. See docs/connectors.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams.connectors import signatures
from streams.connectors.payload import Node, Source, When, parse
from streams.errors import InvalidPayload, InvalidSignature
from streams.stages import StageMap

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
    "ended": {"REJECTED": "application.rejected", "WITHDRAWN": "application.withdrawn", "HIRED": "application.hired"},
    "undone": {"REJECTED": "application.unrejected", "HIRED": "application.unhired"},
    "stages": frozenset({"NEW", "IN_REVIEW", "INTERVIEW", "OFFERED", "HIRED"}),
    "prospect": "LEAD",
    "slot_cancelled": frozenset({"cancelled", "canceled"}),
    "offer_status": {"ACCEPTED": "offer.accepted", "DECLINED": "offer.declined", "REJECTED": "offer.declined"}
    | {"SENT": "offer.sent", "APPROVED": "offer.approved"},
}

#: Headers that are signed along with the body, in the order in which they are joined around it.
SIGNED = ("event-id", "event-name", "event-version", "link")
TIMESTAMP = "smartrecruiters-timestamp"
KEYS = 16  #: live secrets a subscription may have, and so signatures a header may carry
SECRET = re.compile(r"[\x21-\x7e]{1,256}")  #: what the handshake's secret may look like

Reading = Callable[[Source, Node, When], list[Fact]]


def _application(candidate: str, job: str) -> dict[str, Any]:
    return {"requisition": job, "application": f"{candidate}.{job}", "candidate": candidate}


def _named(node: Node) -> dict[str, Any]:
    """Whose it is, in the spelling of webhooks or of records."""
    return _application(node.required_id("candidate_id", "candidateId"), node.required_id("job_id", "jobId"))


# -- webhooks: what the event's name tells ------------------------------------------------------------------------------


def application_created(source: Source, body: Node, when: When) -> list[Fact]:
    named = _named(body)
    attributes = {"prospect": False}
    native = (named["application"],)
    return [source.fact("application.created", when, native, occurrence="created", attributes=attributes, **named)]


def candidate_deleted(source: Source, body: Node, when: When) -> list[Fact]:
    native = body.required_id("candidate_id", "id")
    return [source.fact("candidate.deleted", when, (native,), occurrence="deleted", candidate=native)]


def of_job(kind: str, occurrence: str) -> Reading:
    def read(source: Source, body: Node, when: When) -> list[Fact]:
        native = body.required_id("job_id", "id")
        return [source.fact(kind, when, (native,), occurrence=occurrence, requisition=native)]

    return read


def interview_cancelled(source: Source, body: Node, when: When) -> list[Fact]:
    native = body.required_id("interview_id", "id")
    return [source.fact("interview.cancelled", when, (native,), occurrence="deleted", interview=native)]


def of_offer(kind: str, occurrence: str) -> Reading:
    def read(source: Source, body: Node, when: When) -> list[Fact]:
        native = body.required_id("offer_id", "id")
        whose = _named(body) if body.id("job_id") and body.id("candidate_id") else {}
        return [source.fact(kind, when, (native,), occurrence=occurrence, attributes={"offer_id": native}, **whose)]

    return read


#: Webhook event -> how it is read, and the fact kinds it can give; None: a signal, its change is read by the poller.
EVENTS: dict[str, tuple[Reading | None, tuple[str, ...]]] = {
    "application.created": (application_created, ("application.created",)),
    "application.updated": (None, ()),
    "application.status.updated": (None, ()),
    "application.source.updated": (None, ()),
    "application.attachment.created": (None, ()),
    "candidate.created": (None, ()),
    "candidate.updated": (None, ()),
    "candidate.deleted": (candidate_deleted, ("candidate.deleted",)),
    "job.created": (None, ()),  # a draft, or already open: the record tells
    "job.updated": (None, ()),
    "job.status.updated": (None, ()),
    "job.hiring-team.updated": (None, ()),
    "job.ad.created": (None, ()),
    "job.ad.updated": (None, ()),
    "job.approval.created": (None, ()),
    "job.approval.approved": (of_job("requisition.approved", "approved"), ("requisition.approved",)),
    "job.approval.rejected": (None, ()),
    "job.approval.step.created": (None, ()),
    "job.approval.step.approved": (None, ()),
    "job.approval.step.rejected": (None, ()),
    "interview.created": (None, ()),
    "interview.updated": (None, ()),
    "interview.canceled": (interview_cancelled, ("interview.cancelled",)),
    "offer.created": (of_offer("offer.created", "created"), ("offer.created",)),
    "offer.updated": (None, ()),
    "offer.approval.created": (None, ()),
    "offer.approval.approved": (of_offer("offer.approved", "approved"), ("offer.approved",)),
    "offer.approval.rejected": (None, ()),
    "position.created": (None, ()),
    "position.updated": (None, ()),
    "position.deleted": (None, ()),
    "subscription.created": (None, ()),
}


# -- records ------------------------------------------------------------------------------------------------------------


def job(source: Source, node: Node, _: When) -> list[Fact]:
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


def candidate(source: Source, node: Node, _: When) -> list[Fact]:
    """A candidate's applications (assignments): when each began, if it says; stages come with the status history."""
    native, facts = node.required_id("id"), []
    first = node.node("primaryAssignment")
    for assignment in [*([first] if first else []), *node.nodes("secondaryAssignments")]:
        of = assignment.node("job")
        if of is None:
            continue  # in the talent pool, for no job
        named = _application(native, of.required_id("id"))
        applied_at = assignment.instant("appliedOn", "createdOn") or (node.instant("createdOn") if assignment is first else None)
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


def status_history(source: Source, node: Node, _: When) -> list[Fact]:
    """The whole history of one application, which the poller wraps as {candidate_id, job_id, content}."""
    named, facts, before = _named(node), [], ""
    entries = [(entry.required_instant("changedOn"), index, entry) for index, entry in enumerate(node.nodes("content"))]
    for at, _index, entry in sorted(entries, key=lambda one: one[:2]):
        status = (entry.text("status") or "").upper()
        when, native = When(at, Origin.EVENT), (named["application"],)
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


def interview(source: Source, node: Node, _: When) -> list[Fact]:
    """An interview with its slots as one, from the first start to the last end; without a slot left it is cancelled."""
    named, native = _named(node), node.required_id("id")
    seen = source.when(node.instant("updatedOn", "createdOn"))
    slots = [s for s in node.nodes("timeslots") if (s.text("status") or "").casefold() not in VOCABULARY["slot_cancelled"]]
    if not slots:
        when = source.noticed if node.instant("updatedOn") is None else seen
        return [source.fact("interview.cancelled", when, (native,), occurrence="deleted", interview=native, **named)]
    people = dict.fromkeys(who.required_id("id") for slot in slots for who in slot.nodes("interviewers"))
    attributes = {
        "starts_at": min(slot.required_instant("startsOn") for slot in slots).isoformat(),
        "ends_at": max(slot.required_instant("endsOn") for slot in slots).isoformat(),
        "interviewers": list(source.refs(people)),
    }
    return [source.fact("interview.scheduled", seen, (native,), interview=native, attributes=attributes, **named)]


def review(source: Source, node: Node, _: When) -> list[Fact]:
    """An evaluation of a candidate: the vendor's scorecard. It names no interview."""
    native, named = node.required_id("id"), _named(node)
    when = When(node.required_instant("createdOn"), Origin.OBJECT)
    reviewer, rating = node.node("reviewer"), node.value.get("rating")
    person = reviewer.required_id("id") if reviewer else node.required_id("reviewerId")
    rated = isinstance(rating, int | float) and not isinstance(rating, bool)
    attributes = {"scorecard_id": native, "rated": rated, "complete": rated, "reasoned": bool(node.text("comments", "comment"))}
    return [source.fact("scorecard.submitted", when, (native,), person=person, actor=person, attributes=attributes, **named)]


def offer(source: Source, node: Node, _: When) -> list[Fact]:
    native, named = node.required_id("id"), _named(node)
    attributes = {"offer_id": native}
    created = When(node.required_instant("createdOn"), Origin.OBJECT)
    facts = [source.fact("offer.created", created, (native,), occurrence="created", attributes=attributes, **named)]
    kind = VOCABULARY["offer_status"].get((node.text("status") or "").upper())
    if kind is not None:  # updatedOn may be of a later change
        when = source.noticed if source.raw.changed_since is not None else source.when(node.instant("updatedOn"))
        occurrence = kind.rpartition(".")[2]
        facts.append(source.fact(kind, when, (native,), occurrence=occurrence, attributes=attributes, **named))
    return facts


def user(source: Source, node: Node, _: When) -> list[Fact]:
    node.required_id("id")  # people.yaml says who is who
    return []


#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "jobs": (
        job,
        ("requisition.opened", "requisition.updated", *(f"requisition.{k}" for k in ("closed", "held", "resumed", "reopened"))),
    ),
    "candidates": (candidate, ("application.created",)),
    "status_history": (
        status_history,
        ("application.stage_changed", *VOCABULARY["ended"].values(), *VOCABULARY["undone"].values()),
    ),
    "interviews": (interview, ("interview.scheduled", "interview.cancelled")),
    "reviews": (review, ("scorecard.submitted",)),
    "offers": (offer, ("offer.created", *VOCABULARY["offer_status"].values())),
    "users": (user, ()),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("status_history", ("content",)),
    ("interviews", ("timeslots",)),
    ("reviews", ("rating", "createdOn")),
    ("candidates", ("primaryAssignment",)),
    ("offers", ("candidateId", "status")),
    ("jobs", ("refNumber", "status")),
    ("users", ("email", "role")),
)


class SmartRecruiters:
    """The connector (streams.connectors.Connector, Handshaking and Timestamped)."""

    system = "smartrecruiters"
    success_status = 202
    #: A delivery that fails is sent again with a new time; whether the first time is kept is not documented.
    max_age = timedelta(minutes=10)
    vendor_headers = frozenset({*SIGNED, TIMESTAMP})
    webhook_kinds = frozenset(kind for _, kinds in EVENTS.values() for kind in kinds)
    record_kinds: Mapping[str, frozenset[str]] = MappingProxyType(
        {name: frozenset(kinds) for name, (_, kinds) in RECORDS.items()}
    )

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`v1=<hex>;v1=<hex>…` over timestamp.body.event-id.event-name.event-version.link; an absent header is empty."""
        schemes = (part.strip().partition("=") for part in headers.get("smartrecruiters-signature", "").split(";")[:KEYS])
        claimed = [digest for scheme, _, text in schemes if scheme == "v1" and (digest := signatures.from_hex(text))]
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

    def is_ping(self, body: bytes) -> bool:
        return False

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return False  # a body without its headers says nothing

    def record_type(self, record: Mapping[str, object]) -> str | None:
        return next((name for name, names in SHAPES if all(n in record for n in names)), None)

    def normalise(self, raw: RawHeaders, body: bytes, stages: StageMap) -> list[Fact]:
        """One webhook body with its headers in `raw.vendor`, or one record of `raw.record_type`."""
        source, node = Source(raw, stages), parse(body)
        if raw.channel == "record":
            if raw.record_type not in RECORDS:
                raise InvalidPayload("unknown_record_type", "there are " + ", ".join(RECORDS))
            return RECORDS[raw.record_type][0](source, node, source.delivery)
        name = raw.vendor.get("event-name")
        if name is None:
            raise InvalidPayload("missing_field", "header event-name")
        if name not in EVENTS:
            raise InvalidPayload("unknown_action", "header event-name")
        read, signed_at = EVENTS[name][0], _timestamp(raw.vendor.get(TIMESTAMP, ""))
        if read is None:
            return []
        if signed_at is None:
            raise InvalidPayload("not_a_time", f"header {TIMESTAMP}")
        return read(source, node, When(signed_at, Origin.REQUEST))


_OTHERS: Iterable[str] = frozenset(EVENTS) - {"subscription.created"}


def _timestamp(text: str) -> datetime | None:
    """Seconds since 1970 as they are in the header, as an instant; None if they are none."""
    if not re.fullmatch(r"[0-9]{1,10}", text):
        return None
    return datetime.fromtimestamp(int(text), UTC)


SMARTRECRUITERS = SmartRecruiters()
