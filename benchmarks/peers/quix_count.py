"""The small job on Quix Streams 3 as its documentation writes it: stateful apply, RocksDB, changelog on, JSON state."""

from __future__ import annotations

import orjson
from quixstreams import State

from peers.count_job import advance
from peers.quix import application
from peers.report import Meter, arguments


def main() -> None:
    brokers, prefixes, events, folder = arguments()
    shared, prefix = prefixes.split(",")  # of the source, and of all that is this run's own
    app = application(brokers, prefix, folder)
    source = app.topic(f"{shared}events", value_deserializer="bytes", key_deserializer="bytes")
    sink = app.topic(f"{prefix}out.quix", value_serializer="bytes", key_serializer="bytes")
    meter = Meter(events)

    def count(value: bytes, state: State) -> bytes | None:
        meter.start()
        after, outcome = advance(state.get("s"), value)
        state.set("s", after)
        if meter.count():
            app.stop()
        return None if outcome is None else orjson.dumps(outcome)

    app.dataframe(source).apply(count, stateful=True).filter(lambda outcome: outcome is not None).to_topic(sink)
    app.run()
    meter.report()


if __name__ == "__main__":
    main()
