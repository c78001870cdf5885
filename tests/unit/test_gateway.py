"""The gateway's answers, with `ats.raw` in memory: what is kept, what is refused, and what the sender is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from schemas.fact import fact_id
from schemas.raw import RawHeaders
from schemas.sources import Account, Sources
from streams.access import Access, Identity
from streams.connectors import CONNECTORS, MANUAL_KINDS, Connector
from streams.door import DISCARDED, Door
from streams.errors import InvalidSignature, Unreachable
from streams.gateway import BATCH_LIMIT, Gateway
from streams.inbox import MAX_ELEMENTS
from streams.raw_log import Overloaded, RawRecord, TooLarge
from streams.room import Room
from streams.settings import Settings

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
SECRET, OLD_SECRET = b"live-secret", b"secret-being-rotated-out"
LIMIT = 2_000
EXTRACTOR, RECRUITER, MANAGER, APPROVER, READER = (f"{name}-token-0123456789" for name in ("ext", "ta", "hm", "appr", "api"))


class At:
    def now(self) -> datetime:
        return NOW


@dataclass
class MemoryLog:
    """`ats.raw` in memory; `failing` is raised instead of keeping anything."""

    kept: list[RawRecord] = field(default_factory=list)
    appends: list[int] = field(default_factory=list)
    failing: Exception | None = None
    why_not_ready: str | None = None
    open: bool = False

    async def start(self) -> None:
        self.open = True

    async def append(self, records: Sequence[RawRecord], within: float) -> None:
        if self.failing is not None:
            raise self.failing
        self.kept += records
        self.appends.append(len(records))

    async def fault(self) -> str | None:
        return self.why_not_ready

    async def close(self) -> None:
        self.open = False


def account(name: str, system: str = "greenhouse") -> Account:
    return Account(account=name, system=system)


def gateway(raw: MemoryLog, *, accounts: Sequence[Account] = (account("greenhouse"),), **changes: Any) -> Gateway:
    tokens = {
        EXTRACTOR: Identity("extract-1", "extractor"),
        RECRUITER: Identity("tara", "talent_acquisition"),
        MANAGER: Identity("hugo", "hiring_manager"),
        APPROVER: Identity("anna", "approver"),
        READER: Identity("board", "api"),
    }
    secrets = {one.account: (SECRET, OLD_SECRET) for one in accounts}
    made = Gateway(
        settings=Settings(max_body_bytes=LIMIT, gateway_timeout=20.0),
        clock=At(),
        sources=Sources(tenant="acme", accounts=tuple(accounts)),
        access=Access({token.encode(): identity for token, identity in tokens.items()}, secrets),
        raw=raw,
        connectors=CONNECTORS,
        manual_kinds=MANUAL_KINDS,
    )
    return replace(made, **changes)


class Client:
    """A caller in the same process: the application's start and end, and one request after the other in one event loop."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    def __enter__(self) -> Client:
        self._runner.run(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._end())
        self._runner.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    async def _begin(self) -> None:
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._life = asyncio.create_task(self._app({"type": "lifespan", "state": {}}, self._said.get, self._heard.put))
        await self._said.put({"type": "lifespan.startup"})
        assert (await self._heard.get())["type"] == "lifespan.startup.complete"

    async def _end(self) -> None:
        await self._said.put({"type": "lifespan.shutdown"})
        assert (await self._heard.get())["type"] == "lifespan.shutdown.complete"
        await self._life
        await self._http.aclose()


@pytest.fixture
def raw() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(raw: MemoryLog) -> Iterator[Client]:
    with Client(gateway(raw).app()) as one:
        yield one


def signed(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"Signature": f"sha256 {digest}", "Content-Type": "application/json", "Greenhouse-Event-ID": "ev-17"}


def bearer(token: str, media: str | None = "application/json") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} | ({"Content-Type": media} if media else {})


WEBHOOK = b'{"action": "candidate_stage_change",  "payload": {"note": "\\u003cb\\u003e"}}\n'

# -- webhooks ---------------------------------------------------------------------------------------------------------


