"""A backlog for the tracker: facts of many applications in the order of time, as `ats.facts` holds them.

Applications live in blocks that hire one after the other, so that a batch of BATCH records of one partition has about
`per_key` facts of each application it touches: with 10, a hundred applications at a time, with 1, a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import NamedTuple

from material.histories import ACCOUNT, FIRST, HOUR, application, requisition
from schemas.fact import Fact
from streams.delivery import partition_of

BATCH = 1000  #: records in a batch of the worker
PARTITIONS = 8
EACH = 50  #: applications of a requisition
PACE = timedelta(seconds=4)  #: between two applications of a block


class Load(NamedTuple):
    """One record of `ats.facts`."""

    partition: int
    key: bytes
    value: bytes


def requisitions(partition: int) -> Iterator[str]:
    """Names of requisitions whose key belongs to the partition."""
    for number in count():
        if partition_of(f"{ACCOUNT}/q{number}".encode(), PARTITIONS) == partition:
            yield f"q{number}"


def backlog(partitions: Sequence[int], applications: int, facts: int, per_key: int) -> Iterator[Load]:
    """`applications` of `facts` facts each in every one of `partitions`, and three facts of each of their requisitions."""
    for partition in partitions:
        for fact in _partition(partition, applications, facts, BATCH // per_key):
            yield Load(partition, str(fact.requisition_id).encode(), fact.to_json())


def _partition(partition: int, applications: int, facts: int, at_once: int) -> Iterator[Fact]:
    names = requisitions(partition)
    start = FIRST
    for first in range(0, applications, at_once):
        block: list[Fact] = []
        for number in range(min(at_once, applications - first)):
            if number % EACH == 0:
                name = next(names)
                block += requisition(name, start)
            begin = start + 60 * HOUR + number * PACE
            block += application(name, f"{name}a{number % EACH}", facts, begin)
        block.sort(key=lambda fact: fact.occurred_at)
        yield from block
        start = FIRST + (block[-1].occurred_at - FIRST + timedelta(days=7)) // timedelta(days=7) * timedelta(days=7)
