"""Workable: its webhooks as facts, and its signature; workable_records.py reads the objects, which the API lists alike.

`EVENTS` and `RECORDS` say what there is and which fact kinds each can give. A candidate is one person's application to one job,
so candidate and application have the same native id; our requisition is Workable's job, by its shortcode. A webhook holds the
candidate as they are when it is sent, not as when it was triggered. See docs/connectors.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams.connectors import signatures
from streams.connectors import workable_records as records
from streams.connectors.payload import Node, Source, When
from streams.connectors.tables import Reading, Tabled, nothing
from streams.errors import InvalidSignature


def candidate_moved(source: Source, node: Node) -> list[Fact]:
    """The stage at the time of sending. `updated_at` is the best there is: late deliveries may have seen a later change."""
    if node.text("stage_kind") in records.VOCABULARY["stage_kind"] or node.flag("disqualified"):
        return records.milestones(source, node)
    return records.milestones(source, node) + records.staged(source, node, source.when(node.instant("updated_at")))


def candidate_created(source: Source, node: Node) -> list[Fact]:
    created_at, updated_at = node.required_instant("created_at"), node.instant("updated_at")
    if node.text("stage_kind") in records.VOCABULARY["stage_kind"]:
        return records.milestones(source, node)
    return records.milestones(source, node) + records.staged(
        source, node, When(max(created_at, updated_at or created_at), Origin.OBJECT)
    )


def candidate_deleted(source: Source, node: Node) -> list[Fact]:
    return [
        records.gone(source, "application.deleted", node, "deleted"),
        records.gone(source, "candidate.deleted", node, "deleted"),
    ]


_SINCE = (
    "application.created",
    "application.rejected",
    "application.withdrawn",
    "application.stage_changed",
    "application.hired",
)

#: Webhook event -> how its candidate is read (None: it is about no candidate), and the fact kinds it can give. Any other is
#: `unknown_action`.
EVENTS: dict[str, tuple[Reading | None, tuple[str, ...]]] = {
    "candidate_created": (candidate_created, (*_SINCE, "candidate.deleted")),
    "candidate_moved": (candidate_moved, (*_SINCE, "candidate.deleted")),
    "candidate_deleted": (candidate_deleted, ("application.deleted", "candidate.deleted")),
    "employee_created": (None, ()),
    "employee_updated": (None, ()),
    "employee_published": (None, ()),
    "onboarding_completed": (None, ()),
    "timeoff_updated": (None, ()),
}

#: Record type -> how it is read, and the fact kinds its records can give.
RECORDS: dict[str, tuple[Reading, tuple[str, ...]]] = {
    "candidates": (records.milestones, (*_SINCE, "candidate.deleted")),
    "jobs": (records.job, ("requisition.opened", "requisition.updated", "requisition.closed", "requisition.reopened")),
    "requisitions": (
        records.requisition,
        ("requisition.approved", "requisition.held", "requisition.resumed", "requisition.updated"),
    ),
    "activities": (records.activity, ("application.stage_changed", "application.unrejected", "scorecard.submitted")),
    "events": (records.event, ("interview.scheduled", "interview.cancelled")),
    "offers": (records.offer, ("offer.created", "offer.approved", "offer.sent", "offer.accepted", "offer.declined")),
    "members": (nothing, ()),
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


class Workable(Tabled):
    """The connector (streams.connectors.Connector)."""

    system = "workable"
    webhooks = EVENTS
    records = RECORDS
    shapes = SHAPES
    named_by = ("event_type", "type", "action")

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`X-Workable-Signature`: HMAC-SHA256 over the body, in hex or base64; which of them is not documented.

        The two cannot be mistaken: a digest is 64 hex digits, or 44 characters of base64 that end in `=`.
        """
        given = headers.get("x-workable-signature", "").strip()
        digest = signatures.from_hex(given) or _from_base64(given)
        if digest is None:
            raise InvalidSignature("no header 'X-Workable-Signature' with a SHA-256 digest in hex or base64")
        signatures.check(body, [digest], secrets)

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        said = (body.get(name) for name in self.named_by)
        return any(name in EVENTS for name in said if isinstance(name, str))

    def event(self, raw: RawHeaders, node: Node) -> str:
        """A bare candidate, as the vendor's page words it, shows the state they are in."""
        return "candidate_moved" if _is_bare(node) else super().event(raw, node)

    def content_of(self, node: Node) -> Node:
        return node if _is_bare(node) else node.required_node("data", "candidate")


def _is_bare(node: Node) -> bool:
    return node.text(*Workable.named_by) is None and "stage" in node.value


def _from_base64(text: str) -> bytes | None:
    try:
        digest = base64.b64decode(text, validate=True) if len(text) == 44 else b""
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == 32 else None


WORKABLE = Workable()
