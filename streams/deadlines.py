"""What a partition waits for: the instants at which time alone, or a watermark alone, may change a row's verdicts.

Two kinds of heap per partition, both lazy: an entry says "look at this row", the row says whether there is anything to do.
Lives in memory only, rebuilt from the rows' headers after each recovery. What a step takes is given back if its batch was
not applied.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

#: A row that waits for a source: account, fact kind, and the deadline (microseconds) its watermark has to reach.
Wait = tuple[str, str, int]


class Deadlines:
    """Deadlines and watermark waits of one partition; instants are microseconds since the epoch."""

    def __init__(self) -> None:
        self._due: list[tuple[int, bytes]] = []
        self._waits: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
        self._taken_due: list[tuple[int, bytes]] = []
        self._taken_waits: list[tuple[tuple[str, str], tuple[int, bytes]]] = []

    def __len__(self) -> int:
        return len(self._due) + sum(map(len, self._waits.values()))

    def next_due(self) -> int | None:
        """The earliest deadline, which may be one of a row that was judged anew since; None if there is none."""
        return self._due[0][0] if self._due else None

    def put(self, key: bytes, due: int | None, waits: Iterable[Wait] = ()) -> None:
        if due is not None:
            heapq.heappush(self._due, (due, key))
        for account, kind, deadline in waits:
            heapq.heappush(self._waits.setdefault((account, kind), []), (deadline, key))

    def take(self, now: int, marks: Mapping[str, Mapping[str, int]], limit: int) -> list[bytes]:
        """Keys whose deadline is at or before `now`, or whose watermark has come, at most `limit`, without repetition.

        `marks`: account -> kind -> complete until. A kind that is no longer in it is one nobody declares any more: nothing
        to wait for.
        """
        keys: dict[bytes, None] = {}
        while self._due and self._due[0][0] <= now and len(keys) < limit:
            entry = heapq.heappop(self._due)
            self._taken_due.append(entry)
            keys[entry[1]] = None
        for source, heap in self._waits.items():
            account, kind = source
            reached = marks.get(account, {}).get(kind)
            while heap and (reached is None or heap[0][0] <= reached) and len(keys) < limit:
                wait = heapq.heappop(heap)
                self._taken_waits.append((source, wait))
                keys[wait[1]] = None
        return list(keys)

    def keep(self) -> None:
        """What was taken is dealt with."""
        self._taken_due.clear()
        self._taken_waits.clear()

    def give_back(self) -> None:
        """What was taken is not dealt with: it stays due."""
        for entry in self._taken_due:
            heapq.heappush(self._due, entry)
        for source, wait in self._taken_waits:
            heapq.heappush(self._waits.setdefault(source, []), wait)
        self.keep()
