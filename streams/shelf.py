"""Sets of small JSON values in a key-value state, in chunks that stay small however large the set grows.

A shelf starts as one chunk. A chunk that outgrows `CHUNK` bytes is split by the next hex digit of its items' digests, so a
read or a write touches one chunk. Pure: it reads through the `get` it is given and collects what is to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

CHUNK = 16 * 1024
_SPLIT = b"split"

Get = Callable[[bytes], bytes | None]


class State:
    """A view of the state with this step's changes on top."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self.changes: dict[bytes, bytes | None] = {}

    def read(self, key: bytes) -> bytes | None:
        return self.changes[key] if key in self.changes else self._get(key)

    def write(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value

    def number(self, key: bytes) -> int:
        return int(self.read(key) or b"0")

    def find(self, shelf: str, digest: str) -> Any:
        """The item of this digest (lower-case hex) on the shelf, or None."""
        return self._chunk(shelf, digest)[1].get(digest)

    def put(self, shelf: str, digest: str, item: Any) -> None:
        """Put an item (any JSON but null) on the shelf, in place of one with the same digest."""
        prefix, items = self._chunk(shelf, digest)
        items[digest] = item
        value = orjson.dumps(items)
        if len(value) <= CHUNK or len(items) == 1 or len(prefix) == len(digest):
            self.write(_key(shelf, prefix), value)
            return
        self.write(_key(shelf, prefix), _SPLIT)
        parts: dict[str, dict[str, Any]] = {}
        for one, thing in items.items():
            parts.setdefault(one[: len(prefix) + 1], {})[one] = thing
        for longer, part in parts.items():
            self.write(_key(shelf, longer), orjson.dumps(part))

    def items(self, shelf: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """(digest, item) of the whole shelf."""
        value = self.read(_key(shelf, prefix))
        if value == _SPLIT:
            for digit in "0123456789abcdef":
                yield from self.items(shelf, prefix + digit)
        elif value is not None:
            yield from orjson.loads(value).items()

    def _chunk(self, shelf: str, digest: str) -> tuple[str, dict[str, Any]]:
        prefix = ""
        while (value := self.read(_key(shelf, prefix))) == _SPLIT:
            prefix = digest[: len(prefix) + 1]
        return prefix, {} if value is None else orjson.loads(value)


def _key(shelf: str, prefix: str) -> bytes:
    return f"{shelf}\x1f{prefix}".encode()
