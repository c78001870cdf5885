"""`python -m tests.chaos`: break the running pipeline at random moments of a seeded plan, then count what is lost or doubled.

In the end the ledger must say of every obligation and application what the pure core says of the set of all facts; every
acknowledged webhook must be in `ats.raw` and its facts in `ats.facts`; every poison must be a dead letter. Exit 1 if not.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.plan import Plan
from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="distinct facts (default 100000)")
    parser.add_argument("--workers", type=int, default=3, help="track workers (default 3)")
    parser.add_argument("--kills", type=int, default=50, help="kill -9 in all, over all roles (default 50)")
    parser.add_argument("--rounds", type=int, default=3, help="times each other fault is done (default 3)")
    parser.add_argument("--rate", type=float, default=300.0, help="facts a second while things break (default 300)")
    parser.add_argument("--outage", type=float, default=120.0, help="how long the broker is stopped, seconds (default 120)")
    parser.add_argument("--seed", type=int, default=None, help="of the plan and the facts (default: the clock)")
    parser.add_argument("--ledger", choices=["sqlite", "postgres"], default="sqlite", help="its database (default sqlite)")
    parser.add_argument("--only", action="append", default=[], help="only faults whose name contains this; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder for data and logs, kept (default: a temporary one)")
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("MUTUAL_SLA_")]:
        del os.environ[name]  # nobody else's Kafka
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is stopped and unmounted
    seed = given.seed if given.seed is not None else int(datetime.now(UTC).timestamp())
    sizes = (given.events, given.workers, given.kills, given.rounds, given.rate, given.outage, seed)
    plan = Plan(*sizes, only=tuple(given.only), ledger=given.ledger)
    if given.keep:
        return run(plan, given.keep).report()
    with tempfile.TemporaryDirectory(prefix="mutual-sla-chaos-") as folder:
        return run(plan, Path(folder)).report()


if __name__ == "__main__":
    sys.exit(main())
