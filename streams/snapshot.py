"""What the ledger says now, read in one transaction: the figures behind /metrics, all as of one instant.

In: an engine, the agreement, `now`. Out: a `Snapshot` of plain numbers. Every query is an aggregate in SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, and_, case, func, or_, select

from schemas.policy import Commitment, Policy
from streams import ledger
from streams.adherence import Counts, policy_at
from streams.ledger_database import snapshot as read_transaction
from streams.ledger_tables import holding, obligation, partition_progress
from streams.metrics import TURNAROUND_BUCKETS

LATE_SHOWN = 50  #: obligations in the bounded list for boards
CHUNK = 500  #: ids in one query
ROLLING = {"30d": timedelta(days=30), "90d": timedelta(days=90)}

#: (team, side, commitment)
Cell = tuple[str, str, str]
#: (owner, side, team)
Desk = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Due:
    """Obligations of one owner in one state: how many, and the earliest deadline."""

    number: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ledger as of `now`."""

    now: datetime
    verdicts: Mapping[Cell, Counts]  #: all obligations there are
    running: Mapping[Cell, Mapping[str, int]]  #: open, due_soon, overdue
    windows: Mapping[str, Mapping[Cell, Counts]]  #: deadlines in the window up to now
    turnaround: Mapping[tuple[str, str], tuple[list[int], int, float]]  #: (commitment, side) -> cumulative, count, seconds
    due: Mapping[tuple[Desk, str], Due]  #: by desk and state
    late: Sequence[Mapping[str, Any]]  #: the oldest late ones, one by one
    late_left_out: int
    ball: Mapping[str, str]  #: application of a late one -> who holds the ball now
    ticks: Mapping[int, datetime | None]
    watermarks: Mapping[tuple[str, str], datetime]
    newest_facts: Mapping[str, datetime]
    newest_learned: datetime | None
    dead_letters: Mapping[tuple[str, str], int]  #: (reason, state)


def read(engine: Engine, policy: Policy, now: datetime) -> Snapshot:
    """One consistent reading of the ledger. Raises SQLAlchemyError if the database cannot be read."""
    with read_transaction(engine) as conn:
        late, left_out = ledger.late_obligations(conn, now, LATE_SHOWN)
        return Snapshot(
            now=now,
            verdicts=_cells(ledger.current_counts(conn)),
            running=_running(conn, now),
            windows={name: _cells(ledger.adherence_counts(conn, start, now, now)) for name, start in starts(policy, now).items()},
            turnaround=_turnaround(conn),
            due=_due(conn, now),
            late=late,
            late_left_out=left_out,
            ball=holders(conn, [row["application_id"] for row in late if row["application_id"]]),
            ticks=ledger.ticks(conn),
            watermarks=ledger.watermarks(conn),
            newest_facts=ledger.newest_facts(conn),
            newest_learned=conn.execute(select(func.max(partition_progress.c.learned_at))).scalar_one(),
            dead_letters=_dead_letters(conn),
        )


def starts(policy: Policy, now: datetime) -> dict[str, datetime]:
    """When each adherence window begins: the month in the reporting zone, the rolling ones so many days before `now`."""
    month = now.astimezone(ZoneInfo(policy.reporting_zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    return {"month": month.astimezone(UTC)} | {name: now - length for name, length in ROLLING.items()}


def in_force(policy: Policy, now: datetime) -> dict[str, Commitment]:
    """The enabled commitments by name, each in its newest version that judges what starts now."""
    return {commitment.name: commitment for commitment in policy_at(policy, now).commitments}


def desks(engine: Engine) -> set[Desk]:
    """Everybody who ever owed anything; a whole scan, so asked once."""
    columns = obligation.c.owner, obligation.c.side, obligation.c.team
    with read_transaction(engine) as conn:
        return {(row[0], row[1], row[2]) for row in conn.execute(select(*columns).distinct())}


def holders(conn: Connection, applications: Sequence[str]) -> dict[str, str]:
    """Who holds the ball of each of these applications now."""
    h = holding.c
    found: dict[str, str] = {}
    for start in range(0, len(applications), CHUNK):
        chunk = applications[start : start + CHUNK]
        query = select(h.application_id, h.holder).where(h.application_id.in_(chunk), h.end_at.is_(None))
        found |= {row[0]: row[1] for row in conn.execute(query)}
    return found


def _cells(groups: Sequence[ledger.Group]) -> dict[Cell, Counts]:
    return {(group.key[0], group.key[1], group.key[2]): group.counts for group in groups}


def _running(conn: Connection, now: datetime) -> dict[Cell, dict[str, int]]:
    o = obligation.c
    soon = and_(o.verdict == "open", o.due_soon_at <= now)
    state = case((o.verdict == "overdue", "overdue"), (soon, "due_soon"), else_="open")
    query = (
        select(o.team, o.side, o.commitment, state, func.count())
        .where(o.verdict.in_(("open", "overdue")))
        .group_by(o.team, o.side, o.commitment, state)
    )
    found: dict[Cell, dict[str, int]] = {}
    for team, side, commitment, name, number in conn.execute(query):
        found.setdefault((team, side, commitment), {})[name] = number
    return found


def _due(conn: Connection, now: datetime) -> dict[tuple[Desk, str], Due]:
    o = obligation.c
    soon = and_(o.verdict == "open", o.due_soon_at <= now)
    query = (
        select(o.owner, o.side, o.team, o.verdict, func.count(), func.min(o.deadline))
        .where(or_(o.verdict == "overdue", soon))
        .group_by(o.owner, o.side, o.team, o.verdict)
    )
    return {
        ((owner, side, team), "overdue" if verdict == "overdue" else "due_soon"): Due(number, oldest)
        for owner, side, team, verdict, number, oldest in conn.execute(query)
    }


def _turnaround(conn: Connection) -> dict[tuple[str, str], tuple[list[int], int, float]]:
    """Over everything that was met or missed. Grouped as the index obligation_counted is, which covers it, and the verdicts
    chosen afterwards: a condition on them makes SQLite read the rows instead (3 s a million, not half a second)."""
    o = obligation.c
    within = [func.sum(case((o.business_us <= int(bound * 1_000_000), 1), else_=0)) for bound in TURNAROUND_BUCKETS]
    query = (
        select(o.verdict, o.commitment, o.side, func.count(), func.sum(o.business_us), *within)
        .where(o.ended_at.is_not(None))
        .group_by(o.team, o.side, o.commitment, o.verdict)
    )
    found: dict[tuple[str, str], tuple[list[int], int, float]] = {}
    for verdict, commitment, side, number, total_us, *bounds in conn.execute(query):
        if verdict in ("met", "missed"):
            buckets, count, seconds = found.get((commitment, side), ([0] * len(bounds), 0, 0.0))
            added = [have + int(more) for have, more in zip(buckets, bounds, strict=True)]
            found[commitment, side] = added, count + number, seconds + int(total_us) / 1e6
    return found


def _dead_letters(conn: Connection) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for (_account, reason, retried), number in ledger.dead_letter_counts(conn).items():
        for state, many in (("retried", number if retried else 0), ("pending", 0 if retried else number)):
            found[reason, state] = found.get((reason, state), 0) + many
    return found
