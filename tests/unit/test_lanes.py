"""Lanes: in order within a partition, side by side over partitions, bounded in all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from streams.lanes import Lanes


def message(partition: int, number: int) -> Any:
    return SimpleNamespace(partition=partition, number=number)


def test_a_lane_keeps_its_order_while_another_one_overtakes_it() -> None:
    async def scene() -> list[tuple[str, int, int]]:
        done: list[tuple[str, int, int]] = []
        first_may_end = asyncio.Event()

        async def work(m: Any) -> None:
            done.append(("begun", m.partition, m.number))
            if m.partition == 0 and m.number == 0:
                await first_may_end.wait()
            done.append(("ended", m.partition, m.number))
            if m.partition == 1:
                first_may_end.set()

        lanes = Lanes(work, 16)
        for one in (message(0, 0), message(0, 1), message(1, 0)):
            await lanes.put(one)
        while len(done) < 6:
            await asyncio.sleep(0)
        return done

    done = asyncio.run(asyncio.wait_for(scene(), 5))
    assert done == [
        ("begun", 0, 0),
        ("begun", 1, 0),
        ("ended", 1, 0),
        ("ended", 0, 0),
        ("begun", 0, 1),
        ("ended", 0, 1),
    ]


def test_no_more_than_the_limit_are_taken_in_and_a_lane_comes_back_after_it_was_empty() -> None:
    async def scene() -> None:
        gate, worked = asyncio.Event(), list[int]()

        async def work(m: Any) -> None:
            await gate.wait()
            worked.append(m.number)

        lanes = Lanes(work, 2)
        await lanes.put(message(0, 0))
        await lanes.put(message(0, 1))
        third = asyncio.create_task(lanes.put(message(0, 2)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not third.done()  # whoever reads from Kafka waits here
        gate.set()
        await third
        while len(worked) < 3:
            await asyncio.sleep(0)
        await lanes.put(message(0, 3))  # the lane was empty
        while len(worked) < 4:
            await asyncio.sleep(0)
        assert worked == [0, 1, 2, 3]

    asyncio.run(asyncio.wait_for(scene(), 5))


def test_a_cancelled_batch_gives_its_place_back() -> None:
    async def scene() -> None:
        stuck = asyncio.Event()

        async def work(m: Any) -> None:
            if m.number == 0:
                await stuck.wait()

        lanes = Lanes(work, 1)
        await lanes.put(message(0, 0))
        await asyncio.sleep(0)
        for task in list(lanes._tasks):
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await lanes.put(message(0, 1))  # neither the lane nor the room is lost

    asyncio.run(asyncio.wait_for(scene(), 5))
