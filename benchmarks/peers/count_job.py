"""The small fixed job, 'SLA count': what an engine costs when the work is next to nothing.

An event: a key, an id, an instant. Its key's state: how many, the last 15 ids, the open deadline. Each event writes the state;
every tenth of a key gives an outcome with a deadline 16 business hours after it (Monday to Friday, nine to five, UTC; counted
without a loop). Pure; a replayed event is known by its id as long as it is among the last 15.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson

from material.load import Load
from streams.delivery import partition_of

HOUR = 3600
DAY = 24 * HOUR
OPENS, HOURS = 9, 8  #: of a working day
TARGET = 16
SPAN = 90 * DAY
START = 1_740_960_000  #: a Monday, 00:00 UTC
EVERY, REMEMBERED = 10, 15


def events(count: int, seed: int = 7, partitions: int = 8) -> Iterator[Load]:
    """About 20 events a key; a key's lie within a lognormal life-time of median 4 days, over 90 days; in order of time."""
    dice = random.Random(seed)
    keys, told = max(1, count // 20), []
    for number in range(count):
        if number < keys:
            told.append((number, dice.uniform(0, SPAN), min(30.0, dice.lognormvariate(1.386, 1.0)) * DAY))
    drawn = sorted((begin + dice.random() * life, key) for key, begin, life in (told[dice.randrange(keys)] for _ in range(count)))
    filler = "x" * 120
    for number, (at, key) in enumerate(drawn):
        name = b"application-%07d" % key
        event = {"id": f"{number:016x}", "ts": START + int(at), "key": name.decode(), "kind": "stage_changed", "pad": filler}
        yield Load(partition_of(name, partitions), name, orjson.dumps(event))


def deadline(at: int) -> int:
    """The instant 16 business hours after `at`, seconds since 1970."""
    days, of_day = divmod(at - START, DAY)
    weeks, day = divmod(days, 7)
    if day >= 5:
        weeks, day, of_day = weeks + 1, 0, 0
    done = min(max(of_day - OPENS * HOUR, 0), HOURS * HOUR)  # of that day's window
    worked = (weeks * 5 + day) * HOURS * HOUR + done + TARGET * HOUR
    whole, rest = divmod(worked, HOURS * HOUR)
    if rest == 0:
        whole, rest = whole - 1, HOURS * HOUR
    weeks, day = divmod(whole, 5)
    return START + (weeks * 7 + day) * DAY + OPENS * HOUR + rest


def advance(state: dict[str, object] | None, value: bytes) -> tuple[dict[str, object], dict[str, object] | None]:
    """(state after the event, outcome or None)."""
    event = orjson.loads(value)
    held = state or {"n": 0, "ids": [], "open": None}
    ids: list[str] = held["ids"]  # type: ignore[assignment]
    if event["id"] in ids:
        return held, None
    number = int(held["n"]) + 1  # type: ignore[call-overload]
    due = deadline(event["ts"])
    after: dict[str, object] = {"n": number, "ids": [*ids, event["id"]][-REMEMBERED:], "open": due}
    if number % EVERY:
        return after, None
    return after, {"key": event["key"], "n": number, "id": event["id"], "deadline": due}
