"""TCP ports of 127.0.0.1: is one taken, and which is free."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger()

#: Below Linux's range of ports for outgoing connections (32768 on), which come and go by themselves.
FIRST, LAST = 20_000, 32_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(port: int, host: str = "127.0.0.1", timeout: float = 1.0) -> bool:
    """Whether something accepts connections on `port`; waits at most `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


@contextmanager
def choosing() -> Iterator[None]:
    """Only one of this user's runs on the machine chooses its ports and takes them at a time.

    Else two that start together find the same ports free, and each takes the other's roles for its own. Who has to wait says
    so in the log: on a busy machine the other one may take minutes.
    """
    path = Path(tempfile.gettempdir()) / f"mutual-sla-ports-{os.getuid()}.lock"
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("waiting_for_another_run_to_start", lock=str(path))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free(preferred: int | None = None, host: str = "127.0.0.1", taken: Collection[int] = ()) -> int:
    """`preferred` if it is free and not in `taken`, else another free port, chosen at random.

    Another process may take the port before the caller listens on it; whoever starts a server retries with a new one.
    """
    if preferred and preferred not in taken and is_free(preferred, host):
        return preferred
    for _ in range(1_000):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in taken and is_free(port, host):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on {host}")
