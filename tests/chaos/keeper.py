"""Keeps processes running as the supervisor does: what dies is started again, and how it died is counted.

A thread of its own watches all the time, so that a fault may do what it likes to the processes from the main thread.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from streams import health
from streams.process import Process

LOOK_EVERY = 0.1
PAUSE, LONGEST_PAUSE = 0.5, 4.0  #: before a role is started again; doubled while it dies young
STEADY = 15.0


@dataclass(slots=True)
class Kept:
    """One role. `address`: what answers 200 while it is well, as `streams.health` takes it."""

    name: str
    launch: Callable[[], Process]
    address: str
    process: Process | None = None
    launched_at: float = 0.0
    restart_at: float = 0.0
    failures: int = 0
    wanted: bool = True  #: False: a fault keeps it down
    exits: Counter[int] = field(default_factory=Counter)

    def tend(self, now: float) -> None:
        if self.process is not None and (code := self.process.exit_code) is not None:
            self.exits[code] += 1
            self.failures = 0 if now - self.launched_at > STEADY else self.failures + 1
            self.restart_at, self.process = now + min(PAUSE * 2**self.failures, LONGEST_PAUSE), None
        if self.process is None and self.wanted and now >= self.restart_at:
            self.process, self.launched_at = self.launch(), now


class Keeper:
    """`with Keeper() as keeper: keeper.add(...)`; all stop at the end, the last first."""

    def __init__(self) -> None:
        self.roles: dict[str, Kept] = {}
        self.lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper")

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self.roles)):
            self.remove(name)
        self._end.set()  # not before: the processes end with the thread that started them
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(LOOK_EVERY):
            with self.lock:
                for role in list(self.roles.values()):
                    role.tend(monotonic())

    def add(self, role: Kept) -> None:
        with self.lock:
            self.roles[role.name] = role

    def remove(self, name: str) -> int | None:
        """SIGTERM, and wait for it; gives its exit code."""
        role = self.roles[name]
        process = self._down(name)
        if process is not None:
            process.stop(20)
        with self.lock:
            del self.roles[role.name]
        return process.exit_code if process else None

    def _down(self, name: str) -> Process | None:
        with self.lock:
            self.roles[name].wanted = False
            return self.roles[name].process

    def kill(self, name: str, *, again: bool = True) -> None:
        """SIGKILL as soon as it runs; it comes back by itself unless `again` is False."""
        process = self.running(name)
        with self.lock:
            self.roles[name].wanted = again
            process.kill()

    def revive(self, name: str) -> None:
        with self.lock:
            self.roles[name].wanted, self.roles[name].restart_at = True, 0.0

    def terminate(self, name: str) -> int | None:
        """SIGTERM, and start it again once it has gone; gives its exit code."""
        process = self.running(name)
        process.stop(20)
        return process.exit_code

    def running(self, name: str, seconds: float = 30.0) -> Process:
        """The process of the role, waiting for a restart that is under way."""
        end = monotonic() + seconds
        while True:
            with self.lock:
                process = self.roles[name].process
                if process is not None and process.alive():
                    return process
            if monotonic() > end:
                raise AssertionError(f"{name} does not run")
            self._end.wait(0.05)

    def unwell(self) -> list[str]:
        """Roles that should run and do not answer that they are well."""
        with self.lock:
            roles = [role for role in self.roles.values() if role.wanted]
        return [role.name for role in roles if role.process is None or not health.answers(role.address)]
