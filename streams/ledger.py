"""The ledger: the only source of business figures. Here is every question that is asked of it.

In: a connection (`open_ledger(url)`, then `snapshot(engine)`). Out: plain dataclasses and dicts. `as_of` is always passed
in; nothing here reads a clock. The tables are in ledger_tables.py, the one writer in ledger_writer.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, case, func, or_, select, update

from streams import wall_clock
from streams.adherence import Counts
from streams.ledger_database import connect, micros, open_ledger, snapshot
from streams.ledger_tables import (
    LASTING,
    application,
    consumer_position,
    dead_letter,
    holding,
    obligation,
    partition_progress,
    revision,
    source_newest,
    source_watermark,
)

__all__ = ["connect", "micros", "open_ledger", "snapshot"]

#: What counts can be grouped by.
GROUPS = ("tenant", "team", "side", "commitment", "commitment_version", "requisition_id", "recruiter", "hiring_manager", "owner")


# -- counts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """One group's key (in the order asked for) and its counts by verdict."""

    key: tuple[str, ...]
    counts: Counts


def _fold(rows: Sequence[Any], width: int) -> list[Group]:
    """Rows (*key, verdict, number) to one Group a key, in key order."""
    groups: dict[tuple[str, ...], dict[str, int]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:width]), {})[row[width]] = int(row[width + 1])
    return [Group(key, Counts(**verdicts)) for key, verdicts in sorted(groups.items())]


def _counted(source: FromClause, group: Sequence[str], *where: ColumnElement[bool]) -> Select[Any]:
    if unknown := set(group) - set(GROUPS):
        raise ValueError(f"cannot group by {sorted(unknown)}")
    columns = [source.c[name] for name in (*group, "verdict")]
    return select(*columns, func.count()).where(*where).group_by(*columns)


def adherence_counts(
    conn: Connection,
    start: datetime,
    end: datetime,
    as_of: datetime,
    group: Sequence[str] = ("team", "side", "commitment"),
) -> list[Group]:
    """Counts by verdict of obligations with `start <= deadline < end` and `deadline <= as_of` (design: adherence)."""
    d = obligation.c.deadline
    return _fold(conn.execute(_counted(obligation, group, d >= start, d < end, d <= as_of)).all(), len(group))


def as_of_counts(
    conn: Connection,
    learned_until: datetime,
    start: datetime,
    end: datetime,
    group: Sequence[str] = ("team", "side", "commitment"),
) -> list[Group]:
    """The same counts as they were known at `learned_until`, deadlines after it left out; from the revisions."""
    known = known_revisions(learned_until, start, end).subquery()
    return _fold(conn.execute(_counted(known, group, known.c.deadline <= learned_until)).all(), len(group))


def known_revisions(learned_until: datetime, start: datetime, end: datetime) -> Select[Any]:
    """The last revision learned by then of each obligation, where its deadline was then in [start, end)."""
    r = revision.alias("r")
    # only what ever had a deadline in the period can have it there at that time
    ever = select(r.c.obligation_id).where(r.c.deadline >= start, r.c.deadline < end).distinct()
    last = (
        select(r.c.obligation_id, func.max(r.c.revision_no).label("last"))
        .where(r.c.obligation_id.in_(ever), r.c.learned_at <= learned_until)
        .group_by(r.c.obligation_id)
        .subquery()
    )
    return (
        select(revision)
        .join(last, and_(revision.c.obligation_id == last.c.obligation_id, revision.c.revision_no == last.c.last))
        .where(revision.c.deadline >= start, revision.c.deadline < end)
    )


def current_counts(conn: Connection, group: Sequence[str] = ("team", "side", "commitment")) -> list[Group]:
    """Counts by verdict of all obligations there are, whatever their deadline."""
    return _fold(conn.execute(_counted(obligation, group)).all(), len(group))


