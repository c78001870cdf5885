"""The project's own Greenhouse bodies (tests/fixtures/greenhouse) and the raw headers they come with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams import stages
from streams.connectors.greenhouse import GREENHOUSE
from streams.settings import ROOT

FOLDER = Path(__file__).parent / "fixtures" / "greenhouse"
BODIES: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
STAGES = stages.load(ROOT / "deploy" / "stages.yaml")
RECEIVED = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def headers(name: str, **changes: Any) -> RawHeaders:
    """Raw headers for the body of this name, `webhook.ACTION` or `record.TYPE`."""
    channel, _, kind = name.partition(".")
    values: dict[str, Any] = {
        "tenant": "acme",
        "account": "greenhouse",
        "system": "greenhouse",
        "channel": channel,
        "received_at": RECEIVED,
        "request_id": "r-1",
        "record_type": kind if channel == "record" else None,
    }
    return RawHeaders.model_validate(values | changes)


def facts(name: str, change: Callable[[Any], None] | None = None, **header_changes: Any) -> list[Fact]:
    """The facts of a body, after `change` was done to a copy of it (its payload, for webhooks)."""
    body = json.loads(json.dumps(BODIES[name]))
    if change is not None:
        change(body["payload"] if name.startswith("webhook.") else body)
    return GREENHOUSE.normalise(headers(name, **header_changes), json.dumps(body).encode(), STAGES)