def test_a_signed_body_is_kept_byte_for_byte_with_its_envelope(client: Client, raw: MemoryLog) -> None:
    answer = client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK) | {"X-Request-ID": "req-1"})
    assert (answer.status_code, answer.json()) == (200, {"request_id": "req-1"})
    assert answer.headers["x-request-id"] == "req-1"
    [record] = raw.kept
    assert record.body == WEBHOOK
    assert record.at == NOW
    assert record.headers == RawHeaders(
        tenant="acme",
        account="greenhouse",
        system="greenhouse",
        channel="webhook",
        received_at=NOW,
        request_id="req-1",
        delivery_id="ev-17",
    )


def test_the_secret_that_is_rotated_out_still_counts(client: Client, raw: MemoryLog) -> None:
    assert client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK, OLD_SECRET)).status_code == 200
    assert len(raw.kept) == 1


@pytest.mark.parametrize(
    "headers",
    [
        signed(WEBHOOK, b"wrong"),
        signed(WEBHOOK + b" "),
        {"Content-Type": "application/json"},
        {"Signature": "sha256 ", "Content-Type": "application/json"},
        {"Signature": "nonsense", "Content-Type": "application/json"},
    ],
)
def test_a_wrong_signature_is_401_and_nothing_is_kept(
    client: Client, raw: MemoryLog, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/webhooks/greenhouse", content=WEBHOOK, headers=headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "mend", "request_id"}
    assert raw.kept == []


def test_an_account_without_a_secret_takes_no_webhook_however_it_is_signed(raw: MemoryLog) -> None:
    with Client(gateway(raw, access=Access({}, {})).app()) as client:
        assert client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK, b"")).status_code == 401
    assert raw.kept == []


class Stubborn:
    """A vendor that never comes again after a 401."""

    system = "stubborn"
    success_status = 202
    bad_signature_status = 500
    webhook_kinds: frozenset[str] = frozenset()
    record_kinds: Mapping[str, frozenset[str]] = {}

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        if headers.get("x-key", "").encode() not in secrets:
            raise InvalidSignature("x-key")

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        return None

    def is_ping(self, body: bytes) -> bool:
        return False

    def record_type(self, record: Mapping[str, object]) -> str | None:
        return None

    def normalise(self, raw: RawHeaders, body: bytes, stages: Any) -> list[Any]:
        return []


def test_each_vendor_gets_the_status_it_needs(raw: MemoryLog) -> None:
    stubborn: Connector = Stubborn()
    made = gateway(raw, accounts=[account("one", "stubborn")], connectors={"stubborn": stubborn})
    with Client(made.app()) as client:
        assert client.post("/webhooks/stubborn", content=b"{}", headers={"X-Key": "no"}).status_code == 500
        assert raw.kept == []
        assert client.post("/webhooks/stubborn", content=b"{}", headers={"X-Key": SECRET.decode()}).status_code == 202
    assert [record.headers.account for record in raw.kept] == ["one"]


def test_a_ping_is_answered_and_not_kept(client: Client, raw: MemoryLog) -> None:
    ping = b'{"action":"ping","payload":{"web_hook_id":17}}'
    assert client.post("/webhooks/greenhouse", content=ping, headers=signed(ping)).status_code == 200
    assert client.post("/webhooks/greenhouse", content=ping, headers=signed(ping, b"wrong")).status_code == 401
    assert raw.kept == []


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe\x00", b"[1, 2]", b"null", b'{"action": 5}'])
def test_an_authenticated_body_is_kept_whatever_it_is(client: Client, raw: MemoryLog, body: bytes) -> None:
    assert client.post("/webhooks/greenhouse", content=body, headers=signed(body)).status_code == 200
    assert [record.body for record in raw.kept] == [body]


