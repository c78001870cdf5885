"""A worker dies when Kafka has the outcomes of a batch but not its changelog; the replay is cut differently, and all is well."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams import ports
from streams.clock import FileClock
from streams.process import Process
from streams.settings import Settings
from tests.conftest import MakeTopics
from tests.hiring import hiring
from tests.settled import expected
from tests.stream.crashing_track import CRASHED
from tests.waiting import until
from tests.workers import Feeder, Heard, deploy_folder

pytestmark = pytest.mark.kafka
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
#: (delivery of outcomes after which it dies, records of a batch); the last one lives
LIVES = ((3, 150), (2, 37), (5, 400), (1, 11), (4, 90), (0, 230))


def crashing(settings: Settings, clock: Path, at: int, records: int) -> Process:
    own = {"MUTUAL_SLA_CLOCK_FILE": str(clock), "CRASH_AT": str(at), "CRASH_RECORDS": str(records)}
    environment = {**os.environ, **settings.environment(), **own}
    command = [sys.executable, "-m", "tests.stream.crashing_track"]
    return Process.spawn("track", command, log=settings.state_dir / "logs/track.log", environment=environment)


def test_outcomes_that_were_told_before_the_crash_are_told_again_or_followed_by_more(topics: MakeTopics, tmp_path: Path) -> None:
    deploy = deploy_folder(tmp_path / "deploy", ["elsewhere"])
    settings = topics(deploy_dir=deploy, track_metrics_port=ports.free(), session_timeout=30.0)
    facts = hiring(requisitions=60, applications=11, start=START, seed=5)
    end, clock = facts[-1].received_at + timedelta(days=30), FileClock(tmp_path / "clock")
    clock.set(facts[0].received_at)
    feeder, heard = Feeder(settings), Heard(settings)
    feeder.facts(facts)
    worker = crashing(settings, clock.path, *LIVES[0])
    try:
        for life in LIVES[1:]:
            until(lambda worker=worker: not worker.alive())  # type: ignore[misc]
            assert worker.exit_code == CRASHED
            worker = crashing(settings, clock.path, *life)
        clock.set(end)
        until(lambda: heard.ticked(end), worker)
        wanted = expected(settings, facts, end)
        until(lambda: all_told(heard, wanted), worker)
    finally:
        worker.stop()
        feeder.close()
        heard.close()
    dangling = {key for key, said in heard.obligations().items() if key not in wanted and said.reason != "no longer applies"}
    assert dangling == set()


def all_told(heard: Heard, wanted: dict[str, str]) -> bool:
    """Whether a reader holds of every obligation what the core says."""
    said = {key: obligation.digest for key, obligation in heard.listen().obligations().items()}
    return (
        len(said) > 100
        and all(said.get(key) == wanted.get(key) for key in said if key in wanted)
        and not [key for key in wanted if ":" in key and key not in said]
    )
