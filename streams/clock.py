"""The one place where the shell reads the time. The core never does: time enters it as records (ticks, receipts).

Roles take a `Clock`. `FileClock` lets the demo and the tests move all processes through simulated months together:
while the file holds a time, that is "now" for every role; when the file is gone, real time goes on.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

#: Why a broker refuses a record with error 32 (topic setting `message.timestamp.after.max.ms`), and the mend.
CLOCK_AHEAD = "Kafka refuses the record for its time: this machine's clock is an hour ahead of the broker's; set the wrong one"


class Clock(Protocol):
    """Gives the current instant as an aware UTC datetime."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FileClock:
    """Time from a file holding ISO-8601 UTC; system time where the file does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> datetime:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return datetime.now(UTC)
        return datetime.fromisoformat(text).astimezone(UTC)

    def set(self, instant: datetime) -> None:
        """Move every process that shares the file to `instant`; atomic, so no reader sees half a time."""
        if instant.tzinfo is None:
            raise ValueError("a clock is set to an aware time")
        fresh = self.path.with_suffix(".new")
        fresh.write_text(instant.astimezone(UTC).isoformat())
        fresh.replace(self.path)

    def release(self) -> None:
        """Go on with real time."""
        self.path.unlink(missing_ok=True)


def record_time(at: datetime) -> int:
    """`at` as a Kafka record's timestamp, in milliseconds; never ahead of this machine's own clock.

    A broker takes a timestamp ahead of its own clock for a wrong clock, and refuses the record. A simulated future is none.
    """
    return int(min(at, SystemClock().now()).timestamp() * 1000)


def from_environment() -> Clock:
    """`MUTUAL_SLA_CLOCK_FILE` names the file of a `FileClock`; without it, the system clock."""
    path = os.environ.get("MUTUAL_SLA_CLOCK_FILE")
    return FileClock(Path(path)) if path else SystemClock()
