"""`mutual-sla explain`: the receipt of one obligation as the ledger has it, for a person to read."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from schemas.outcome import Receipt
from streams import ledger, published
from streams.errors import InvalidPayload
from streams.ledger_database import open_ledger, snapshot
from streams.settings import Settings


def run(settings: Settings, obligation_id: str, *, as_json: bool, agreement: bool = False) -> None:
    """Print verdict, arithmetic, facts, intervals and earlier revisions, times in the debtor's zone.

    `agreement`: also what the versions on the receipt say, as they were published. Raises InvalidPayload if the ledger has no
    such obligation, and, with `agreement`, Unreachable.
    """
    with snapshot(open_ledger(settings.ledger)) as conn:
        found = ledger.find_obligation(conn, obligation_id)
        if found is None:
            raise InvalidPayload(
                "unknown_obligation", f"the ledger has no {obligation_id!r}; ids look like decide:greenhouse/12:345:1"
            )
        earlier = ledger.revisions(conn, obligation_id)
    said = _agreed(settings, found) if agreement else []
    if as_json:
        told = {"obligation": found, "revisions": earlier} | ({"agreement": said} if agreement else {})
        json.dump(told, sys.stdout, default=_plain, indent=2)
        print()  # noqa: T201
        return
    _show(found, earlier)
    for one in said:
        if one["kind"] != "policy":  # whole, with --json
            print(f"\n{one['kind']} {one['name']}, version {one['version']}, {one['content_hash']}:")  # noqa: T201
            print(json.dumps(one["content"], indent=1, ensure_ascii=False))  # noqa: T201


def _agreed(settings: Settings, found: dict[str, Any]) -> list[dict[str, Any]]:
    receipt = Receipt.model_validate(found["receipt"])
    names = (found["commitment"], found["commitment_version"], receipt.policy_version, receipt.calendar)
    return [one.model_dump(mode="json") for one in published.described(settings, *names)]


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _show(found: dict[str, Any], earlier: list[dict[str, Any]]) -> None:
    receipt = Receipt.model_validate(found["receipt"])
    zone = ZoneInfo(receipt.zone)
    console = Console()

    def local(at: datetime | None) -> str:
        return at.astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S") if at else "-"

    console.print(f"[bold]{found['obligation_id']}[/bold]  {found['verdict']}: {found['reason']}")
    console.print(
        f"owed by {found['owner']} ({found['side']}, team {found['team']}), due {local(found['deadline'])} {receipt.zone}"
    )
    console.print(f"{receipt.target}; calendar {receipt.calendar} ({receipt.calendar_source}, {receipt.calendar_version})")
    console.print(
        f"policy {receipt.policy_version}, commitment version {found['commitment_version']}, people {receipt.people_version}"
    )
    for line in receipt.arithmetic:
        console.print(f"  {line}")
    facts = Table("role", "fact", "happened", "id", title="facts")
    for fact in receipt.facts:
        facts.add_row(fact.role, fact.kind, local(fact.occurred_at), fact.event_id)
    intervals = Table("from", "to", "clock", "who holds the ball", "working hours", title="intervals")
    for i in receipt.intervals:
        intervals.add_row(local(i.start), local(i.end), i.state, i.holder, f"{i.business_us / 3_600_000_000:.4f}")
    history = Table("revision", "learned", "verdict", "deadline", "reason", title="as it was known")
    for row in earlier:
        history.add_row(str(row["revision_no"]), local(row["learned_at"]), row["verdict"], local(row["deadline"]), row["reason"])
    for table in (facts, intervals, history):
        console.print(table)
