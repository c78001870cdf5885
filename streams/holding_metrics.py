"""The holders' figures on /metrics: how long each side had the ball, by the wall clock and in working time, in each window.

Read apart from the snapshot and seldom: a working day per holding is Python's work, and a sum over weeks needs no seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import structlog
from prometheus_client.core import Metric as Family
from sqlalchemy import Engine

from streams import holding_time, metrics
from streams.agreement import Agreement
from streams.clock import Clock
from streams.ledger_database import snapshot
from streams.metrics import gauge
from streams.snapshot import starts

log = structlog.get_logger()


class HoldersCollector:
    """Holds what the last good reading gave, and shows it to prometheus_client."""

    def __init__(self, engine: Engine, agreement: Agreement, clock: Clock) -> None:
        self._engine, self._agreement, self._clock = engine, agreement, clock
        self._shown: list[Family] = []
        self.seconds = 0.0

    def refresh(self) -> None:
        """Read the ledger once; on failure the figures stay."""
        began, now = monotonic(), self._clock.now()
        try:
            with snapshot(self._engine) as conn:
                windows = starts(self._agreement.policy, now).items()
                held = {
                    (row["holder"], row["team"], window): row
                    for window, since in windows
                    for row in holding_time.times(conn, self._agreement, now, ["team"], since=since)
                }
        except Exception as error:  # the snapshot, read from the same ledger, says that figures are old
            log.warning("holders_failed", error=type(error).__name__)
            return
        self._shown = [
            gauge(metrics.HOLDER_SECONDS, [(labels, row["seconds"]) for labels, row in held.items()]),
            gauge(metrics.HOLDER_BUSINESS_SECONDS, [(labels, row["business_seconds"]) for labels, row in held.items()]),
        ]
        self.seconds = monotonic() - began

    def collect(self) -> Iterator[Family]:
        yield from self._shown
