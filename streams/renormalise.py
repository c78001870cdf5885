"""`mutual-sla renormalise`: bodies of `ats.raw` once more through the connectors, after one was mended.

In: every body received from a moment on. Out: copies of them at the end of their partitions, marked as backfill and with
`retry_of`, which the running normalise worker reads like any other. What it said before it does not say again (its link table
knows every fact it placed); facts that are new appear, with the ids and the `received_at` they would always have had.
Watermarks are not copied: a mended connector does not make a past poll more complete. Run again, it changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kafka import TopicPartition
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from schemas.raw import RawHeaders
from streams.clock import Clock
from streams.errors import Unreachable
from streams.raw_copies import Copies, Seen, copies, pointer, records, settle_dead_letters
from streams.settings import Settings
from streams.whole_topic import reader

NOT_COPIED = ("watermark", "erasure")


def run(settings: Settings, since: datetime, clock: Clock, *, account: str | None = None) -> int:
    """Copy what was received at `since` or later, of `account` or of all; returns how many bodies.

    Raises Unreachable; what was copied by then is harmless, run it again.
    """
    topic, done = settings.topic("ats.raw"), 0
    moved: set[str] = set()
    with reader(settings) as consumer, copies(settings) as made, Progress(console=Console(stderr=True)) as progress:
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        if not places:
            raise Unreachable(f"topic {topic} is missing: run `mutual-sla topics`")
        ends = consumer.end_offsets(places)
        starts = consumer.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)))
        ranges = {place: (starts[place].offset, ends[place]) for place in places if starts[place] is not None}
        task = progress.add_task("bodies", total=sum(end - start for start, end in ranges.values()))
        for place, (start, end) in ranges.items():
            seen = Seen()
            for record in records(consumer, place, start, end):
                progress.advance(task)
                if not _wanted(record, since, account):
                    continue
                moved.add(pointer(record))  # of a copy that an earlier run made, too: its dead letter is the same body's
                if not seen.before(record):
                    _copy(made, record)
                    done += 1
    settled = settle_dead_letters(settings, moved, clock)
    Console().print(f"{done} bodies once more; {settled} dead letters among them", highlight=False)
    return done


def _wanted(record: Any, since: datetime, account: str | None) -> bool:
    if account is not None and record.key != account.encode():
        return False
    try:
        raw = RawHeaders.from_kafka(record.headers or ())
    except (ValidationError, UnicodeDecodeError, AttributeError):
        return False  # a dead letter whose headers nothing mends
    return raw.channel not in NOT_COPIED and raw.received_at >= since


def _copy(made: Copies, record: Any) -> None:
    kept = [(name, value) for name, value in record.headers if name not in ("retry_of", "backfill")]
    made.add(record, [*kept, ("backfill", b"True"), ("retry_of", pointer(record).encode())])
