"""Waiting for what other processes do. How long that takes is the machine's business: patience costs only a test that fails."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from streams.process import Process, tail

PATIENCE = 150.0  #: seconds; half of what pytest gives a test

Answer = TypeVar("Answer")


def until(condition: Callable[[], Answer], process: Process | None = None, why: Callable[[], str] = str) -> Answer:
    """The first true answer. Fails with the process's own words, and `why`, if it ends before or it takes too long."""
    end = monotonic() + PATIENCE
    while not (answer := condition()):
        dead = process is not None and not process.alive()
        if dead or monotonic() > end:
            words = tail(process.log) if process else ""
            raise AssertionError(f"it did not happen {'before the end' if dead else f'in {PATIENCE:g} s'}: {why()}{words}")
        sleep(0.05)
    return answer
