"""`rebuild --apply`: what differs is said again, and what a tracker does not know is told it.

In: the files of differences. Out: for each subject an outcome in `sla.outcomes`, marked as rebuilt, of which the ledger writer
makes a revision that pages nobody; then, where a tracker's row lacks facts, those facts once more in `ats.facts`, and a request
to judge that row, so that what the tracker believes to have said last follows. All of it may be sent twice: the ledger writes it
once, facts are a set. A mark beside each file says how much of it was sent, so that a broken run goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
from kafka import KafkaProducer
from sqlalchemy import Engine

from schemas.fact import Rejudge
from streams import kafka_security, ledger
from streams.ledger_database import snapshot
from streams.ledger_finding import Cause
from streams.settings import Settings
from streams.whole_topic import end_of, reachable, reader

TOGETHER = 1_000  #: differences that are sent and acknowledged at once
SEND_SECONDS = 60.0


def send(settings: Settings, files: list[Path], *, other_agreement: bool) -> int:
    """Send what mends the differences of the files; how many that were, those sent by a broken run among them.

    What was judged under another agreement is left alone unless `other_agreement`. Raises Unreachable; run it again then.
    """
    with reachable(settings):
        producer = KafkaProducer(
            **kafka_security.connection(settings), acks="all", enable_idempotence=True, linger_ms=20, compression_type="lz4"
        )
        try:
            return sum(_send_file(producer, settings, path, other_agreement=other_agreement) for path in files)
        finally:
            producer.close()


def _send_file(producer: Any, settings: Settings, path: Path, *, other_agreement: bool) -> int:
    mark, mended = path.with_suffix(".sent"), 0
    done = int(mark.read_text()) if mark.exists() else 0
    with path.open("rb") as lines:
        for number, some in enumerate(_chunks(lines), 1):
            wanted = [line for line in some if _can_be_mended(line, other_agreement=other_agreement)]
            mended += len(wanted)
            if number <= done:
                continue
            _send(producer, settings, wanted)
            _mark(mark, number)
    return mended


def _mark(path: Path, number: int) -> None:
    """Whole or not at all: a broken run reads it."""
    temporary = path.with_suffix(".new")
    temporary.write_text(str(number))
    temporary.rename(path)


def _chunks(lines: Any) -> Iterator[list[dict[str, Any]]]:
    while some := [orjson.loads(line) for line in islice(lines, TOGETHER)]:
        yield some


def _can_be_mended(line: dict[str, Any], *, other_agreement: bool) -> bool:
    if line["cause"] == Cause.OTHER_AGREEMENT and not other_agreement:
        return False
    return "outcome" in line or line["cause"] == Cause.TRACKER


def _send(producer: Any, settings: Settings, lines: list[dict[str, Any]]) -> None:
    """The outcomes first: what the tracker then says of a subject is no news to the ledger any more."""
    outcomes, facts = settings.topic("sla.outcomes"), settings.topic("ats.facts")
    told = [line for line in lines if "outcome" in line]
    _acknowledged(
        producer,
        [
            producer.send(outcomes, line["outcome"].encode(), key=line["subject"].encode(), partition=line["partition"])
            for line in told
        ],
    )
    rows: dict[tuple[int, str, str | None], bool] = {}
    sent = []
    for line in lines:
        for fact in line.get("facts", ()):
            key = line["requisition_id"].encode()
            sent.append(producer.send(facts, fact.encode(), key=key, partition=line["partition"]))
        if line.get("rejudge"):
            row = line["partition"], line["requisition_id"], line["application_id"]
            rows[row] = rows.get(row, False) or line.get("revive", False)
    for (partition, requisition_id, application_id), revive in rows.items():
        again = Rejudge(requisition_id=requisition_id, application_id=application_id, revive=revive)
        sent.append(producer.send(facts, again.model_dump_json(exclude_none=True).encode(), partition=partition))
    _acknowledged(producer, sent)


def _acknowledged(producer: Any, sent: list[Any]) -> None:
    producer.flush(SEND_SECONDS)
    for one in sent:
        one.get(timeout=SEND_SECONDS)


def written(settings: Settings, engine: Engine, partitions: int, patience: float) -> bool:
    """Whether the ledger has read all that was sent; waits `patience` seconds for it."""
    topic, until = settings.topic("sla.outcomes"), monotonic() + patience
    with reader(settings) as consumer:
        ends = {(topic, number): end_of(consumer, topic, number) for number in range(partitions)}
    while True:
        with snapshot(engine) as conn:
            read = ledger.positions(conn, topic)
        if all(read.get(at, 0) >= end for at, end in ends.items()):
            return True
        if monotonic() >= until:
            return False
        sleep(0.2)
