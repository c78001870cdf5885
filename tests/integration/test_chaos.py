"""The chaos suite in short: a fault of nearly every kind, on real Kafka, with three workers. In full: `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.plan import Plan
from tests.chaos.run import run

FAULTS = (
    "kill -9 worker",
    "kill -9 worker",
    "kill -9 ledger writer",
    "kill -9 gateway",
    "kill -9 normalise",
    "kill -9 broker",
    "damaged state",
    "deleted state",
    "disk full",
    "clock jumps",
    "poison",
)


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_what_is_killed_and_broken_loses_and_doubles_nothing(tmp_path: Path) -> None:
    plan = Plan(events=3000, workers=3, kills=0, rounds=0, rate=150, outage=5, seed=11, exactly=FAULTS)
    outcome = run(plan, tmp_path)
    assert outcome.report() == 0
    assert sum(tally.times for tally in outcome.tallies.values()) + sum(bool(t.skipped) for t in outcome.tallies.values()) == len(
        FAULTS
    )
