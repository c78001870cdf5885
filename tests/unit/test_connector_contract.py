"""What every connector promises: who may speak, what a test delivery is, and facts that are declared, timed and stable."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import orjson
import pytest

from schemas.fact import FACT_KINDS, Fact, Origin
from streams.connectors import CONNECTORS, Connector
from streams.errors import InvalidPayload, InvalidSignature
from tests.every_fixture import BODIES, FACTUAL, SIGN, TAMPER, webhook
from tests.vendors import RECEIVED, STAGES, headers

SYSTEMS = sorted(CONNECTORS)
SECRET = b"the-secret-of-this-webhook"


def read(system: str, name: str, **changes: Any) -> list[Fact]:
    body = orjson.dumps(BODIES[system, name])
    return CONNECTORS[system].normalise(headers(system, name, **changes), body, STAGES)


def test_every_connector_has_fixtures_of_each_webhook_kind_and_record_type() -> None:
    assert set(SIGN) == set(CONNECTORS)
    for system, connector in CONNECTORS.items():
        names = {name for owner, name in BODIES if owner == system}
        assert {f"record.{kind}" for kind in connector.record_kinds} <= names
        assert any(name.startswith("webhook.") for name in names)


@pytest.mark.parametrize("system", SYSTEMS)
class TestWhoMaySpeak:
    def signed(self, system: str, secret: bytes = SECRET) -> tuple[Connector, dict[str, str], bytes]:
        sent, body = SIGN[system](secret, webhook(system))
        return CONNECTORS[system], dict(sent), body

    def test_the_right_signature(self, system: str) -> None:
        connector, sent, body = self.signed(system)
        connector.verify(sent, body, [SECRET])

    def test_either_of_two_live_secrets_while_one_is_rotated(self, system: str) -> None:
        for secret in (b"old", b"new"):
            connector, sent, body = self.signed(system, secret)
            connector.verify(sent, body, [b"old", b"new"])

    @pytest.mark.parametrize("secrets", [[], [b""], [b"another"]])
    def test_no_secret_and_another_secret_are_refused_without_telling(self, system: str, secrets: list[bytes]) -> None:
        connector, sent, body = self.signed(system)
        with pytest.raises(InvalidSignature) as error:
            connector.verify(sent, body, secrets)
        assert SECRET.decode() not in str(error.value) and "another" not in str(error.value)

    def test_an_empty_secret_opens_nothing(self, system: str) -> None:
        connector, sent, body = self.signed(system, b"")
        with pytest.raises(InvalidSignature):
            connector.verify(sent, body, [b""])

    def test_a_missing_signature(self, system: str) -> None:
        connector, _, body = self.signed(system)
        unsigned = {name: value for name, value in webhook(system).items() if name != "signature"}
        for raw in (body if system != "lever" else orjson.dumps(unsigned), orjson.dumps(unsigned), b"", b"{", b"[]", b"\xff"):
            with pytest.raises(InvalidSignature):
                connector.verify({}, raw, [SECRET])

    def test_what_is_signed_was_tampered_with(self, system: str) -> None:
        connector, sent, body = self.signed(system)
        this, that = TAMPER.get(system, (body[:1], body[:1] + b" "))
        assert this in body
        with pytest.raises(InvalidSignature):
            connector.verify(sent, body.replace(this, that, 1), [SECRET])

    def test_it_is_compared_in_constant_time(self, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
        connector, sent, body = self.signed(system)
        compared: list[bool] = []
        real = hmac.compare_digest

        def watched(one: bytes, other: bytes) -> bool:
            compared.append(real(one, other))
            return compared[-1]

        monkeypatch.setattr(hmac, "compare_digest", watched)
        connector.verify(sent, body, [b"another", SECRET, b"third"])
        assert len(compared) >= 3 and compared.count(True) >= 1  # no secret is spared once one fits


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_test_delivery_is_known_and_gives_no_fact(system: str) -> None:
    connector = CONNECTORS[system]
    assert not connector.is_ping(orjson.dumps(webhook(system)))
    assert not any(connector.is_ping(body) for body in (b"", b"{", b"[]", b"null", b"\xff"))
    for (owner, name), body in BODIES.items():
        if owner == system and name.startswith("ping."):
            assert connector.is_ping(orjson.dumps(body))
            assert read(system, name, channel="webhook") == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_unknown_action_or_record_type_is_said_to_be(system: str) -> None:
    reasons = set()
    body = webhook(system)
    for name, value in list(body.items()):
        changed = {**body, name: "no_such_thing"} if isinstance(value, str) else body
        inner = {**body, name: {**value, "event": "no_such", "event_name": "no.such"}} if isinstance(value, dict) else changed
        raw = headers(system, "webhook.no.such.thing")
        try:
            CONNECTORS[system].normalise(raw, orjson.dumps(inner), STAGES)
        except InvalidPayload as error:
            reasons.add(error.reason)
    assert reasons & {"unknown_action", "unknown_event"}
    with pytest.raises(InvalidPayload) as refused:
        CONNECTORS[system].normalise(headers(system, "record.no_such_type"), b"{}", STAGES)
    assert refused.value.reason == "unknown_record_type"


@pytest.mark.parametrize(("system", "name"), FACTUAL)
def test_every_body_gives_declared_timed_stable_facts_without_the_candidate(system: str, name: str) -> None:
    connector, (channel, _, kind) = CONNECTORS[system], name.partition(".")
    declared = connector.record_kinds[kind] if channel == "record" else connector.webhook_kinds
    found = read(system, name)
    assert {fact.kind for fact in found} <= declared <= set(FACT_KINDS)
    for fact in found:
        assert fact.occurred_at.tzinfo is UTC and fact.occurred_at <= RECEIVED
        assert fact.occurred_not_before is None or fact.occurred_not_before <= fact.occurred_at
        assert (fact.account, fact.system, fact.tenant) == (system, system, "acme")
    assert [fact.to_json() for fact in read(system, name)] == [fact.to_json() for fact in found]
    later = read(system, name, received_at=RECEIVED + timedelta(hours=3), request_id="r-2", delivery_id="d-2")
    # A snapshot without any time of its own is one of its delivery; whatever else comes again is the same happening.
    snapshots = [n for n, f in enumerate(found) if f.kind.endswith(".updated") and f.occurred_at_source == Origin.DELIVERY]
    assert [f.fact_id for n, f in enumerate(later) if n not in snapshots] == [
        f.fact_id for n, f in enumerate(found) if n not in snapshots
    ]


@pytest.mark.parametrize(("system", "name"), FACTUAL)
def test_two_accounts_of_one_vendor_share_nothing(system: str, name: str) -> None:
    found, other = read(system, name), read(system, name, account="emea")
    assert {fact.fact_id for fact in found}.isdisjoint(fact.fact_id for fact in other)
    assert all((fact.requisition_id or fact.application_id or "emea/").startswith("emea/") for fact in other)


def texts(value: Any, key: str = "") -> Iterator[str]:
    """Names, addresses, telephone numbers and free text of a body: what no fact may hold."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str) and len(value) > 2 and key in PRIVATE:
        yield value


