"""Notices that a process is alive but does not get on, says so on /healthz and /metrics, and then ends it to be started anew.

Each thing that has to get on is a `Progress`: it tells when it moved, and when there was nothing to do. A thread looks at them,
because what hangs may be the event loop. A process that is frozen as a whole cannot see it: then /healthz does not answer,
and whoever watches it from outside (the supervisor, a liveness probe) ends it.
"""

from __future__ import annotations

import faulthandler
import threading
import time

import structlog

from streams import metrics
from streams.lease import STALLED, die

LOOK_EVERY = 1.0  #: seconds
#: From the moment at which /healthz fails to the end, at most: long enough for a scrape, and for whoever was frozen to get on.
GRACE_SECONDS = 30.0

log = structlog.get_logger()

STALLED_SECONDS = metrics.STALLED_SECONDS.gauge()


class Progress:
    """One thing that has to get on; may be told from any thread. At first there is nothing to do."""

    def __init__(self, what: str, limit: float) -> None:
        self.what = what
        self.limit = limit  #: seconds without a move, with work at hand, that are too many
        self._since: float | None = None

    def moved(self) -> None:
        """It got on, and there may be more to do."""
        self._since = time.monotonic()

    def waits(self) -> None:
        """There is work: from now on it has to move. What is known to wait already goes on waiting."""
        if self._since is None:
            self._since = time.monotonic()

    def idle(self) -> None:
        """There is nothing to do."""
        self._since = None

    def stalled(self) -> float:
        """Seconds since it moved last while there was something to do."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class Watchdog:
    """What a role watches of itself. `limit`: seconds without progress; 0 switches it off."""

    def __init__(self, role: str, limit: float) -> None:
        self.role = role
        self.limit = limit
        self._watched: list[Progress] = []
        self._thread: threading.Thread | None = None

    def watch(self, what: str, limit: float | None = None) -> Progress:
        """A new thing to watch; `what` is a label of the metric, and one of those that the runbook explains.

        `limit`: seconds, where it may take longer than all else.
        """
        progress = Progress(what, self.limit if limit is None else limit)
        self._watched.append(progress)
        STALLED_SECONDS.labels(self.role, what).set_function(progress.stalled)
        return progress

    def stuck(self) -> str:
        """What does not get on, and for how long; empty while all is well."""
        return ", ".join(f"{p.what}: no progress for {p.stalled():.0f} s" for p in self._stuck(0.0))

    def start(self) -> None:
        """Begin to watch; the thread lives as long as the process."""
        if self.limit and self._thread is None:
            self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
            self._thread.start()

    def _stuck(self, grace: float) -> list[Progress]:
        return [p for p in self._watched if p.limit and p.stalled() > p.limit + grace]

    def _look(self) -> None:
        said, grace = "", min(GRACE_SECONDS, self.limit)
        while True:
            time.sleep(LOOK_EVERY)
            if (words := self.stuck()) and not said:
                log.error("no_progress", role=self.role, stuck=words, exit_in_seconds=grace)
            said = words
            if self._stuck(grace):
                faulthandler.dump_traceback(all_threads=True)  # where it hangs is in the log then
                die(STALLED, "ended_without_progress", role=self.role, stuck=words)