def test_a_vendor_that_names_no_content_type_is_heard(client: Client, raw: MemoryLog) -> None:
    headers = signed(WEBHOOK)
    del headers["Content-Type"]
    assert client.post("/webhooks/greenhouse", content=WEBHOOK, headers=headers).status_code == 200
    assert len(raw.kept) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("Content-Type", "text/html"), ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Encoding", "gzip")],
)
def test_another_content_type_or_an_encoding_is_415(client: Client, raw: MemoryLog, name: str, value: str) -> None:
    answer = client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK) | {name: value})
    assert answer.status_code == 415
    assert raw.kept == []


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json", "text/json"]
)
def test_json_by_another_name_is_json(client: Client, media: str) -> None:
    assert client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK) | {"Content-Type": media}).is_success


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.mark.parametrize("size", [LIMIT + 100, LIMIT * DISCARDED + 100])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_limit_is_413_announced_or_not(client: Client, raw: MemoryLog, size: int, announced: bool) -> None:
    content: Any = b"x" * size if announced else chunks(size)
    answer = client.post("/webhooks/greenhouse", content=content, headers=signed(b"x" * size))
    assert answer.status_code == 413
    assert answer.headers.get("connection") == ("close" if size > LIMIT * DISCARDED else None)
    assert raw.kept == []


def test_a_body_of_exactly_the_limit_is_kept(client: Client, raw: MemoryLog) -> None:
    body = b"x" * LIMIT
    assert client.post("/webhooks/greenhouse", content=chunks(LIMIT), headers=signed(body)).status_code == 200
    assert raw.kept[0].body == body


def test_an_unknown_system_and_an_unclear_account_are_404_with_the_choices(raw: MemoryLog) -> None:
    with Client(gateway(raw, accounts=[account("gh-eu"), account("gh-us")]).app()) as client:
        unknown = client.post("/webhooks/nosuch", content=WEBHOOK, headers=signed(WEBHOOK))
        unclear = client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK))
        missing = client.post("/webhooks/greenhouse/gh-asia", content=WEBHOOK, headers=signed(WEBHOOK))
        named = client.post("/webhooks/greenhouse/gh-us", content=WEBHOOK, headers=signed(WEBHOOK))
    assert [one.status_code for one in (unknown, unclear, missing, named)] == [404, 404, 404, 200]
    assert "greenhouse" in unknown.json()["mend"]
    assert "gh-eu, gh-us" in unclear.json()["mend"]
    assert "gh-eu, gh-us" in missing.json()["mend"]
    assert [record.headers.account for record in raw.kept] == ["gh-us"]


@pytest.mark.parametrize("failing", [Unreachable("away"), Overloaded("full")])
def test_a_broker_that_is_away_is_503_with_a_time_to_come_again(client: Client, raw: MemoryLog, failing: Exception) -> None:
    raw.failing = failing
    answer = client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_a_record_the_broker_refuses_for_its_size_is_413(client: Client, raw: MemoryLog) -> None:
    raw.failing = TooLarge("ats.raw takes no record of this size")
    assert client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK)).status_code == 413


# -- records ----------------------------------------------------------------------------------------------------------


def test_an_array_becomes_one_record_each_in_order(client: Client, raw: MemoryLog) -> None:
    body = orjson.dumps([{"id": 1}, {"id": 2}, {"id": 3}])
    answer = client.post("/records/greenhouse/scorecards?backfill=true", content=body, headers=bearer(EXTRACTOR))
    assert (answer.status_code, answer.json()["accepted"]) == (200, 3)
    assert [record.body for record in raw.kept] == [b'{"id":1}', b'{"id":2}', b'{"id":3}']
    assert {(r.headers.channel, r.headers.record_type, r.headers.backfill) for r in raw.kept} == {("record", "scorecards", True)}


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/jsonl"])
def test_json_lines_keep_their_exact_bytes(client: Client, raw: MemoryLog, media: str) -> None:
    lines = [b'{"id": 1.0,  "text": "\\u00e9"}', b'{"id":123456789012345678901234567890}']
    body = b"\r\n".join(lines) + b"\n\n"
    answer = client.post("/records/greenhouse/scorecards", content=body, headers=bearer(EXTRACTOR, media))
    assert answer.json()["accepted"] == 2
    assert [record.body for record in raw.kept] == lines


