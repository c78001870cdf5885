"""What the gateway does for Lever, which signs a token and no body, and for Ashby, which never tries again after a 401."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from streams.errors import InvalidSignature, Unreachable
from streams.replay import SeenTokens
from tests.every_fixture import BODIES, SIGN, digest, webhook
from tests.unit.test_gateway import NOW, OLD_SECRET, SECRET, Client, MemoryLog, account, gateway

PATH = "/webhooks/lever"
WHO = {"opportunityId": "o-1", "contactId": "c-1"}


def delivery(
    age: timedelta = timedelta(0), token: str = "t-1", secret: bytes = SECRET, data: dict[str, Any] | None = None
) -> bytes:
    at = int((NOW - age).timestamp() * 1000)
    body = {"event": "candidateHired", "triggeredAt": at, "token": token, "data": WHO if data is None else data}
    return orjson.dumps({**body, "signature": digest(secret, f"{token}{at}".encode()).hex()})


@pytest.fixture
def raw() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(raw: MemoryLog) -> Iterator[Client]:
    accounts = [account("lever", "lever"), account("ashby", "ashby")]
    with Client(gateway(raw, accounts=accounts).app()) as one:
        yield one


def post(client: Client, body: bytes) -> int:
    return client.post(PATH, content=body).status_code


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_a_delivery_is_kept_under_the_secret_of_any_of_the_webhooks(client: Client, raw: MemoryLog, secret: bytes) -> None:
    assert post(client, delivery(secret=secret)) == 200
    assert [one.body for one in raw.kept] == [delivery(secret=secret)]


def test_a_retry_of_what_was_kept_is_answered_and_not_kept_twice(client: Client, raw: MemoryLog) -> None:
    assert [post(client, delivery()), post(client, delivery()), len(raw.kept)] == [200, 200, 1]


def test_a_used_token_opens_nothing_for_another_body(client: Client, raw: MemoryLog) -> None:
    post(client, delivery())
    assert post(client, delivery(data={**WHO, "opportunityId": "o-2"})) == 401
    assert len(raw.kept) == 1
    assert post(client, delivery(token="t-2", data={**WHO, "opportunityId": "o-2"})) == 200


def test_what_could_not_be_kept_is_taken_when_it_comes_again(client: Client, raw: MemoryLog) -> None:
    raw.failing = Unreachable("away")
    assert post(client, delivery()) == 503
    raw.failing = None
    assert post(client, delivery()) == 200
    assert len(raw.kept) == 1


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(hours=71), 200),
        (timedelta(hours=73), 401),
        (timedelta(minutes=-4), 200),
        (timedelta(minutes=-6), 401),
    ],
)
def test_a_retry_may_be_old_and_a_replay_older(client: Client, raw: MemoryLog, age: timedelta, status: int) -> None:
    assert post(client, delivery(age)) == status
    assert len(raw.kept) == (status == 200)


def test_the_test_delivery_is_answered_and_not_kept(client: Client, raw: MemoryLog) -> None:
    assert (post(client, delivery(data={})), raw.kept) == (200, [])


def test_a_signature_that_ashby_should_send_again_is_not_answered_401(client: Client, raw: MemoryLog) -> None:
    sent, body = SIGN["ashby"](b"rotated too early", webhook("ashby"))
    assert client.post("/webhooks/ashby", content=body, headers=dict(sent)).status_code == 503
    assert client.post("/webhooks/ashby", content=body).status_code == 503
    assert raw.kept == []
    sent, body = SIGN["ashby"](SECRET, webhook("ashby"))
    assert client.post("/webhooks/ashby", content=body, headers=dict(sent)).status_code == 200
    sent, ping = SIGN["ashby"](SECRET, BODIES["ashby", "ping.ping"])
    assert client.post("/webhooks/ashby", content=ping, headers=dict(sent)).status_code == 200
    assert [one.body for one in raw.kept] == [body]


def test_tokens_are_remembered_for_each_account_and_not_for_ever() -> None:
    seen = SeenTokens(limit=2)
    for token in ("a", "b", "c"):
        seen.remember("lever", token, b"body")
    assert [seen.check("lever", token, b"body") for token in ("a", "b", "c")] == [False, True, True]
    assert seen.check("lever-emea", "c", b"other") is False
    with pytest.raises(InvalidSignature):
        seen.check("lever", "c", b"other")
