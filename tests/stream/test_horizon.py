"""Closed requisitions leave the tracker's table; what comes late about them is never judged from a part of the facts."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest

from schemas.fact import Fact, Rejudge, Tick
from schemas.outcome import Progress
from streams.difference import KEPT
from streams.horizon import evicted_key, late_facts
from streams.tracker import Limits
from streams.tracker_rows import META, PIECE_BYTES, Rows, application_key
from tests.hiring import hiring
from tests.stories import ACCOUNT, REQUISITION
from tests.stream.test_tracker import AGREEMENT, DAY, HOUR, MONDAY, a_fact, agree, evaluated, submitted
from tests.tracked import PARTITION, Tracked

DAYS = 100
END = MONDAY + 20 * DAY


def closed(*more: Fact) -> list[Fact]:
    """A requisition of two applications: one hired, one rejected, everything ended."""
    return [
        a_fact(
            "requisition.opened", MONDAY, None, people={"recruiter": (f"{ACCOUNT}/rec",), "hiring_manager": (f"{ACCOUNT}/mgr",)}
        ),
        submitted(MONDAY + HOUR, "a1"),
        submitted(MONDAY + 2 * HOUR, "a2"),
        a_fact("application.rejected", MONDAY + DAY, "a1"),
        a_fact("application.rejected", MONDAY + 9 * DAY, "a2"),
        *more,
        a_fact("requisition.closed", END, None),
    ]


def tracked(days: int = DAYS) -> Tracked:
    return Tracked(AGREEMENT, limits=Limits(horizon_days=days))


def keys(told: Tracked) -> list[bytes]:
    return sorted(key for key in told.table.rows if key != META)


def facts_said(told: Tracked) -> int:
    return sum(not isinstance(outcome.body, Progress) for outcome in told.outcomes)


@pytest.fixture
def gone() -> Tracked:
    told = tracked()
    told.feed(*closed())
    told.tick(END + (DAYS + 1) * DAY)
    assert keys(told) == [evicted_key(REQUISITION)]
    return told


def test_a_requisition_leaves_after_the_horizon_and_not_before() -> None:
    told = tracked()
    told.feed(*closed())
    before = keys(told)
    told.tick(END + (DAYS - 1) * DAY)
    assert keys(told) == before
    said = facts_said(told)
    told.tick(END + DAYS * DAY)
    assert keys(told) == [evicted_key(REQUISITION)]
    assert facts_said(told) == said, "nothing is said of it"
    agree(told, evaluated(closed(), END + DAYS * DAY))
    told.restart()
    assert len(told.tracker.partitions[PARTITION].deadlines) == 0


def test_the_horizon_is_waited_for_over_a_restart() -> None:
    told = tracked()
    told.feed(*closed())
    told.restart()
    told.tick(END + DAYS * DAY)
    assert keys(told) == [evicted_key(REQUISITION)]


@pytest.mark.parametrize(
    ("facts", "days"),
    [
        (closed()[:-1], DAYS),  # not closed
        ([*closed(), a_fact("requisition.reopened", END + DAY, None)], DAYS),
        ([submitted(MONDAY + 3 * HOUR, "a3"), *closed()[:-1]], DAYS),
        (closed(), 0),  # switched off
    ],
    ids=["not closed", "reopened", "open", "off"],
)
def test_what_is_not_over_stays(facts: list[Fact], days: int) -> None:
    told = tracked(days)
    told.feed(*facts)
    told.tick(END + 10 * DAYS * DAY)
    assert evicted_key(REQUISITION) not in keys(told)
    agree(told, evaluated(facts, END + 10 * DAYS * DAY))


def test_an_obligation_whose_clock_stands_still_keeps_the_whole_requisition() -> None:
    told = tracked()
    told.feed(*closed())
    told.tick(END + (DAYS - 1) * DAY)
    rows, changes = Rows(told.table, {}), dict[bytes, bytes | None]()
    row = rows.load(application_key(REQUISITION, f"{ACCOUNT}/a2"))
    fingerprint, kept = row.published[f"inform_candidate:{REQUISITION}:a2:1"]
    assert isinstance(kept, list)
    assert kept[KEPT.index("ended_at")] is None, "it is overdue, and was never done"
    kept[KEPT.index("deadline")] = None
    row.published["stands_still"] = fingerprint, kept
    Rows(told.table, changes).save(row)
    told.table.write(changes)
    told.tick(END + DAYS * DAY)
    assert evicted_key(REQUISITION) not in keys(told)
    assert told.tracker.partitions[PARTITION].next_due() == END + (DAYS + 30) * DAY, "it is looked at again"


LATE = [
    a_fact("request.declined", MONDAY + 3 * HOUR, "a1", END + 200 * DAY, attributes={"reason_code": "illegal"}),
    a_fact("application.rejected", MONDAY + 3 * DAY, "a2", END + 201 * DAY),
    a_fact("requisition.held", MONDAY + 2 * HOUR, None, END + 202 * DAY),
]


def test_a_late_fact_is_not_judged_alone_but_asks_for_a_rebuild(gone: Tracked) -> None:
    said = facts_said(gone)
    for late in LATE:
        gone.feed(late)
    gone.tick(END + 300 * DAY)
    gone.feed(Rejudge(requisition_id=REQUISITION), Rejudge(requisition_id=REQUISITION, application_id=f"{ACCOUNT}/a1"))
    assert facts_said(gone) == said
    assert [(letter.reason, letter.detail) for letter in gone.letters] == [("evicted", "mutual-sla rebuild --apply")]
    assert late_facts(gone.table(evicted_key(REQUISITION))) == len(LATE)


@pytest.mark.parametrize("seed", range(6))
def test_taken_up_again_with_all_facts_it_says_what_all_facts_say(gone: Tracked, seed: int) -> None:
    """As `rebuild --apply` does it: the facts that the row lacks, in any order and cut, then the word."""
    dice = random.Random(seed)
    gone.feed(*LATE)
    again = dice.sample(closed(), len(closed()))
    cut = dice.randrange(len(again))
    gone.feed(*again[:cut])
    gone.feed(*again[cut:], Rejudge(requisition_id=REQUISITION, revive=True))
    gone.tick(END + 210 * DAY)
    assert evicted_key(REQUISITION) not in keys(gone)
    assert len(gone.letters) == 1
    agree(gone, evaluated([*closed(), *LATE], END + 210 * DAY))
    gone.tick(END + (202 + DAYS + 31) * DAY)
    assert keys(gone) == [evicted_key(REQUISITION)], "and it leaves again"


def test_records_that_are_read_again_are_not_late() -> None:
    told = tracked()
    records = told.records([*closed(), Tick(at=END + DAYS * DAY)])
    told.step(records)
    told.tick(END + (DAYS + 1) * DAY)
    told.step(records)  # as after a crash, before the offsets were committed
    assert keys(told) == [evicted_key(REQUISITION)]
    assert late_facts(told.table(evicted_key(REQUISITION))) == 0
    assert not told.letters


def test_a_late_fact_that_the_core_cannot_work_with_is_a_dead_letter_of_its_own(gone: Tracked) -> None:
    bad = a_fact("interview.scheduled", MONDAY, "a1", interview_id=f"{ACCOUNT}/i1", attributes={"starts_at": 5, "ends_at": "x"})
    gone.feed(bad)
    assert [letter.reason for letter in gone.letters] == ["cannot_be_evaluated"]
    assert keys(gone) == [evicted_key(REQUISITION)]


def test_the_pieces_of_a_large_row_leave_with_it() -> None:
    big = [
        a_fact("application.updated", MONDAY + HOUR, "a1", attributes={"note": "x" * 100_000, "n": n})
        for n in range(PIECE_BYTES // 100_000 + 2)
    ]
    told = tracked()
    told.feed(*closed(*big))
    assert any(key.startswith(b"c\0") for key in keys(told))
    told.tick(END + DAYS * DAY)
    assert keys(told) == [evicted_key(REQUISITION)]


def last_of(facts: list[Fact]) -> datetime:
    return max(fact.received_at for fact in facts)


@pytest.mark.parametrize("seed", range(3))
def test_any_history_ends_as_the_core_says_with_fewer_rows(seed: int) -> None:
    facts, dice = hiring(requisitions=12, applications=4, start=MONDAY, seed=seed), random.Random(seed)
    with_horizon, without = tracked(30), tracked(0)
    told: list[Any] = list(facts)
    end = last_of(facts)
    for days in range(0, 200, 7):
        told.append(Tick(at=end + days * DAY))
    for one in (with_horizon, without):
        left = list(told)
        while left:
            count = dice.randint(1, 60)
            one.feed(*left[:count])
            left = left[count:]
        one.tick(end + 200 * DAY)
    agree(with_horizon, evaluated(facts, end + 200 * DAY))
    assert any(key.startswith(b"e\0") for key in keys(with_horizon))
    assert len(keys(with_horizon)) < len(keys(without))
