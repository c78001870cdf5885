"""What a ledger must hold in the end: what the pure core says of the set of all facts, each thing once.

For tests that disturb the pipeline in between: the history of revisions may differ from an undisturbed run, its end may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Engine, select

from schemas.fact import Fact
from streams import ledger
from streams.check import load_agreement
from streams.ledger_tables import application, obligation, partition_progress, revision
from streams.obligations import evaluate, routed
from streams.settings import Settings
from tests.workers import PARTITIONS


def expected(settings: Settings, facts: Sequence[Fact], as_of: datetime) -> dict[str, str]:
    """Obligation or application -> digest (which covers verdict, deadline, intervals and receipt), by the pure core."""
    agreement = load_agreement(settings.deploy_dir)
    of_requisition: dict[str | None, list[Fact]] = {}
    for fact in routed(facts):
        of_requisition.setdefault(fact.requisition_id, []).append(fact)
    said: dict[str, str] = {}
    for them in of_requisition.values():  # one by one: an hour's obligations with their receipts are ten gigabytes
        found = evaluate(them, agreement.policy, agreement.calendars, agreement.people, [], as_of)
        said |= {o.obligation_id: o.digest for o in found.obligations}
        said |= {a.application_id: a.digest for a in found.applications}
    return said


def lost(engine: Engine, wanted: dict[str, str], accounts: Iterable[str] = ()) -> list[str]:
    """Subjects that the ledger has not or has otherwise, and those it has without reason; nothing of `accounts` counts."""
    aside = tuple(f"{account}/" for account in accounts)
    with ledger.snapshot(engine) as conn:
        columns = (obligation.c.obligation_id, obligation.c.digest, obligation.c.requisition_id, obligation.c.reason)
        rows = [(key, said, about, reason) for key, said, about, reason in conn.execute(select(*columns))]
        states = select(application.c.application_id, application.c.digest, application.c.requisition_id)
        rows += [(key, said, about, "") for key, said, about in conn.execute(states)]
    held = {key: said for key, said, about, _ in rows if not about.startswith(aside)}
    gone = {key for key, _, _, reason in rows if reason == "no longer applies"}
    return [key for key, said in wanted.items() if held.get(key) != said] + list(held.keys() - wanted.keys() - gone)


def doubled(engine: Engine) -> list[str]:
    """Revisions whose numbers have gaps, that say the same as the one before, or that are not the last where they should be."""
    with ledger.snapshot(engine) as conn:
        columns = (revision.c.obligation_id, revision.c.revision_no, revision.c.digest)
        rows = conn.execute(select(*columns).order_by(columns[0], columns[1])).all()
        current = {key: (no, d) for key, no, d in conn.execute(select(*(obligation.c[c.name] for c in columns)))}
    wrong = []
    last: dict[str, tuple[int, str]] = {}
    for key, number, said in rows:
        before = last.get(key, (0, ""))
        if number != before[0] + 1 or said == before[1]:
            wrong.append(f"{key} {number}")
        last[key] = (number, said)
    return wrong + [key for key in current.keys() | last.keys() if current.get(key) != last.get(key)]


def ticked(engine: Engine, at: datetime) -> bool:
    """Whether the ledger knows of every partition that it is `at`."""
    with ledger.snapshot(engine) as conn:
        ticks = list(conn.execute(select(partition_progress.c.tick_at)).scalars())
    return len(ticks) == PARTITIONS and all(tick is not None and tick >= at for tick in ticks)
