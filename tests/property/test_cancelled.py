"""What is cancelled is never counted: every figure is what it would be if the promise had never been made."""

from __future__ import annotations

import tempfile
from dataclasses import astuple
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from schemas.outcome import Side, Verdict
from streams import ledger
from streams.adherence import index, index_interval, side_score, standing, wilson
from streams.check import load_agreement
from streams.ledger_database import snapshot
from streams.settings import ROOT
from tests.ledger_samples import T0, an_obligation, deliver, outcome, ready

POLICY = load_agreement(ROOT / "deploy").policy
PROMISES = {c.name: c for c in POLICY.enabled() if c.side != "holder"}
START, END = T0 - timedelta(days=30), T0 + timedelta(days=30)
TEAMS = ("with", "without")

told = st.tuples(st.sampled_from(sorted(PROMISES)), st.sampled_from([*Verdict, Verdict.CANCELLED]))


def figures(conn: Connection, team: str) -> dict[str, Any]:
    """What boards, pages and statements of one team are made of."""
    counts = {group.key[1:]: group.counts for group in ledger.adherence_counts(conn, START, END, END) if group.key[0] == team}
    of_team: Any = {promise: c for promise, c in counts.items() if c.n + c.excused + c.unverified + c.open}
    return {
        "pages": [astuple(load)[2:] for load in ledger.overdue_and_due_soon(conn, END) if load.team == team],
        "late": [row["reason"] for row in ledger.late_obligations(conn, END, 200)[0] if row["team"] == team],
        "turnaround": [row | {"team": ""} for row in ledger.turnaround(conn, START, END, [1, 10**9]) if row["team"] == team],
        "adherence": {
            promise: (c.n, c.met, c.adherence, c.adherence_without_exceptions, wilson(c.met, c.n), standing(c, 0.9, 5))
            for promise, c in of_team.items()
        },
        "scores": [side_score(counts, POLICY, side, POLICY.minimum_n) for side in Side],  # type: ignore[arg-type]
        "index": (index(counts, POLICY), index_interval(of_team, POLICY, rounds=20)),  # type: ignore[arg-type]
    }


@settings(max_examples=15, deadline=None)
@given(st.lists(told, min_size=1, max_size=80))
def test_a_team_with_cancelled_promises_and_one_without_them_have_the_same_figures(these: list[tuple[str, Verdict]]) -> None:
    bodies = [
        an_obligation(
            verdict=v, obligation_id=f"{name}:{team}{n}:1", commitment=name, side=PROMISES[name].side, team=team, reason=f"{n}"
        )
        for n, (name, v) in enumerate(these)
        for team in TEAMS
        if team == "with" or v != Verdict.CANCELLED
    ]
    with tempfile.TemporaryDirectory() as folder:
        engine = ledger.open_ledger(f"sqlite:///{folder}/ledger.db")
        ready(engine)
        deliver(engine, [outcome(body, offset) for offset, body in enumerate(bodies, 1)])
        with snapshot(engine) as conn:
            assert figures(conn, "with") == figures(conn, "without")
        engine.dispose()
