"""What a stream processor is made of, without Faust: a pure step over a batch, and what it may read and say.

`microbatch` runs a step for real, tests run it on a dictionary.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Message(NamedTuple):
    """A record to send. `partition` None: by murmur2 of the key, as every Kafka client's default does."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None


class Read(Protocol):
    """What a step may read: the rows of its own partition as of the last applied batch."""

    def __call__(self, key: bytes) -> bytes | None: ...

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key begins with `prefix`, in key order, from `start` on (included) if given."""
        ...


@dataclass(slots=True)
class Step:
    """What a step wants done: rows to change (None deletes) and messages to deliver before them.

    `applied` runs once all of it is safe: the place to change anything kept in memory, because a batch whose partition was
    taken away meanwhile is not applied, and read again.
    """

    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    applied: Callable[[], None] | None = None


#: (partition, records, read) -> Step. Pure and synchronous; records are aiokafka ConsumerRecords of one partition, in order.
#: It must catch what is wrong with a single record itself: an exception stops the worker, again and again.
StepFunction = Callable[[int, list[Any], Read], Step]

#: Called with a partition and its rows after each recovery, before the first batch of it; must not block for long.
Recovered = Callable[[int, Read], Awaitable[None]]
