"""One run of a plan: load, faults, and the count at the end."""

from __future__ import annotations

import logging
import re
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from random import Random
from time import monotonic, sleep

import structlog
from sqlalchemy import select

from streams import ledger
from streams.ledger_tables import dead_letter, revision
from streams.process import tail
from tests.chaos.faults import Faults, NotPossible
from tests.chaos.load import START, FactLoad, WebhookLoad, history
from tests.chaos.plan import Outcome, Plan, Tally
from tests.chaos.stage import WEBHOOKS, Reached, Stage, own_postgres, stage
from tests.settled import doubled, expected, lost, ticked
from tests.whole_topics import each

PATIENCE = 240.0  #: seconds to recover from one fault
SETTLE = 600.0  #: seconds for the rest, once nothing breaks any more
IN_A_HURRY = 0.3  #: share of the faults after which the next does not wait for recovery
WEBHOOK_RATE = 10.0

log = structlog.get_logger()

FACT_ID = re.compile(rb'"fact_id":"([^"]*)"')


def run(plan: Plan, folder: Path) -> Outcome:
    """Do it all in `folder`; prints what it does as it goes."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # brokers that go away are the point
    outcome, begun = Outcome(plan), monotonic()
    facts = history(plan.events, plan.seed)
    with (
        own_postgres() if plan.ledger == "postgres" else nullcontext() as server,
        stage(folder, plan.workers, START, postgres=server) as here,
    ):
        await_well(here, 90)
        load, webhooks = FactLoad(here, facts, plan.rate, plan.seed), WebhookLoad(here, WEBHOOK_RATE)
        load.start()
        webhooks.start()
        try:
            faults = Faults(here, Random(plan.seed), plan.outage)
            break_things(here, plan, faults, outcome)
        finally:
            webhooks.finish()
            load.finish()
        outcome.faults += faults.faults
        count(here, load, webhooks, faults, outcome)
        for role in here.keeper.roles.values():
            outcome.exits.update({f"{role.name.partition('-')[0]} {code}": times for code, times in role.exits.items()})
    outcome.figures["seconds"] = round(monotonic() - begun)
    return outcome


def break_things(here: Stage, plan: Plan, faults: Faults, outcome: Outcome) -> None:
    for number, name in enumerate(planned := plan.faults()):
        tally = outcome.tallies.setdefault(name, Tally())
        sleep(faults.dice.uniform(0, 2))
        hurry = faults.dice.random() < IN_A_HURRY and number < len(planned) - 1
        try:
            began = faults.by_name[name]()
        except NotPossible as why:
            tally.skipped = f"skipped: {why}"
            continue
        tally.times += 1
        if hurry:
            log.info("fault", number=number + 1, of=len(planned), name=name)
            continue
        seconds, missing = recover(here, began)
        tally.recovered.append(seconds)
        log.info("fault", number=number + 1, of=len(planned), name=name, recovered_in=round(seconds, 1))
        if seconds > PATIENCE:
            outcome.faults.append(f"not recovered from {name} after {PATIENCE:g} s: {missing}; not well: {here.keeper.unwell()}")


def recover(here: Stage, began: float) -> tuple[float, str]:
    """Seconds from `began` until every role is well and what was in `ats.facts` has gone through to the ledger; what is not."""
    reached = Reached(here)
    while monotonic() - began <= PATIENCE:
        if reached.look() and not here.keeper.unwell():
            break
        sleep(0.2)
    return monotonic() - began, reached.missing


def await_well(here: Stage, seconds: float) -> None:
    end = monotonic() + seconds
    while bad := here.keeper.unwell():
        if monotonic() > end:
            raise AssertionError("\n".join(f"{name}: {tail(here.folder / 'logs' / f'{name}.log')}" for name in bad))
        sleep(0.2)


def count(here: Stage, load: FactLoad, webhooks: WebhookLoad, faults: Faults, outcome: Outcome) -> None:
    """Wait until the ledger holds what it must, as far as it comes; then count."""
    end = max(fact.received_at for fact in load.facts) + timedelta(days=30)
    wanted, begun = expected(here.settings, load.facts, end), monotonic()
    here.clock.reach(end)
    wrong = ["never settled"]
    while wrong and monotonic() - begun < SETTLE:
        sleep(1)
        if ticked(here.engine, end):
            wrong = lost(here.engine, wanted, [WEBHOOKS])
    outcome.lost += wrong
    outcome.doubled += doubled(here.engine)
    raw = values(here, "ats.raw")
    outcome.lost += [f"acknowledged webhook {body[:40]!r}" for body in webhooks.acknowledged if body not in raw]
    told = set(FACT_ID.findall(b"\n".join(values(here, "ats.facts"))))
    outcome.lost += [f"fact {one} of a webhook" for one in webhooks.facts() if one.encode() not in told]
    with ledger.snapshot(here.engine) as conn:
        letters = set(conn.execute(select(dead_letter.c.pointer)).scalars())
        revisions = len(conn.execute(select(revision.c.revision_no)).all())
    outcome.lost += [f"dead letter of {pointer}" for pointer in faults.poisons if pointer not in letters]
    unwanted = len(letters - set(faults.poisons))
    outcome.faults += [f"{unwanted} dead letters of records that are no poison"] if unwanted else []
    outcome.figures |= {
        "facts": f"{len(load.facts)} told, {load.records} records; {len(wanted)} subjects, {revisions} revisions",
        "webhooks": f"{len(webhooks.acknowledged)} acknowledged, {webhooks.refused} times not, {len(raw)} bodies in ats.raw",
        "dead letters": f"{len(faults.poisons)} poisons, {len(letters)} letters",
        "settled after the last fault": f"{monotonic() - begun:.0f} s",
    }


def values(here: Stage, topic: str) -> set[bytes]:
    """All values of a topic up to its present end."""
    return {record.value for record in each(here.settings, here.settings.topic(topic)) if record.value is not None}
