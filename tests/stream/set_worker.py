"""A worker for tests: the state of a key is the set of offsets seen under it. `python -m tests.stream.set_worker`.

Environment: SET_SLEEP seconds a batch takes, SET_POISON a value at which the step raises.
"""

from __future__ import annotations

import os
import time
from typing import Any

from streams import microbatch
from streams.settings import from_environment
from streams.step import Message, Read, Step

settings = from_environment()
SLEEP = float(os.environ.get("SET_SLEEP", "0"))
POISON = os.environ.get("SET_POISON", "").encode()


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


if __name__ == "__main__":
    topics = [settings.topic("out")]
    app = microbatch.build(settings, "set", settings.topic("in"), step, outputs=topics, same_count=topics, max_records=100)
    microbatch.run_worker(app)
