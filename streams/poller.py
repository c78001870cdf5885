"""The poller: asks each account's API for what no webhook tells, and keeps the answers in `ats.raw`.

In: the accounts of sources.yaml with an `api`. Out: records, and behind them the watermark of the types that were read whole;
then, and only then, how far it came is made durable. A task an account with a pause of its own: one that fails holds up nobody.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog

from schemas.raw import RawHeaders
from schemas.sources import Account, Api, Sources
from streams import liveness, metrics
from streams.access import UnreadableSecret, resolve
from streams.check import load_sources
from streams.clock import Clock
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.poll_state import PollState, Seen, digest
from streams.pollers.plan import Ask, Compared, Found, UnexpectedAnswer, compared
from streams.polling import SOURCES, Source, authority
from streams.raw_log import Log, RawLog, RawRecord
from streams.safe_fetch import PollFailed, Sleep, Vendor
from streams.settings import Settings

log = structlog.get_logger()

BATCH = 500  #: records that are appended together
APPEND_SECONDS = 30.0
REQUEST_SECONDS = 30.0
READY_TRIES = 60  #: half a second each, for `--once`
LONGEST_PAUSE = 900.0  #: seconds between two polls of an account that fails

POLLS = metrics.POLLS.counter()
SUCCESS = metrics.POLL_SUCCESS.gauge()
REQUESTS = metrics.POLL_REQUESTS.counter()
RECORDS = metrics.POLL_RECORDS.counter()


@dataclass(slots=True)
class Poller:
    """One account. `poll` reads everything once, type by type."""

    tenant: str
    account: Account
    source: Source
    vendor: Vendor
    raw: Log
    state: PollState
    clock: Clock
    limit: int  #: bytes of one record

    async def poll(self, since: datetime | None = None) -> bool:
        """Every polled type once; whether all were read. `since`: again from then on, marked as history."""
        results = [await self._try(name, since) for name in self.account.polled]
        return all(results)

    async def _try(self, record_type: str, since: datetime | None) -> bool:
        labels = (self.account.account, record_type)
        try:
            began, count = await self.read(record_type, since)
        except (PollFailed, UnexpectedAnswer, MutualSLAError) as error:
            POLLS.labels(*labels, "failed").inc()
            log.warning("poll_failed", account=labels[0], record_type=record_type, reason=str(error))
            return False
        except Exception as error:
            # A fault of ours costs this type and not the others; its message may quote a body.
            POLLS.labels(*labels, "failed").inc()
            log.error("poll_error", account=labels[0], record_type=record_type, error=type(error).__name__)
            return False
        POLLS.labels(*labels, "done").inc()
        SUCCESS.labels(*labels).set(began.timestamp())
        log.info("polled", account=labels[0], record_type=record_type, records=count)
        return True

    async def read(self, record_type: str, since: datetime | None = None) -> tuple[datetime, int]:
        """One record type; when it began and how many records were kept. Raises PollFailed, UnexpectedAnswer, Unreachable.

        A first poll reads all there is, which is history. The watermark and the cursor move only if nothing before lies unread.
        """
        name, began = self.account.account, self.clock.now()
        cursor = self.state.cursor(name, record_type)
        start = since if since is not None else (cursor - self.source.overlap if cursor else None)
        reading = _Reading(self, record_type, cursor, history=since is not None or cursor is None)
        plan = self.source.plans[self.source.version(self.account.api or Api())][record_type](start)
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration:
                break
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise UnexpectedAnswer(f"{record_type}: {type(error).__name__} in the answer") from None
            if isinstance(step, Ask):
                answer = await self.vendor.ask(step)
            else:
                answer = None
                await reading.take(step)
        await reading.flush()
        whole = start is None or (cursor is not None and start <= cursor)
        if whole:
            mark = orjson.dumps({"record_type": record_type, "complete_until": began.isoformat()})
            await reading.append([mark], "watermark")
        self.state.commit(name, record_type, began if whole else None, reading.seen)
        return began, reading.kept


@dataclass(slots=True)
class _Reading:
    """One poll of one type, on its way."""

    poller: Poller
    record_type: str
    cursor: datetime | None
    history: bool
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: dict[str, Seen] = field(default_factory=dict)
    kept: int = 0
    waiting: list[tuple[bytes, datetime | None]] = field(default_factory=list)

    async def take(self, found: Found) -> None:
        """Keep a record that is new or not as it was; `previous` and `changed_since` say what a poll saw before."""
        source, account = self.poller.source, self.poller.account.account
        rule = source.compared.get(found.record_type)
        key = _key(found, rule.key if rule else "id")
        before = self.seen.get(key) or self.poller.state.seen(account, found.record_type, key)
        now = compared(found, rule, before.compared if before else None, self.cursor) if rule else Compared({})
        self.seen[key] = Seen(digest(found.body), now)
        if before is not None and before.digest == self.seen[key].digest and not self.history:
            return
        told = {} if now.previous is None else {"previous": dict(now.previous)}
        self.waiting.append((self._bytes({**found.body, **told}), now.since))
        if len(self.waiting) >= BATCH:
            await self.flush()

    def _bytes(self, body: dict[str, Any]) -> bytes:
        packed = orjson.dumps(body)
        if len(packed) > self.poller.limit:
            raise PollFailed(f"{self.record_type}: a record over {self.poller.limit} bytes")
        return packed

    async def flush(self) -> None:
        """Append what waits; in runs of one `changed_since`, so that their order stays."""
        waiting, self.waiting = self.waiting, []
        runs: list[tuple[datetime | None, list[bytes]]] = []
        for body, since in waiting:
            if not runs or runs[-1][0] != since:
                runs.append((since, []))
            runs[-1][1].append(body)
        for since, bodies in runs:
            await self.append(bodies, "record", since)
            self.kept += len(bodies)
            RECORDS.labels(self.poller.account.account, self.record_type).inc(len(bodies))

    async def append(self, bodies: Sequence[bytes], channel: str, changed_since: datetime | None = None) -> None:
        """Raises Unreachable if the broker does not acknowledge every one."""
        now, account = self.poller.clock.now(), self.poller.account
        headers = RawHeaders.model_validate(
            {
                "tenant": self.poller.tenant,
                "account": account.account,
                "system": account.system,
                "channel": channel,
                "received_at": now,
                "request_id": self.request_id,
                "record_type": self.record_type,
                "backfill": self.history and channel == "record",
                "changed_since": changed_since,
            }
        )
        await self.poller.raw.append([RawRecord(headers, body, now) for body in bodies], within=APPEND_SECONDS)


def _key(found: Found, name: str) -> str:
    """What one record is told from the next by; where it has no id, all of it."""
    value = found.body.get(name)
    own = str(value) if isinstance(value, str | int) else digest(found.body)
    return f"{own}|{found.body['version']}" if isinstance(found.body.get("version"), int) else own


def secrets(account: Account, base: Path) -> dict[str, str]:
    """The secrets an account's API needs. Raises InvalidConfiguration naming all that are missing."""
    api, source = account.api or Api(), SOURCES[account.system]
    found: dict[str, str] = {}
    faults = []
    for name in source.needs[source.version(api)]:
        reference = getattr(api, name)
        try:
            if reference is None:
                raise UnreadableSecret("not in sources.yaml")
            found[name] = resolve(reference, base).decode()
        except UnreadableSecret as error:
            faults.append(f"api.{name} of {account.account}: {error}")
    if faults:
        raise InvalidConfiguration(faults)
    return found