PRIVATE = frozenset(
    {"email", "emails", "name", "firstName", "lastName", "first_name", "last_name", "headline", "value", "note", "subject"}
    | {"location", "body", "comment", "text", "tags", "reason", "notes", "answer", "phone"}
)


@pytest.mark.parametrize(("system", "name"), FACTUAL)
def test_no_text_of_the_body_is_in_a_fact_but_stage_names(system: str, name: str) -> None:
    private = {text.casefold() for text in texts(BODIES[system, name])}
    for fact in read(system, name):
        stage = str(fact.attributes.get("stage_name", "")).casefold()
        said = fact.model_dump(mode="json")
        held = {v.casefold() for v in strings({**said, "attributes": {**fact.attributes, "stage_name": None}})}
        found = {text for text in private if text in held and text != stage and len(text) > 4}
        # words of the vendor's vocabulary look the same: a recommendation, a status
        assert not {text for text in found if " " in text or "@" in text or "robin" in text}, found
        assert b"robin" not in fact.to_json().lower()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize(("system", "name"), [pair for pair in FACTUAL if pair[1].startswith("record.")])
def test_a_record_s_type_is_told_by_its_shape(system: str, name: str) -> None:
    connector = CONNECTORS[system]
    assert connector.record_type(BODIES[system, name]) == name.partition(".")[2]
    assert not connector.is_webhook(BODIES[system, name])
