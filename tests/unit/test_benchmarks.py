"""The benchmarks run, at the smallest size, and what they feed is what they say. Nothing here is timed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import orjson
import pytest

from streams.settings import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def material(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("size", [1, 15, 20, 150, 1500])
def test_a_history_has_as_many_facts_as_asked_for_and_all_differ(material: None, size: int) -> None:
    from material.histories import application

    facts = application("r", "a", size)
    assert len({fact.fact_id for fact in facts}) == size
    assert [fact.occurred_at for fact in facts] == sorted(fact.occurred_at for fact in facts)


@pytest.mark.parametrize("per_key", [1, 10])
def test_a_batch_of_the_backlog_has_about_so_many_events_of_each_application(material: None, per_key: int) -> None:
    from material.load import BATCH, backlog

    applications = BATCH // per_key
    told = [orjson.loads(one.value) for one in backlog([3], applications, 20, per_key)]
    assert len(told) == applications * 20 + 3 * (applications // 50)
    events = Counter(fact.get("application_id") for fact in told[BATCH : 2 * BATCH])
    assert 0.9 * per_key <= BATCH / len(events) <= 1.1 * per_key + 0.5
    assert [fact["occurred_at"] for fact in told] == sorted(fact["occurred_at"] for fact in told)


@pytest.mark.parametrize(("name", "options"), [("core", ["--facts", "15"]), ("normalise", [])])
def test_it_prints_the_machine_and_figures(name: str, options: list[str]) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--seconds", "0.01", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    first, *figures = done.stdout.splitlines()
    assert "load before the run" in first
    assert len(figures) >= 7
    assert all("µs" in line for line in figures)


def test_the_small_job_counts_business_hours(material: None) -> None:
    from peers.count_job import DAY, HOUR, START, deadline

    monday = START + 9 * HOUR
    assert deadline(monday) == START + DAY + 17 * HOUR  # 16 hours of work: the end of Tuesday
    assert deadline(monday + 1) == START + 2 * DAY + 9 * HOUR + 1
    assert deadline(START + 5 * DAY + 12 * HOUR) == START + 8 * DAY + 17 * HOUR  # Saturday: as on Monday morning
    assert deadline(START + 4 * DAY + 20 * HOUR) == deadline(START + 7 * DAY)  # Friday evening, too
