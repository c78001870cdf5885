"""How long each side has held the ball, by the wall clock and in business time, by team, requisition, application and person.

In: the ledger's holdings and the agreement. Every moment of an application, from its creation to its end, is held by exactly one
holder, so wall-clock sums are its elapsed time to the microsecond, however they are grouped. Business time is the working time
of who held the ball: on the calendar of the person at the beginning of the holding (their own, else their team's, their
location's, the company's, leave left out). The candidate, a pause and nobody have no working day: wall-clock time only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select

from schemas.outcome import Side
from streams.agreement import Agreement
from streams.ledger_tables import LASTING, application, holding
from streams.wall_clock import micros

#: What times can be grouped by, and the ledger's column.
BY = {
    "team": application.c.team,
    "requisition": application.c.requisition_id,
    "application": application.c.application_id,
    "person": holding.c.person,
}
SIDES = tuple(Side)
FETCH = 10_000  #: rows held at once
NOT_KNOWN = "unassigned"  #: a side whose person nobody named


@dataclass(slots=True)
class _Sum:
    us: int = 0
    business_us: int = 0
    applications: set[str] = field(default_factory=set)


def times(
    conn: Connection,
    agreement: Agreement,
    as_of: datetime,
    by: Sequence[str],
    *,
    since: datetime | None = None,
    **equal: str | None,
) -> list[dict[str, Any]]:
    """One dict a group and holder, in their order: microseconds (`us`, `business_us`: None without a working day), the same in
    seconds, and how many applications. Of the time in [`since`, `as_of`); None: from the beginning. `equal` restricts to a
    team, requisition, application or person (None: any).

    Grouped by person, only the two sides are there: the others are nobody's. Raises KeyError for an unknown grouping.
    """
    if since is not None and since >= as_of:
        return []
    query = (
        select(holding.c.application_id, holding.c.holder, holding.c.person, holding.c.start_at, holding.c.end_at)
        .add_columns(application.c.team.label("of_team"), *(BY[name].label(f"by_{name}") for name in by))
        .join(application, application.c.application_id == holding.c.application_id)
        .where(holding.c.start_at < as_of, LASTING)
        .execution_options(yield_per=FETCH)
    )
    if since is not None:
        query = query.where(or_(holding.c.end_at.is_(None), holding.c.end_at > since))
    for name, value in equal.items():
        if value is not None:
            query = query.where(BY[name] == value)
    if "person" in by:
        query = query.where(holding.c.holder.in_(SIDES))
    sums: dict[tuple[str, ...], _Sum] = {}
    for row in conn.execute(query):
        start = row.start_at if since is None else max(row.start_at, since)
        end = as_of if row.end_at is None else min(row.end_at, as_of)
        key = (*(row[6 + n] or NOT_KNOWN for n in range(len(by))), row.holder)
        found = sums.setdefault(key, _Sum())
        found.us += micros(end) - micros(start)
        found.applications.add(row.application_id)
        if row.holder in SIDES and start < end:
            calendar, _ = agreement.people.calendar_for(row.person, row.of_team, agreement.calendars, row.start_at)
            found.business_us += calendar.working_us(start, end)
    return [_said(by, key, sums[key]) for key in sorted(sums)]


def _said(by: Sequence[str], key: tuple[str, ...], found: _Sum) -> dict[str, Any]:
    *groups, holder = key
    business = found.business_us if holder in SIDES else None
    return {
        **dict(zip(by, groups, strict=True)),
        "holder": holder,
        "seconds": found.us / 1_000_000,
        "business_seconds": None if business is None else business / 1_000_000,
        "us": found.us,
        "business_us": business,
        "applications": len(found.applications),
    }
