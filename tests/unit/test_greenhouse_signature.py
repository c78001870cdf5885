"""Greenhouse's signature: over the exact bytes, by any of the live secrets."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from streams.connectors.greenhouse import GREENHOUSE
from streams.errors import InvalidSignature

# A public test vector: an integrator's capture of a ping (grnhse/greenhouse-api-docs, issue 276).
SECRET = b"1uSUju2H6AohOE7OQVaxeLT3O8Uxxuas"
BODY = (
    b'{"action":"ping","payload":{"web_hook_id":4001693002,"endpoint_url":"https://67e09e60.ngrok.io/webhooks",'
    b'"created_at":"2018-12-20T15:43:12Z","updated_at":"2018-12-27T09:40:14Z","name":"Job Post Create",'
    b'"event":"Job Post Created","active":true,"content-type":"application/json"}}'
)
HEADERS = {"signature": "sha256 395b1309fd37f0732d1ed11c15e03edd61b818918df6bf93be7c71bafb09c877"}


def signed(body: bytes, secret: bytes) -> dict[str, str]:
    return {"signature": "sha256 " + hmac.new(secret, body, hashlib.sha256).hexdigest()}


def test_the_public_test_vector_verifies() -> None:
    GREENHOUSE.verify(HEADERS, BODY, [SECRET])


def test_while_a_secret_is_rotated_either_verifies() -> None:
    for secret in (b"old", b"new"):
        GREENHOUSE.verify(signed(BODY, secret), BODY, [b"old", b"new"])


def test_one_changed_byte_does_not_verify() -> None:
    with pytest.raises(InvalidSignature):
        GREENHOUSE.verify(HEADERS, BODY.replace(b"true", b"True"), [SECRET])


def test_escapes_are_signed_as_they_were_sent() -> None:
    escaped = b'{"action":"ping","payload":{"name":"a \\u003c b"}}'
    GREENHOUSE.verify(signed(escaped, SECRET), escaped, [SECRET])
    with pytest.raises(InvalidSignature):
        GREENHOUSE.verify(signed(escaped, SECRET), escaped.replace(b"\\u003c", b"<"), [SECRET])


@pytest.mark.parametrize(
    "header",
    [None, "", "sha256", "sha256 ", "sha256=" + "0" * 64, "sha1 " + "0" * 40, "sha256 ünïcode", "sha256 " + "0" * 64],
)
def test_a_missing_or_foreign_signature_is_refused_without_telling_the_right_one(header: str | None) -> None:
    with pytest.raises(InvalidSignature) as error:
        GREENHOUSE.verify({} if header is None else {"signature": header}, BODY, [SECRET])
    assert HEADERS["signature"].split()[1] not in str(error.value)
    assert SECRET.decode() not in str(error.value)


def test_without_a_secret_nothing_verifies() -> None:
    for secrets in ([], [b""]):
        with pytest.raises(InvalidSignature):
            GREENHOUSE.verify(signed(BODY, b""), BODY, secrets)


def test_pings_are_known_and_nothing_else_is_taken_for_one() -> None:
    assert GREENHOUSE.is_ping(BODY)
    for other in (b'{"action":"job_created","payload":{}}', b"ping", b"\xff", b"[]", b""):
        assert not GREENHOUSE.is_ping(other)


def test_the_delivery_id_is_only_traced() -> None:
    assert GREENHOUSE.delivery_id({"greenhouse-event-id": "e-1"}) == "e-1"
    assert GREENHOUSE.delivery_id({}) is None
