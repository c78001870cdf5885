"""Lever: its webhooks as facts, its signature, and what protects from a replay; lever_records.py reads what is polled.

`EVENTS` and `RECORDS` say what there is and which fact kinds each can give; every other vendor word that decides something is
in `VOCABULARY` of lever_records. `triggeredAt` is the time of the event itself. The signature covers the token and that time,
not the body: what a body says is vouched for by nothing but TLS and the secrecy of the address. See docs/connectors.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams.connectors import lever_records as records
from streams.connectors import signatures
from streams.connectors.payload import Node, Source, When, parse
from streams.connectors.tables import Reading, Tabled, kinds_of, nothing
from streams.errors import InvalidPayload, InvalidSignature
from streams.stages import UNMAPPED


def _event(node: Node) -> When:
    return When(node.required_millis("triggeredAt"), Origin.EVENT)


def _named(data: Node) -> dict[str, Any]:
    return {"application": data.required_id("opportunityId"), "candidate": data.id("contactId")}


def application_created(source: Source, node: Node) -> list[Fact]:
    data = node.required_node("data")
    named: dict[str, Any] = {**_named(data), "requisition": data.id("postingId", "posting")}
    native = (named["application"],)
    return [source.fact("application.created", _event(node), native, occurrence="created", **named)]


def stage_change(source: Source, node: Node) -> list[Fact]:
    """A stage by its id. One that stages.yaml does not map is reported and left to the poll, which knows its name."""
    data = node.required_node("data")
    stage = data.required_id("toStageId")
    attributes = source.stage(stage, data.path_of("toStageId"))
    if attributes["stage"] == UNMAPPED:
        return [_updated(source, node, data, attributes)]
    return [records.staged(source, _named(data), stage, _event(node), {**attributes, "stage_id": stage})]


def archive_change(source: Source, node: Node) -> list[Fact]:
    """Archived, by its reason where stages.yaml knows what that means; or taken out of the archive again."""
    data = node.required_node("data")
    archived = data.node("toArchived", "archived")
    if archived is None:
        named, when = _named(data), _event(node)
        return [source.fact("application.unrejected", when, (named["application"],), **named)]
    reason = archived.id("reason")
    at = archived.millis("archivedAt")
    when = When(at, Origin.EVENT) if at else _event(node)
    meaning = source.stages.reason(reason)
    if meaning is None:
        return [_updated(source, node, data, {"archived": True, "reason_id": reason})]
    return [records.ended(source, _named(data), meaning, reason, when)]


def _updated(source: Source, node: Node, data: Node, attributes: Mapping[str, object]) -> Fact:
    """Something changed that only the poll can name."""
    named = _named(data)
    return source.fact("application.updated", _event(node), (named["application"],), attributes=attributes, **named)


def hired(source: Source, node: Node) -> list[Fact]:
    return [records.ended(source, _named(node.required_node("data")), "hired", None, _event(node))]


def deleted(source: Source, node: Node) -> list[Fact]:
    """An opportunity is gone. Only where none is named is it the person, who may have others."""
    data = node.required_node("data")
    opportunity = data.id("opportunityId")
    if opportunity is not None:
        return [source.fact("application.deleted", _event(node), (opportunity,), occurrence="deleted", **_named(data))]
    person = data.required_id("contactId")
    return [source.fact("candidate.deleted", _event(node), (person,), occurrence="deleted", candidate=person)]


def interview_deleted(source: Source, node: Node) -> list[Fact]:
    data = node.required_node("data")
    native, opportunity = data.required_id("interviewId", "id"), data.id("opportunityId")
    named: dict[str, Any] = {"application": opportunity, "interview": native}
    return [source.fact("interview.cancelled", _event(node), (native,), occurrence="cancelled", **named)]


#: Webhook event -> how it is read, and the fact kinds it can give; any other is `unknown_action`. None is a signal: the fields
#: of interviewCreated and interviewUpdated are not documented, so that the poll says when the interview is.
EVENTS: dict[str, tuple[Reading | None, tuple[str, ...]]] = {
    "applicationCreated": (application_created, ("application.created",)),
    "candidateStageChange": (stage_change, ("application.stage_changed", "application.updated")),
    "candidateArchiveChange": (
        archive_change,
        ("application.rejected", "application.withdrawn", "application.hired", "application.unrejected", "application.updated"),
    ),
    "candidateHired": (hired, ("application.hired",)),
    "candidateDeleted": (deleted, ("application.deleted", "candidate.deleted")),
    "interviewCreated": (None, ()),
    "interviewUpdated": (None, ()),
    "interviewDeleted": (interview_deleted, ("interview.cancelled",)),
    "contactCreated": (None, ()),
    "contactUpdated": (None, ()),
}

_INTERVIEW = ("interview.scheduled", "interview.cancelled")

#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "opportunities": (
        records.opportunity,
        (
            "application.created",
            "application.stage_changed",
            *records.VOCABULARY["ended"].values(),
            "application.updated",
            "candidate.deleted",
        ),
    ),
    "requisitions": (
        records.requisition,
        ("requisition.approved", "requisition.held", "requisition.resumed", "requisition.updated"),
    ),
    "postings": (records.posting, ("requisition.opened", "requisition.updated", "requisition.closed", "requisition.reopened")),
    "interviews": (records.interview, _INTERVIEW),
    "panels": (records.panel, _INTERVIEW),
    "feedback": (records.feedback, ("scorecard.submitted", "scorecard.deleted")),
    "offers": (records.offer, ("offer.created", "offer.approved", "offer.sent", "offer.accepted", "offer.declined")),
    "users": (nothing, ()),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("opportunities", ("stageChanges",)),
    ("requisitions", ("requisitionCode",)),
    ("feedback", ("completedAt", "fields")),
    ("panels", ("interviews",)),
    ("interviews", ("interviewers", "duration")),
    ("offers", ("opportunityId", "status")),
    ("postings", ("state", "categories")),
    ("users", ("accessRole",)),
)


class Lever(Tabled):
    """The connector (streams.connectors.Connector, streams.connectors.Tokened)."""

    system = "lever"
    webhooks = EVENTS
    records = RECORDS
    shapes = SHAPES
    named_by = ("event",)
    #: Lever tries five more times over a time it does not tell; older than this is not a retry any more but a replay.
    max_age = timedelta(hours=72)
    #: What a live webhook says for certain: stages and reasons that stages.yaml does not map by id are left to the poll.
    vouched_kinds = kinds_of(EVENTS) - {
        "application.stage_changed",
        "application.rejected",
        "application.withdrawn",
        "application.updated",
    }

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`signature` in the body: HMAC-SHA256, in hex, over `token` and `triggeredAt` as they are written.

        Each webhook of an account has a secret of its own, all of them among `secrets`.
        """
        token, triggered, given = _signed(body)
        digest = signatures.from_hex(given)
        if digest is None:
            raise InvalidSignature("no field 'signature' with a SHA-256 digest in hex")
        signatures.check(f"{token}{triggered}".encode(), [digest], secrets)

    def replay_token(self, body: bytes) -> tuple[str, datetime]:
        """The token, used for one delivery and its retries, and the time signed with it."""
        token, _, _ = _signed(body)
        try:
            return token, parse(body).required_millis("triggeredAt")
        except InvalidPayload as error:
            raise InvalidSignature(str(error)) from None

    def is_ping(self, body: bytes) -> bool:
        """The test that an administrator sends from Lever's settings has the event's name, and no data."""
        try:
            node = parse(body)
            return node.text("event") in EVENTS and node.value.get("data") == {}
        except InvalidPayload:
            return False

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return "event" in body and "triggeredAt" in body

    def webhook(self, raw: RawHeaders, node: Node) -> tuple[Reading | None, Node]:
        reading, content = super().webhook(raw, node)
        return (None if node.value.get("data") == {} else reading), content


def _signed(body: bytes) -> tuple[str, int | str, str]:
    """Token, time and signature as the body has them. Raises InvalidSignature where one is missing or of another type."""
    try:
        value = parse(body).value
    except InvalidPayload as error:
        raise InvalidSignature(f"the body cannot be read: {error.reason}") from None
    token, triggered, given = (value.get(name) for name in ("token", "triggeredAt", "signature"))
    whole = isinstance(triggered, int) and not isinstance(triggered, bool)
    if not (isinstance(token, str) and token and whole and isinstance(given, str)):
        raise InvalidSignature("the body has no token, triggeredAt and signature")
    return token, triggered, given  # type: ignore[return-value]  # `whole` says it


LEVER = Lever()
