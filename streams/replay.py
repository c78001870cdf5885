"""Which signed tokens were used, so that none is used again for another body. Bounded; not kept over a restart.

For vendors that sign a token and a time and not the body (Lever): whoever saw one delivery could send another body with its
token. A token is remembered once its body is kept, so that a retry of what we refused or could not keep is taken, and a retry
of what was kept is answered without keeping it twice. After a restart only the age protects until the tokens are old.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime, timedelta

from streams.errors import InvalidSignature

REMEMBERED = 100_000  #: tokens; the oldest are forgotten first
AHEAD = timedelta(minutes=5)  #: how far the vendor's clock may be ahead of ours


class SeenTokens:
    """(account, token) -> the digest of the body it came with."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def check(self, account: str, token: str, body: bytes) -> bool:
        """Whether this very body was kept with this token. Raises InvalidSignature if another one was."""
        known = self._seen.get((account, token))
        if known is not None and known != _digest(body):
            raise InvalidSignature("the token was used before, with another body: a replay")
        return known is not None

    def remember(self, account: str, token: str, body: bytes) -> None:
        """Once the body is kept."""
        self._seen[account, token] = _digest(body)
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)


def check_age(signed_at: datetime, now: datetime, max_age: timedelta) -> None:
    """Raises InvalidSignature for a time that is too old, or in the future."""
    if not -AHEAD <= now - signed_at <= max_age:
        raise InvalidSignature("the signed time is too old or in the future: a replay, or a clock that is wrong")


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
