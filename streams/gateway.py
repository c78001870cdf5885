"""The gateway: webhooks, polled records and reported facts in over HTTP, into `ats.raw`, and only then the answer.

In: requests. Out: one raw record for each body, acknowledged by the broker before the sender hears of success. Nothing is
parsed here that could fail later: an authenticated webhook body is kept whatever it is. docs/gateway.md has the codes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import structlog
import uvicorn
from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import Scope

from schemas.raw import Channel, RawHeaders
from schemas.sources import Account, Sources
from streams import metrics, serving
from streams.access import Access, Identity
from streams.check import load_sources
from streams.clock import Clock
from streams.connections import Connections, allow_files
from streams.connectors import CONNECTORS, MANUAL_ACCOUNT, MANUAL_KINDS, Connector, Handshaking, Timestamped, Tokened
from streams.door import Door, Refused, answer, away, media_type, read_body, speak_json
from streams.errors import InvalidSignature, Unreachable
from streams.inbox import JSON_LINES, FactDesk, account_of_subject, complete_until, split_records
from streams.rate import Rate
from streams.raw_log import DELIVERY_SHARE, Log, RawLog, RawRecord, TooLarge
from streams.replay import SeenTokens, check_age
from streams.settings import Settings

log = structlog.get_logger()

BODY_SHARE = 0.4  #: of the request's time; the append has the rest, which is more than a delivery may take
APPEND_SHARE = DELIVERY_SHARE + 0.1
BATCH_LIMIT = 16  #: how many times max_body_bytes a POST /records may have: its records are limited one by one
FACT_ROLES = frozenset({"talent_acquisition", "hiring_manager", "approver"})
ANSWER_SHARE = 1.5  #: of the request's time: a connection that has its answer not taken by then is cut
DELIVERY_ID_LENGTH = 200
VENDOR_HEADER_LENGTH = 1000

REQUESTS = metrics.GATEWAY_REQUESTS.counter()
REQUEST_SECONDS = metrics.GATEWAY_REQUEST_SECONDS.histogram()
BODIES = metrics.GATEWAY_BODIES.counter()
BODY_BYTES = metrics.GATEWAY_BODY_BYTES.counter()
APPEND_SECONDS = metrics.GATEWAY_APPEND_SECONDS.histogram()
PRODUCE_FAILURES = metrics.GATEWAY_PRODUCE_FAILURES.counter()


@dataclass(frozen=True, slots=True)
class Gateway:
    """The endpoints, and what they need. `app` is the ASGI application."""

    settings: Settings
    clock: Clock
    sources: Sources
    access: Access
    raw: Log
    connectors: Mapping[str, Connector]
    manual_kinds: frozenset[str]
    seen: SeenTokens = field(default_factory=SeenTokens)
    rate: Rate = field(default_factory=lambda: Rate(0, 1))  #: no limit unless one is given

    def app(self) -> Door:
        """The application behind its door; the raw log is started and closed with it."""

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            _initialise(source.account for source in self.sources.accounts)
            await self.raw.start()
            yield
            await self.raw.close()

        api = FastAPI(title="Mutual SLA gateway", lifespan=lifespan, docs_url=None, redoc_url=None)
        api.post("/webhooks/{system}")(self.webhook)
        api.post("/webhooks/{system}/{account}")(self.webhook_of_account)
        api.post("/records/{system}/{record_type}")(self.records)
        api.post("/facts")(self.facts)
        api.get("/healthz")(self.healthz)
        api.get("/readyz")(self.readyz)
        api.get("/metrics")(self.metrics)
        speak_json(api)
        return Door(api, self._observe)

    async def webhook(self, system: str, request: Request) -> Response:
        """A vendor's webhook for the only account of `system`."""
        return await self._webhook(self._account(system, None), request)

    async def webhook_of_account(self, system: str, account: str, request: Request) -> Response:
        """A vendor's webhook for one of several accounts."""
        return await self._webhook(self._account(system, account), request)

    async def records(
        self,
        system: str,
        record_type: str,
        request: Request,
        account: str | None = None,
        complete_until: str | None = None,
        backfill: bool = False,
    ) -> Response:
        """Polled or exported records; with `complete_until`, a watermark behind them once all are acknowledged."""
        self._identify(request, {"extractor"})
        source = self._account(system, account)
        types = self.connectors[system].record_kinds
        if record_type not in types:
            raise Refused(404, f"{system} has no records {record_type!r}", f"one of: {', '.join(sorted(types))}")
        media = _json_like(request, JSON_LINES)
        until = _until(complete_until, self.clock)
        body = await read_body(request, self.settings.max_body_bytes * BATCH_LIMIT, self._body_seconds)
        bodies = split_records(body, media, self.settings.max_body_bytes)
        headers = self._headers(request, source.account, source.system, "record", record_type=record_type, backfill=backfill)
        await self._append(headers, bodies)
        if until is not None:
            mark = orjson.dumps({"record_type": record_type, "complete_until": until})
            await self._append(headers.model_copy(update={"channel": "watermark"}), [mark])
        return answer(200, {"accepted": len(bodies), "complete_until": until, "request_id": headers.request_id})

    async def facts(self, request: Request) -> Response:
        """Facts that people report; who reports them comes from the token."""
        who = self._identify(request, FACT_ROLES)
        _json_like(request)
        body = await read_body(request, self.settings.max_body_bytes, self._body_seconds)
        accounts = [source.account for source in self.sources.accounts]
        desk = FactDesk(self.sources.tenant, MANUAL_ACCOUNT, accounts, self.manual_kinds)
        accepted = desk.accept(body, who, self.clock.now())
        headers = self._headers(request, MANUAL_ACCOUNT, MANUAL_ACCOUNT, "fact", actor=who.name, actor_role=who.role)
        bodies = [one for _, one in accepted]
        await self._append(headers, bodies, keys=map(account_of_subject, bodies))
        return answer(202, {"fact_ids": [fact_id for fact_id, _ in accepted], "request_id": headers.request_id})

    async def healthz(self) -> Response:
        """Whether the process answers; says nothing about Kafka, for a restart would not mend that."""
        return answer(200, {"alive": True})

    async def readyz(self) -> Response:
        """Whether bodies can be kept now: Kafka answers and `ats.raw` is there."""
        fault = await self.raw.fault()
        return answer(503 if fault else 200, {"ready": fault is None, "fault": fault})

    async def metrics(self) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _webhook(self, source: Account, request: Request) -> Response:
        connector = self.connectors[source.system]
        _json_like(request)
        body = await read_body(request, self.settings.max_body_bytes, self._body_seconds)
        vendor = dict(request.headers)  # lower-case names
        echo = connector.handshake(vendor) if isinstance(connector, Handshaking) else None
        if echo is not None:  # before there is a secret: nothing is kept of it
            return answer(200, {"request_id": request.state.request_id}, echo)
        token, kept_before = self._verify(connector, source, vendor, body, request.state.request_id)
        owner = self.access.owner(connector, source, self.sources.accounts, vendor, body)
        if owner is None:  # of the same organisation, and none of ours: nothing of it is kept
            log.warning("webhook_of_another_account", account=source.account, request_id=request.state.request_id)
        source = owner or source
        self.rate.take(f"account {source.account}")  # only now: nobody else may use up what is theirs
        if owner is not None and not kept_before and not connector.is_ping(body):
            delivery = (connector.delivery_id(vendor) or "")[:DELIVERY_ID_LENGTH] or None
            kept = {name: vendor[name][:VENDOR_HEADER_LENGTH] for name in _kept(connector) if name in vendor}
            headers = self._headers(request, source.account, source.system, "webhook", delivery_id=delivery, vendor=kept)
            await self._append(headers, [body])
        if token is not None:
            self.seen.remember(source.account, token, body)
        return answer(connector.success_status, {"request_id": request.state.request_id})

    def _verify(
        self, connector: Connector, source: Account, headers: Mapping[str, str], body: bytes, request_id: str
    ) -> tuple[str | None, bool]:
        """The replay token, where the vendor has one, and whether its body is kept already. Raises Refused."""
        try:
            live = self.access.webhook_secrets(source.account)
            if not live:
                raise InvalidSignature("the account has no webhook secret")
            connector.verify(headers, body, live)
            if (
                isinstance(connector, Timestamped)
                and abs(self.clock.now() - connector.signed_at(headers, body)) > connector.max_age
            ):
                raise InvalidSignature("the signed time is too old: a replay, or a clock that is wrong")
            if not isinstance(connector, Tokened):
                return None, False
            token, signed_at = connector.replay_token(body)
            check_age(signed_at, self.clock.now(), connector.max_age)
            return token, self.seen.check(source.account, token, body)
        except InvalidSignature as error:
            log.warning("signature_refused", account=source.account, reason=str(error), request_id=request_id)
            # Some vendors stop for good on 401, so that a secret rotated too early would lose events.
            status = getattr(connector, "bad_signature_status", 401)
            mend = "sign the exact bytes with the secret of this account in sources.yaml"
            raise Refused(status, "the signature is missing or wrong", mend) from None

    def _account(self, system: str, account: str | None) -> Account:
        if system not in self.connectors:
            raise Refused(404, f"no connector {system!r}", f"one of: {', '.join(sorted(self.connectors))}")
        configured = [source for source in self.sources.accounts if source.system == system]
        meant = [source for source in configured if account in (None, source.account)]
        if len(meant) != 1:
            names = ", ".join(source.account for source in configured) or "none: add one to sources.yaml"
            error = f"no account {account!r} of {system}" if account else f"which account of {system} is not clear"
            raise Refused(404, error, f"name one (/webhooks/{system}/ACCOUNT, or ?account=ACCOUNT for records): {names}")
        return meant[0]

    def _identify(self, request: Request, roles: Iterable[str]) -> Identity:
        who = self.access.identify(request.headers.get("authorization"))
        if who is None:
            mend = "send `Authorization: Bearer TOKEN` with a token of sources.yaml"
            raise Refused(401, "no valid token", mend, {"WWW-Authenticate": "Bearer"})
        if who.role not in roles:
            raise Refused(403, f"role {who.role} may not do this", f"use a token with one of: {', '.join(sorted(roles))}")
        self.rate.take(f"token of {who.name}")
        return who

    def _headers(self, request: Request, account: str, system: str, channel: Channel, **more: object) -> RawHeaders:
        known = {"tenant": self.sources.tenant, "received_at": self.clock.now(), "request_id": request.state.request_id}
        return RawHeaders.model_validate({**known, "account": account, "system": system, "channel": channel, **more})

    async def _append(self, headers: RawHeaders, bodies: Sequence[bytes], keys: Iterable[str] | None = None) -> None:
        began = time.perf_counter()
        try:
            keyed = zip(bodies, keys or [""] * len(bodies), strict=True)
            records = [RawRecord(headers, body, headers.received_at, key) for body, key in keyed]
            await self.raw.append(records, within=self.settings.gateway_timeout * APPEND_SHARE)
        except Unreachable as error:
            PRODUCE_FAILURES.inc(len(bodies))
            raise away(str(error)) from None
        except TooLarge as error:
            raise Refused(413, str(error), "raise max.message.bytes of the topic, or lower MUTUAL_SLA_MAX_BODY_BYTES") from None
        APPEND_SECONDS.observe(time.perf_counter() - began)
        BODIES.labels(headers.account, headers.channel).inc(len(bodies))
        BODY_BYTES.labels(headers.account, headers.channel).inc(sum(map(len, bodies)))

    @property
    def _body_seconds(self) -> float:
        return self.settings.gateway_timeout * BODY_SHARE

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")  # never the path itself: anybody can make up paths
        system = scope.get("path_params", {}).get("system", "")
        REQUESTS.labels(route, system if system in self.connectors else "", str(status)).inc()
        REQUEST_SECONDS.labels(route).observe(seconds)


