"""Teamtailor: its webhooks (a company's own, and a partner's) and its JSON:API records as facts, and its signatures.

Neither kind of webhook is documented to sign all it says: what may be forged by somebody who saw a delivery is told in
`Teamtailor.verify`. Names of stages do not come with an application; where they are missing, the stage is named by its id, and
stages.yaml can map that. Every vendor word that decides something is in `VOCABULARY`, `EVENTS` and `RECORDS`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams.connectors import signatures
from streams.connectors.payload import Node, Source, When, parse
from streams.connectors.tables import Reading, Tabled, nothing
from streams.errors import InvalidPayload, InvalidSignature

VOCABULARY: dict[str, Any] = {
    "job_status": frozenset({"open", "draft", "archived", "unlisted", "temporarily", "scheduled"}),
    "job_not_opened": frozenset({"draft", "scheduled"}),
    "job_closed": frozenset({"archived"}),
    "roles": {"user": "recruiter"},  # relationships of a job -> roles
}


def _related(data: Node, name: str) -> str | None:
    """The id of a related resource, None where the vendor only links to it."""
    relations = data.node("relationships")
    relation = relations.node(name) if relations else None
    found = relation.node("data") if relation else None
    return found.required_id("id") if found else None


def _included(envelope: Node, kind: str, native: str) -> Node | None:
    """The attributes of a resource that was sent along."""
    for other in envelope.nodes("included"):
        if other.text("type") == kind and other.id("id") == native:
            return other.node("attributes")
    return None


def _resource(envelope: Node) -> Node:
    """A resource alone, or the one in an envelope."""
    return envelope.node("data") or envelope


def job(source: Source, envelope: Node) -> list[Fact]:
    data = _resource(envelope)
    native, attributes = data.required_id("id"), data.required_node("attributes")
    status = attributes.word(VOCABULARY["job_status"], "status", "human-status")
    created = When(attributes.required_instant("created-at"), Origin.OBJECT)
    updated = source.when(attributes.instant("updated-at"))
    people = {role: (who,) for name, role in VOCABULARY["roles"].items() if (who := _related(data, name))}
    facts = []
    if status not in VOCABULARY["job_not_opened"]:
        facts.append(source.fact("requisition.opened", created, (native,), occurrence="opened", requisition=native))
    facts.append(
        source.fact("requisition.updated", updated, (native,), requisition=native, people=people, attributes={"status": status})
    )
    if status in VOCABULARY["job_closed"]:
        facts.append(source.fact("requisition.closed", updated, (native,), requisition=native))
    return facts


def job_application(source: Source, envelope: Node) -> list[Fact]:
    """When somebody applied, the stage they are in since when, and whether they were declined."""
    data = _resource(envelope)
    native, attributes = data.required_id("id"), data.required_node("attributes")
    named: dict[str, Any] = {
        "requisition": _related(data, "job") or attributes.id("job-id"),
        "application": native,
        "candidate": _related(data, "candidate") or attributes.id("candidate-id"),
    }
    created = When(attributes.required_instant("created-at"), Origin.OBJECT)
    about = {"prospect": bool(attributes.flag("sourced"))}
    facts = [source.fact("application.created", created, (native,), occurrence="created", attributes=about, **named)]
    rejected_at = attributes.instant("rejected-at")
    if rejected_at is not None:
        facts.append(source.fact("application.rejected", When(rejected_at, Origin.OBJECT), (native,), **named))
    stage = _related(data, "stage") or attributes.id("stage-id")
    moved_at = attributes.instant("changed-stage-at", "stage-changed-at")
    if stage is not None and moved_at is not None:
        told = _included(envelope, "stages", stage)
        name = (told.text("name") if told else None) or attributes.text("stage-name") or stage
        facts.append(
            source.fact(
                "application.stage_changed",
                When(moved_at, Origin.OBJECT),
                (native, " ".join(name.casefold().split())),
                attributes={**source.stage(name, "stage"), "stage_id": stage},
                **named,
            )
        )
    return facts


def deleted(kind: str, subject: str) -> Reading:
    def read(source: Source, envelope: Node) -> list[Fact]:
        native = _resource(envelope).required_id("id")
        subjects: dict[str, Any] = {subject: native}
        return [source.fact(kind, source.delivery, (native,), occurrence="deleted", **subjects)]

    return read


def _nothing(source: Source, envelope: Node) -> list[Fact]:
    return nothing(source, _resource(envelope))


_JOB = ("requisition.opened", "requisition.updated", "requisition.closed")
_APPLICATION = ("application.created", "application.rejected", "application.stage_changed")

#: Webhook event -> how its resource is read, and the fact kinds it can give. Any other is `unknown_action`.
EVENTS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "job.create": (job, _JOB),
    "job.update": (job, _JOB),
    "job.destroy": (deleted("requisition.deleted", "requisition"), ("requisition.deleted",)),
    "candidate.create": (_nothing, ()),
    "candidate.update": (_nothing, ()),
    "candidate.destroy": (deleted("candidate.deleted", "candidate"), ("candidate.deleted",)),
    "job_application.create": (job_application, _APPLICATION),
    "job_application.update": (job_application, _APPLICATION),
    "job_application.destroy": (deleted("application.deleted", "application"), ("application.deleted",)),
}

#: Record type -> how it is read, and the fact kinds its records can give: a resource, or `{data, included}` of one.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "jobs": (job, _JOB),
    "job_applications": (job_application, _APPLICATION),
    "candidates": (_nothing, ()),
    "users": (_nothing, ()),
}

#: JSON:API type -> record type.
TYPES = {"jobs": "jobs", "job-applications": "job_applications", "candidates": "candidates", "users": "users"}


class Teamtailor(Tabled):
    """The connector (streams.connectors.Connector)."""

    system = "teamtailor"
    webhooks = EVENTS
    records = RECORDS
    named_by = ("event_name",)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """base64(hex(HMAC-SHA256)), in header `Teamtailor-Signature` (partner) or the body's `signature` (company).

        A partner's is over the resource's id alone: who saw one delivery can send another body for that resource. What a
        company's is over is not documented: the exact bytes of `payload`, or the id alone, is taken; so the same holds.
        """
        given = headers.get("teamtailor-signature")
        if given is None:
            given = _signature(body)
        digest = _digest(given or "")
        if digest is None:
            raise InvalidSignature("no signature in header 'Teamtailor-Signature' or in the body")
        for signed in _signed(body, whole="teamtailor-signature" not in headers):
            try:
                signatures.check(signed, [digest], secrets)
            except InvalidSignature:
                continue
            return
        raise InvalidSignature("the signature does not fit under any of the account's secrets")

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        payload = body.get("payload", body)
        return isinstance(payload, dict) and "event_name" in payload

    def record_type(self, record: Mapping[str, object]) -> str | None:
        data = record.get("data", record)
        kind = data.get("type") if isinstance(data, dict) else None
        return TYPES.get(kind) if isinstance(kind, str) else None

    def event(self, raw: RawHeaders, node: Node) -> str:
        return super().event(raw, node.node("payload") or node)

    def content_of(self, node: Node) -> Node:
        """The whole envelope, because what came along is in it."""
        envelope = node.node("payload") or node
        envelope.required_node("data")
        return envelope


def _signature(body: bytes) -> str | None:
    try:
        return parse(body).text("signature")
    except InvalidPayload:
        return None


def _digest(text: str) -> bytes | None:
    try:
        return signatures.from_hex(base64.b64decode(text.strip(), validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        return None


def _signed(body: bytes, *, whole: bool) -> Iterator[bytes]:
    """What the signature may be over."""
    if whole:
        text = body.decode("utf-8", "replace")
        try:
            start = text.index("{", text.index('"payload"'))
            _, end = json.JSONDecoder().raw_decode(text, start)
            yield text[start:end].encode()
        except (ValueError, RecursionError):
            pass
    try:
        node = parse(body)
        envelope = node.node("payload") or node
        data = envelope.node("data")
        native = node.id("resource_id") or (data.id("id") if data else None)
    except InvalidPayload:
        return
    if native is not None:
        yield native.encode()


TEAMTAILOR = Teamtailor()