def test_a_single_object_keeps_its_exact_bytes(client: Client, raw: MemoryLog) -> None:
    client.post("/records/greenhouse/scorecards", content=b'{"id":  1.0}', headers=bearer(EXTRACTOR))
    assert [record.body for record in raw.kept] == [b'{"id":  1.0}']


def test_a_finished_poll_leaves_a_watermark_behind_its_records(client: Client, raw: MemoryLog) -> None:
    answer = client.post(
        "/records/greenhouse/scorecards?complete_until=2026-05-04T10:59:00%2B02:00",
        content=b'[{"id":1}]',
        headers=bearer(EXTRACTOR),
    )
    assert answer.status_code == 200
    assert raw.appends == [1, 1]  # the watermark only once the records are acknowledged
    assert [record.headers.channel for record in raw.kept] == ["record", "watermark"]
    mark = orjson.loads(raw.kept[1].body)
    assert mark["record_type"] == "scorecards"
    assert datetime.fromisoformat(mark["complete_until"]) == NOW - timedelta(minutes=1)


def test_a_poll_that_found_nothing_still_leaves_its_watermark(client: Client, raw: MemoryLog) -> None:
    answer = client.post(
        "/records/greenhouse/scorecards?complete_until=2026-05-04T09:00:00Z", content=b"[]", headers=bearer(EXTRACTOR)
    )
    assert (answer.status_code, answer.json()["accepted"]) == (200, 0)
    assert [record.headers.channel for record in raw.kept] == ["watermark"]


@pytest.mark.parametrize(
    "until",
    [
        "2026-05-04T09:00:00",
        "2026-05-04",
        "soon",
        "2026-05-04T09:05:01Z",
        "2026-05-04T09:00:00+00:00",
        "0001-01-01T00:00:00%2B05:00",
    ],
)
def test_a_watermark_without_a_zone_or_in_the_future_is_422(client: Client, raw: MemoryLog, until: str) -> None:
    """The last but one is a plus that was not escaped: a query reads it as a space."""
    answer = client.post(f"/records/greenhouse/scorecards?complete_until={until}", content=b"[]", headers=bearer(EXTRACTOR))
    assert answer.status_code == 422
    assert raw.kept == []


@pytest.mark.parametrize(
    ("media", "body", "index"),
    [
        ("application/json", b'[{"id":1}, 2, {"id":3}]', "element 1"),
        ("application/json", b'[{"id":1}, [{"id":2}]]', "element 1"),
        ("application/json", b'"text"', "element 0"),
        ("application/json", b'[{"id":1}, {"id":"' + b"x" * LIMIT + b'"}]', "element 1"),
        ("application/x-ndjson", b'{"id":1}\n{"id":\n', "element 1"),
        ("application/x-ndjson", b'{"id":1}\n\n[]\n', "element 1"),
        ("application/json", b'{"id":1}\n{"id":2}', "the body"),
        ("application/json", b'{"id": "\xff"}', "the body"),
        ("application/json", b"", "the body"),
    ],
)
def test_one_bad_record_is_named_and_nothing_of_the_batch_is_kept(
    client: Client, raw: MemoryLog, media: str, body: bytes, index: str
) -> None:
    answer = client.post("/records/greenhouse/scorecards", content=body, headers=bearer(EXTRACTOR, media))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(index)
    assert raw.kept == []


def test_a_batch_may_be_larger_than_a_body_but_not_without_end(client: Client, raw: MemoryLog) -> None:
    fits = orjson.dumps([{"text": "x" * (LIMIT - 100)}] * 3)
    assert client.post("/records/greenhouse/scorecards", content=fits, headers=bearer(EXTRACTOR)).status_code == 200
    large = orjson.dumps([{"text": "x" * (LIMIT - 100)}] * (BATCH_LIMIT + 2))
    assert client.post("/records/greenhouse/scorecards", content=large, headers=bearer(EXTRACTOR)).status_code == 413
    many = orjson.dumps([{}] * (MAX_ELEMENTS + 1))
    assert client.post("/records/greenhouse/scorecards", content=many, headers=bearer(EXTRACTOR)).status_code == 413
    assert len(raw.kept) == 3


