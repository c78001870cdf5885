"""`python -m tests.chaos.soak`: the pipeline at a steady rate for a long time, with a kill now and then.

Each minute a line of memory and file handles of every role and of the lag goes to FIGURES.jsonl in the folder, so that it can
run in the background and be looked at. In the end the lag must be 0, and nothing lost or doubled. Exit 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

from streams import health
from tests.chaos.faults import Faults
from tests.chaos.load import START, FactLoad, WebhookLoad, history
from tests.chaos.plan import KILLS, Outcome, Plan, Tally
from tests.chaos.run import await_well, count, recover
from tests.chaos.stage import Stage, stage

DISTINCT = 0.5  #: share of the records that are new facts; the rest are copies of what was there


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=500.0, help="facts a second")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=24, help="spread evenly over the time (default 24: hourly ones of a day)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("soak"), help="folder of data, logs and figures (default ./soak)")
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("MUTUAL_SLA_")]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is stopped and unmounted
    events = int(given.minutes * 60 * given.rate * DISTINCT)
    plan = Plan(events, given.workers, given.kills, 0, given.rate, 0, given.seed)
    return soak(plan, given.minutes * 60, given.keep).report()


def soak(plan: Plan, seconds: float, folder: Path) -> Outcome:
    outcome, dice = Outcome(plan), Random(plan.seed)
    facts = history(plan.events, plan.seed)
    with stage(folder, plan.workers, START, small=False) as here, (folder / "FIGURES.jsonl").open("w") as figures:
        await_well(here, 90)
        load, webhooks = FactLoad(here, facts, plan.rate, plan.seed), WebhookLoad(here, 5)
        load.start()
        webhooks.start()
        faults = Faults(here, dice)
        begun, kills, looks = monotonic(), 0, 0
        measured: list[dict[str, Any]] = []
        while (now := monotonic() - begun) < seconds:
            if now >= looks * 60:
                looks += 1
                measured.append(measure(here, now))
                figures.write(json.dumps(measured[-1]) + "\n")
                figures.flush()
            if now >= (kills + 1) * seconds / (plan.kills + 1):
                kills += 1
                kill(here, faults, dice, outcome)
            sleep(0.5)
        webhooks.finish()
        load.finish()
        count(here, load, webhooks, faults, outcome)
        lag = health.consumer_lag(here.settings)
        outcome.figures["lag at the end"] = behind = sum(n for topics in (lag or {}).values() for n in topics.values())
        outcome.faults += [f"a lag of {behind} is left"] if behind or lag is None else []
        outcome.figures |= growth([*measured, measure(here, monotonic() - begun)])
        for role in here.keeper.roles.values():
            outcome.exits.update({f"{role.name.partition('-')[0]} {code}": times for code, times in role.exits.items()})
    return outcome


def kill(here: Stage, faults: Faults, dice: Random, outcome: Outcome) -> None:
    name = dice.choices(list(KILLS), list(KILLS.values()))[0]
    tally = outcome.tallies.setdefault(name, Tally())
    tally.times += 1
    tally.recovered.append(recover(here, faults.by_name[name]())[0])


def measure(here: Stage, seconds: float) -> dict[str, Any]:
    """Resident memory in MiB and open files of each role's process, and the lag, now."""
    found: dict[str, Any] = {"seconds": round(seconds)}
    for role in list(here.keeper.roles.values()):
        if role.process is not None and role.process.alive():
            folder = Path(f"/proc/{role.process.pid}")
            pages = int((folder / "statm").read_text().split()[1])
            found[role.name] = [pages * os.sysconf("SC_PAGE_SIZE") >> 20, len(list((folder / "fd").iterdir()))]
    found["lag"] = health.consumer_lag(here.settings)
    return found


def growth(measured: list[dict[str, Any]]) -> dict[str, object]:
    """Of each role: memory and files at about the beginning, the middle and the end."""
    places = sorted({min(1, len(measured) - 1), len(measured) // 2, len(measured) - 1})
    names = [name for name in measured[0] if name not in ("seconds", "lag")]
    return {
        f"{name}, MiB and files": "  ".join(f"{measured[at]['seconds']} s: {measured[at].get(name, '-')}" for at in places)
        for name in names
    }


if __name__ == "__main__":
    sys.exit(main())
