"""`mutual-sla rebuild`, killed (SIGKILL) at a chosen point: its own words behind the point.

    python -m tests.integration.killed_rebuild POINT rebuild --apply ...

Points: `reading` (a process of the pool has read some records; the one that began it is killed), `judging` (a process of the pool
kills itself), `sent` (outcomes are out, what the tracker has to be told is not), `mended` (all is out, the folder not cleared).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import parent_process
from typing import Any

from streams import rebuild_apply, rebuild_partition, recomputed

POINT = "KILLED_REBUILD"  #: the variable that tells the processes of the pool


def die(pid: int | None = None) -> None:
    os.kill(pid or os.getpid(), signal.SIGKILL)


def begun_by() -> int | None:
    """Of a process of the pool: the rebuild itself, and not the one that processes are begun from."""
    parent = parent_process()
    return None if parent is None else parent.pid


def _before(module: Any, name: str, number: int, deed: Callable[[], None]) -> None:
    """Do it instead of the call of this number."""
    real, calls = getattr(module, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            deed()
        return real(*args, **kwargs)

    setattr(module, name, wrapped)


def arm(point: str) -> None:
    match point:
        case "reading":
            _before(recomputed.Partition, "take", 40, lambda: die(begun_by()))
        case "judging":
            _before(rebuild_partition, "judge", 6, die)
        case "sent":
            _before(rebuild_apply, "_acknowledged", 2, die)
        case "mended":
            _before(rebuild_apply, "written", 1, die)


arm(os.environ.get(POINT, ""))  # also in the processes of a pool, which import this module anew

if __name__ == "__main__":
    from streams.cli import main

    os.environ[POINT] = sys.argv[1]
    arm(sys.argv[1])
    sys.argv = ["mutual-sla", *sys.argv[2:]]
    main()
