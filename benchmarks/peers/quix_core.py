"""Our core called from Quix Streams 3, an event at a time: stateful, RocksDB, changelog on, its other settings as they come."""

from __future__ import annotations

from typing import Any

from quixstreams import State
from quixstreams.context import message_context
from quixstreams.models.serializers import Serializer

from peers.core_job import Requisition, fold, tracker
from peers.quix import application
from peers.report import Meter, arguments
from streams.step import Message


class Value(Serializer):  # type: ignore[misc]
    """Of a message to send."""

    def __call__(self, value: Any, ctx: Any) -> bytes:
        found: bytes = value.value
        return found


def main() -> None:
    brokers, prefix, events, folder = arguments()
    app = application(brokers, prefix, folder)
    source = app.topic(f"{prefix}ats.facts", value_deserializer="bytes", key_deserializer="bytes")
    sink = app.topic(f"{prefix}out.quix", value_serializer=Value(), key_serializer="bytes")
    meter, judge = Meter(events), tracker(prefix, f"{prefix}out.quix")

    def judged(value: bytes, state: State) -> list[Message]:
        meter.start()
        context = message_context()
        rows = Requisition(
            lambda key: state.get_bytes(key.decode()),
            lambda key, row: state.set_bytes(key.decode(), row),
            lambda key: state.delete(key.decode()),
        )
        changes, messages = fold(judge, context.partition, context.offset, value, rows)
        rows.apply(changes)
        if meter.count():
            app.stop()
        return messages

    app.dataframe(source).apply(judged, stateful=True, expand=True).to_topic(sink, key=lambda message: message.key)
    app.run()
    meter.report()


if __name__ == "__main__":
    main()
