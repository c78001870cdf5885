"""Work on batches of several partitions at the same time, one lane a partition: while the broker confirms what one batch gave,
another one is computed.

Within a lane the order holds: a batch is begun when the one before it is finished. There is no parallelism: everything runs on
the event loop, and only waiting overlaps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any


class Lanes:
    """`work(message)` for each message that is `put`, at most `most` of them begun or waiting at once.

    `work` must not raise: whoever waits for a batch that failed would wait for ever.
    """

    def __init__(self, work: Callable[[Any], Awaitable[None]], most: int) -> None:
        self._work = work
        self._free = asyncio.Semaphore(most)
        self._lanes: dict[int, deque[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop alone does not keep a task alive

    async def put(self, message: Any) -> None:
        """Queue it in the lane of `message.partition`; waits while there is no room, which is what bounds the memory."""
        await self._free.acquire()
        lane = self._lanes.get(message.partition)
        if lane is not None:
            lane.append(message)
            return
        self._lanes[message.partition] = deque([message])
        task = asyncio.create_task(self._drive(message.partition))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drive(self, partition: int) -> None:
        lane = self._lanes[partition]
        try:
            while lane:
                try:
                    await self._work(lane.popleft())
                finally:
                    self._free.release()
        finally:
            del self._lanes[partition]
