"""What the poller says on /healthz: a source that is not read is named, a loop that stands still is a 503."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from streams import liveness, poll_health, ports
from streams.poll_health import PollHealth
from streams.poller import Poller
from tests.unit.test_poller import START, Bench, harvest

LIMIT = 1.0  #: seconds


def healthz(port: int) -> tuple[int, str]:
    answer = httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
    return answer.status_code, answer.text


def test_a_source_that_was_not_read_for_three_intervals_is_named_and_is_no_fault_of_ours(tmp_path: Path) -> None:
    bench = Bench(tmp_path, harvest())

    async def work(one: Poller) -> None:
        one.read_at |= {"scorecards": START, "jobs": START}
        health, port = PollHealth(60.0), ports.free()
        health.pollers = [one]
        with liveness.serve("127.0.0.1", port, lambda: True, health.watchdog.stuck, health.note):
            bench.clock.at = START + timedelta(seconds=3 * one.account.poll_every)
            assert healthz(port) == (200, "ok\n")
            bench.clock.at += timedelta(seconds=1)
            assert await one.poll()  # of its types, which are the scorecards alone
            assert healthz(port) == (200, "ok\ngh jobs: not read for 901 s\n")
            bench.log.down = True
            bench.clock.at += timedelta(hours=1)
            assert not await one.poll()
            assert healthz(port) == (200, "ok\ngh jobs: not read for 4501 s\ngh scorecards: not read for 3600 s\n")

    bench.do(work)


def test_healthz_fails_while_the_loop_stands_still_and_once_a_task_of_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_health, "BEAT_SECONDS", 0.01)
    health, port = PollHealth(LIMIT), ports.free()

    async def broken() -> None:
        raise ZeroDivisionError

    async def becomes(code: int) -> str:
        end = time.monotonic() + 60
        while (found := await asyncio.to_thread(healthz, port))[0] != code:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)
        return found[1]

    async def work() -> None:
        for_ever = asyncio.create_task(asyncio.sleep(60))
        beat = asyncio.create_task(health.beat([for_ever]))
        assert await becomes(200) == "ok\n"
        time.sleep(1.5 * LIMIT)  # the loop hangs
        code, words = healthz(port)
        assert (code, words.split(" for ")[0]) == (503, "loop: no progress")
        assert await becomes(200) == "ok\n"
        beat.cancel()
        await health.beat([for_ever, asyncio.create_task(broken())])
        assert (await becomes(503)).startswith("loop: no progress for ")

    with liveness.serve("127.0.0.1", port, lambda: True, health.watchdog.stuck, health.note):
        asyncio.run(work())
