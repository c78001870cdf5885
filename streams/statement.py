"""A month's statement from the ledger's rows, its control totals, and what was learned after it was closed. Pure.

Every figure is computed from whole numbers and rounded once, half-even: ratios to 4 places, hours to 2.
docs/finance.md has each definition with its formula.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import orjson

from schemas.outcome import Side
from schemas.policy import Policy
from schemas.statement import VERDICTS, Adjustment, Cell, Control, Index, Line, Mapped, Row, Statement
from streams.adherence import Counts, partnership_index, policy_at, side_score
from streams.directory import People
from streams.period import Period
from streams.statement_cells import EVERYTHING, MINIMUM_PEOPLE, publish, rolled_up

HOUR_US = 3_600_000_000
NO_DEPARTMENT = "(none)"  #: of a team that the people file does not know


@dataclass(frozen=True, slots=True)
class Entry:
    """One obligation of the period, as the ledger has it."""

    obligation_id: str
    team: str
    side: str
    commitment: str
    commitment_version: str
    owner: str
    verdict: str
    deadline: datetime | None  #: None only where it was taken back after the close
    turnaround_us: int | None  #: business microseconds until it was done; None where it was not (yet)
    uncertain: bool
    revision_no: int
    learned_at: datetime
    policy_version: str
    calendar_version: str
    people_version: str


@dataclass(frozen=True, slots=True)
class Known:
    """How far the ledger was when the entries were read, and what else stands beside the figures."""

    until: datetime
    without_deadline: int = 0
    position: Mapping[str, int] | None = None
    calendars_version: str = ""


def build(
    entries: Iterable[Entry], period: Period, policy: Policy, people: People, known: Known
) -> tuple[Statement, tuple[Line, ...]]:
    """The statement of `period` over `entries`, and its lines in order of their ids. Entries of other months are left out."""
    inside = [entry for entry in entries if entry.deadline is not None and period.start <= entry.deadline < period.end]
    listed = sorted(inside, key=lambda entry: entry.obligation_id)
    departments = {team: department_of(team, people, period.start) for team in sorted({entry.team for entry in listed})}
    raw = {entry.obligation_id: raw_cell(entry, departments) for entry in listed}
    owners: dict[Cell, frozenset[str]] = {}
    for entry in listed:
        cell = raw[entry.obligation_id]
        owners[cell] = owners.get(cell, frozenset()) | {entry.owner}
    published = publish(owners)
    cells = published if published is not None else dict.fromkeys(owners, EVERYTHING)
    lines = tuple(_line(entry, cells[raw[entry.obligation_id]]) for entry in listed)
    withheld = published is None
    statement = Statement(
        period=period.name,
        zone=period.zone,
        start=period.start,
        end=period.end,
        known_until=known.until,
        withheld=withheld,
        rows=() if withheld else rows(lines),
        indices=() if withheld else _indices(listed, departments, cells, policy_at(policy, period.start)),
        control=_control(listed, known),
        departments=departments,
        cells=tuple(Mapped(raw=one, published=cells[one]) for one in sorted(cells, key=cell_key)),
        policy_version=policy.version,
        people_version=people.version,
        calendars_version=known.calendars_version,
        judged_by={
            what: tuple(sorted({getattr(entry, f"{what}_version") for entry in listed}))
            for what in ("policy", "calendar", "people")
        },
        ledger_position=dict(known.position or {}),
    )
    return statement.model_copy(update={"content_sha256": content_hash(statement, lines)}), lines


def content_hash(statement: Statement, lines: Sequence[Line]) -> str:
    """SHA-256 of what is said: figures and lines. Not of when it was read, so reading the same again gives the same."""
    said = statement.model_dump(mode="json", include={"period", "zone", "withheld", "rows", "indices", "control"})
    said["lines"] = [line.model_dump(mode="json") for line in lines]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def department_of(team: str, people: People, at: datetime) -> str:
    """The department of a team key as it was when the month began; `(none)` for one the people file does not know."""
    known = people.team(team, at)
    return known.department if known else NO_DEPARTMENT


def raw_cell(entry: Entry, departments: Mapping[str, str]) -> Cell:
    """Department, side and commitment, before small cells are put together."""
    return Cell(department=departments.get(entry.team, NO_DEPARTMENT), side=entry.side, commitment=entry.commitment)


def cell_key(cell: Cell) -> tuple[str, str, str]:
    """For sorting."""
    return cell.department, cell.side, cell.commitment


def line_id(obligation_id: str) -> str:
    """The id that finance sees: tells lines apart, and can be looked up in the API, but names nobody."""
    return hashlib.sha256(obligation_id.encode()).hexdigest()[:16]


def _line(entry: Entry, cell: Cell) -> Line:
    assert entry.deadline is not None  # build takes only those inside the period
    return Line(
        obligation_id=entry.obligation_id,
        line_id=line_id(entry.obligation_id),
        team=entry.team,
        cell=cell,
        verdict=entry.verdict,
        deadline=entry.deadline,
        turnaround_us=entry.turnaround_us,
        commitment_version=entry.commitment_version,
        uncertain=entry.uncertain,
    )


# -- figures ---------------------------------------------------------------------------------------------------------


def rows(lines: Iterable[Line]) -> tuple[Row, ...]:
    """One row a cell, in cell order."""
    by_cell: dict[Cell, list[Line]] = defaultdict(list)
    for line in lines:
        by_cell[line.cell].append(line)
    return tuple(_row(cell, by_cell[cell]) for cell in sorted(by_cell, key=cell_key))


def _row(cell: Cell, lines: Sequence[Line]) -> Row:
    counts = Counts.of(Counter(line.verdict for line in lines))
    took = sorted(line.turnaround_us for line in lines if line.turnaround_us is not None)
    return Row(
        cell=cell,
        rolled_up=rolled_up(cell),
        **{verdict: getattr(counts, verdict) for verdict in VERDICTS},
        n=counts.n,
        adherence=ratio(counts.met, counts.n),
        adherence_without_exceptions=ratio(counts.met, counts.n + counts.excused),
        turnarounds=len(took),
        mean_hours=hours(Fraction(sum(took), len(took))) if took else None,
        median_hours=hours(Fraction(took[(len(took) - 1) // 2] + took[len(took) // 2], 2)) if took else None,
        # nearest rank: the smallest that at least nine of ten do not exceed
        p90_hours=hours(Fraction(took[-(-9 * len(took) // 10) - 1])) if took else None,
    )


def ratio(part: int, whole: int) -> Decimal | None:
    """part / whole, rounded half-even to 4 places; None for whole = 0. 5 of 8 is 0.6250."""
    return _rounded(Fraction(part, whole), 4) if whole else None


def hours(microseconds: Fraction) -> Decimal:
    """Hours, rounded half-even to 2 places."""
    return _rounded(microseconds / HOUR_US, 2)


def _rounded(value: Fraction, places: int) -> Decimal:
    return Decimal(round(value * 10**places)).scaleb(-places)  # Fraction rounds half-even, exactly


def _indices(
    entries: Sequence[Entry], departments: Mapping[str, str], cells: Mapping[Cell, Cell], policy: Policy
) -> tuple[Index, ...]:
    # A score less the rows that are published as they are is one of the rest: that, too, is not about fewer than five people.
    weighed = {commitment.name for commitment in policy.enabled() if commitment.weight > 0}
    hidden = {raw for raw, published in cells.items() if raw != published and raw.commitment in weighed}
    found = []
    for department in sorted(set(departments.values())):
        mine = [entry for entry in entries if departments[entry.team] == department]
        scores: list[float | None] = []
        for side in Side:
            of_side = [entry for entry in mine if entry.side == side]
            rest = [entry for entry in of_side if raw_cell(entry, departments) in hidden]
            scores.append(None if _few(of_side) or (rest and _few(rest)) else _score(of_side, side, policy))
        index = partnership_index(*scores)
        ta, hm, both = (None if value is None else _rounded(Fraction(value), 4) for value in (*scores, index))
        found.append(Index(department=department, talent_acquisition=ta, hiring_manager=hm, partnership_index=both))
    return tuple(found)


def _few(entries: Sequence[Entry]) -> bool:
    return len({entry.owner for entry in entries}) < MINIMUM_PEOPLE


def _score(entries: Sequence[Entry], side: Side, policy: Policy) -> float | None:
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        verdicts[entry.commitment][entry.verdict] += 1
    return side_score({(side, name): Counts.of(found) for name, found in verdicts.items()}, policy, side, policy.minimum_n)


def _control(entries: Sequence[Entry], known: Known) -> Control:
    took = [entry.turnaround_us for entry in entries if entry.turnaround_us is not None]
    found = Counter(entry.verdict for entry in entries)
    return Control(
        obligations=len(entries),
        verdicts={verdict: found[verdict] for verdict in VERDICTS},
        turnarounds=len(took),
        business_us=sum(took),
        without_deadline=known.without_deadline,
    )


def disagreements(statement: Statement, lines: Sequence[Line]) -> list[str]:
    """Where rows, lines and control totals do not add up; empty when they reconcile to the unit."""
    control, faults = statement.control, []
    if len(lines) != control.obligations:
        faults.append(f"{len(lines)} lines, but {control.obligations} obligations")
    if statement.withheld:
        return faults
    for verdict in VERDICTS:
        total = sum(getattr(row, verdict) for row in statement.rows)
        listed = sum(line.verdict == verdict for line in lines)
        if not total == listed == control.verdicts[verdict]:
            faults.append(f"{verdict}: rows say {total}, lines {listed}, the control total {control.verdicts[verdict]}")
    took = [line.turnaround_us for line in lines if line.turnaround_us is not None]
    if (len(took), sum(took)) != (control.turnarounds, control.business_us):
        faults.append(f"turnarounds: lines say {len(took)}, the control total {control.turnarounds}")
    if sum(row.turnarounds for row in statement.rows) != control.turnarounds:
        faults.append("turnarounds of the rows are not the control total")
    return faults


# -- after the close ---------------------------------------------------------------------------------------------------


def adjustments(
    statement: Statement, lines: Iterable[Line], then: Mapping[str, Entry], now: Mapping[str, Entry], people: People
) -> tuple[Adjustment, ...]:
    """What differs today from the closed lines, as pairs (-1, +1); the closed statement itself stays as it is.

    `then`: the closed revision of each line's obligation, and of each obligation of `now` what was known at the close, if
    anything. `now`: the obligations whose deadline is in the period now, and the current version of each closed line's (its
    deadline may be elsewhere). Departments and cells are those of the closed statement.
    """
    if statement.withheld:  # figures about so few people are not said in halves either
        return ()
    closed = {line.obligation_id: line for line in lines}
    departments = {**{e.team: department_of(e.team, people, statement.start) for e in now.values()}, **statement.departments}
    cells = {one.raw: one.published for one in statement.cells}
    found: list[Adjustment] = []
    for key in sorted(closed.keys() | now.keys()):
        line, entry = closed.get(key), now.get(key)
        inside = entry is not None and entry.deadline is not None and statement.start <= entry.deadline < statement.end
        after = (cells.get(raw_cell(entry, departments), EVERYTHING), entry.verdict) if entry and inside else None
        before = (line.cell, line.verdict) if line else None
        if before == after:
            continue
        learned_at = entry.learned_at if entry else statement.known_until
        cause = _cause(then.get(key), entry, was_inside=line is not None, is_inside=inside)
        for sign, said in ((-1, before), (1, after)):
            if said is not None:
                found.append(
                    Adjustment.model_validate(
                        {"line_id": line_id(key), "sign": sign, "cell": said[0], "verdict": said[1]}
                        | {"cause": cause, "learned_at": learned_at}
                    )
                )
    return tuple(found)


def _cause(then: Entry | None, now: Entry | None, *, was_inside: bool, is_inside: bool) -> str:
    if now is None or (was_inside and not is_inside):
        return "deadline moved out of the period"
    if then is None:
        return "late fact: the obligation was not known at the close"
    if is_inside and not was_inside:
        return "deadline moved into the period"
    if then.policy_version != now.policy_version:
        return f"policy {then.policy_version} -> {now.policy_version}"
    for what, before, after in (
        ("calendar", then.calendar_version, now.calendar_version),
        ("people file", then.people_version, now.people_version),
    ):
        if before != after:
            return f"{what} changed ({before} -> {after})"
    if now.verdict == "excused":
        return "exception approved"
    if then.verdict == "unverified":
        return "the source caught up"
    return "late fact" if then.verdict != now.verdict else "moved to another team"


def adjusted(statement: Statement, changes: Iterable[Adjustment]) -> dict[Cell, Counts]:
    """Counts of each cell with the adjustments added: what the closed cells would say today."""
    totals: dict[Cell, Counter[str]] = {row.cell: Counter({v: getattr(row, v) for v in VERDICTS}) for row in statement.rows}
    for change in changes:
        totals.setdefault(change.cell, Counter())[change.verdict] += change.sign
    return {cell: Counts.of(totals[cell]) for cell in sorted(totals, key=cell_key)}
