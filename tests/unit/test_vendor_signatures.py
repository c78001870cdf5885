"""Who may speak: each vendor's signature over the exact bytes it signs, under any live secret, and nobody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from streams.connectors import CONNECTORS, Handshaking, Timestamped
from streams.connectors.smartrecruiters import SMARTRECRUITERS
from streams.connectors.teamtailor import TEAMTAILOR
from streams.errors import InvalidSignature

BODY = b'{"payload":{"event_name":"job.update","data":{"id":"812","type":"jobs"}},"resource_id":"812"}'

# SmartRecruiters' own example ("Generate secret key for a webhook subscription").
VECTOR_SECRET = b"HeBVky2bccvvkcXPimH8c"
VECTOR_BODY = b'{"job_id":"jid","candidate_id":"cid"}'
VECTOR = {
    "smartrecruiters-signature": "v1=2e9291f10d44ca10204a4cd81b05d73b6a316b2b605d4e2e0e0b37b40198ce1f",
    "smartrecruiters-timestamp": "1574080897",
    "event-id": "123",
    "link": "<http://smartrecruiters.com/endpoint>; rel=self",
    "event-name": "application.created",
    "event-version": "v201910",
}


def digest(secret: bytes, signed: bytes) -> bytes:
    return hmac.new(secret, signed, hashlib.sha256).digest()


def smartrecruiters(secret: bytes, body: bytes) -> dict[str, str]:
    signed = b"1780000000." + body + b".e-1.job.updated.."  # no event-version, no link
    return {
        "smartrecruiters-signature": "v1=" + digest(secret, signed).hex(),
        "smartrecruiters-timestamp": "1780000000",
        "event-id": "e-1",
        "event-name": "job.updated",
    }


def merge(secret: bytes, body: bytes) -> dict[str, str]:
    return {"x-merge-webhook-signature": base64.urlsafe_b64encode(digest(secret, body)).decode()}


SIGNERS: dict[str, Callable[[bytes, bytes], Mapping[str, str]]] = {
    "workable": lambda secret, body: {"x-workable-signature": digest(secret, body).hex()},
    "smartrecruiters": smartrecruiters,
    "merge": merge,
}


@pytest.mark.parametrize("vendor", sorted(SIGNERS))
def test_while_a_secret_is_rotated_either_verifies(vendor: str) -> None:
    for secret in (b"old", b"new"):
        CONNECTORS[vendor].verify(SIGNERS[vendor](secret, BODY), BODY, [b"old", b"new"])


@pytest.mark.parametrize("vendor", sorted(SIGNERS))
@pytest.mark.parametrize("secrets", [[], [b""], [b"other"]])
def test_under_no_or_another_secret_nothing_verifies(vendor: str, secrets: list[bytes]) -> None:
    with pytest.raises(InvalidSignature) as error:
        CONNECTORS[vendor].verify(SIGNERS[vendor](b"secret", BODY), BODY, secrets)
    assert "secret'" not in str(error.value)


@pytest.mark.parametrize("vendor", sorted(SIGNERS))
def test_one_changed_byte_does_not_verify(vendor: str) -> None:
    with pytest.raises(InvalidSignature):
        CONNECTORS[vendor].verify(SIGNERS[vendor](b"secret", BODY), BODY.replace(b"812", b"813"), [b"secret"])


HEADER = {
    "workable": "x-workable-signature",
    "smartrecruiters": "smartrecruiters-signature",
    "merge": "x-merge-webhook-signature",
    "teamtailor": "teamtailor-signature",
}


@pytest.mark.parametrize("vendor", sorted(HEADER))
@pytest.mark.parametrize("value", [None, "", "x", "v1=", "v1=" + "0" * 64, "0" * 64, "A" * 43, "A" * 44, "ünïcode", "=" * 44])
def test_a_missing_or_foreign_signature_is_refused(vendor: str, value: str | None) -> None:
    with pytest.raises(InvalidSignature):
        CONNECTORS[vendor].verify({} if value is None else {HEADER[vendor]: value}, BODY, [b"secret"])


# -- Workable, Merge ----------------------------------------------------------------------------------------------------


def test_workable_may_send_hex_or_base64() -> None:
    for text in (digest(b"s", BODY).hex().upper(), base64.b64encode(digest(b"s", BODY)).decode()):
        CONNECTORS["workable"].verify({"x-workable-signature": text}, BODY, [b"s"])


def test_merge_s_padding_does_not_matter() -> None:
    padded = merge(b"s", BODY)["x-merge-webhook-signature"]
    for text in (padded, padded.rstrip("=")):
        CONNECTORS["merge"].verify({"x-merge-webhook-signature": text}, BODY, [b"s"])


# -- SmartRecruiters ----------------------------------------------------------------------------------------------------


def test_the_public_test_vector_verifies() -> None:
    SMARTRECRUITERS.verify(VECTOR, VECTOR_BODY, [VECTOR_SECRET])
    assert SMARTRECRUITERS.signed_at(VECTOR, VECTOR_BODY) == datetime(2019, 11, 18, 12, 41, 37, tzinfo=UTC)
    assert SMARTRECRUITERS.delivery_id(VECTOR) == "123"


@pytest.mark.parametrize("name", [name for name in VECTOR if name != "smartrecruiters-signature"])
def test_every_signed_header_counts_also_by_its_absence(name: str) -> None:
    for headers in ({**VECTOR, name: VECTOR[name] + "0"}, {n: v for n, v in VECTOR.items() if n != name}):
        with pytest.raises(InvalidSignature):
            SMARTRECRUITERS.verify(headers, VECTOR_BODY, [VECTOR_SECRET])


def test_during_rotation_any_of_sixteen_keys_in_the_header_may_be_ours_and_none_beyond() -> None:
    ours, other = VECTOR["smartrecruiters-signature"], "v1=" + "ab" * 32
    for keys in ([other] * 15 + [ours], [ours] + [other] * 15, [other, "v2=" + "cd" * 32, ours]):
        SMARTRECRUITERS.verify({**VECTOR, "smartrecruiters-signature": ";".join(keys)}, VECTOR_BODY, [b"x", VECTOR_SECRET])
    with pytest.raises(InvalidSignature):
        SMARTRECRUITERS.verify(
            {**VECTOR, "smartrecruiters-signature": ";".join([other] * 16 + [ours])}, VECTOR_BODY, [VECTOR_SECRET]
        )


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "1e9", "99999999999"])
def test_a_signed_time_that_is_none_is_refused(text: str | None) -> None:
    with pytest.raises(InvalidSignature):
        SMARTRECRUITERS.signed_at({} if text is None else {"smartrecruiters-timestamp": text}, VECTOR_BODY)


def test_the_handshake_gives_back_the_secret_and_only_for_a_subscription() -> None:
    assert SMARTRECRUITERS.handshake({"x-hook-secret": "s3cret"}) == {"X-Hook-Secret": "s3cret"}
    assert SMARTRECRUITERS.handshake({"x-hook-secret": "s", "event-name": "subscription.created"}) == {"X-Hook-Secret": "s"}
    for headers in (
        {},
        {"x-hook-secret": "s", "event-name": "job.updated"},
        {"x-hook-secret": "a\r\nb: c"},
        {"x-hook-secret": ""},
    ):
        assert SMARTRECRUITERS.handshake(headers) is None


def test_what_a_connector_can_do_besides_is_seen() -> None:
    assert [n for n, c in CONNECTORS.items() if isinstance(c, Handshaking)] == ["smartrecruiters"]
    assert "smartrecruiters" in [n for n, c in CONNECTORS.items() if isinstance(c, Timestamped)]
    assert not any("signature" in name for c in CONNECTORS.values() for name in getattr(c, "vendor_headers", ()))


# -- Teamtailor ---------------------------------------------------------------------------------------------------------


def teamtailor(signed: bytes, secret: bytes = b"secret") -> str:
    return base64.b64encode(digest(secret, signed).hex().encode()).decode()


def test_a_partner_s_signature_is_over_the_resource_s_id_alone() -> None:
    TEAMTAILOR.verify({"teamtailor-signature": teamtailor(b"812")}, BODY, [b"other", b"secret"])
    with pytest.raises(InvalidSignature):
        TEAMTAILOR.verify({"teamtailor-signature": teamtailor(b"812")}, BODY.replace(b"812", b"813"), [b"secret"])
    with pytest.raises(InvalidSignature):  # the company's way of signing is not the partner's
        TEAMTAILOR.verify({"teamtailor-signature": teamtailor(b'{"a":1}')}, b'{"payload":{"a":1}}', [b"secret"])


def test_a_company_s_signature_is_in_the_body_over_its_payload_or_the_id() -> None:
    payload = b'{"event_name":"job.update", "data":{"id":"812","type":"jobs","attributes":{"body":"\\u003cp\\u003e"}}}'
    for signed in (payload, b"812"):
        body = b'{"payload": ' + payload + b',"signature":"' + teamtailor(signed).encode() + b'"}'
        TEAMTAILOR.verify({}, body, [b"other", b"secret"])
        with pytest.raises(InvalidSignature):
            TEAMTAILOR.verify({}, body, [b"other"])
    forged = b'{"payload": ' + payload.replace(b"jobs", b"jokes") + b',"signature":"' + teamtailor(payload).encode() + b'"}'
    with pytest.raises(InvalidSignature):
        TEAMTAILOR.verify({}, forged, [b"secret"])


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"signature":7}', b'{"payload":' + b"[" * 5000, b'{"payload":{"a":' + b"[" * 99999]
)
def test_a_body_that_is_none_is_refused_before_anything(body: bytes) -> None:
    for headers in ({}, {"teamtailor-signature": teamtailor(b"812")}):
        with pytest.raises(InvalidSignature):
            TEAMTAILOR.verify(headers, body, [b"secret"])
