"""The one total order of events: time, then kind as a hiring process goes, then stage, then id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from schemas.fact import DERIVED_KINDS, FACT_KINDS, STAGES
from streams.event import KIND_RANK, Event, key_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def event(kind: str, at: datetime = NOON, event_id: str = "e", **attributes: Any) -> Event:
    return Event(at, event_id, kind, attributes)


def test_facts_of_one_instant_are_in_the_order_of_their_kinds() -> None:
    told = [event(kind) for kind in reversed(FACT_KINDS)]
    assert [e.kind for e in sorted(told, key=key_of)] == list(FACT_KINDS)


def test_a_derived_moment_comes_right_after_the_last_kind_that_causes_it() -> None:
    """So an interview.ended of the instant comes before a scorecard, and before no-shows and cancellations of it."""
    order = sorted(KIND_RANK, key=lambda kind: KIND_RANK[kind])
    for kind, causes in DERIVED_KINDS.items():
        before = [k for k in order[: order.index(kind)] if k not in DERIVED_KINDS]
        assert before[-1] == max(causes, key=list(FACT_KINDS).index)
    assert len(set(KIND_RANK.values())) >= len(FACT_KINDS)


def test_stages_of_one_instant_are_in_the_order_of_the_process_and_unknown_ones_first() -> None:
    told = [event("application.stage_changed", stage=stage, event_id=str(9 - n)) for n, stage in enumerate(("other", *STAGES))]
    for some in (told, told[::-1]):
        assert [e.attributes["stage"] for e in sorted(some, key=key_of)] == ["other", *STAGES]
    without = event("application.stage_changed", event_id="z")
    assert sorted([told[1], without], key=key_of) == [without, told[1]]
    assert event("application.stage_changed", stage="other").key[2] == without.key[2]


def test_time_decides_first_and_the_id_last() -> None:
    late = event("requisition.opened", NOON + timedelta(microseconds=1))
    one, two = event("offer.sent", event_id="a"), event("offer.sent", event_id="b")
    for order in permutations([late, one, two]):
        assert sorted(order, key=key_of) == [one, two, late]


def test_an_event_is_live_unless_it_says_otherwise() -> None:
    assert not event("offer.sent").backfill
