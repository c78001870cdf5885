"""The core against the slow second opinion of tests/oracle.py; `python -m tests.oracle 10000` is the long run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

from streams.settings import ROOT
from tests.oracle import disagreements
from tests.random_histories import Histories

#: Rules that have to decide something in at least this share of the histories.
OFTEN = {
    "a target by priority": 0.2,
    "a target by level": 0.1,
    "a target by location": 0.1,
    "a target by team": 0.2,
    "a target by department": 0.05,
    "the target of rule 2": 0.2,
    "no rule of the targets": 0.2,
    "a target changed forward": 0.05,
    "a target changed retroactive": 0.03,
    "a target changed reset": 0.03,
    "a target in calendar_days": 0.2,
    "a target in elapsed_hours": 0.2,
    "a target in until": 0.1,
    "a clock started anew by a later start": 0.1,
    "applies": 0.1,
    "does not apply": 0.1,
    "a later version of a stanza": 0.2,
    "a later version of a calendar": 0.1,
    "a scorecard linked by the interview's time": 0.05,
    "a scorecard linked to the last that began": 0.05,
    "a scorecard linked by its listing": 0.02,
    "a fact that was not known yet": 0.1,
    "a fact told more than once": 0.4,
    "whoever holds the ball owes": 0.4,
}


def test_core_and_oracle_agree_on_random_histories_in_which_every_rule_decides_something() -> None:
    drawn, counted, features, histories = Histories(seed=2026), 0, Counter[str](), 200
    for number in range(histories):
        history, seen = drawn.draw(), set[str]()
        count, lines = disagreements(history, seen)
        features.update(seen)
        counted += count
        assert not lines, f"history {number} as of {history.as_of}:\n" + "\n".join(lines)
    assert counted > 2500  # the histories are about something
    rare = {name: features[name] / histories for name, share in OFTEN.items() if features[name] < share * histories}
    assert not rare


def test_a_broken_core_is_noticed() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.broken_core"],
        cwd=ROOT,
        env=os.environ | {"MUTUAL_SLA_COMPILED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
