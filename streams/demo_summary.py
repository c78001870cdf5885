"""What the demo prints at its end: the figures of one run, read from its ledger, its Kafka and its pager. Nothing is made up.

In: the settings of a run whose pipeline has drained. Out: Rich tables. Ratios are shown as percentages, rounded once, here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from schemas.outcome import Side
from schemas.policy import Policy
from schemas.statement import Statement
from streams import adherence, close, ledger, metrics
from streams.adherence import Counts, Promises
from streams.agreement import Agreement
from streams.paged import pages
from streams.period import Period
from streams.settings import Settings
from streams.simulated_feed import Totals

SHOWN = 8  #: rows of lists that could be long
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that is printed."""

    verdicts: Mapping[str, Counts]  #: by commitment
    teams: Mapping[str, Promises]  #: team -> (side, commitment) -> counts, deadlines in the simulated months
    holders: Sequence[Mapping[str, object]]
    dead_letters: Mapping[str, int]
    facts: int
    raw: int
    outcomes: int
    paged: Sequence[Mapping[str, object]]
    statement: Statement
    adjustments: int


def read(conn: Connection, settings: Settings, agreement: Agreement, start: datetime, now: datetime, month: Period) -> Figures:
    """The figures of obligations due in [start, now), as of `now`; `month` has been closed."""
    said, changes = close.reported(conn, month, agreement)
    teams: dict[str, dict[tuple[str, str], Counts]] = {}
    for group in ledger.adherence_counts(conn, start, now, now, ("team", "side", "commitment")):
        teams.setdefault(group.key[0], {})[group.key[1], group.key[2]] = group.counts
    letters: dict[str, int] = {}
    for (_account, reason, _retried), number in ledger.dead_letter_counts(conn).items():
        letters[reason] = letters.get(reason, 0) + number
    held = sorted(ledger.holder_totals(conn, now), key=lambda row: -float(row["seconds"]))
    worker = f"http://{settings.host}:{settings.normalise_metrics_port}/metrics"
    writer = f"http://{settings.host}:{settings.ledger_metrics_port}/metrics"
    return Figures(
        verdicts={group.key[0]: group.counts for group in ledger.current_counts(conn, ("commitment",))},
        teams=teams,
        holders=[row for row in held if row["holder"] not in ("nobody", "paused")],
        dead_letters=letters,
        facts=counted(worker, metrics.NORMALISED_FACTS.name),
        raw=counted(worker, metrics.WORKER_RECORDS.name),
        outcomes=counted(writer, metrics.LEDGER_OUTCOMES.name),
        paged=[dict(row) for row in pages(settings)],
        statement=said,
        adjustments=len(changes),
    )


def counted(url: str, name: str) -> int:
    """The sum of a counter's samples at a /metrics address."""
    text = httpx.get(url, timeout=10.0, trust_env=False).text
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, flags=re.MULTILINE)
    return int(sum(map(float, found)))


def show(console: Console, figures: Figures, totals: Totals, policy: Policy) -> None:
    """Print everything but times and addresses."""
    console.print(_traffic(figures, totals))
    console.print(_verdicts(figures.verdicts))
    console.print(_partnership(figures.teams, adherence.policy_at(policy, figures.statement.known_until)))
    console.print(_holders(figures.holders))
    console.print(_paged(figures.paged))


def _traffic(figures: Figures, totals: Totals) -> Table:
    table = Table("what", "number", title="Events in", title_justify="left")
    letters = ", ".join(f"{reason} {number}" for reason, number in sorted(figures.dead_letters.items()))
    for words, number in (
        ("HTTP requests to the gateway", totals.requests),
        ("  signed webhooks", totals.webhooks),
        ("    of these delivered again", totals.kinds.get("duplicate", 0)),
        ("    of these late, behind newer ones", totals.kinds.get("late", 0)),
        ("    of these with a forged signature, refused", totals.kinds.get("forged", 0)),
        ("  polls, each with the time up to which it is complete", totals.polls),
        ("    records in them", totals.records),
        ("  facts that people reported", totals.facts),
        ("Raw bodies and watermarks read from Kafka", figures.raw),
        ("Facts", figures.facts),
        ("Outcomes read by the ledger", figures.outcomes),
        (f"Dead letters ({letters})", sum(figures.dead_letters.values())),
    ):
        table.add_row(words, f"{number:,}")
    return table


