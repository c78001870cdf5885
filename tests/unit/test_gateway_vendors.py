"""What the gateway does for vendors with ways of their own: SmartRecruiters' handshake, signed time and telling headers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from schemas.raw import RawHeaders
from streams.access import Access
from tests.unit.test_gateway import NOW, OLD_SECRET, SECRET, Client, MemoryLog, account, gateway
from tests.unit.test_vendor_signatures import digest

PATH = "/webhooks/smartrecruiters"
BODY = b'{"job_id":"7440a1","candidate_id":"c91f20"}'


def signed(
    body: bytes = BODY, secret: bytes = SECRET, age: timedelta = timedelta(0), event: str = "application.created"
) -> dict[str, str]:
    at = str(int((NOW - age).timestamp()))
    told = {
        "event-id": "e-1",
        "event-name": event,
        "event-version": "v201910",
        "link": "<https://api.smartrecruiters.com/x>; rel=self",
    }
    ordered = b".".join([at.encode(), body, *(value.encode() for value in told.values())])
    signature = f"v1={'ab' * 32};v1={digest(secret, ordered).hex()}"
    return {
        **told,
        "smartrecruiters-timestamp": at,
        "smartrecruiters-signature": signature,
        "authorization": "Bearer x",
        "x-other": "y",
    }


@pytest.fixture
def raw() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(raw: MemoryLog) -> Iterator[Client]:
    with Client(gateway(raw, accounts=[account("smartrecruiters", "smartrecruiters")]).app()) as one:
        yield one


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_a_signed_event_is_kept_with_the_headers_that_tell_and_answered_202(
    client: Client, raw: MemoryLog, secret: bytes
) -> None:
    assert client.post(PATH, content=BODY, headers=signed(secret=secret)).status_code == 202
    [record] = raw.kept
    assert record.body == BODY
    assert record.headers.delivery_id == "e-1"
    assert record.headers.vendor == {
        "event-id": "e-1",
        "event-name": "application.created",
        "event-version": "v201910",
        "link": "<https://api.smartrecruiters.com/x>; rel=self",
        "smartrecruiters-timestamp": str(int(NOW.timestamp())),
    }


def test_the_headers_go_through_kafka_and_back_and_no_signature_with_them(client: Client, raw: MemoryLog) -> None:
    client.post(PATH, content=BODY, headers=signed())
    kafka = raw.kept[0].headers.to_kafka()
    assert ("vendor.event-name", b"application.created") in kafka
    assert not any("signature" in name or b"v1=" in value or b"Bearer" in value for name, value in kafka)
    assert RawHeaders.from_kafka(kafka) == raw.kept[0].headers


@pytest.mark.parametrize("age", [timedelta(minutes=11), timedelta(minutes=-11), timedelta(days=3)])
def test_an_old_request_is_a_replay_and_refused(client: Client, raw: MemoryLog, age: timedelta) -> None:
    response = client.post(PATH, content=BODY, headers=signed(age=age))
    assert (response.status_code, raw.kept) == (401, [])


@pytest.mark.parametrize("age", [timedelta(minutes=9), timedelta(minutes=-9)])
def test_a_clock_that_is_a_little_off_is_none(client: Client, age: timedelta) -> None:
    assert client.post(PATH, content=BODY, headers=signed(age=age)).status_code == 202


def test_a_fresh_time_on_an_old_signature_is_refused(client: Client, raw: MemoryLog) -> None:
    old = signed(age=timedelta(days=3))
    fresh = {**old, "smartrecruiters-timestamp": str(int(NOW.timestamp()))}
    assert client.post(PATH, content=BODY, headers=fresh).status_code == 401
    assert raw.kept == []


def test_the_activation_is_answered_with_its_secret_and_keeps_nothing(client: Client, raw: MemoryLog) -> None:
    body = (Path(__file__).parents[1] / "fixtures/smartrecruiters/webhook.subscription.created.json").read_bytes()
    response = client.post(PATH, content=body, headers={"X-Hook-Secret": "temporary-7f"})
    assert (response.status_code, response.headers["x-hook-secret"], raw.kept) == (200, "temporary-7f", [])


def test_no_event_passes_as_an_activation(client: Client, raw: MemoryLog) -> None:
    forged = {**signed(secret=b"forged"), "x-hook-secret": "x"}
    response = client.post(PATH, content=BODY, headers=forged)
    assert (response.status_code, "x-hook-secret" in response.headers, raw.kept) == (401, False, [])


def test_a_vendor_without_such_headers_keeps_none(raw: MemoryLog) -> None:
    with Client(gateway(raw).app()) as greenhouse:
        body = b'{"action":"x","payload":{}}'
        signature = f"sha256 {digest(SECRET, body).hex()}"
        assert (
            greenhouse.post("/webhooks/greenhouse", content=body, headers={"signature": signature, "event-name": "z"}).status_code
            == 200
        )
    assert raw.kept[0].headers.vendor == {}


LINKED = {"merge": "la-1", "merge-emea": "la-2"}


@pytest.mark.parametrize(
    ("named", "kept"), [("la-1", ["merge"]), ("la-2", ["merge-emea"]), ("la-3", []), (None, []), (7, []), ([], [])]
)
def test_a_merge_webhook_is_its_linked_account_s_and_no_other_s(raw: MemoryLog, named: object, kept: list[str]) -> None:
    accounts = [account(name, "merge").model_copy(update={"linked_account": linked}) for name, linked in LINKED.items()]
    hook = {"hook": {"event": "Candidate.changed"}, "linked_account": {"id": named}, "data": {"id": "c1"}}
    body = orjson.dumps(hook if named else {**hook, "linked_account": None})
    signature = base64.urlsafe_b64encode(digest(SECRET, body)).decode()
    with Client(gateway(raw, accounts=accounts).app()) as client:
        sent = client.post("/webhooks/merge/merge", content=body, headers={"x-merge-webhook-signature": signature})
    assert sent.status_code == 200
    assert [one.headers.account for one in raw.kept] == kept


def test_a_linked_account_with_another_secret_is_not_spoken_for(raw: MemoryLog) -> None:
    accounts = [account(name, "merge").model_copy(update={"linked_account": linked}) for name, linked in LINKED.items()]
    body = orjson.dumps({"hook": {"event": "Candidate.changed"}, "linked_account": {"id": "la-2"}, "data": {"id": "c1"}})
    signature = base64.urlsafe_b64encode(digest(SECRET, body)).decode()
    access = Access({}, {"merge": (SECRET,), "merge-emea": (b"another-secret",)})
    with Client(gateway(raw, accounts=accounts, access=access).app()) as client:
        client.post("/webhooks/merge/merge", content=body, headers={"x-merge-webhook-signature": signature})
    assert raw.kept == []
