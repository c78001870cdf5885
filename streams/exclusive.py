"""One process at a time in a folder: a file lock, which goes when the process does, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import MutualSLAError


@contextmanager
def exclusive(lock: Path, refusal: MutualSLAError) -> Iterator[None]:
    """Hold `lock`, whose folder is made if it is missing. Raises `refusal` if another process has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        yield
