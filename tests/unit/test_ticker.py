"""When a partition is ticked: one tick under way, at a deadline, in between so often, and whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.fact import Tick
from streams.track import Ticker
from streams.tracker import Partition, Tracker
from tests.stories import agreement
from tests.tracked import TOPICS, Table, Tracked

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EVERY = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


@pytest.fixture
def tracker() -> Tracker:
    found = Tracker(agreement(), {}, TOPICS)
    for partition in (0, 1):
        found.partitions[partition] = Partition()
    return found


def test_each_owned_partition_is_ticked_at_once_and_then_so_often(tracker: Tracker) -> None:
    ticker = Ticker(tracker, EVERY)
    assert ticker.wanted([0, 1], NOW) == [0, 1]
    for partition in (0, 1):
        ticker.sent(partition, NOW, 4)
        tracker.partitions[partition].offset = 4
    assert ticker.wanted([0, 1], NOW + EVERY - SECOND) == []
    assert ticker.wanted([0, 1], NOW + EVERY) == [0, 1]
    assert ticker.wanted([], NOW + EVERY) == []


def test_one_tick_is_under_way_until_it_was_folded_in(tracker: Tracker) -> None:
    ticker = Ticker(tracker, EVERY)
    ticker.sent(0, NOW, 4)
    tracker.partitions[0].offset = 3
    tracker.partitions[0].pending = True
    assert ticker.wanted([0], NOW + 10 * EVERY) == []
    tracker.partitions[0].offset = 4
    assert ticker.wanted([0], NOW + SECOND) == [0]


def test_a_deadline_or_pending_work_asks_for_a_tick_before_it_is_time(tracker: Tracker) -> None:
    ticker = Ticker(tracker, EVERY)
    ticker.sent(0, NOW, 4)
    memory = tracker.partitions[0]
    memory.offset = 4
    memory.deadlines.put(b"a", int((NOW + 5 * SECOND - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)))
    assert ticker.wanted([0], NOW + 4 * SECOND) == []
    assert ticker.wanted([0], NOW + 5 * SECOND) == [0]
    memory.deadlines = Partition().deadlines
    assert ticker.wanted([0], NOW + 5 * SECOND) == []
    memory.pending = True
    assert ticker.wanted([0], NOW + 5 * SECOND) == [0]


def test_a_clock_that_goes_back_ticks_once_and_goes_on_from_there(tracker: Tracker) -> None:
    ticker = Ticker(tracker, EVERY)
    ticker.sent(0, NOW, 4)
    tracker.partitions[0].offset = 4
    back = NOW - timedelta(days=30)
    assert ticker.wanted([0], back) == [0]
    ticker.sent(0, back, 5)
    tracker.partitions[0].offset = 5
    assert ticker.wanted([0], back + SECOND) == []
    assert ticker.wanted([0], back + EVERY) == [0]


def test_a_partition_that_was_lost_and_came_back_is_ticked_though_its_last_tick_never_returned(tracker: Tracker) -> None:
    ticker = Ticker(tracker, EVERY)
    ticker.sent(0, NOW, 4)
    assert ticker.wanted([0], NOW + EVERY) == []
    assert ticker.wanted([], NOW + EVERY) == []
    assert ticker.wanted([0], NOW + EVERY) == [0]


def test_a_recovery_between_two_looks_forgets_the_tick_that_was_under_way() -> None:
    """Its record may be below the committed offset: nobody would ever read it, and time would stand still for ever."""
    told = Tracked(agreement())
    told.feed(Tick(at=NOW))
    (partition,) = told.tracker.partitions
    ticker = Ticker(told.tracker, EVERY)
    ticker.sent(partition, NOW, 0)
    assert ticker.wanted([partition], NOW + EVERY) == [partition]
    told.restart()
    assert ticker.wanted([partition], NOW + EVERY) == [partition]


def test_a_tick_whose_offset_the_broker_did_not_tell_is_not_waited_for(tracker: Tracker) -> None:
    ticker = Ticker(tracker, EVERY)
    ticker.sent(0, NOW, -1)
    assert ticker.wanted([0], NOW + EVERY) == [0]


def test_a_partition_that_was_not_recovered_yet_has_no_work() -> None:
    empty = Tracker(agreement(), {}, TOPICS)
    assert not empty.has_work(0, NOW)
    for _ in empty.recover(0, Table()):
        pass
    assert not empty.has_work(0, NOW)
