"""Our core called from plain Faust, an event at a time: an agent and a RocksDB table with its changelog, as its guide has it.

At least once, and as fast as its settings make it: linger, larger producer batches, raw bytes, no web server.
"""

from __future__ import annotations

import os
from typing import Any

import faust

from peers.core_job import Requisition, fold, tracker
from peers.report import Meter, arguments

PARTITIONS = 8


def main() -> None:
    brokers, prefix, events, folder = arguments()
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{brokers}",
        store="rocksdb://",
        datadir=str(folder),
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.02,
        producer_max_batch_size=262_144,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(f"{prefix}ats.facts", **raw)
    sink = app.topic(f"{prefix}out.faust", partitions=PARTITIONS, **raw)
    table: Any = app.Table("state", partitions=PARTITIONS, key_type=bytes, value_type=bytes, options={"driver": "rocksdict"})
    meter, judge = Meter(events), tracker(prefix, f"{prefix}out.faust")

    async def judged(stream: Any) -> None:
        async for event in stream.events():
            meter.start()
            of = event.key + b"\0"
            rows = Requisition(
                lambda key, of=of: table.get(of + key),  # type: ignore[misc]
                lambda key, row, of=of: table.__setitem__(of + key, row),  # type: ignore[misc]
                lambda key, of=of: table.pop(of + key, None),  # type: ignore[misc]
            )
            message = event.message
            changes, messages = fold(judge, message.partition, message.offset, event.value, rows)
            rows.apply(changes)
            for one in messages:
                await sink.send(key=one.key, value=one.value)
            if meter.count():
                meter.report()
                os._exit(0)  # what was processed is measured; what is not committed yet is of no interest

    app.agent(source)(judged)
    faust.Worker(app, loglevel="WARNING", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