def test_an_unknown_record_type_is_404_with_the_list(client: Client, raw: MemoryLog) -> None:
    answer = client.post("/records/greenhouse/nosuch", content=b"[{}]", headers=bearer(EXTRACTOR))
    assert answer.status_code == 404
    assert "scorecards" in answer.json()["mend"]


@pytest.mark.parametrize(
    ("path", "token"), [("/records/greenhouse/scorecards", RECRUITER), ("/facts", EXTRACTOR), ("/facts", READER)]
)
def test_a_token_of_another_role_is_403_and_none_is_401(client: Client, raw: MemoryLog, path: str, token: str) -> None:
    assert client.post(path, content=b"[{}]", headers=bearer(token)).status_code == 403
    nobody = client.post(path, content=b"[{}]", headers=bearer("wrong-token-0123456789"))
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert client.post(path, content=b"[{}]").status_code == 401
    assert raw.kept == []


# -- facts ------------------------------------------------------------------------------------------------------------

INTAKE = {"kind": "requisition.intake_held", "occurred_at": "2026-05-04T08:30:00+00:00", "requisition_id": "greenhouse/17"}
WANTED = {
    "kind": "exception.requested",
    "occurred_at": "2026-05-04T08:30:00Z",
    "requisition_id": "greenhouse/17",
    "attributes": {
        "exception_id": "x-1",
        "commitment": "decide",
        "from": "2026-05-04T00:00:00Z",
        "until": "2026-05-08T00:00:00Z",
        "reason_code": "works_council",
    },
}
APPROVED = {**WANTED, "kind": "exception.approved", "attributes": {"exception_id": "x-1"}}


def post_facts(client: Client, content: object, token: str = RECRUITER) -> httpx.Response:
    return client.post("/facts", content=orjson.dumps(content), headers=bearer(token))


def test_who_reports_a_fact_comes_from_the_token(client: Client, raw: MemoryLog) -> None:
    answer = post_facts(client, INTAKE)
    assert answer.status_code == 202
    [record] = raw.kept
    assert orjson.loads(record.body) == INTAKE
    assert (record.headers.channel, record.headers.account, record.headers.system) == ("fact", "manual", "manual")
    assert (record.headers.actor, record.headers.actor_role) == ("tara", "talent_acquisition")
    expected = fact_id(
        "acme", "manual", INTAKE["kind"], ["greenhouse/17", "", "", "", "", "", ""], datetime(2026, 5, 4, 8, 30, tzinfo=UTC)
    )
    assert answer.json()["fact_ids"] == [expected]


def test_an_array_of_facts_gives_an_id_each(client: Client, raw: MemoryLog) -> None:
    answer = post_facts(client, [INTAKE, {**INTAKE, "requisition_id": "greenhouse/18"}])
    assert len(set(answer.json()["fact_ids"])) == 2
    assert [orjson.loads(record.body)["requisition_id"] for record in raw.kept] == ["greenhouse/17", "greenhouse/18"]


def test_a_reported_fact_is_kept_where_the_links_of_its_subject_are(client: Client, raw: MemoryLog) -> None:
    given = {"kind": "availability.given", "occurred_at": INTAKE["occurred_at"], "application_id": "greenhouse/4"}
    assert post_facts(client, [INTAKE, given]).status_code == 202
    assert [record.key for record in raw.kept] == ["greenhouse", "greenhouse"]


def test_one_happening_reported_by_two_people_or_in_another_zone_is_one_fact(client: Client) -> None:
    ids = post_facts(client, INTAKE).json()["fact_ids"]
    assert post_facts(client, INTAKE, MANAGER).json()["fact_ids"] == ids
    assert post_facts(client, {**INTAKE, "occurred_at": "2026-05-04T10:30:00.250+02:00"}).json()["fact_ids"] == ids


def test_a_request_for_an_exception_cannot_be_taken_over_by_somebody_else(client: Client) -> None:
    assert post_facts(client, WANTED).json()["fact_ids"] != post_facts(client, WANTED, MANAGER).json()["fact_ids"]


