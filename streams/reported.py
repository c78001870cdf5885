"""Facts that people report by POST /facts, from `ats.raw` to the canonical fact.

What is told comes from the body; who tells it, and when we learned it, only from the headers that the gateway wrote.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from schemas.fact import Fact, Origin, manual_fact_id
from schemas.raw import RawHeaders
from streams.connectors import MANUAL_KINDS
from streams.connectors.payload import parse
from streams.errors import InvalidPayload

FIELDS = frozenset(
    {"kind", "occurred_at", "requisition_id", "application_id", "candidate_id", "interview_id", "person", "attributes"}
)


def read(raw: RawHeaders, body: bytes) -> Fact:
    """The fact of one body. The reporter's role is in `actor_role`, beside the attributes they gave.

    Raises InvalidPayload for a kind that cannot be reported, a field that is not theirs to give, or one of the wrong type.
    """
    said, attributes = _said(raw, body)
    try:
        fact = Fact(
            **said,
            fact_id="",
            tenant=raw.tenant,
            account=raw.account,
            system=raw.system,
            occurred_at_source=Origin.EVENT,
            received_at=raw.received_at,
            actor=raw.actor,
            attributes=attributes,
            backfill=raw.backfill,
        )
    except ValidationError as error:
        raise InvalidPayload("invalid_fact", ", ".join(sorted({str(e["loc"][0]) for e in error.errors()}))) from None
    subjects = (fact.requisition_id, fact.application_id, fact.candidate_id, fact.interview_id)
    if not any(subjects):
        raise InvalidPayload("missing_field", "requisition_id, application_id, candidate_id or interview_id")
    identity = manual_fact_id(
        fact.tenant,
        fact.account,
        fact.kind,
        fact.occurred_at,
        [*subjects, fact.person],
        fact.actor,
        attributes.get("exception_id"),
    )
    return fact.model_copy(update={"fact_id": identity})


def _said(raw: RawHeaders, body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the reporter may say and said, and the attributes of it with their role."""
    said = dict(parse(body).value)
    foreign = sorted(set(said) - FIELDS)
    if foreign:
        raise InvalidPayload("unknown_field", f"fields are {', '.join(sorted(FIELDS))}")
    kind = said.get("kind")
    if not isinstance(kind, str) or kind not in MANUAL_KINDS:
        raise InvalidPayload("kind_cannot_be_reported", "kind")
    attributes = said.pop("attributes", None) or {}
    if not isinstance(attributes, dict):
        raise InvalidPayload("not_an_object", "attributes")
    if raw.actor_role is not None:
        attributes = {**attributes, "actor_role": raw.actor_role}
    return said, attributes
