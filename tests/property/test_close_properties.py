"""Whatever happens after a close: the statement stays, and statement plus adjustments is what a fresh count would say."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from schemas.outcome import Outcome, Side, Verdict
from schemas.statement import VERDICTS, Cell, Statement
from streams import closed_periods, ledger, statement_files
from streams.check import load_agreement
from streams.close import close, reported
from streams.ledger_database import snapshot, writing
from streams.period import Period
from streams.settings import ROOT, Settings
from streams.statement import adjusted, department_of, raw_cell
from streams.statement_cells import EVERYTHING, MINIMUM_PEOPLE, publish
from tests.ledger_samples import an_obligation, deliver, outcome, ready, ticks

AGREEMENT = load_agreement(ROOT / "deploy")
MAY = Period.month("2026-05", AGREEMENT.policy.reporting_zone)
TEAMS = ("platform", "data", "design", "no-such-team")


@dataclass(frozen=True)
class Said:
    """What one later outcome says of an obligation."""

    subject: int
    verdict: Verdict
    team: str
    owner: int
    side: Side
    shift: timedelta  #: of the deadline; may leave the month


def said(verdicts: Sequence[Verdict]) -> st.SearchStrategy[Said]:
    return st.builds(
        Said,
        st.integers(0, 40),
        st.sampled_from(verdicts),
        st.sampled_from(TEAMS),
        st.integers(0, 9),
        st.sampled_from(Side),
        st.sampled_from([timedelta(0), timedelta(days=3), timedelta(days=26), timedelta(days=-5)]),
    )


def as_outcome(one: Said, offset: int, learned_at: datetime) -> Outcome:
    body = an_obligation(
        f"s{one.subject}",
        one.verdict,
        team=one.team,
        owner=f"p-{one.owner:03}",
        side=one.side,
        deadline=datetime(2026, 5, 6, 9, tzinfo=UTC) + one.shift,
    )
    return outcome(body, offset, learned_at=learned_at)


DECIDED = [v for v in Verdict if v not in (Verdict.OPEN, Verdict.UNVERIFIED)]


@settings(deadline=None, max_examples=60)
@given(st.lists(said(DECIDED), min_size=1, max_size=60), st.lists(said(list(Verdict)), max_size=40))
def test_a_closed_month_plus_its_adjustments_is_a_fresh_count(before: list[Said], after: list[Said]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = ledger.open_ledger(f"sqlite:///{folder}/ledger.db")
        ready(engine)
        first = [as_outcome(one, n, MAY.start + timedelta(minutes=n)) for n, one in enumerate(before, 1)]
        deliver(engine, [*first, *ticks(MAY.end, 1000)])
        closed = _close(engine)
        files = _files(engine, Path(folder, "before"))
        deliver(engine, [as_outcome(one, 2000 + n, MAY.end + timedelta(hours=1 + n)) for n, one in enumerate(after)])
        with snapshot(engine) as conn:
            again, changes = reported(conn, MAY, AGREEMENT)
            fresh = _fresh(closed, closed_periods.entries(conn, MAY))
        assert again == closed
        assert _files(engine, Path(folder, "after")) == files
        if not closed.withheld:
            now = {cell: {v: getattr(counts, v) for v in VERDICTS} for cell, counts in adjusted(closed, changes).items()}
            assert {c: v for c, v in now.items() if any(v.values())} == fresh
        engine.dispose()


def _close(engine: Engine) -> Statement:
    with writing(engine) as conn:
        return close(conn, MAY, AGREEMENT, MAY.end, Settings())[0]


def _files(engine: Engine, folder: Path) -> dict[str, bytes]:
    with snapshot(engine) as conn:
        found = closed_periods.load(conn, MAY.name)
    assert found is not None
    statement_files.write(found[0], found[1], folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _fresh(closed: Statement, entries: Sequence[closed_periods.Entry]) -> dict[Cell, dict[str, int]]:
    """Today's obligations counted anew, in the cells that were published at the close."""
    cells = {one.raw: one.published for one in closed.cells}
    departments = {e.team: department_of(e.team, AGREEMENT.people, MAY.start) for e in entries}
    totals: dict[Cell, Counter[str]] = {}
    for entry in entries:
        totals.setdefault(cells.get(raw_cell(entry, departments), EVERYTHING), Counter())[entry.verdict] += 1
    return {cell: {v: found[v] for v in VERDICTS} for cell, found in totals.items()}


CELLS = st.builds(
    Cell,
    department=st.sampled_from("ABCD"),
    side=st.sampled_from([s.value for s in Side]),
    commitment=st.sampled_from(["decide", "review"]),
)


@settings(deadline=None)
@given(st.dictionaries(CELLS, st.frozensets(st.sampled_from([f"p-{n}" for n in range(12)]), min_size=1), max_size=12))
def test_no_published_cell_is_about_fewer_than_five_people(owners: dict[Cell, frozenset[str]]) -> None:
    found = publish(owners)
    if found is None:
        assert len(frozenset().union(*owners.values())) < MINIMUM_PEOPLE
        return
    assert found.keys() == owners.keys()
    people: dict[Cell, set[str]] = {}
    for raw, cell in found.items():
        people.setdefault(cell, set()).update(owners[raw])
    assert all(len(who) >= MINIMUM_PEOPLE for who in people.values())
    # one that was already large enough is only ever given up to hide a remainder
    assert all(found[raw] in (raw, EVERYTHING) for raw, who in owners.items() if len(who) >= MINIMUM_PEOPLE)
