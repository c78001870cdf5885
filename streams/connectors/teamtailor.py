"""Teamtailor: its webhooks (a company's own, and a partner's) and its JSON:API records as facts, and its signatures.

Not every webhook is known to sign all it says: what may be forged by somebody who saw a delivery is told in
`Teamtailor.verify`. A webhook is documented as a JSON:API resource in `payload`, its fields spelled with hyphens; one that was
captured is the resource itself, flat, with underscores: both are read. Where the name of a stage is missing, it is named by its
id, and stages.yaml can map that. Every vendor word that decides something is in `VOCABULARY`, `EVENTS` and `RECORDS`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
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

#: What `TT-Signature` decodes to in its second version.
DATED = re.compile(r"t=([0-9]{1,12}),v2=([0-9a-fA-F]{64})")


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


def _attributes(data: Node) -> Node:
    """What a resource says: in `attributes`, or flat beside its id."""
    return data.node("attributes") or (data.required_node("attributes") if "type" in data.value else data)


def job(source: Source, envelope: Node) -> list[Fact]:
    data = _resource(envelope)
    native, attributes = data.required_id("id"), _attributes(data)
    status = attributes.word(VOCABULARY["job_status"], "status", "human-status", "human_status")
    created = When(attributes.required_instant("created-at", "created_at"), Origin.OBJECT)
    updated = source.when(attributes.instant("updated-at", "updated_at"))
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
    """When somebody applied, the stage they are in since when, and whether they were declined, or left by the reason told."""
    data = _resource(envelope)
    native, attributes = data.required_id("id"), _attributes(data)
    person = attributes.node("candidate")
    named: dict[str, Any] = {
        "requisition": _related(data, "job") or attributes.id("job-id", "job_id"),
        "application": native,
        "candidate": _related(data, "candidate")
        or (person.id("id") if person else attributes.id("candidate-id", "candidate_id")),
    }
    facts = []
    created_at = attributes.instant("created-at", "created_at")
    if created_at is None and envelope.text("event_name") == "job_application.create":
        created_at = attributes.instant("updated_at")  # it has changed by nothing but its creation
    if created_at is not None:
        about = {"prospect": bool(attributes.flag("sourced"))}
        created = When(created_at, Origin.OBJECT)
        facts.append(source.fact("application.created", created, (native,), occurrence="created", attributes=about, **named))
    elif "type" in data.value:
        raise attributes.missing("created-at")
    rejected_at = attributes.instant("rejected-at", "rejected_at")
    if rejected_at is not None:
        reason = _related(data, "reject-reason")
        told = _included(envelope, "reject-reasons", reason) if reason else None
        left = told is not None and told.flag("rejected-by-company") is False
        kind = "application.withdrawn" if left else "application.rejected"
        facts.append(source.fact(kind, When(rejected_at, Origin.OBJECT), (native,), attributes={"reason_id": reason}, **named))
    return facts + _staged(source, envelope, data, attributes, named)


def _staged(source: Source, envelope: Node, data: Node, attributes: Node, named: dict[str, Any]) -> list[Fact]:
    stage = _related(data, "stage") or attributes.id("stage-id", "stage_id")
    moved_at = attributes.instant("changed-stage-at", "stage-changed-at", "last_moved_at")
    told = _included(envelope, "stages", stage) if stage else None
    name = (told.text("name") if told else None) or attributes.text("stage-name", "stage_name") or stage
    if name is None or moved_at is None:
        return []
    return [
        source.fact(
            "application.stage_changed",
            When(moved_at, Origin.OBJECT),
            (named["application"], " ".join(name.casefold().split())),
            attributes={**source.stage(name, "stage"), "stage_id": stage},
            **named,
        )
    ]


def deleted(kind: str, subject: str) -> Reading:
    def read(source: Source, envelope: Node) -> list[Fact]:
        native = _resource(envelope).required_id("id")
        subjects: dict[str, Any] = {subject: native}
        return [source.fact(kind, source.delivery, (native,), occurrence="deleted", **subjects)]

    return read


def _nothing(source: Source, envelope: Node) -> list[Fact]:
    return nothing(source, _resource(envelope))


_JOB = ("requisition.opened", "requisition.updated", "requisition.closed")
_APPLICATION = ("application.created", "application.rejected", "application.withdrawn", "application.stage_changed")

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
        """base64(hex(HMAC-SHA256)), in a header `Teamtailor-Signature` (partner), or `TT-Signature` or in the body (company).

        A partner's is over the resource's id alone: who saw one delivery can send another body for that resource. What a
        company's is over is not documented: the exact bytes of the body (of `payload`, where the signature is in the body), or
        the id alone, is taken; so the same holds. Of its second version, base64 of `t=SECONDS,v2=HEX`, third parties' code says
        that it is over `SECONDS.body`, which leaves nothing to forge.
        """
        partner, given = headers.get("teamtailor-signature"), headers.get("tt-signature")
        text = _decoded(partner or given or _signature(body) or "")
        dated = DATED.fullmatch(text) if given and not partner else None
        digest = signatures.from_hex(dated[2] if dated else text)
        if digest is None:
            raise InvalidSignature("no signature in header 'Teamtailor-Signature' or 'TT-Signature', or in the body")
        if dated:
            signatures.check(f"{dated[1]}.".encode() + body, [digest], secrets)
            return
        whole = [] if partner else [body] if given else _payload(body)
        for signed in [*whole, *_id(body)]:
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
        """The whole envelope, because what came along is in it; or a resource that is flat beside the event's name."""
        envelope = node.node("payload") or node
        if envelope.node("data") is None and envelope.id("id") is None:
            raise envelope.missing("data", "id")
        return envelope


def _signature(body: bytes) -> str | None:
    try:
        return parse(body).text("signature")
    except InvalidPayload:
        return None


def _decoded(text: str) -> str:
    """What base64 stands for, empty for what is none."""
    try:
        return base64.b64decode(text.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def _payload(body: bytes) -> list[bytes]:
    """The exact bytes of `payload`."""
    text = body.decode("utf-8", "replace")
    try:
        start = text.index("{", text.index('"payload"'))
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return []
    return [text[start:end].encode()]


def _id(body: bytes) -> list[bytes]:
    """The id of the resource."""
    try:
        node = parse(body)
        envelope = node.node("payload") or node
        data = envelope.node("data") or envelope
        native = node.id("resource_id") or data.id("id")
    except InvalidPayload:
        return []
    return [native.encode()] if native is not None else []


TEAMTAILOR = Teamtailor()
