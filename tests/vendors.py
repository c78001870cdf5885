"""The project's own bodies of every vendor but Greenhouse (tests/fixtures/<vendor>), and the raw headers they come with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams import stages
from streams.connectors import CONNECTORS
from streams.settings import ROOT

FOLDER = Path(__file__).parent / "fixtures"
VENDORS = ("merge", "smartrecruiters", "teamtailor", "workable")
BODIES: dict[tuple[str, str], Any] = {
    (vendor, path.stem): json.loads(path.read_text()) for vendor in VENDORS for path in sorted((FOLDER / vendor).glob("*.json"))
}
STAGES = stages.load(ROOT / "deploy" / "stages.yaml")
RECEIVED = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SIGNED_AT = datetime(2026, 6, 1, 11, 59, 30, tzinfo=UTC)


def headers(vendor: str, name: str, /, **changes: Any) -> RawHeaders:
    """Raw headers for the body of this name, `webhook.EVENT` or `record.TYPE`."""
    channel, _, kind = name.partition(".")
    named = {"event-name": kind, "smartrecruiters-timestamp": str(int(SIGNED_AT.timestamp()))}
    values: dict[str, Any] = {
        "tenant": "acme",
        "account": vendor,
        "system": vendor,
        "channel": channel,
        "received_at": RECEIVED,
        "request_id": "r-1",
        "record_type": kind if channel == "record" else None,
        "vendor": named if (vendor, channel) == ("smartrecruiters", "webhook") else {},
    }
    return RawHeaders.model_validate(values | changes)


def facts(vendor: str, name: str, changes: dict[str, Any] | None = None, /, **header_changes: Any) -> list[Fact]:
    """The facts of a body whose top-level fields (of the payload's data, for Workable's webhooks) were changed."""
    body = json.loads(json.dumps(BODIES[vendor, name]))
    (body["data"] if vendor == "workable" and "data" in body else body).update(changes or {})
    return CONNECTORS[vendor].normalise(headers(vendor, name, **header_changes), json.dumps(body).encode(), STAGES)


def of(found: list[Fact], kind: str) -> Fact:
    [fact] = [fact for fact in found if fact.kind == kind]
    return fact
