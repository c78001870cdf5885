"""A requisition that has left the tracker's table, a late fact about it, and `rebuild --apply`, on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from streams import ports, rebuild
from streams.check import load_agreement, load_sources
from streams.clock import FileClock
from streams.connectors import declared_kinds
from streams.delivery import partition_of
from streams.errors import Unreachable
from streams.ledger_tables import obligation
from streams.obligations import evaluate
from streams.tracker_state import TrackerState
from streams.whole_topic import reader
from tests.conftest import MakeTopics
from tests.integration.test_rebuild import Running, folded
from tests.stories import ACCOUNT, REQUISITION
from tests.stream.test_horizon import DAYS, END, LATE, closed
from tests.stream.test_tracker import DAY
from tests.waiting import until
from tests.workers import PARTITIONS, deploy_folder

pytestmark = pytest.mark.kafka


@pytest.fixture
def here(topics: MakeTopics, tmp_path: Path) -> Iterator[Running]:
    settings = topics(
        deploy_dir=deploy_folder(tmp_path / "deploy", [ACCOUNT]),
        ledger_metrics_port=ports.free(),
        track_metrics_port=ports.free(),
        tick_seconds=3600.0,
        horizon_days=DAYS,
    )
    one = Running(settings, FileClock(tmp_path / "clock"))
    one.clock.set(END)
    yield one
    one.engine.dispose()


def late(here: Running) -> int | None:
    """How many facts came since the requisition left; None while it is there."""
    with reader(here.settings) as consumer:
        state = TrackerState(consumer, here.settings, partition_of(REQUISITION.encode(), PARTITIONS))
        try:
            state.catch_up()
        except Unreachable:  # not even a changelog yet
            return None
        return state.late_facts(REQUISITION)


def test_a_late_fact_about_a_requisition_that_has_left_is_settled_by_rebuild(here: Running, tmp_path: Path) -> None:
    gone, end = END + (DAYS + 21) * DAY, END + 230 * DAY
    with here.tracker(), here.writer():
        here.feed(closed(), END)
        until(lambda: folded(here.settings))
        here.feed([], gone)  # sources complete up to then, and a tick: before the worker's own, which would come too early
        here.clock.set(gone)
        until(lambda: late(here) == 0)
        assert here.rebuild(tmp_path / "first").differences == 0, "that it has left is no difference"
        before = here.rows()
        here.clock.set(end)
        here.feed(LATE, end)
        until(lambda: late(here) == len(LATE))
        assert here.rows() == before, "nothing was judged from a part of the facts"
        assert here.rebuild(tmp_path / "second").differences > 0
        assert rebuild.run(here.settings, apply=True, as_json=False, workers=1) == 0
        until(lambda: late(here) is None)
        assert here.rebuild(tmp_path / "third").differences == 0
    agreement = load_agreement(here.settings.deploy_dir)
    kinds = declared_kinds(load_sources(here.settings.deploy_dir))
    assert kinds, "completeness plays its part"
    pure = evaluate([*closed(), *LATE], agreement.policy, agreement.calendars, agreement.people, [], end)
    with here.engine.connect() as conn:
        held = {row.obligation_id: row.reason for row in conn.execute(select(obligation))}
    assert "declined" in " ".join(held.values())
    assert {o.obligation_id for o in pure.obligations} == {key for key, reason in held.items() if reason != "no longer applies"}
