"""How many requests, and how many bytes of bodies, one process holds at once, and who gives way when that is too much.

A request is in a place from its head to its answer; the bytes of its body count until the answer, since they wait for Kafka
in between. When there is no room, the request whose body has been arriving longest gives way to the newcomer: an honest
body comes right behind its head, so a flood of slow bodies pushes out itself. Without such a one the newcomer has to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

MAX_REQUESTS = 512  #: at once; more are told to come again, so that those inside are answered in time
MAX_BYTES = 128 * 1024 * 1024  #: of bodies at once, as they arrive; twice that while they are handed on


class Full(Exception):
    """There is no room for this body now."""


@dataclass(slots=True, eq=False)
class Place:
    """One request inside."""

    held: int = 0
    until: asyncio.Timeout | None = None  #: while its body arrives
    pushed_out: bool = False


class Room:
    """The places of one event loop."""

    def __init__(self, requests: int = MAX_REQUESTS, size: int = MAX_BYTES) -> None:
        self._requests = requests
        self._size = size
        self._held = 0
        self._inside: set[Place] = set()
        self._arriving: dict[Place, None] = {}  #: whose body arrives, longest first

    def enter(self, *, always: bool = False) -> Place | None:
        """A place; None if there is none. `always`: whatever the load."""
        if len(self._inside) >= self._requests and not always and not self._push_out():
            return None
        place = Place()
        self._inside.add(place)
        return place

    def leave(self, place: Place) -> None:
        self._inside.discard(place)
        self._arriving.pop(place, None)
        self._held -= place.held
        place.held = 0

    @asynccontextmanager
    async def arriving(self, place: Place, within: float) -> AsyncIterator[None]:
        """While the body of `place` arrives. Raises TimeoutError after so many seconds, Full if it was pushed out."""
        try:
            async with asyncio.timeout(within) as place.until:
                self._arriving[place] = None
                yield
        except TimeoutError:
            if place.pushed_out:
                raise Full from None
            raise
        finally:
            place.until = None
            self._arriving.pop(place, None)

    def hold(self, place: Place, size: int) -> None:
        """Count so many more bytes (fewer, if negative) of an arriving body. Raises Full if there is no room for them."""
        if place.pushed_out:
            raise Full
        place.held += size
        self._held += size
        while self._held > self._size:
            if next(iter(self._arriving)) is place or not self._push_out():
                raise Full

    def _push_out(self) -> bool:
        place = next(iter(self._arriving), None)
        if place is None or place.until is None:
            return False
        place.pushed_out = True
        place.until.reschedule(asyncio.get_running_loop().time())
        self.leave(place)
        return True
