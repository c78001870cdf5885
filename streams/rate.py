"""Token buckets: how fast one source may come, so that none takes the gateway from the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from streams.door import Refused


class Rate:
    """At most `burst` requests at once and `per_second` lasting, for each source by itself; 0 per second: no limit.

    Sources are accounts and identities of sources.yaml, so there are few of them; who cannot be told never gets here.
    """

    def __init__(self, per_second: float, burst: int, now: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._burst = float(max(burst, 1))
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}  #: source -> (requests left, when that was so)

    def take(self, source: str) -> None:
        """Count one request. Raises Refused (429) with the seconds after which there is room again."""
        if self._per_second <= 0:
            return
        now = self._now()
        left, then = self._buckets.get(source, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_second)
        if left < 1:
            seconds = math.ceil((1 - left) / self._per_second)
            self._buckets[source] = (left, now)
            mend = f"come again after {seconds} s; send at most {self._per_second:g} requests a second"
            raise Refused(429, "too many requests of this source", mend, {"Retry-After": str(seconds)})
        self._buckets[source] = (left - 1, now)