@pytest.mark.parametrize(("token", "status"), [(APPROVER, 202), (MANAGER, 202), (RECRUITER, 403)])
def test_not_every_role_approves_an_exception(client: Client, raw: MemoryLog, token: str, status: int) -> None:
    assert post_facts(client, APPROVED, token).status_code == status
    assert len(raw.kept) == (status == 202)


def test_only_talent_acquisition_declines_a_request(client: Client) -> None:
    declined = {**INTAKE, "kind": "request.declined", "attributes": {"reason_code": "illegal"}}
    assert [post_facts(client, declined, token).status_code for token in (RECRUITER, MANAGER, APPROVER)] == [202, 403, 403]


@pytest.mark.parametrize("name", ["actor", "actor_role", "role", "identity", "requested_by", "approved_by"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_body_that_says_who_is_refused(client: Client, raw: MemoryLog, name: str, inside: bool) -> None:
    answer = post_facts(client, {**INTAKE, "attributes": {name: "boss"}} if inside else {**INTAKE, name: "boss"})
    assert answer.status_code == 422
    assert "token" in answer.json()["mend"]
    assert raw.kept == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "scorecard.submitted"}, "kind"),
        ({"kind": "no.such.kind"}, "kind"),
        ({"kind": None}, "kind"),
        ({"occurred_at": "2026-05-04T08:30:00"}, "occurred_at"),
        ({"occurred_at": "2026-05-04T09:05:01Z"}, "future"),
        ({"occurred_at": "0001-01-01T00:00:00+05:00"}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:00:00-05:00"}, "occurred_at"),
        ({"requisition_id": None}, "subject"),
        ({"requisition_id": "17"}, "account"),
        ({"requisition_id": "lever/17"}, "account"),
        ({"requisition_id": "greenhouse/"}, "account"),
        ({"person": "hugo"}, "account"),
        ({"received_at": "2026-05-04T08:30:00Z"}, "received_at"),
        ({"fact_id": "0" * 32}, "fact_id"),
        ({"backfill": True}, "backfill"),
        ({"attributes": ["x"]}, "attributes"),
        ({**WANTED, "attributes": {"exception_id": "x-1"}}, "commitment"),
        ({**WANTED, "attributes": {**WANTED["attributes"], "until": "2026-05-03T00:00:00Z"}}, "interval"),  # type: ignore[dict-item]
        ({**WANTED, "attributes": {**WANTED["attributes"], "from": "2026-05-04T00:00:00"}}, "interval"),  # type: ignore[dict-item]
    ],
)
def test_a_fact_that_cannot_be_used_is_422_by_index_and_nothing_is_kept(
    client: Client, raw: MemoryLog, change: dict[str, object], word: str
) -> None:
    answer = post_facts(client, [INTAKE, {**INTAKE, **change}])
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("element 1:")
    assert word in answer.json()["error"]
    assert raw.kept == []


@pytest.mark.parametrize("path", ["/facts", "/records/greenhouse/jobs"])
def test_what_is_nested_too_deeply_to_be_written_is_422(client: Client, raw: MemoryLog, path: str) -> None:
    deep = orjson.dumps(INTAKE)[:-1] + b',"attributes":{"deep":' + b"[" * 300 + b"]" * 300 + b"}}"
    token = RECRUITER if path == "/facts" else EXTRACTOR
    answer = client.post(path, content=b"[" + deep + b"]", headers=bearer(token))
    assert (answer.status_code, raw.kept) == (422, [])
    assert answer.json()["error"] == "element 0: it is nested too deeply"


# -- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", "has space", "x" * 65, "a/b", "é"])
def test_a_request_id_that_is_none_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/healthz", headers=[(b"x-request-id", given.encode("latin-1"))])
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nosuch", 404), ("GET", "/facts", 405), ("PUT", "/webhooks/x", 405)]
)
def test_errors_of_the_framework_look_like_ours(client: Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "mend", "request_id"}
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_parameter_that_is_no_boolean_looks_like_ours(client: Client) -> None:
    answer = client.post("/records/greenhouse/scorecards?backfill=maybe", content=b"[]", headers=bearer(EXTRACTOR))
    assert (answer.status_code, set(answer.json())) == (422, {"error", "mend", "request_id"})


