"""The track worker, dying between the delivery of a batch's outcomes and that of its changelog.

Environment: CRASH_AT, the number of the delivery of outcomes after which it dies (0: never); CRASH_RECORDS, how many records a
batch has at most, so that a replay is cut differently.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

from streams import clock, microbatch, track
from streams.delivery import Delivery
from streams.settings import from_environment
from streams.step import Message

CRASHED = 99


class Crashing(Delivery):
    """Delivers; after the one that is meant, nothing more happens."""

    left = int(os.environ.get("CRASH_AT", "0"))

    async def send(self, messages: Iterable[Message]) -> dict[tuple[str, int], int]:
        told = list(messages)
        offsets = await super().send(told)
        if any(message.topic.endswith("sla.outcomes") for message in told):
            Crashing.left -= 1
            if Crashing.left == 0:
                os._exit(CRASHED)
        return offsets


if __name__ == "__main__":
    driver: Any = microbatch
    driver.Delivery = Crashing
    driver.build = partial(microbatch.build, max_records=int(os.environ["CRASH_RECORDS"]))
    track.run(from_environment(), clock.from_environment())
