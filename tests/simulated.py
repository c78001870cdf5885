"""Simulated deliveries as the gateway would have written them, and the facts in them: no gateway, no Kafka, no link table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import orjson

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams.check import load_sources
from streams.connectors import CONNECTORS
from streams.errors import InvalidPayload
from streams.reported import read
from streams.settings import Settings
from streams.simulated_feed import Delivery
from streams.stages import load

CONNECTOR = CONNECTORS["greenhouse"]


def raw_of(delivery: Delivery, roles: dict[str, str]) -> list[tuple[RawHeaders, bytes]]:
    """What the gateway would have written of a delivery; `roles` of the identities."""
    fact = delivery.channel == "fact"
    account = "manual" if fact else "greenhouse"
    channel = {"records": "record"}.get(delivery.channel, delivery.channel)
    headers = RawHeaders.model_validate(
        {
            "tenant": "demo",
            "account": account,
            "system": account,
            "channel": channel,
            "received_at": delivery.at,
            "request_id": "r",
            "record_type": delivery.record_type or None,
            "actor": delivery.identity or None,
            "actor_role": roles.get(delivery.identity),
        }
    )
    whole = orjson.loads(delivery.body) if channel in ("record", "fact") else None
    bodies = [orjson.dumps(one) for one in whole] if isinstance(whole, list) else [delivery.body]
    return [(headers, body) for body in bodies]


def facts_of(deliveries: Iterable[Delivery], settings: Settings) -> tuple[list[Fact], Counter[str]]:
    """The facts of all deliveries that the gateway keeps, and how many bodies cannot be used, by reason."""
    stages = load(settings.deploy_dir / "stages.yaml")
    roles = {token.identity: str(token.role) for token in load_sources(settings.deploy_dir).tokens}
    facts: list[Fact] = []
    reasons: Counter[str] = Counter()
    for delivery in deliveries:
        if delivery.kind in ("ping", "forged"):
            continue
        for headers, body in raw_of(delivery, roles):
            try:
                facts += [read(headers, body)] if headers.channel == "fact" else CONNECTOR.normalise(headers, body, stages)
            except InvalidPayload as error:
                reasons[error.reason] += 1
    return facts, reasons
