"""The gateway under attack and beyond the broker's speed: the honest are answered, memory is bounded, and what was acknowledged
is in `ats.raw`, both sides counted."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson
import pytest

from streams import ports
from streams import topics as topics_module
from streams.connections import allow_files
from streams.kafka_node import KafkaNode
from streams.settings import Settings
from tests import abuse
from tests.gateway_process import SECRET, address, raw_records, running

pytestmark = pytest.mark.kafka

#: So many hostile connections of each kind, opened anew as often as they are closed; "" is all kinds together.
ATTACKS = {
    "silent": 400,
    "slow_head": 400,
    "slow_body": 300,
    "endless_body": 15,
    "oversized_body": 15,
    "endless_head": 15,
    "tiny_chunks": 15,
    "endless_trailer": 15,
    "deaf": 60,
    "": 1000,
}
#: Why the gateway has closed connections by then.
REASONS = {"slow", "early", "unreadable"}
CALLERS = 1000  #: at once, each with a connection of its own
SMALL, LARGE = 2_000, 100_000  #: bytes of a body; every tenth is large
#: Why a body was refused before anything of it was on its way to the broker.
NOT_SENT = {"too many requests at once", "too many bodies at once", "too many bodies wait for Kafka already"}


@pytest.mark.timeout(600)
def test_hostile_callers_cost_the_honest_nothing_and_memory_is_bounded(topics: Callable[..., Settings], tmp_path: Path) -> None:
    settings = topics(gateway_port=ports.free(), max_body_bytes=20_000)
    kept: list[bytes] = []
    with running(settings, tmp_path) as process:
        for kind, connections in ATTACKS.items():
            count = 60 if connections >= 300 else 32  # the slow ones until their time is up
            told = [{"action": "candidate_stage_change", "number": number, "kind": kind} for number in range(count)]
            bodies = map(orjson.dumps, told)
            answers = abuse.Answers()
            with abuse.attacked(settings.gateway_port, connections, kind or None):
                asyncio.run(honest_callers(settings, bodies, answers))
            assert answers.statuses == {200: count}, f"{kind}: {answers.statuses}"
            peak = abuse.peak_megabytes(process.pid)
            assert peak < 250, f"{kind}: {peak:.0f} MB"
            kept += answers.kept
        measured = httpx.get(address(settings) + "/metrics").text
    assert set(re.findall(r'^mutual_sla_gateway_connections_closed_total{reason="(\w+)"}', measured, re.M)) >= REASONS
    assert sorted(record.value for record in raw_records(settings)) == sorted(kept), (
        "what was acknowledged, and nothing of the rest"
    )


async def honest_callers(settings: Settings, bodies: Iterator[bytes], answers: abuse.Answers) -> None:
    callers = [abuse.ask(settings.gateway_port, bodies, SECRET, answers, 0.25) for _ in range(4)]
    await asyncio.gather(*callers)


@pytest.mark.timeout(400)
def test_bursts_while_the_broker_is_frozen_and_while_it_is_away(tmp_path: Path) -> None:
    """All of a thousand callers come again until they are told 200: each body is then there, and twice only if it might be."""
    allow_files(2 * CALLERS)
    answers = abuse.Answers()
    with KafkaNode(tmp_path / "kafka", port=ports.free(), heap="256m") as node:
        settings = Settings(brokers=node.bootstrap, gateway_port=ports.free(), gateway_rate=0, state_dir=tmp_path)
        topics_module.verify(settings)
        with running(settings, tmp_path) as process, ThreadPoolExecutor(1) as callers:
            assert node.process is not None
            node.process.identity.signal_group(signal.SIGSTOP)
            first = callers.submit(asyncio.run, burst(settings, answers))
            time.sleep(3.0)
            taken = len(answers.kept)
            alive = [health(settings)]
            node.process.identity.signal_group(signal.SIGCONT)
            first.result()
            assert taken == 0, "acknowledged by a broker that is frozen"
            second = callers.submit(asyncio.run, burst(settings, answers))
            time.sleep(0.5)
            node.stop()
            time.sleep(2.0)  # what it acknowledged before is still on its way to the callers
            before = len(answers.kept)
            time.sleep(2.0)
            taken = len(answers.kept) - before
            alive.append(health(settings))
            node.start()
            second.result()
            assert taken == 0, "acknowledged by a broker that is away"
            peak = abuse.peak_megabytes(process.pid)
        in_topic = Counter(record.value for record in raw_records(settings))
    assert max(alive) < 5, f"/healthz took {max(alive):.1f} s"
    assert set(answers.statuses) == {200, 503}, answers.statuses
    assert all(int(told.headers["retry-after"]) > 0 for _, told in answers.refused)
    assert len(answers.kept) == len(set(answers.kept)) == 2 * CALLERS
    assert set(in_topic) == set(answers.kept)
    unsure = {body for body, told in answers.refused if orjson.loads(told.content)["error"] not in NOT_SENT}
    assert set(in_topic - Counter(answers.kept)) <= unsure, "a body is there twice that was never sent twice"
    assert peak < 400, f"{peak:.0f} MB"


def health(settings: Settings) -> float:
    """The seconds /healthz takes."""
    began = time.perf_counter()
    httpx.get(address(settings) + "/healthz", timeout=30).raise_for_status()
    return time.perf_counter() - began


async def burst(settings: Settings, answers: abuse.Answers) -> None:
    """One new body of each caller, all at once, until all are taken; at most two minutes."""
    start = len(answers.kept)
    sizes = [LARGE if number % 10 == 0 else SMALL for number in range(CALLERS)]
    bodies = [b'{"number": %d, "text": "%b"}' % (start + number, b"x" * size) for number, size in enumerate(sizes)]
    async with asyncio.timeout(120):
        await asyncio.gather(*(abuse.insist(settings.gateway_port, body, SECRET, answers, 2.0) for body in bodies))