def _initialise(accounts: Iterable[str]) -> None:
    """Show the counters at 0 from the first scrape on: a series that begins at 1 has no increase."""
    channels = ("webhook", "record", "watermark")
    for pair in [*((account, channel) for account in accounts for channel in channels), (MANUAL_ACCOUNT, "fact")]:
        BODIES.labels(*pair)
        BODY_BYTES.labels(*pair)


def _kept(connector: Connector) -> frozenset[str]:
    """The request headers its facts are read from: a whitelist, so that no signature ever gets into the log."""
    names: frozenset[str] = getattr(connector, "vendor_headers", frozenset())
    return names


def _json_like(request: Request, more: Iterable[str] = ()) -> str | None:
    media = media_type(request)
    if media is None or media in {"application/json", "text/json", *more} or media.endswith("+json"):
        return media
    raise Refused(415, f"content type {media!r} is not JSON", f"one of: application/json, {', '.join(sorted(more))}".rstrip(", "))


def _until(text: str | None, clock: Clock) -> str | None:
    return complete_until(text, clock.now()).isoformat() if text else None


def run(settings: Settings, clock: Clock) -> None:
    """Serve until SIGTERM or SIGINT: then stop accepting, finish what is inside, deliver it, and return.

    Raises InvalidConfiguration, before anything listens, if sources.yaml or a secret it names is not usable.
    """
    sources = load_sources(settings.deploy_dir)
    access = Access.from_sources(sources, settings.deploy_dir)
    rate = Rate(settings.gateway_rate, settings.gateway_burst)
    gateway = Gateway(settings, clock, sources, access, RawLog(settings), CONNECTORS, MANUAL_KINDS, rate=rate)
    logging.getLogger("kafka").setLevel(logging.WARNING)  # below it, kafka-python logs keys and values
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # below it, a line for each unreadable request; they are counted
    connections = Connections(settings.gateway_timeout * ANSWER_SHARE, most=allow_files())
    config = uvicorn.Config(
        gateway.app(),
        host=settings.host,
        port=settings.gateway_port,
        access_log=False,
        log_config=None,
        server_header=False,
        http=connections.protocol,  # type: ignore[arg-type]
        ws="none",
        loop="asyncio",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.gateway_timeout) + 1,
    )
    serving.until_stopped(config)
