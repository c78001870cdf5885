"""What makes /healthz fail, and what ends a role that does not get on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import lease, liveness, ports
from streams.ledger_lag import FEW, LedgerLag
from streams.watchdog import Watchdog
from streams.worker_progress import ASK_EVERY, WorkerProgress


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Time:
    """In the place of time.monotonic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_only_what_has_work_and_does_not_move_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, dog = Time(monkeypatch), Watchdog("test-1", 10.0)
    one, other = dog.watch("records"), dog.watch("tick")
    clock.now += 100
    assert dog.stuck() == ""  # nothing to do
    one.waits()
    other.moved()
    clock.now += 9
    one.waits()  # it goes on waiting
    other.moved()
    assert dog.stuck() == ""
    clock.now += 2
    assert dog.stuck() == "records: no progress for 11 s"
    one.moved()
    assert dog.stuck() == ""
    clock.now += 20
    one.idle()
    assert dog.stuck() == "tick: no progress for 22 s"
    assert Watchdog("test-2", 0.0).stuck() == ""


def test_healthz_says_what_hangs_and_readyz_what_is_not_ready() -> None:
    port, stuck = ports.free(), [""]
    with liveness.serve("127.0.0.1", port, lambda: False, lambda: stuck[0]):
        assert get(port, "healthz") == (200, "ok\n")
        assert get(port, "readyz") == (503, "not ready\n")
        stuck[0] = "recovery: no progress for 130 s"
        assert get(port, "healthz") == (503, "recovery: no progress for 130 s\n")
        assert get(port, "elsewhere")[0] == 404


