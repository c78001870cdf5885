"""The core against the slow second opinion of tests/oracle.py; `python -m tests.oracle 10000` is the long run."""

from __future__ import annotations

from tests.oracle import disagreements
from tests.random_histories import Histories


def test_core_and_oracle_agree_on_random_histories() -> None:
    drawn, obligations = Histories(seed=2026), 0
    for number in range(250):
        facts, marks, as_of = drawn.draw()
        count, lines = disagreements(facts, marks, as_of)
        obligations += count
        assert not lines, f"history {number} as of {as_of}:\n" + "\n".join(lines)
    assert obligations > 1500  # the histories are about something
