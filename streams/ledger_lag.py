"""Whether the ledger writer keeps up: it writes while there is something to write, and it does not fall further behind.

One that writes nothing stands still. One that writes, but for a long time less than what comes, is slow: a restart costs two
seconds and mends what lies in the process (a bad connection, a bad plan, memory). What lies in the database it does not mend;
that is told by an alert before.
"""

from __future__ import annotations

import time

from streams.watchdog import Watchdog

FEW = 10_000  #: records not yet written that are no falling behind: two transactions
WINDOW_SECONDS = 60.0  #: fewer than a window before is catching up
PATIENCE = 10  #: times as long as for standing still: an import may well bring more than is written, for a while


class LedgerLag:
    """`is_now` every few seconds, `wrote` after each transaction; the watchdog knows the rest as `ledger` and `behind`."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._writes = watchdog.watch("ledger")
        self._catches_up = watchdog.watch("behind", watchdog.limit * PATIENCE)
        self._mark: tuple[float, int] | None = None  #: when the window began, and with how many records

    def wrote(self) -> None:
        self._writes.moved()

    def nothing_to_do(self) -> None:
        """Nothing can be done: no records, or no database."""
        self._writes.idle()
        self._catches_up.idle()
        self._mark = None

    def is_unknown(self) -> None:
        """The broker did not answer: no progress, whoever is to blame."""
        self._writes.waits()

    def is_now(self, records: int) -> None:
        """So many are in the log and not in the ledger."""
        if records:
            self._writes.waits()
        else:
            self._writes.idle()
        if records <= FEW:
            self._catches_up.idle()
            self._mark = None
            return
        now = time.monotonic()
        if self._mark is None:
            self._catches_up.waits()
            self._mark = now, records
        elif records < self._mark[1]:
            self._catches_up.moved()
            self._mark = now, records
        elif now - self._mark[0] >= WINDOW_SECONDS:
            self._mark = now, records  # more than before: beside this it has to become less
