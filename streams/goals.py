"""Signals: whether a month that is over reached its objectives, by team, side and commitment; said when the word changes.

The ledger writer says them: it is the only process that has the whole picture, is one at a time, and speaks to Kafka. They go
to `sla.outcomes` and come back to the ledger like every other outcome, so a ledger that is filled anew has them too.
A month is judged once every partition's tick has passed its end: looking at a month again and again while it runs would find
something "beyond chance" far more often than one time in twenty. Until then the 90-day metric says how things stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Thread
from time import monotonic
from typing import Any

import structlog
from kafka.errors import KafkaError
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from schemas.outcome import OF_THE_LEDGER, Outcome, Side, Signal, outcome_id
from schemas.policy import Policy
from streams import few_records, ledger
from streams.adherence import chance_of_so_few, standing
from streams.ledger_database import snapshot
from streams.ledger_tables import signal
from streams.period import Period
from streams.settings import Settings
from streams.snapshot import in_force

MONTHS = 13  #: that late knowledge may still change
LOOK_SECONDS = 10.0
REST = 100  #: the ledger is left alone this many times as long as a look took
CLOSE_SECONDS = 10.0  #: that a look under way is given at the end

log = structlog.get_logger()

Send = Callable[[Sequence[Outcome]], None]


def judged(conn: Connection, month: Period, as_of: datetime, policy: Policy) -> Iterator[Signal]:
    """What the month says of each commitment that was in force at its beginning, for each team and side with something due."""
    agreed = in_force(policy, month.start)
    for group in ledger.adherence_counts(conn, month.start, month.end, as_of):
        team, side, commitment = group.key
        if commitment not in agreed or group.counts.n == 0:
            continue
        objective, minimum = agreed[commitment].objective, policy.minimum_for(agreed[commitment])
        yield Signal(
            signal_id=f"{team}:{side}:{commitment}:{month.name}",
            team=team,
            side=Side(side),
            commitment=commitment,
            period=month.name,
            signal=standing(group.counts, objective, minimum),
            met=group.counts.met,
            n=group.counts.n,
            adherence=group.counts.adherence,
            objective=objective,
            minimum_n=minimum,
            p_value=chance_of_so_few(group.counts.met, group.counts.n, objective),
        )


def changed(conn: Connection, policy: Policy) -> list[Outcome]:
    """What has to be said now: signals that the ledger does not have in these words. Empty while a tick is missing."""
    ticks = list(ledger.ticks(conn).values())
    as_of = min((at for at in ticks if at is not None), default=None)
    if as_of is None or None in ticks:
        return []
    known = {row["signal_id"]: row["digest"] for row in told(conn)}
    offset = sum(ledger.positions(conn).values())
    said = []
    for month in Period.of(as_of, policy.reporting_zone).and_before(MONTHS + 1)[:-1]:
        for body in judged(conn, month, as_of, policy):
            before = known.get(body.signal_id)
            if body.digest != before and (before is not None or body.signal != "none"):
                identity = outcome_id(body.signal_id, body.digest, OF_THE_LEDGER, offset)
                place: dict[str, Any] = {"source_partition": OF_THE_LEDGER, "source_offset": offset, "learned_at": as_of}
                said.append(Outcome(outcome_id=identity, body=body, **place))
    return said


def told(conn: Connection, **equal: str | None) -> list[Mapping[str, Any]]:
    """The last word on each month, in order of ids; of those whose columns equal what is given (None: any)."""
    last = select(signal.c.signal_id, func.max(signal.c.revision_no).label("last")).group_by(signal.c.signal_id).subquery()
    query = select(signal).join(last, (signal.c.signal_id == last.c.signal_id) & (signal.c.revision_no == last.c.last))
    for name, value in equal.items():
        if value is not None:
            query = query.where(signal.c[name] == value)
    return [dict(row) for row in conn.execute(query.order_by(signal.c.signal_id)).mappings()]


class Announcer:
    """Looks at the ledger now and then, and says what changed. `send` delivers, or raises KafkaError: then it is said later."""

    def __init__(self, engine: Engine, policy: Policy, send: Send) -> None:
        self._engine, self._policy, self._send = engine, policy, send
        self._due = 0.0
        self._said: dict[str, str] = {}  #: on its way into the ledger
        self._looking: Thread | None = None

    def look_aside(self) -> None:
        """`look` in a thread of its own, one at a time: it takes a second with many obligations, and verdicts must not wait."""
        if self._looking is None or not self._looking.is_alive():
            self._looking = Thread(target=self._look_safely, name="signals", daemon=True)
            self._looking.start()

    def close(self) -> None:
        """Let a look that is under way end."""
        if self._looking is not None:
            self._looking.join(CLOSE_SECONDS)

    def _look_safely(self) -> None:
        try:
            self.look()
        except SQLAlchemyError as error:  # a ledger that is away is the writer's business; what was not said is said later
            log.warning("signals_not_read", error=type(error).__name__)

    def look(self) -> int:
        """Call it while the ledger has all there is; returns how many signals were said."""
        began = monotonic()
        if began < self._due:
            return 0
        with snapshot(self._engine) as conn:
            news = [one for one in changed(conn, self._policy) if self._said.get(_id(one)) != _digest(one)]
        try:
            if news:
                self._send(news)
                self._said |= {_id(one): _digest(one) for one in news}
        except KafkaError as error:
            log.warning("signals_not_sent", error=type(error).__name__, signals=len(news))
            news = []
        self._due = monotonic() + max(LOOK_SECONDS, REST * (monotonic() - began))
        return len(news)


def _id(one: Outcome) -> str:
    assert isinstance(one.body, Signal)
    return one.body.signal_id


def _digest(one: Outcome) -> str:
    assert isinstance(one.body, Signal)
    return one.body.digest


def to_kafka(settings: Settings) -> Send:
    """Delivers to `sla.outcomes`, acknowledged by the broker."""

    def send(outcomes: Sequence[Outcome]) -> None:
        few_records.send(settings, settings.topic("sla.outcomes"), [(_id(one).encode(), one.to_json()) for one in outcomes])

    return send
