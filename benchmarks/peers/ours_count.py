"""The small job on our engine: a step for `streams.microbatch`. One state read and one write per touched key and batch."""

from __future__ import annotations

import os
import signal
from typing import Any

import orjson

from peers.count_job import advance
from peers.report import Meter, arguments
from streams import microbatch
from streams.settings import Settings
from streams.step import Message, Read, Step


def main() -> None:
    brokers, prefixes, events, folder = arguments()
    shared, prefix = prefixes.split(",")  # of the source, and of all that is this run's own
    settings = Settings(brokers=brokers, topic_prefix=prefix, app_id=f"{prefix}ours", state_dir=folder)
    meter, outcomes = Meter(events), f"{prefix}out.ours"

    def step(partition: int, records: list[Any], read: Read) -> Step:
        meter.start()
        states: dict[bytes, Any] = {}
        result = Step()
        for record in records:
            key = record.key
            if key not in states:
                stored = read(key)
                states[key] = None if stored is None else orjson.loads(stored)
            states[key], outcome = advance(states[key], record.value)
            if outcome is not None:
                result.messages.append(Message(outcomes, partition, key, orjson.dumps(outcome)))
        result.changes = {key: orjson.dumps(state) for key, state in states.items()}

        def applied() -> None:
            if meter.count(len(records)):
                meter.report()
                os.kill(os.getpid(), signal.SIGTERM)

        result.applied = applied
        return result

    microbatch.run_worker(microbatch.build(settings, "count", f"{shared}events", step, outputs=[outcomes]))


if __name__ == "__main__":
    main()