def test_health_and_readiness(client: Client, raw: MemoryLog) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    raw.why_not_ready = "topic ats.raw is missing"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "fault": "topic ats.raw is missing"})
    assert client.get("/healthz").status_code == 200


def test_the_raw_log_opens_and_closes_with_the_application(raw: MemoryLog) -> None:
    with Client(gateway(raw).app()):
        assert raw.open
    assert not raw.open


def test_our_own_fault_is_500_and_tells_nobody_about_the_body(
    raw: MemoryLog, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    raw.failing = RuntimeError("boom with cand1date-name in it")
    caplog.set_level(logging.DEBUG)
    body = b'{"action": "x", "name": "cand1date-name"}'
    with Client(gateway(raw).app()) as client:
        answer = client.post("/webhooks/greenhouse", content=body, headers=signed(body) | {"X-Request-ID": "req-500"})
    assert (answer.status_code, answer.json()["request_id"]) == (500, "req-500")
    said = capsys.readouterr()
    logged = said.out + said.err + caplog.text
    assert "request_failed" in logged
    assert "RuntimeError" in logged
    assert "cand1date-name" not in logged + answer.text


def test_nothing_secret_is_logged_on_the_way(
    client: Client, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = b'{"action": "x", "name": "cand1date-name"}'
    wrong = signed(body, b"wrong")
    client.post("/webhooks/greenhouse", content=body, headers=signed(body))
    client.post("/webhooks/greenhouse", content=body, headers=wrong)
    client.post("/facts", content=body, headers=bearer(RECRUITER))
    said = capsys.readouterr()
    logged = said.out + said.err + "".join(r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "asyncio")))
    assert "signature_refused" in logged
    for secret in (
        "cand1date-name",
        RECRUITER,
        SECRET.decode(),
        wrong["Signature"].split()[-1],
        signed(body)["Signature"].split()[-1],
    ):
        assert secret not in logged


def test_metrics_count_by_route_and_never_by_path(client: Client) -> None:
    client.post("/webhooks/greenhouse", content=WEBHOOK, headers=signed(WEBHOOK))
    client.post("/webhooks/made-up-by-somebody", content=WEBHOOK)
    client.get("/made-up-by-somebody")
    text = client.get("/metrics").text
    assert 'mutual_sla_gateway_requests_total{route="/webhooks/{system}",status="200",system="greenhouse"}' in text
    assert 'mutual_sla_gateway_bodies_total{account="greenhouse",channel="webhook"}' in text
    assert "made-up-by-somebody" not in text


async def dribble(pause: float) -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(pause)
    yield b"}"


def test_a_slow_body_is_408(raw: MemoryLog) -> None:
    made = gateway(raw, settings=Settings(max_body_bytes=LIMIT, gateway_timeout=0.2))

    async def slow() -> httpx.Response:
        transport = httpx.ASGITransport(made.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post("/webhooks/greenhouse", content=dribble(1.0), headers=signed(b"{}"))

    answer = asyncio.run(slow())
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert raw.kept == []


def test_too_many_at_once_are_told_to_come_again_while_health_answers() -> None:
    inside = asyncio.Event()
    seen: list[tuple[str, int]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await inside.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def play() -> list[int]:
        door = Door(application, lambda scope, status, _: seen.append((scope["path"], status)), Room(requests=2))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://door") as client:
            waiting = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
            await asyncio.sleep(0.05)
            refused, healthy = await client.get("/other"), await client.get("/healthz")
            assert int(refused.headers["retry-after"]) > 0
            inside.set()
            let_in = [await one for one in waiting]
            again = await client.get("/other")
        return [one.status_code for one in (refused, healthy, *let_in, again)]

    assert asyncio.run(play()) == [503, 200, 200, 200, 200]
    assert seen[0] == ("/other", 503)
