"""The poller: asks each account's API for what no webhook tells, and keeps the answers in `ats.raw`.

In: the accounts of sources.yaml with an `api`. Out: records, and behind them the watermark of the types that were read whole;
then, and only then, how far it came is made durable. A task an account with a pause of its own: one that fails holds up nobody.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog

from schemas.sources import Account, Api, Sources
from streams import liveness, metrics
from streams.access import UnreadableSecret, resolve
from streams.check import load_sources
from streams.clock import Clock
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.poll_health import PollHealth
from streams.poll_reading import Reading
from streams.poll_signals import Signals
from streams.poll_state import PollState
from streams.pollers.plan import Ask, Plan, Signal, UnexpectedAnswer
from streams.polling import SOURCES, Source, authority
from streams.raw_log import Log, RawLog
from streams.safe_fetch import PollFailed, Sleep, Vendor
from streams.settings import Settings

log = structlog.get_logger()

REQUEST_SECONDS = 30.0
READY_TRIES = 60  #: half a second each, for `--once`
LONGEST_PAUSE = 900.0  #: seconds between two polls of an account that fails

POLLS = metrics.POLLS.counter()
SUCCESS = metrics.POLL_SUCCESS.gauge()
REQUESTS = metrics.POLL_REQUESTS.counter()


@dataclass(slots=True)
class Poller:
    """One account. `poll` reads everything once, type by type; between two types it follows what a signal names."""

    tenant: str
    account: Account
    source: Source
    vendor: Vendor
    raw: Log
    state: PollState
    clock: Clock
    limit: int  #: bytes of one record
    read_at: dict[str, datetime] = field(default_factory=dict)  #: record type -> end of its last reading; at first, of the cursor
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  #: a record is compared by one reading at a time

    async def poll(self, since: datetime | None = None) -> bool:
        """Every polled type once; whether all were read. `since`: again from then on, marked as history."""
        return all([await self._try(name, partial(self.read, name, since)) for name in self.account.polled])

    async def follow(self, signal: Signal) -> bool:
        """Read what a signal is about, if its type is polled at all; whether it was read."""
        return signal.record_type not in self.account.polled or await self._try(signal.record_type, partial(self._look, signal))

    async def _try(self, record_type: str, read: Callable[[], Awaitable[tuple[datetime, int]]]) -> bool:
        labels = (self.account.account, record_type)
        try:
            async with self._turn:
                began, count = await read()
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
        began, cursor = self.clock.now(), self.state.cursor(self.account.account, record_type)
        start = since if since is not None else (cursor - self.source.overlap if cursor else None)
        reading = self._reading(record_type, cursor, history=since is not None or cursor is None)
        await self._drive(self.source.plans[self.source.version(self.account.api or Api())][record_type](start), reading)
        whole = start is None or (cursor is not None and start <= cursor)
        if whole:
            mark = orjson.dumps({"record_type": record_type, "complete_until": began.isoformat()})
            await reading.append([mark], "watermark")
        self.state.commit(self.account.account, record_type, began if whole else None, reading.seen)
        self.read_at[record_type] = self.clock.now()
        return began, reading.kept

    async def _look(self, signal: Signal) -> tuple[datetime, int]:
        """Of one record, before its poll comes; the first poll, which reads everything, is waited for. No cursor moves."""
        cursor = self.state.cursor(self.account.account, signal.record_type)
        if cursor is None:
            return self.clock.now(), 0
        reading = self._reading(signal.record_type, cursor, history=False)
        await self._drive(signal.plan(cursor - self.source.overlap), reading)
        self.state.commit(self.account.account, signal.record_type, None, reading.seen)
        return cursor, reading.kept

    def _reading(self, record_type: str, cursor: datetime | None, *, history: bool) -> Reading:
        rules, place = self.source.compared, (self.tenant, self.account)
        return Reading(*place, record_type, rules, self.raw, self.state, self.clock, self.limit, cursor, history)

    async def _drive(self, plan: Plan, reading: Reading) -> None:
        """Ask what the plan asks, keep what it finds."""
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration:
                break
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise UnexpectedAnswer(f"{reading.record_type}: {type(error).__name__} in the answer") from None
            if isinstance(step, Ask):
                answer = await self.vendor.ask(step)
            else:
                answer = None
                await reading.take(step)
        await reading.flush()


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
            read_at = {name: state.cursor(account.account, name) or clock.now() for name in account.polled}
            made.append(Poller(sources.tenant, account, source, vendor, raw, state, clock, settings.max_body_bytes, read_at))
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


async def _run(
    settings: Settings, clock: Clock, only: str | None, since: datetime | None = None, health: PollHealth | None = None
) -> bool:
    """One poll of each account, or, with `health`, one after the other until a signal ends it."""
    sources = load_sources(settings.deploy_dir)
    accounts = chosen(sources, only)
    raw = RawLog(settings)
    async with pollers(settings, sources, accounts, raw, clock) as made:
        await raw.start()
        try:
            if health is None:
                await _ready(raw, READY_TRIES)
                return all(await asyncio.gather(*(one.poll(since) for one in made)))
            tasks = [asyncio.create_task(_start(one)) for one in made]
            tasks += [asyncio.create_task(work) for work in Signals(settings, made).tasks()]
            health.pollers = made
            tasks.append(asyncio.create_task(health.beat(tuple(tasks))))
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
        if not asyncio.run(_run(settings, clock, account, since)):
            sys.exit(Unreachable.exit_code)
        return
    health = PollHealth(settings.stall_seconds)
    with liveness.serve(settings.host, settings.poller_metrics_port, lambda: True, health.watchdog.stuck, health.note):
        health.watchdog.start()
        asyncio.run(_run(settings, clock, account, health=health))
