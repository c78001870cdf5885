"""How far the normalise worker has come, in simulated time, so that the demo's clock does not run away from it.

In: partition 0 of `ats.facts`, where every watermark appears, behind the facts before it. Out: the newest receipt seen there.
A second here is days there: without this, ticks would pass deadlines before the facts that keep them have arrived.
"""

from __future__ import annotations

import threading
from datetime import datetime
from types import TracebackType
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition

from streams import kafka_security
from streams.settings import Settings


class Pace:
    """Follows one partition in a thread of its own. Use as a context manager."""

    def __init__(self, settings: Settings, start: datetime) -> None:
        self.normalised_until = start  #: what was received until then has passed the normalise worker
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="pace", daemon=True)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def _follow(self) -> None:
        partition = TopicPartition(self._settings.topic("ats.facts"), 0)
        connection = kafka_security.connection(self._settings)
        consumer = KafkaConsumer(**connection, enable_auto_commit=False, auto_offset_reset="earliest")
        consumer.assign([partition])
        try:
            while not self._stopping.is_set():
                for records in consumer.poll(timeout_ms=100).values():
                    self._take(records)
        finally:
            consumer.close()

    def _take(self, records: list[Any]) -> None:
        for record in records:
            fact = orjson.loads(record.value)
            if fact["type"] == "watermark":
                self.normalised_until = max(self.normalised_until, datetime.fromisoformat(fact["received_at"]))