def turnaround(conn: Connection, start: datetime, end: datetime, bounds_us: Sequence[int]) -> list[dict[str, Any]]:
    """Business microseconds of met and missed obligations that ended, deadline in [start, end): a cumulative histogram.

    One dict per team, side, commitment: `count`, `sum_us`, and `buckets`, how many took at most each bound.
    """
    keys = [obligation.c[name] for name in ("team", "side", "commitment")]
    b = obligation.c.business_us
    within = [func.sum(case((b <= bound, 1), else_=0)) for bound in bounds_us]
    query = (
        select(*keys, func.count(), func.sum(b), *within)
        .where(obligation.c.deadline >= start, obligation.c.deadline < end)
        .where(obligation.c.verdict.in_(("met", "missed")), obligation.c.ended_at.is_not(None))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [
        {
            "team": row[0],
            "side": row[1],
            "commitment": row[2],
            "count": int(row[3]),
            "sum_us": int(row[4]),
            "buckets": [int(number) for number in row[5:]],
        }
        for row in conn.execute(query)
    ]


# -- what is late ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What one owner has on their desk now."""

    owner: str
    team: str
    side: str
    overdue: int
    due_soon: int
    oldest_due: datetime | None  #: earliest deadline among the overdue, else among those due soon


def _due_soon(as_of: datetime) -> ColumnElement[bool]:
    return and_(obligation.c.verdict == "open", obligation.c.due_soon_at <= as_of)


def overdue_and_due_soon(conn: Connection, as_of: datetime) -> list[Load]:
    """Per owner, team and side: how many are overdue, how many open past their warning moment, and since when."""
    keys = [obligation.c[name] for name in ("owner", "team", "side")]
    late, soon = obligation.c.verdict == "overdue", _due_soon(as_of)
    query = (
        select(
            *keys,
            func.sum(case((late, 1), else_=0)),
            func.sum(case((soon, 1), else_=0)),
            func.min(case((late, obligation.c.deadline))),
            func.min(case((soon, obligation.c.deadline))),
        )
        .where(obligation.c.verdict.in_(("overdue", "open")), or_(late, soon))  # the first part is what the index is read by
        .group_by(*keys)
        .order_by(*keys)
    )
    return [Load(row[0], row[1], row[2], int(row[3]), int(row[4]), row[5] or row[6]) for row in conn.execute(query)]


def late_obligations(conn: Connection, as_of: datetime, limit: int) -> tuple[list[dict[str, Any]], int]:
    """At most `limit` obligations that are overdue (earliest deadline first), then due soon; and how many were left out."""
    late, soon = obligation.c.verdict == "overdue", _due_soon(as_of)
    columns = [column for column in obligation.c if column.name != "receipt"]
    query = (
        select(*columns)
        .where(obligation.c.verdict.in_(("overdue", "open")), or_(late, soon))  # the first part is what the index is read by
        .order_by(case((late, 0), else_=1), obligation.c.deadline, obligation.c.obligation_id)
        .limit(limit)
    )
    rows = [dict(row) for row in conn.execute(query).mappings()]
    running = obligation.c.verdict.in_(("overdue", "open"))
    total = conn.execute(select(func.count()).select_from(obligation).where(running, or_(late, soon))).scalar_one()
    return rows, int(total) - len(rows)


# -- one by one ------------------------------------------------------------------------------------------------------


def find_obligation(conn: Connection, obligation_id: str) -> dict[str, Any] | None:
    """The current row with its receipt, or None."""
    row = conn.execute(select(obligation).where(obligation.c.obligation_id == obligation_id)).mappings().first()
    return dict(row) if row else None


def revisions(conn: Connection, obligation_id: str) -> list[dict[str, Any]]:
    """Every version of an obligation, in the order it was learned."""
    query = select(revision).where(revision.c.obligation_id == obligation_id).order_by(revision.c.revision_no)
    return [dict(row) for row in conn.execute(query).mappings()]


def list_obligations(conn: Connection, limit: int, offset: int = 0, **equal: str | None) -> list[dict[str, Any]]:
    """Obligations whose columns equal those given (None: any), by deadline, without receipts; the first `offset` left out."""
    columns = [column for column in obligation.c if column.name != "receipt"]
    query = select(*columns).order_by(obligation.c.deadline, obligation.c.obligation_id).limit(limit).offset(offset)
    for name, value in equal.items():
        if value is not None:
            query = query.where(obligation.c[name] == value)
    return [dict(row) for row in conn.execute(query).mappings()]


def acceptances(conn: Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Accepted offers in [start, end): team, requisition, when it was opened, when the candidate applied and accepted.

    `filled_before`: an offer of the requisition was accepted before `start` already.
    """
    columns = ("team", "requisition_id", "requisition_opened_at", "created_at", "accepted_at")
    earlier = select(application.c.requisition_id).where(application.c.accepted_at < start)
    query = (
        select(*(application.c[name] for name in columns), application.c.requisition_id.in_(earlier).label("filled_before"))
        .where(application.c.accepted_at >= start, application.c.accepted_at < end)
        .order_by(application.c.accepted_at, application.c.application_id)
    )
    return [dict(row) for row in conn.execute(query).mappings()]


def holder_totals(conn: Connection, as_of: datetime, team: str | None = None) -> list[dict[str, Any]]:
    """Wall-clock seconds each holder has held the ball up to `as_of`, per team: dicts team, holder, seconds, applications.

    Of an application's life: what comes after its end is nobody's time.
    """
    until = case(
        (or_(holding.c.end_at.is_(None), holding.c.end_at > as_of), wall_clock.micros(as_of)),
        else_=micros(holding.c.end_at),
    )
    keys = [application.c.team, holding.c.holder]
    query = (
        select(*keys, func.sum(until - micros(holding.c.start_at)), func.count(holding.c.application_id.distinct()))
        .join(application, application.c.application_id == holding.c.application_id)
        .where(holding.c.start_at < as_of, LASTING)
        .group_by(*keys)
        .order_by(*keys)
    )
    if team is not None:
        query = query.where(application.c.team == team)
    return [
        {"team": row[0], "holder": row[1], "seconds": int(row[2]) / 1_000_000, "applications": int(row[3])}
        for row in conn.execute(query)
    ]


# -- how far we are --------------------------------------------------------------------------------------------------


def positions(conn: Connection, topic: str | None = None) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the next offset the writer will read."""
    query = select(consumer_position.c.topic, consumer_position.c.partition, consumer_position.c.next_offset)
    if topic is not None:
        query = query.where(consumer_position.c.topic == topic)
    return {(row[0], row[1]): row[2] for row in conn.execute(query)}


def ticks(conn: Connection) -> dict[int, datetime | None]:
    """Partition of ats.facts -> its last tick that reached the ledger."""
    return {row[0]: row[1] for row in conn.execute(select(partition_progress.c.partition, partition_progress.c.tick_at))}


def newest_learned(conn: Connection) -> datetime | None:
    """The newest moment of knowledge: as_of of the furthest partition; None in an empty ledger."""
    newest: datetime | None = conn.execute(select(func.max(partition_progress.c.learned_at))).scalar_one()
    return newest


def parked(conn: Connection) -> int:
    """Facts that wait for a link, over all partitions, as last reported."""
    return int(conn.execute(select(func.coalesce(func.sum(partition_progress.c.parked), 0))).scalar_one())


def watermarks(conn: Connection) -> dict[tuple[str, str], datetime]:
    """(account, kind) -> complete until, the slowest partition's."""
    s = source_watermark.c
    query = select(s.account, s.kind, func.min(s.complete_until)).group_by(s.account, s.kind)
    return {(row[0], row[1]): row[2] for row in conn.execute(query)}


def newest_facts(conn: Connection) -> dict[str, datetime]:
    """Account -> when its newest fact was received."""
    query = select(source_newest.c.account, func.max(source_newest.c.received_at)).group_by(source_newest.c.account)
    return {row[0]: row[1] for row in conn.execute(query)}


def dead_letters(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest dead letters first."""
    query = select(dead_letter).order_by(dead_letter.c.rejected_at.desc(), dead_letter.c.pointer).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def dead_letter_counts(conn: Connection) -> Mapping[tuple[str, str, bool], int]:
    """(account, reason, retried) -> how many."""
    d = dead_letter.c
    retried = d.retried_at.is_not(None)
    query = select(d.account, d.reason, retried, func.count()).group_by(d.account, d.reason, retried)
    return {(row[0], row[1], bool(row[2])): row[3] for row in conn.execute(query)}


def mark_retried(conn: Connection, pointers: Sequence[str], at: datetime) -> int:
    """Note that these dead letters were put back; how many there were. The caller commits."""
    done = conn.execute(update(dead_letter).where(dead_letter.c.pointer.in_(pointers)).values(retried_at=at))
    return int(done.rowcount)
