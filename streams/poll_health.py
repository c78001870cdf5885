"""What the poller says of itself on /healthz: 503 only if its own loop stands still; a new start would not mend a vendor.

A source that was not read for three of its intervals is named in the body of a 200; the alerts about silent sources are the
exporter's and Prometheus'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from streams.watchdog import Watchdog

if TYPE_CHECKING:
    from streams.poller import Poller

LATE_INTERVALS = 3
BEAT_SECONDS = 1.0

log = structlog.get_logger()


class PollHealth:
    """Of all accounts of one process. `note` and `watchdog.stuck` may be asked from any thread."""

    def __init__(self, stall_seconds: float) -> None:
        self.watchdog = Watchdog("poller", stall_seconds)
        self.pollers: Sequence[Poller] = ()
        self._loop = self.watchdog.watch("loop")

    def note(self) -> str:
        """A line for each record type that was not read for too long; empty while all are."""
        return "".join(f"{line}\n" for poller in self.pollers for line in late(poller))

    async def beat(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Say that the loop gets on, as long as all `tasks` do, which never end by themselves."""
        while not (ended := [task for task in tasks if task.done()]):
            self._loop.moved()
            await asyncio.sleep(BEAT_SECONDS)
        for task in ended:
            error = None if task.cancelled() else task.exception()
            log.error("polling_ended", error=type(error).__name__)


def late(poller: Poller) -> Iterator[str]:
    """The record types of an account whose last whole reading is older than three intervals, by the poller's clock.

    A type that was never read counts from the start of the process.
    """
    limit = timedelta(seconds=LATE_INTERVALS * poller.account.poll_every)
    for record_type, at in sorted(poller.read_at.items()):
        if (age := poller.clock.now() - at) > limit:
            yield f"{poller.account.account} {record_type}: not read for {age.total_seconds():.0f} s"
