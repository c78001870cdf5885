"""The gateway as a process of its own, over real HTTP, on a real Kafka: what it acknowledged is in `ats.raw`, to the byte."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest

from schemas.raw import RawHeaders
from streams import ports
from streams import topics as topics_module
from streams.clock import FileClock
from streams.kafka_node import KafkaNode
from streams.settings import ROOT, Settings
from tests.gateway_process import SECRET, TOKEN, address, command, raw_records, running, signed, until_answers

pytestmark = pytest.mark.kafka

THEN = datetime(2026, 5, 4, 9, 0, 0, 123_000, tzinfo=UTC)


def post(settings: Settings, body: bytes, secret: bytes = SECRET) -> httpx.Response:
    return httpx.post(address(settings) + "/webhooks/greenhouse", content=body, headers=signed(body, secret), timeout=30)


async def flood(settings: Settings, bodies: list[bytes], at_once: int, *, kept: list[bytes]) -> list[int]:
    """Post all bodies, so many at once (httpx itself gets slow beyond 16). The statuses, 0 where no answer came.

    Bodies that were acknowledged are added to `kept`.
    """
    statuses: list[int] = []
    waiting = iter(bodies)

    async def one(client: httpx.AsyncClient) -> None:
        for body in waiting:
            try:
                answer = await client.post("/webhooks/greenhouse", content=body, headers=signed(body))
            except httpx.TransportError:
                statuses.append(0)
                continue
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                kept.append(body)

    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(base_url=address(settings), timeout=30, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(at_once)))
    return statuses


@pytest.fixture
def settings(topics: Callable[..., Settings]) -> Settings:
    return topics(gateway_port=ports.free(), max_body_bytes=20_000)


def test_the_body_is_in_the_topic_to_the_byte_and_a_wrong_signature_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    body = b'{"action": "x",\r\n "payload": {"text": "\\u003cb\\u003e \xc3\xa9", "n": 1.50}}\n'
    FileClock(tmp_path / "clock").set(THEN)
    with running(settings, tmp_path):
        assert post(settings, body, b"wrong").status_code == 401
        accepted = post(settings, body)
        assert accepted.status_code == 200
    [record] = raw_records(settings)
    assert record.value == body
    assert record.key == b"greenhouse"
    assert record.timestamp == int(THEN.timestamp() * 1000)
    headers = RawHeaders.from_kafka(record.headers)
    assert (headers.received_at, headers.channel, headers.tenant) == (THEN, "webhook", "acme")
    assert headers.request_id == accepted.headers["x-request-id"]


def test_records_and_their_watermark_are_in_one_partition_in_order(settings: Settings, tmp_path: Path) -> None:
    FileClock(tmp_path / "clock").set(THEN)
    lines = [b'{"id": %d}' % number for number in range(1_200)]  # more than go to the producer at once
    with running(settings, tmp_path):
        answer = httpx.post(
            f"{address(settings)}/records/greenhouse/scorecards",
            params={"complete_until": "2026-05-04T08:59:00Z"},
            content=b"\n".join(lines),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"},
        )
    assert (answer.status_code, answer.json()["accepted"]) == (200, len(lines))
    records = raw_records(settings)
    assert len({record.partition for record in records}) == 1
    assert [record.value for record in records[:-1]] == lines
    assert RawHeaders.from_kafka(records[-1].headers).channel == "watermark"
    assert orjson.loads(records[-1].value) == {"record_type": "scorecards", "complete_until": "2026-05-04T08:59:00+00:00"}


def raw_exchange(settings: Settings, *parts: bytes) -> bytes:
    """What a bare client reads back that sends its parts without waiting for an answer."""
    with socket.create_connection((settings.host, settings.gateway_port), timeout=15) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.recv(64 * 1024)


def test_an_oversized_body_is_413_announced_or_in_chunks(settings: Settings, tmp_path: Path) -> None:
    large = b"x" * (settings.max_body_bytes * 2)
    head = b"POST /webhooks/greenhouse HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(large), large)
    with running(settings, tmp_path):
        assert post(settings, large).status_code == 413
        chunked = raw_exchange(settings, head + b"Transfer-Encoding: chunked\r\n\r\n", chunk + b"0\r\n\r\n")
        endless = raw_exchange(settings, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 3)
    assert chunked.startswith(b"HTTP/1.1 413")
    assert endless.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in endless.lower()
    assert raw_records(settings) == []


def test_what_many_callers_at_once_were_told_is_what_the_topic_holds(settings: Settings, tmp_path: Path) -> None:
    bodies = [b'{"action": "x", "n": %d}' % number for number in range(2_000)]
    kept: list[bytes] = []
    with running(settings, tmp_path):
        statuses = asyncio.run(flood(settings, bodies, 16, kept=kept))
        metrics = httpx.get(f"{address(settings)}/metrics").text
    assert set(statuses) == {200}
    assert sorted(record.value for record in raw_records(settings)) == sorted(kept) == sorted(bodies)
    assert 'mutual_sla_gateway_bodies_total{account="greenhouse",channel="webhook"} 2000.0' in metrics


def test_sigterm_under_load_ends_well_and_loses_nothing_acknowledged(settings: Settings, tmp_path: Path) -> None:
    bodies = [b'{"action": "x", "n": %d}' % number for number in range(4_000)]
    kept: list[bytes] = []

    async def load_and_stop(process: subprocess.Popen[bytes]) -> list[int]:
        load = asyncio.create_task(flood(settings, bodies, 16, kept=kept))
        while len(kept) < 300:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        return await load

    with running(settings, tmp_path) as process:
        statuses = asyncio.run(load_and_stop(process))
        assert process.wait(timeout=20) == 0
    assert 300 <= len(kept) < len(bodies)
    assert set(statuses) <= {200, 0, 503}
    in_topic = [record.value for record in raw_records(settings)]
    assert set(kept) <= set(in_topic)
    assert len(in_topic) == len(set(in_topic))


def test_a_broker_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with KafkaNode(tmp_path / "kafka", port=ports.free(), heap="256m") as node:
        settings = Settings(
            brokers=node.bootstrap, gateway_port=ports.free(), gateway_timeout=4.0, state_dir=tmp_path, max_body_bytes=20_000
        )
        topics_module.verify(settings)
        with running(settings, tmp_path) as process:
            kept = [body for number in range(20) if post(settings, body := b"[%d]" % number).status_code == 200]
            assert len(kept) == 20
            node.stop()
            began = time.monotonic()
            first = post(settings, b'{"while": "away"}')
            took = time.monotonic() - began
            second = post(settings, b'{"while": "still away"}')
            assert (first.status_code, second.status_code) == (503, 503)
            assert int(first.headers["retry-after"]) > 0
            assert took < settings.gateway_timeout
            until_answers(settings, "/readyz", 503)
            until_answers(settings, "/healthz", 200)
            node.start()
            until_answers(settings, "/readyz", 200)
            again = [body for number in range(20, 40) if post(settings, body := b"[%d]" % number).status_code == 200]
            assert len(again) == 20
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        values = [record.value for record in raw_records(settings)]
        assert values == [*kept, *again]


def test_it_is_alive_before_kafka_is_and_ready_after(kafka: str, tmp_path: Path) -> None:
    """The topics are missing at first, which is the same to a caller as no broker."""
    settings = Settings(
        brokers=kafka, topic_prefix="late-topics.", gateway_port=ports.free(), gateway_timeout=3.0, state_dir=tmp_path
    )
    with running(settings, tmp_path, path="/healthz"):
        assert post(settings, b"{}").status_code == 503
        not_ready = httpx.get(f"{address(settings)}/readyz")
        assert not_ready.status_code == 503
        assert "mutual-sla topics" in not_ready.json()["fault"]
        topics_module.verify(settings)
        until_answers(settings, "/readyz", 200)
        assert post(settings, b"{}").status_code == 200
    assert [record.value for record in raw_records(settings)] == [b"{}"]


def test_a_missing_secret_stops_the_start_and_is_named(tmp_path: Path) -> None:
    arguments, environment = command(Settings(gateway_port=ports.free(), state_dir=tmp_path), tmp_path)
    del environment["T_SECRET"]
    done = subprocess.run(arguments, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "webhook secret of greenhouse" in done.stderr
    assert "T_SECRET" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
