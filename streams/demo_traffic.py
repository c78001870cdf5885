"""The demo's traffic: simulated deliveries sent to the gateway over HTTP, in simulated time.

In: deliveries in order of arrival (`streams/simulated_feed.py`). They are sent in small steps: the shared clock is moved to the
end of a step, its deliveries are sent together, those of one lane one after the other, and only when the gateway has
acknowledged all of them does time go on. So nothing is received before it was sent, and nothing is overtaken by the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter

import httpx

from streams.clock import FileClock
from streams.errors import Unreachable
from streams.greenhouse_payloads import sign
from streams.simulated_company import ACCOUNT
from streams.simulated_feed import Delivery

STEP_DELIVERIES = 48  #: sent together at most
STEP_TIME = timedelta(hours=3)  #: of simulated time at most, unless nothing happens for longer
CONNECTIONS = 24
TRIES = 5  #: of a request that the gateway answers with 503

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


def steps(deliveries: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    """Consecutive deliveries that are sent together."""
    begin = 0
    for place, delivery in enumerate(deliveries):
        full = place - begin >= STEP_DELIVERIES or delivery.at - deliveries[begin].at > STEP_TIME
        if full:
            yield deliveries[begin:place]
            begin = place
    if deliveries[begin:]:
        yield deliveries[begin:]


async def send(deliveries: Sequence[Delivery], door: Door, clock: FileClock, progress: Callable[[int, datetime], None]) -> float:
    """Send everything; the seconds it took. `progress` is told how many were just acknowledged, and the simulated time.

    The clock is left at the last delivery. Raises Unreachable if the gateway answers anything unexpected.
    """
    began = perf_counter()
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=30.0, trust_env=False) as client:
        for step in steps(deliveries):
            clock.set(step[-1].at)
            lanes: dict[str, list[Delivery]] = {}
            for delivery in step:
                lanes.setdefault(delivery.lane, []).append(delivery)
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(_send_lane(client, door, lane))
            progress(len(step), step[-1].at)
    return perf_counter() - began


async def _send_lane(client: httpx.AsyncClient, door: Door, lane: Sequence[Delivery]) -> None:
    for delivery in lane:
        await _send_one(client, door, delivery)


async def _send_one(client: httpx.AsyncClient, door: Door, delivery: Delivery) -> None:
    url, headers = door.request(delivery)
    wanted = FORGED_STATUS if delivery.kind == "forged" else EXPECTED[delivery.channel]
    for number in range(TRIES):
        answer = await client.post(url, content=delivery.body, headers=headers)
        if answer.status_code == wanted:
            return
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        await asyncio.sleep(0.2 * 2**number)
    raise Unreachable(f"the gateway answered {answer.status_code} to {url}, not {wanted}: {answer.text[:300]}")


async def poll_on(door: Door, record_types: Sequence[str], now: Callable[[], datetime], seconds: float) -> None:
    """Go on as the extractor would while the demo stays up: empty polls, so that the source is not silent. Never returns."""
    async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
        while True:
            at = now()
            for record_type in record_types:
                poll = Delivery(
                    at=at,
                    channel="records",
                    lane=record_type,
                    body=b"[]",
                    record_type=record_type,
                    records=0,
                    complete_until=at.replace(microsecond=0),
                )
                await _send_one(client, door, poll)
            await asyncio.sleep(seconds)
