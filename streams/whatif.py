"""`mutual-sla whatif`: the past under another policy, beside today's. Reads ats.facts, writes nothing.

Every requisition is judged twice by the same core, by the policy in force and by the other one, with calendars, people and
watermarks as they are. What is compared is each obligation whose deadline, under either policy, falls in the time asked for.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from schemas.fact import Fact, Rejudge, Tick, Watermark, facts_record
from schemas.outcome import Obligation
from schemas.policy import Policy
from streams.adherence import Counts
from streams.agreement import Agreement
from streams.check import load_agreement, load_policy, load_sources
from streams.completeness import NEVER
from streams.connectors import declared_kinds
from streams.obligations import evaluate
from streams.settings import Settings
from streams.whole_topic import everything, reader

#: (commitment, side, team) of an obligation, and its verdict today and under the other policy; None: not there.
Change = tuple[tuple[str, str, str], str | None, str | None]


@dataclass(frozen=True, slots=True)
class Log:
    """What ats.facts holds: facts by requisition, watermarks, and the latest instant any record tells of."""

    requisitions: dict[str, list[Fact]]
    watermarks: list[Watermark]
    as_of: datetime


def run(settings: Settings, policy_file: Path, start: datetime | None, end: datetime | None, *, as_json: bool) -> None:
    """Print verdicts today and under `policy_file`, by commitment, side and team, for deadlines in [start, end).

    Raises InvalidConfiguration for a faulty policy, Unreachable without Kafka.
    """
    today = load_agreement(settings.deploy_dir)
    other = load_policy(policy_file)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        log = read(settings, progress)
        changes = list(_compared(log, today, other, start, end, progress))
    if as_json:
        json.dump({"as_of": log.as_of.isoformat(), "rows": rows(changes)}, sys.stdout, indent=2)
        print()  # noqa: T201
        return
    _show(changes, log.as_of, today.policy.version, other.version)


def read(settings: Settings, progress: Progress) -> Log:
    """The facts of the whole topic. Records that are no facts are passed over: the tracker has rejected them."""
    requisitions: dict[str, list[Fact]] = {}
    never = {account: tuple(kinds) for account, kinds in declared_kinds(load_sources(settings.deploy_dir)).items()}
    marks = [Watermark(account=a, kinds=k, complete_until=NEVER, received_at=NEVER) for a, k in never.items() if k]
    as_of = NEVER
    task = progress.add_task("reading ats.facts")
    with reader(settings) as consumer:
        topic = settings.topic("ats.facts")
        for record in everything(consumer, topic, lambda total: progress.update(task, total=total)):
            progress.advance(task)
            try:
                said = facts_record.validate_json(record.value)
            except ValueError:
                continue
            if isinstance(said, Rejudge):
                continue
            as_of = max(as_of, said.at if isinstance(said, Tick) else said.received_at)
            if isinstance(said, Watermark):
                marks.append(said)
            elif isinstance(said, Fact) and said.requisition_id is not None:
                requisitions.setdefault(said.requisition_id, []).append(said)
    return Log(requisitions, marks, as_of)


def _compared(
    log: Log, today: Agreement, other: Policy, start: datetime | None, end: datetime | None, progress: Progress
) -> Iterator[Change]:
    task = progress.add_task("judging twice", total=len(log.requisitions))
    for _, facts in sorted(log.requisitions.items()):
        now, then = (
            {o.obligation_id: o for o in _judged(facts, policy, today, log) if _falls_in(o, start, end)}
            for policy in (today.policy, other)
        )
        for name in sorted(now.keys() | then.keys()):
            one, two = now.get(name), then.get(name)
            said = two or one
            assert said is not None
            yield (
                (said.commitment, str(said.side), said.team),
                one.verdict.value if one else None,
                two.verdict.value if two else None,
            )
        progress.advance(task)


def _judged(facts: list[Fact], policy: Policy, today: Agreement, log: Log) -> tuple[Obligation, ...]:
    return evaluate(facts, policy, today.calendars, today.people, log.watermarks, log.as_of).obligations


def _falls_in(obligation: Obligation, start: datetime | None, end: datetime | None) -> bool:
    if start is None and end is None:
        return True
    due = obligation.deadline
    return due is not None and (start is None or start <= due) and (end is None or due < end)


def rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """One row for each commitment, side and team: counts under both policies, and how many verdicts differ."""
    changes = list(changes)
    found: list[dict[str, Any]] = []
    for cell in sorted({cell for cell, _, _ in changes}):
        mine = [(one, two) for of, one, two in changes if of == cell]
        before, after = (Counts.of(Counter(v for pair in mine if (v := pair[side]) is not None)) for side in (0, 1))
        found.append(
            {
                **dict(zip(("commitment", "side", "team"), cell, strict=True)),
                "today": _figures(before),
                "other": _figures(after),
                "changed": sum(one != two for one, two in mine),
            }
        )
    return found


def _figures(counts: Counts) -> dict[str, Any]:
    return {**{v: getattr(counts, v) for v in counts.__slots__}, "n": counts.n, "adherence": counts.adherence}


def _show(changes: list[Change], as_of: datetime, today: str, other: str) -> None:
    console = Console()
    table = Table("commitment", "side", "team", "n", f"{today}", "n", f"{other}", "changed", title=f"as of {as_of.isoformat()}")
    for row in rows(changes):
        if not row["changed"]:
            continue
        shares = [f"{row[p]['adherence']:.0%}" if row[p]["adherence"] is not None else "–" for p in ("today", "other")]
        table.add_row(
            row["commitment"], row["side"], row["team"], str(row["today"]["n"]), shares[0], str(row["other"]["n"]), shares[1],
            str(row["changed"]),
        )  # fmt: skip
    console.print(table if table.row_count else "the other policy changes no verdict")
    moves = Counter((one or "none", two or "none") for _, one, two in changes if one != two)
    for (one, two), number in moves.most_common():
        console.print(f"{number:6} {one} -> {two}")
    console.print(f"{len(changes)} obligations judged under both; nothing was written")
