"""A ledger writer in a thread of the test, on a real Kafka and database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from streams import ledger_writer
from streams.clock import Clock, SystemClock
from streams.settings import Settings


@contextmanager
def writing_in_background(settings: Settings, engine: Engine, clock: Clock | None = None) -> Iterator[ledger_writer.Writer]:
    """While the writer runs; what it raised is raised at the end."""
    writer, stop, raised = ledger_writer.Writer(settings, clock or SystemClock(), engine), threading.Event(), []

    def loop() -> None:
        try:
            writer.run(stop)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield writer
    finally:
        stop.set()
        thread.join(30)
    if raised:
        raise raised[0]
