"""What every peer says at its end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time

from material.stage import peak_megabytes


class Meter:
    """Counts events; `done` is true with the last one."""

    def __init__(self, events: int) -> None:
        self.events, self.seen, self.begun, self.ended = events, 0, 0.0, 0.0
        self.cpu = 0.0

    def start(self) -> None:
        """Before the work on an event; the first call starts the clock."""
        if not self.begun:
            self.begun, self.cpu = perf_counter(), process_time()

    def count(self, number: int = 1) -> bool:
        """So many more are done. True once all are."""
        self.seen += number
        if self.seen >= self.events and not self.ended:
            self.ended, self.cpu = perf_counter(), process_time() - self.cpu
        return self.seen >= self.events

    def report(self) -> None:
        """The line of figures on standard output."""
        seconds = self.ended - self.begun
        found = {"events": self.seen, "seconds": seconds, "cpu": self.cpu, "peak": peak_megabytes(os.getpid())}
        print(json.dumps(found), file=sys.__stdout__, flush=True)


def arguments() -> tuple[str, str, int, Path]:
    """Brokers, topic prefix, events, folder."""
    brokers, prefix, events, folder = sys.argv[1:5]
    return brokers, prefix, int(events), Path(folder)
