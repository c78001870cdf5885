"""What finance gets: a month's figures, the lines they are made of, and what was learned after the close.

No person, requisition or application is in it. Ratios are decimal strings rounded once (half-even, 4 places), hours too (2).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.base import Agreed, Instant

VERDICTS = ("met", "missed", "overdue", "cancelled", "excused", "unverified", "open")

#: How far a row had to be widened until it was about at least five people.
RolledUp = Literal["", "department", "company"]


class Cell(Agreed):
    """What a row is about; `(other)`, `(company)` and `(both)` where small cells were put together."""

    department: str
    side: str
    commitment: str


class Row(Agreed):
    """One cell's figures. `n` = met + missed + overdue."""

    cell: Cell
    rolled_up: RolledUp
    met: int
    missed: int
    overdue: int
    cancelled: int
    excused: int
    unverified: int
    open: int
    n: int
    adherence: Decimal | None  #: met / n
    adherence_without_exceptions: Decimal | None  #: met / (n + excused): as if nothing had been excused
    turnarounds: int  #: obligations that were done (in time or late): what the three figures below are taken over
    mean_hours: Decimal | None
    median_hours: Decimal | None
    p90_hours: Decimal | None


class Index(Agreed):
    """Both sides of one department. None: too few obligations, or fewer than five people, to say."""

    department: str
    talent_acquisition: Decimal | None
    hiring_manager: Decimal | None
    partnership_index: Decimal | None


class Control(Agreed):
    """Totals over all obligations of the period, counted apart from the rows; they must agree to the unit."""

    obligations: int
    verdicts: dict[str, int]
    turnarounds: int
    business_us: int  #: sum over the turnarounds, microseconds
    without_deadline: int  #: ended in the period while their clock stood still: no deadline, so in no month


class Line(Agreed):
    """One obligation as it was counted. `obligation_id` and `team` stay in the ledger; files show `line_id`."""

    obligation_id: str
    line_id: str
    team: str
    cell: Cell
    verdict: str
    deadline: Instant
    turnaround_us: int | None  #: business microseconds until it was done
    commitment_version: str
    uncertain: bool


class Mapped(Agreed):
    """A department's cell and the published one it is counted in."""

    raw: Cell
    published: Cell


class Statement(Agreed):
    """A month, closed or as it was known on some day."""

    period: str
    zone: str
    start: Instant
    end: Instant
    known_until: Instant  #: the ledger's own time: the slowest partition's last tick
    withheld: bool  #: the whole company's month is about fewer than five people: no figures, no lines
    rows: tuple[Row, ...]
    indices: tuple[Index, ...]
    control: Control
    departments: dict[str, str]  #: team -> department, as it was
    cells: tuple[Mapped, ...]
    policy_version: str
    people_version: str
    calendars_version: str
    judged_by: dict[str, tuple[str, ...]] = Field(default_factory=dict)  #: versions on the receipts: policy, calendar, people
    ledger_position: dict[str, int] = Field(default_factory=dict)
    content_sha256: str = ""  #: of rows, indices, control totals and lines


class Adjustment(Agreed):
    """Half of a correction: -1 takes back what was said, +1 says what is known now."""

    line_id: str
    sign: Literal[-1, 1]
    cell: Cell
    verdict: str
    cause: str
    learned_at: Instant