def test_a_process_that_does_not_get_on_ends_itself_and_says_where_it_hangs() -> None:
    code = (
        "import time; from streams import watchdog; watchdog.GRACE_SECONDS = 0.3; watchdog.LOOK_EVERY = 0.05\n"
        "dog = watchdog.Watchdog('test', 0.2); dog.watch('loop').moved(); dog.start()\n"
        "def it_hangs_here(): time.sleep(60)\n"
        "it_hangs_here()"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == lease.STALLED
    assert "it_hangs_here" in done.stderr and "ended_without_progress" in done.stderr + done.stdout
    assert time.monotonic() - begun < 30


# -- a worker ---------------------------------------------------------------------------------------------------------

SOURCE, LOG = TP("in", 0), TP("changelog", 0)


class Consumer:
    """Of one partition of the source, and one of the changelog."""

    def __init__(self) -> None:
        self.oldest, self.at, self.end = 0.0, 10, 10
        self.away = False

    def oldest_unfinished(self) -> float:
        return self.oldest

    def assignment(self) -> set[Any]:
        return {SOURCE, LOG}

    async def highwaters(self, *tps: Any) -> dict[Any, int]:
        assert tps == (SOURCE,)
        if self.away:
            raise ConnectionError
        return {SOURCE: self.end}

    async def position(self, tp: Any) -> int:
        return self.at


class Worker:
    """What `WorkerProgress` sees of a worker: here in the middle of a recovery."""

    def __init__(self, clock: Time) -> None:
        self.clock, self.dog, self.consumer = clock, Watchdog("test-worker", 10.0), Consumer()
        self.recovery = SimpleNamespace(active_offsets={LOG: 3}, in_recovery=True)
        self.app = SimpleNamespace(
            ready=False,
            finished=0,
            rebalancing_count=0,
            consumer_generation_id=1,
            batch_topic="in",
            consumer=self.consumer,
            tables=SimpleNamespace(recovery=self.recovery),
        )
        self.progress = WorkerProgress(self.app, self.dog)
        self.progress.start()

    def beats(self, count: int) -> str:
        """So many, a second apart; gives what is stuck then."""
        for _ in range(count):
            self.clock.now += 1
            asyncio.run(self.progress.beat())
        return self.dog.stuck()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(Time(monkeypatch))


def test_a_recovery_that_reads_is_well_and_one_that_hangs_is_not(worker: Worker) -> None:
    assert worker.beats(9) == ""
    worker.recovery.active_offsets[LOG] = 4
    assert worker.beats(9) == ""
    assert worker.beats(3) == "recovery: no progress for 11 s"
    worker.app.ready = True
    assert worker.beats(1) == ""


def test_joining_the_group_for_too_long_is_a_recovery_that_hangs(worker: Worker) -> None:
    worker.clock.now += 11  # not even a beat
    assert worker.dog.stuck() == "recovery: no progress for 11 s"


def test_an_event_loop_that_stands_still_is_stuck(worker: Worker) -> None:
    worker.app.ready = True
    worker.beats(1)
    worker.clock.now += 11
    assert worker.dog.stuck() == "loop: no progress for 11 s"


def test_a_batch_that_is_not_finished_is_stuck_and_one_that_is_is_not(worker: Worker) -> None:
    worker.app.ready, worker.consumer.oldest = True, 1.0
    for _ in range(5):
        worker.app.finished += 1
        assert worker.beats(5) == ""
    assert worker.beats(10) == "records: no progress for 14 s"


def test_records_on_the_broker_that_nobody_fetches_are_no_progress(worker: Worker) -> None:
    worker.app.ready = True
    assert worker.beats(3 * ASK_EVERY) == ""  # at the end of the log: nothing to do
    worker.consumer.end += 1
    assert "records" in worker.beats(ASK_EVERY + 11)
    worker.consumer.at += 1
    assert worker.beats(ASK_EVERY) == ""


def test_no_answer_of_the_broker_is_no_progress(worker: Worker) -> None:
    worker.app.ready, worker.consumer.away = True, True
    assert "records" in worker.beats(ASK_EVERY + 11)
    worker.consumer.away = False
    assert worker.beats(ASK_EVERY) == ""


# -- the ledger writer --------------------------------------------------------------------------------------------------


class Ledger:
    """A writer that reports every five seconds and, unless it stands still, has just written something."""

    def __init__(self, clock: Time) -> None:
        self.clock, self.dog = clock, Watchdog("test-ledger", 120.0)
        self.lag = LedgerLag(self.dog)

    def reports(self, *records: int, writes: bool = True) -> str:
        for count in records:
            self.clock.now += 5
            if writes:
                self.lag.wrote()
            self.lag.is_now(count)
        return self.dog.stuck()


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return Ledger(Time(monkeypatch))


def test_a_ledger_that_writes_nothing_though_there_is_something_is_stuck(ledger: Ledger) -> None:
    assert ledger.reports(*[0] * 100, writes=False) == ""
    assert ledger.reports(*[1] * 25, writes=False) == ""
    assert ledger.reports(1, writes=False) == "ledger: no progress for 125 s"
    assert ledger.reports(0, writes=False) == ""


def test_a_ledger_that_falls_behind_for_twenty_minutes_is_stuck_though_it_writes(ledger: Ledger) -> None:
    assert ledger.reports(*range(20_000, 20_000 + 240 * 500, 500)) == ""
    assert ledger.reports(200_000, 200_500) == "behind: no progress for 1205 s"
    assert ledger.reports(9_000) == ""


def test_a_ledger_that_catches_up_from_whatever_it_had_to_is_well(ledger: Ledger) -> None:
    assert ledger.reports(*range(20_000, 220_000, 1_000)) == "", "an import, for a thousand seconds"
    assert ledger.reports(*range(220_000, 20_000, -500)) == ""
    assert ledger.reports(*[FEW] * 500) == "", "a few are always on their way"


def test_a_ledger_whose_database_is_away_is_not_started_anew(ledger: Ledger) -> None:
    ledger.reports(50_000)
    for _ in range(400):
        ledger.clock.now += 10
        ledger.lag.nothing_to_do()
    assert ledger.dog.stuck() == ""


def test_a_ledger_whose_broker_does_not_answer_does_not_get_on(ledger: Ledger) -> None:
    ledger.lag.is_unknown()
    ledger.clock.now += 121
    assert ledger.dog.stuck() == "ledger: no progress for 121 s"
    assert ledger.reports(0, writes=False) == ""


def test_what_is_switched_off_is_never_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, dog = Time(monkeypatch), Watchdog("test-off", 0.0)
    LedgerLag(dog).is_now(100_000)
    clock.now += 100_000
    assert dog.stuck() == ""
