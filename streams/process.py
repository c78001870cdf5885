"""A child process of ours: started in a group of its own, logged to a file, recognised later, and stopped for certain.

A process id alone proves nothing, for the system gives it away again; with the start time it does (`Identity`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

KEEP_LOGS = 3  #: older logs of a role, beside the running one


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process: its id, and when it started in clock ticks since boot (proc(5), field 22 of stat)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a running process; None if there is none, or it is a zombie."""
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if words[0] in "ZX" else cls(pid, int(words[19]))

    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and all it started, if it is still the one we mean."""
        if self.alive():
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return

    def stop(self, timeout: float) -> bool:
        """SIGTERM to its group, SIGKILL after `timeout` seconds. True if it went at the first asking."""
        self.signal_group(signal.SIGTERM)
        end = monotonic() + timeout
        while monotonic() < end:
            if not self.alive():
                return True
            sleep(0.05)
        self.signal_group(signal.SIGKILL)
        end = monotonic() + 5
        while self.alive() and monotonic() < end:
            sleep(0.02)
        return False


class Process:
    """A running child. `spawn` makes one."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen
        # A child that has died already is still ours until it is waited for, so its stat is there.
        self.identity = Identity.of(popen.pid) or Identity(popen.pid, 0)

    @classmethod
    def spawn(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> Process:
        """Start `command` in a session of its own, output to `log` (an earlier log is kept as .1, .2, ...).

        It gets the signal `orphaned` when the thread that started it ends, however that ends (setpriv of util-linux, if there).
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        rotate(log)
        setpriv = shutil.which("setpriv")
        # Whoever starts it may be dead before the signal is asked for, and no signal comes then: so it looks who its parent is.
        parent = ["sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]
        guarded = [setpriv, "--pdeathsig", orphaned.name, "--", *parent, *command] if setpriv else list(command)
        with log.open("ab") as output:
            popen = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )
        return cls(name, popen, log)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM to its whole group, SIGKILL after `timeout` seconds; returns when it is gone."""
        self._send(signal.SIGTERM)
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._send(signal.SIGKILL)
            self._popen.wait()

    def ask_to_stop(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash would; the group with it."""
        self._send(signal.SIGKILL)
        self._popen.wait()

    def _send(self, number: signal.Signals) -> None:
        if self.alive():  # not yet waited for, so the id is still its own
            try:
                os.killpg(self._popen.pid, number)
            except ProcessLookupError:
                return


def rotate(log: Path, keep: int = KEEP_LOGS) -> None:
    """Move an earlier log out of the way: log -> log.1 -> log.2 ...; at most `keep` of them stay."""
    if not log.exists() or log.stat().st_size == 0:
        return
    for number in range(keep, 0, -1):
        older = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number}"))


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