def _verdicts(verdicts: Mapping[str, Counts]) -> Table:
    names = ("met", "missed", "overdue", "open", "cancelled", "excused", "unverified")
    table = Table("commitment", *names, title="Obligations by verdict", title_justify="left")
    for commitment, counts in sorted(verdicts.items()):
        table.add_row(commitment, *(str(getattr(counts, name)) for name in names))
    whole = sum(verdicts.values(), Counts())
    table.add_row("[bold]all", *(f"[bold]{getattr(whole, name)}" for name in names))
    return table


def _partnership(teams: Mapping[str, Promises], policy: Policy) -> Table:
    table = Table("team", title="Both sides of the desk, all six months", title_justify="left")
    for heading in ("talent acquisition", "n", "hiring manager", "n", "partnership index", "95 %"):
        table.add_column(heading, justify="right")
    rows = [(adherence.index(by_commitment, policy), team, by_commitment) for team, by_commitment in teams.items()]
    for index, team, by_commitment in sorted(rows, key=lambda row: (row[0] is None, -(row[0] or 0.0), row[1])):
        cells: list[str] = []
        for side in (Side.TALENT_ACQUISITION, Side.HIRING_MANAGER):
            counts = side_counts(by_commitment, policy, side)
            cells += [_share(adherence.side_score(by_commitment, policy, side, 1), counts.n, policy), str(counts.n)]
        interval = adherence.index_interval(by_commitment, policy)
        between = f"{interval[0]:.0%} to {interval[1]:.0%}" if interval else ""
        table.add_row(team, *cells, f"{index:.0%}" if index is not None else f"n < {policy.minimum_n}", between)
    return table


def side_counts(promises: Promises, policy: Policy, side: Side) -> Counts:
    """All of one side's obligations that weigh in its score."""
    weighty = {commitment.name for commitment in policy.enabled() if commitment.weight > 0}
    return sum((counts for (of, name), counts in promises.items() if of == side and name in weighty), Counts())


def _share(share: float | None, n: int, policy: Policy) -> str:
    """A side's score; coloured only where there is enough to judge by."""
    if share is None:
        return "–"
    if n < policy.minimum_n:
        return f"[dim]{share:.0%}[/]"
    objectives = [commitment.objective for commitment in policy.enabled()]
    colour = "green" if share >= min(objectives) else "yellow" if share >= 0.8 * min(objectives) else "red"
    return f"[{colour}]{share:.0%}[/]"


def _holders(holders: Sequence[Mapping[str, object]]) -> Table:
    table = Table("team", "who holds the ball", "hours", "applications", "hours each", title="Who holds the ball longest")
    table.title_justify = "left"
    for row in holders[:SHOWN]:
        hours, applications = float(str(row["seconds"])) / HOUR, int(str(row["applications"]))
        each = f"{hours / applications:.1f}"
        table.add_row(str(row["team"]), str(row["holder"]).replace("_", " "), f"{hours:,.0f}", str(applications), each)
    return table


def _paged(paged: Sequence[Mapping[str, object]]) -> Table:
    table = Table("owner", "state", "obligation", "due", "by", title=f"Paged: {len(paged)}", title_justify="left")
    for row in _first(paged):
        due = row["deadline"]
        when = f"{due:%Y-%m-%d %H:%M} UTC" if isinstance(due, datetime) else ""
        table.add_row(str(row["owner"]), str(row["state"]), str(row["obligation_id"]), when, str(row["channel"]))
    if len(paged) > SHOWN:
        table.add_row("", "", f"and {len(paged) - SHOWN} more", "", "")
    return table


def _first(rows: Sequence[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
    return sorted(rows, key=lambda row: (str(row["state"]) != "overdue", str(row["owner"])))[:SHOWN]


def show_statement(console: Console, said: Statement, folder: Path, adjustments: int) -> None:
    """Last month's closed statement: where it is, and its control totals."""
    control = said.control
    totals = ", ".join(f"{name} {number}" for name, number in control.verdicts.items() if number)
    console.print(f"[bold]Closed statement {said.period}[/]: {control.obligations} obligations ({totals})")
    hours = control.business_us / 3_600_000_000
    console.print(f"  {control.turnarounds} turnarounds, {hours:,.1f} working hours in all; {len(said.rows)} rows for finance")
    console.print(f"  content {said.content_sha256[:16]}, adjustments since: {adjustments}, files in {folder}", soft_wrap=True)
