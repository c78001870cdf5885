"""The demo's traffic: simulated deliveries sent to the gateway over HTTP, in simulated time.

In: deliveries in order of arrival (`streams/simulated_feed.py`). A few are under way at once, those of one lane one after the
other. The shared clock is moved to a delivery before it is sent, so nothing is received before its time; it never goes more than
two hours beyond one that is not yet acknowledged, and four beyond one that is not yet normalised. Deliveries that tell no time
of their own are sent alone: their time is when they are received.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from time import monotonic

import aiohttp

from streams.clock import FileClock
from streams.demo_pace import Pace
from streams.errors import Unreachable
from streams.greenhouse_payloads import sign
from streams.simulated_company import ACCOUNT
from streams.simulated_feed import Delivery

IN_FLIGHT = 12  #: requests at once
#: Time goes on while requests are under way, but never further than this beyond what they deliver.
AHEAD = timedelta(hours=2)
#: The same for what is acknowledged and has not passed the normalise worker, which ticks must not overtake by much.
BEHIND = timedelta(hours=4)
VOUCH = timedelta(seconds=31)  #: webhooks vouch for what was received at most so often (streams/normalise.py)
PATIENCE_SECONDS = 60.0
TRIES = 5  #: of a request that the gateway answers with 503
TIMEOUT = aiohttp.ClientTimeout(total=30)

#: What the gateway must answer; anything else ends the demo.
EXPECTED = {"webhook": 200, "records": 200, "fact": 202}
FORGED_STATUS = 401


@dataclass(frozen=True, slots=True)
class Door:
    """The gateway's address and what opens it."""

    url: str
    webhook_secret: bytes
    tokens: Mapping[str, str]  #: identity -> bearer token
    extractor: str  #: the identity that posts records

    def request(self, delivery: Delivery) -> tuple[str, dict[str, str]]:
        """Path with query, and headers, of a delivery."""
        headers = {"Content-Type": "application/json"}
        if delivery.channel == "webhook":
            secret = b"somebody else's secret" if delivery.kind == "forged" else self.webhook_secret
            headers |= {"Signature": sign(delivery.body, secret), "Greenhouse-Event-ID": delivery.event_id}
            return f"{self.url}/webhooks/{ACCOUNT}", headers
        identity = delivery.identity or self.extractor
        headers["Authorization"] = f"Bearer {self.tokens[identity]}"
        if delivery.channel == "fact":
            return f"{self.url}/facts", headers
        until = delivery.complete_until
        query = f"?complete_until={until:%Y-%m-%dT%H:%M:%SZ}" if until else ""
        return f"{self.url}/records/{ACCOUNT}/{delivery.record_type}{query}", headers


@dataclass(slots=True)
class Sender:
    """Sends deliveries; `pace` says how far they have come behind the gateway."""

    door: Door
    clock: FileClock
    pace: Pace
    _under_way: deque[tuple[Delivery, asyncio.Task[None]]] = field(default_factory=deque)
    _lanes: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _vouching: deque[datetime] = field(default_factory=deque)  #: acknowledged, and not seen behind the normalise worker

    async def send(self, deliveries: Sequence[Delivery], progress: Callable[[datetime], None]) -> None:
        """Send everything; `progress` is told what time it is with each. The clock is left at the last delivery.

        Raises Unreachable if the gateway answers anything unexpected.
        """
        try:
            await self._send(deliveries, progress)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _send(self, deliveries: Sequence[Delivery], progress: Callable[[datetime], None]) -> None:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session, asyncio.TaskGroup() as group:
            for delivery in deliveries:
                await self._make_room(delivery)
                if before := self._lanes.get(delivery.lane):
                    await before
                self.clock.set(delivery.at)
                task = self._lanes[delivery.lane] = group.create_task(_send_one(session, self.door, delivery))
                self._under_way.append((delivery, task))
                progress(delivery.at)

    async def _make_room(self, following: Delivery) -> None:
        """Wait until the clock may be moved to the next delivery: for all before it if one of them has no time but that."""
        while self._under_way:
            oldest, task = self._under_way[0]
            exact = following.timeless or any(delivery.timeless for delivery, _ in self._under_way)
            if not task.done() and not exact and len(self._under_way) < IN_FLIGHT and following.at - oldest.at <= AHEAD:
                break
            await task
            self._under_way.popleft()
            if oldest.kind in ("plain", "late", "duplicate") and oldest.channel != "fact":
                self._vouching.append(oldest.at)
        await self._keep_pace(following.at)

    async def _keep_pace(self, at: datetime) -> None:
        """Wait while something that is older than `BEHIND` has not passed the normalise worker."""
        waited = monotonic() + PATIENCE_SECONDS
        while self._vouching:
            if self.pace.normalised_until >= self._vouching[0] - VOUCH:
                self._vouching.popleft()
            elif at - self._vouching[0] <= BEHIND:
                return
            elif monotonic() > waited:
                raise Unreachable("the normalise worker does not get on; see its log")
            else:
                await asyncio.sleep(0.002)


async def _send_one(session: aiohttp.ClientSession, door: Door, delivery: Delivery) -> None:
    """Send until it is answered as it must be; 503 and broken connections are tried again, as a vendor would."""
    url, headers = door.request(delivery)
    wanted = FORGED_STATUS if delivery.kind == "forged" else EXPECTED[delivery.channel]
    for number in range(TRIES):
        try:
            async with session.post(url, data=delivery.body, headers=headers) as answer:
                if answer.status == wanted:
                    return
                words = f"{answer.status}: {(await answer.text())[:300]}"
                if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
        except aiohttp.ClientError as error:
            words = type(error).__name__
        await asyncio.sleep(0.2 * 2**number)
    raise Unreachable(f"the gateway answered to {url}, instead of {wanted}, {words}")


async def go_on(last: Sequence[Delivery], door: Door, now: Callable[[], datetime], seconds: float) -> None:
    """Go on as vendor and extractor would while the demo stays up, so that the source is not silent. Never returns.

    `last`: the deliveries at the end of the history; their polls are repeated empty, their webhooks as they were.
    """
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        while True:
            at = now().replace(microsecond=0)
            for delivery in last:
                polled = delivery.channel == "records"
                again = replace(delivery, body=b"[]", complete_until=at) if polled else delivery
                await _send_one(session, door, again)
            await asyncio.sleep(seconds)
