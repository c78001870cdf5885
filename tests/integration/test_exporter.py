"""The exporter over a ledger that the core filled: figures, completeness of series, and a ledger that goes away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from schemas.outcome import Verdict
from streams.clock import FileClock, SystemClock
from streams.exporter import LedgerCollector
from streams.holding_metrics import HoldersCollector
from streams.ledger_database import connect
from streams.snapshot import LATE_SHOWN
from tests.installation import TEAMS, Installation, Sink, now
from tests.monitored import Monitored, installation
from tests.waiting import until


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


class Shown:
    """One collection, by name and labels."""

    def __init__(self, collector: LedgerCollector) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self.samples = [sample for family in registry.collect() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        found = [s.value for s in self.samples if s.name == f"mutual_sla_{name}" and labels.items() <= s.labels.items()]
        assert len(found) <= 1, f"{name}{labels} is not one series"
        return found[0] if found else None

    def count(self, name: str) -> int:
        return sum(s.name == f"mutual_sla_{name}" for s in self.samples)


def shown(here: Installation) -> Shown:
    collector = LedgerCollector(here.engine, here.agreement, SystemClock())
    collector.refresh()
    assert not collector.failed
    return Shown(collector)


def test_the_figures_are_the_ledgers(tmp_path: Path, sink: Sink) -> None:
    here, at = Installation(tmp_path, sink), now()
    for number in range(10):
        here.submitted(f"a{number}", 0, at - timedelta(days=20))
        if number < 6:
            here.happened("application.rejected", f"a{number}", 0, at - timedelta(days=19))
        elif number < 9:
            here.happened("application.rejected", f"a{number}", 0, at - timedelta(days=10))
    here.submitted("soon", 0, at - timedelta(hours=40))
    here.submitted("fresh", 0, at - timedelta(hours=1))
    here.judge(at)
    s, cell = shown(here), {"commitment": "review_candidate", "side": "hiring_manager", "team": "berlin"}
    assert {v.value: s.value("obligations", verdict=v.value, **cell) for v in Verdict} == {
        "met": 6,
        "missed": 3,
        "overdue": 1,
        "open": 2,
        "cancelled": 0,
        "excused": 0,
        "unverified": 0,
    }
    assert {state: s.value("obligations_now", state=state, **cell) for state in ("open", "due_soon", "overdue")} == {
        "open": 1,
        "due_soon": 1,
        "overdue": 1,
    }
    assert s.value("adherence_ratio", window="30d", **cell) == pytest.approx(0.6)
    assert s.value("adherence_obligations", window="30d", **cell) == 10
    low, high = s.value("adherence_low_ratio", window="30d", **cell), s.value("adherence_high_ratio", window="30d", **cell)
    assert [low, high] == pytest.approx([0.313, 0.832], abs=1e-3), "Wilson, 6 of 10"
    assert s.value("goal_missed", **cell) == 1, "6 of 10 at an objective of 0.9 is rarer than 5 % (exactly 0.0128)"
    assert s.value("goal_met", **cell) == 0
    desk = {"owner": "m0", "side": "hiring_manager", "team": "berlin"}
    assert s.value("owner_obligations", state="overdue", **desk) == 1
    assert s.value("owner_oldest_due_timestamp_seconds", state="overdue", **desk) == pytest.approx(
        (at - timedelta(days=18)).timestamp()
    )
    late = {"obligation": "review_candidate:greenhouse/r0:a9:1", "holder": "hiring_manager", "owner": "m0", "state": "overdue"}
    assert s.value("late_obligation_due_timestamp_seconds", **late) == pytest.approx((at - timedelta(days=18)).timestamp())
    assert s.value("turnaround_business_seconds_count", commitment="review_candidate") == 9
    assert s.value("last_tick_timestamp_seconds", partition="0") == pytest.approx(at.timestamp())
    assert s.value("commitment_objective_ratio", commitment="decide") == 0.9


def test_who_held_the_ball_stays_as_it_was_while_the_ledger_is_away(tmp_path: Path, sink: Sink) -> None:
    here, at = Installation(tmp_path, sink), now()
    here.submitted("a", 0, at - timedelta(days=40))
    here.happened("application.rejected", "a", 0, at - timedelta(days=20))
    here.judge(at)
    collector = HoldersCollector(here.engine, here.agreement, SystemClock())
    collector.refresh()
    said = held(collector)
    assert said["hiring_manager", "berlin", "90d"] == 20 * 86400
    assert said["hiring_manager", "berlin", "30d"] == pytest.approx(10 * 86400, abs=60)
    assert {holder for holder, *_ in said} == {"talent_acquisition", "hiring_manager"}, "what is over is nobody's time"
    with here.engine.begin() as conn:
        conn.exec_driver_sql("ALTER TABLE holding RENAME TO elsewhere")
    collector.refresh()
    assert held(collector) == said


def held(collector: HoldersCollector) -> dict[tuple[str, ...], float]:
    """By holder, team and window, by the wall clock."""
    (family, _) = collector.collect()
    return {tuple(sample.labels[name] for name in ("holder", "team", "window")): sample.value for sample in family.samples}


def test_what_was_not_due_has_no_ratio_but_every_count_is_there(tmp_path: Path, sink: Sink) -> None:
    here = Installation(tmp_path, sink)
    here.judge(now())
    s = shown(here)
    commitments = len(here.agreement.policy.enabled())
    assert s.count("obligations") == commitments * len(TEAMS) * len(Verdict)
    assert s.count("adherence_obligations") == commitments * len(TEAMS) * 3
    assert s.count("adherence_ratio") == 0
    assert s.count("partnership_index_ratio") == 0
    with_clock = sum(commitment.target is not None for commitment in here.agreement.policy.enabled())
    assert s.count("commitment_target_days") + s.count("commitment_target_seconds") == with_clock


def test_the_index_needs_the_minimum_n_of_both_sides(tmp_path: Path, sink: Sink) -> None:
    here, at = Installation(tmp_path, sink, managers=12), now()
    for manager in range(12):
        if manager % 2 == 0 or manager < 2:  # six requisitions for berlin, one for paris
            here.opened(manager, at - timedelta(days=50))
        for number in range(3):
            here.submitted(f"a{manager}-{number}", manager, at - timedelta(days=45))
            if number:
                here.happened("application.rejected", f"a{manager}-{number}", manager, at - timedelta(days=44))
    here.judge(at)
    s = shown(here)
    assert s.value("side_score_ratio", side="talent_acquisition", team="berlin", window="90d") == 1
    assert s.value("side_score_ratio", side="hiring_manager", team="berlin", window="90d") == pytest.approx((2 / 3 + 1) / 2), (
        "two of three reviews, and the role's information each time"
    )
    assert s.value("partnership_index_ratio", team="berlin", window="90d") == pytest.approx(10 / 11), "harmonic mean"
    assert s.value("partnership_index_ratio", team="paris", window="90d") is None
    assert s.value("partnership_index_ratio", team="berlin", window="30d") is None, "nothing was due"


def test_an_owner_who_is_done_stays_with_zero_and_the_list_is_bounded_while_owners_are_not(tmp_path: Path, sink: Sink) -> None:
    here, at = Installation(tmp_path, sink, managers=LATE_SHOWN + 5), now()
    for manager in range(LATE_SHOWN + 5):
        here.submitted(f"a{manager}", manager, at - timedelta(hours=50 + manager))
    here.judge(at)
    collector = LedgerCollector(here.engine, here.agreement, SystemClock())
    collector.refresh()
    before = Shown(collector)
    assert before.count("late_obligation_due_timestamp_seconds") == LATE_SHOWN
    assert before.value("late_obligations_left_out") == 5
    assert before.value("owner_obligations", owner="m0", state="overdue") == 1, "the newest, not in the list"
    here.happened("application.rejected", "a0", 0, at)
    here.judge(at)
    collector.refresh()
    assert Shown(collector).value("owner_obligations", owner="m0", state="overdue") == 0
    assert shown(here).value("owner_obligations", owner="m0", state="overdue") == 0, "a restarted exporter knows them too"


@pytest.mark.postgres
def test_a_ledger_that_goes_away_takes_no_series_with_it(tmp_path: Path, sink: Sink, postgres: str) -> None:
    here, at = Installation(tmp_path, sink, url=postgres), now()
    here.submitted("a0", 0, at - timedelta(hours=50))
    here.judge(at)
    engine = connect(here.settings.ledger)
    collector = LedgerCollector(engine, here.agreement, SystemClock())
    collector.refresh()
    assert collector.healthy()
    before = Shown(collector)
    _allow(postgres, False)
    collector.refresh()
    away = Shown(collector)
    assert not collector.healthy()
    assert away.value("exporter_snapshot_failed") == 1
    assert away.value("owner_obligations", owner="m0", state="overdue") == 1
    assert len(away.samples) == len(before.samples)
    success = "exporter_snapshot_success_timestamp_seconds"
    assert away.value(success) == before.value(success)
    _allow(postgres, True)
    collector.refresh()
    assert collector.healthy()
    assert Shown(collector).value("exporter_snapshot_failed") == 0
    engine.dispose()
    here.engine.dispose()


def _allow(url: str, allowed: bool) -> None:
    """Let nobody into a database, and throw out who is in it; or let them in again."""
    address = sqlalchemy.engine.make_url(url)
    engine = sqlalchemy.create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(sqlalchemy.text(f"ALTER DATABASE {address.database} ALLOW_CONNECTIONS {str(allowed).lower()}"))
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        conn.execute(sqlalchemy.text(kill), {"name": address.database})
    engine.dispose()


def test_a_simulated_clock_is_shown_as_such(tmp_path: Path, sink: Sink) -> None:
    here = Installation(tmp_path, sink)
    clock = FileClock(tmp_path / "clock")
    clock.set(now() - timedelta(days=90))
    collector = LedgerCollector(here.engine, here.agreement, clock)
    assert Shown(collector).value("clock_simulated") == 1
    clock.release()
    assert Shown(collector).value("clock_simulated") == 0


def test_the_role_serves_and_stops_when_asked(tmp_path: Path, sink: Sink) -> None:
    here = installation(tmp_path, sink)
    here.submitted("a0", 0, now() - timedelta(hours=50))
    here.judge(now())
    with Monitored(here, tmp_path) as stack:
        stack.role("exporter")
        text = httpx.get(f"http://127.0.0.1:{here.settings.exporter_port}/metrics", trust_env=False).text
        families = {family.name for family in text_string_to_metric_families(text)}
        assert {"mutual_sla_obligations", "mutual_sla_owner_obligations", "process_start_time_seconds"} <= families
        process = stack.running["exporter"]
        process.identity.signal_group(signal.SIGTERM)
        until(lambda: not process.alive())
        assert process.exit_code == 0
