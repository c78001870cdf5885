"""A worker for tests: the state of a key is the set of offsets seen under it. `python -m tests.stream.set_worker`.

Environment: SET_SLEEP seconds a batch takes, SET_POISON a value at which the step raises, SET_SLOW seconds at most that pass
before and after a seek, and after a revocation, so that one rebalance comes in the middle of another. SET_EARLY: the worker
is told to stop before its table is registered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any

from streams import batches, microbatch
from streams.recovery import TableManager
from streams.settings import from_environment
from streams.step import Message, Read, Step

settings = from_environment()
SLEEP = float(os.environ.get("SET_SLEEP", "0"))
POISON = os.environ.get("SET_POISON", "").encode()
SLOW = float(os.environ.get("SET_SLOW", "0"))
EARLY = "SET_EARLY" in os.environ


def step(partition: int, records: list[Any], read: Read) -> Step:
    result = Step()
    for record in records:
        if POISON and record.value == POISON:
            raise ValueError("a bug in the step")
        seen = set((result.changes.get(record.key) or read(record.key) or b"").split())
        if b"%d" % record.offset not in seen:
            result.changes[record.key] = b" ".join(sorted(seen | {b"%d" % record.offset}))
        result.messages.append(Message(settings.topic("out"), partition, record.key, b"%d" % record.offset))
    time.sleep(SLEEP)
    return result


def slowly(method: Callable[..., Any], before: float) -> Callable[..., Any]:
    dice = Random(os.getpid())

    async def slow(consumer: Any, *given: Any) -> None:
        await asyncio.sleep(dice.uniform(0, before))
        await method(consumer, *given)
        await asyncio.sleep(dice.uniform(0, SLOW))

    return slow


class StoppedEarly(TableManager):
    async def on_start(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await super().on_start()

    async def on_stop(self) -> None:
        await asyncio.sleep(5)  # time enough to join the group, as a busy machine gives
        await super().on_stop()


if __name__ == "__main__":
    if EARLY:
        microbatch.TableManager = StoppedEarly  # type: ignore[misc]
    if SLOW:
        for name, before in (("perform_seek", SLOW), ("on_partitions_revoked", 0.0)):
            setattr(batches.Consumer, name, slowly(getattr(batches.Consumer, name), before))
    topics = [settings.topic("out")]
    app = microbatch.build(settings, "set", settings.topic("in"), step, outputs=topics, same_count=topics, max_records=100)
    microbatch.run_worker(app)