def chosen(sources: Sources, only: str | None) -> list[Account]:
    """The accounts with an API, or the one meant. Raises InvalidConfiguration if there is none."""
    found = [one for one in sources.accounts if one.api is not None and only in (None, one.account)]
    if not found:
        raise InvalidConfiguration([f"sources.yaml: no account{f' {only}' if only else ''} has an api to poll"])
    return found


@asynccontextmanager
async def pollers(
    settings: Settings, sources: Sources, accounts: Sequence[Account], raw: Log, clock: Clock, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[list[Poller]]:
    """A poller for each account, and what they share; secrets are resolved before anything is asked."""
    known = {one.account: secrets(one, settings.deploy_dir) for one in accounts}
    state = PollState(settings.state_dir)
    clients: list[httpx.AsyncClient] = []
    try:
        made = []
        for account in accounts:
            source, api = SOURCES[account.system], account.api or Api()
            client = httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False)
            clients.append(client)
            signing = authority(source, api, known[account.account])
            vendor = Vendor(
                client,
                api.base_url or source.base_url[source.version(api)],
                signing,
                failure=source.failure,
                count=lambda status, name=account.account: REQUESTS.labels(name, status).inc(),  # type: ignore[misc]
                sleep=sleep,
            )
            made.append(Poller(sources.tenant, account, source, vendor, raw, state, clock, settings.max_body_bytes))
        yield made
    finally:
        for client in clients:
            await client.aclose()
        state.close()


async def forever(poller: Poller, sleep: Sleep = asyncio.sleep) -> None:
    """Poll, pause, poll; a failing account pauses longer each time."""
    failures = 0
    while True:
        failures = 0 if await poller.poll() else failures + 1
        every = poller.account.poll_every
        await sleep(every if not failures else min(max(every, LONGEST_PAUSE), every * 2.0 ** min(failures, 8)))


async def _ready(raw: Log, tries: int | None) -> None:
    """Wait until the log takes records. Raises Unreachable after so many tries (None: never)."""
    while (fault := await raw.fault()) is not None:
        tries = None if tries is None else tries - 1
        if tries == 0:
            raise Unreachable(fault)
        await asyncio.sleep(0.5)


async def _start(poller: Poller) -> None:
    await _ready(poller.raw, None)  # Kafka that is late is no failure of the vendor, and earns it no pause
    await forever(poller)


async def _run(settings: Settings, clock: Clock, only: str | None, once: bool, since: datetime | None) -> bool:
    sources = load_sources(settings.deploy_dir)
    accounts = chosen(sources, only)
    raw = RawLog(settings)
    async with pollers(settings, sources, accounts, raw, clock) as made:
        await raw.start()
        try:
            if once:
                await _ready(raw, READY_TRIES)
                return all(await asyncio.gather(*(one.poll(since) for one in made)))
            tasks = [asyncio.create_task(_start(one)) for one in made]
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return True
        finally:
            await raw.close()


def run(
    settings: Settings, clock: Clock, *, account: str | None = None, once: bool = False, since: datetime | None = None
) -> None:
    """Poll until SIGTERM or SIGINT; with `once` or `since` one time, exit 69 if something could not be read.

    Raises InvalidConfiguration before anything is asked.
    """
    if once or since is not None:
        if not asyncio.run(_run(settings, clock, account, True, since)):
            sys.exit(Unreachable.exit_code)
        return
    with liveness.serve(settings.host, settings.poller_metrics_port, lambda: True):
        asyncio.run(_run(settings, clock, account, False, None))
