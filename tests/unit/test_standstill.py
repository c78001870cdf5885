"""Where clocks stand still: pauses and other holders as one set of gaps, and a life cut into pieces that add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from streams.agreement import Promise
from streams.deadline import Gap
from streams.event import Event, key_of
from streams.history import History
from streams.holders import Hold
from streams.life import Life
from streams.roster import Roster, Traits
from streams.standstill import gaps_of, pieces
from tests.stories import agreement

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
PEOPLE = agreement().people
TA, HM = "talent_acquisition", "hiring_manager"


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def spans(*hours: float | None) -> list[Gap]:
    """Pairs of hours as gaps."""
    ends = [None if end is None else at(end) for end in hours[1::2]]
    return [(at(begin), end) for begin, end in zip(hours[::2], ends, strict=True) if begin is not None]


def event(kind: str, hours: float) -> Event:
    return Event(at(hours), f"{kind} {hours}", kind, {})


def life(*events: Event, holders: tuple[tuple[float, str], ...] = (), application: str | None = "acme/a1") -> Life:
    starts = [at(hours) for hours, _ in holders]
    holds = [
        Hold(start, end, holder, None, "f", "s")
        for start, end, (_, holder) in zip(starts, [*starts, None][1:], holders, strict=True)
    ]
    history = History(sorted(events, key=key_of))
    return Life("t", "acme/r1", application, history, Roster((), PEOPLE), Traits(()), holds)


def promise(**changes: Any) -> Promise:
    return agreement({"review_candidate": changes}).promises["review_candidate"][0]


ALWAYS, HOLDER = promise(clock="always"), promise(clock="holder", pause=[], resume=[])


def held(*hours: float) -> tuple[Event, ...]:
    """On hold and resumed in turn."""
    return tuple(event("requisition.resumed" if n % 2 else "requisition.held", h) for n, h in enumerate(hours))


@pytest.mark.parametrize(
    ("pauses", "start", "until", "ended", "gaps"),
    [
        pytest.param((1, 2, 3, 4), 0, 9, False, spans(1, 2, 3, 4), id="each from its begin to its end"),
        pytest.param((1, 2, 3), 0, 9, False, spans(1, 2, 3, None), id="the last goes on"),
        pytest.param((1, 2, 3), 0, 9, True, spans(1, 2, 3, 9), id="and ends with the clock"),
        pytest.param((1, 5), 2, 9, False, spans(2, 5), id="begun before the start: from the start on"),
        pytest.param((1, 2), 2, 9, False, [], id="over at the very start"),
        pytest.param((1, 20), 0, 9, False, spans(1, 20), id="an end that lies ahead is known"),
        pytest.param((1, 20), 0, 9, True, spans(1, 9), id="but not longer than the clock ran"),
        pytest.param((9,), 0, 9, False, spans(9, None), id="begun at as_of: the clock stands still"),
        pytest.param((9,), 0, 9, True, [], id="begun at the end of the clock: it did not"),
        pytest.param((10, 11), 0, 9, False, [], id="begun after as_of"),
    ],
)
def test_pauses_are_gaps(pauses: tuple[float, ...], start: float, until: float, ended: bool, gaps: list[Gap]) -> None:
    assert gaps_of(ALWAYS, life(*held(*pauses)), at(start), at(until), ended=ended) == gaps


def test_a_second_hold_and_a_resume_without_one_change_nothing() -> None:
    told = (
        event("requisition.held", 1),
        event("requisition.held", 2),
        event("requisition.resumed", 3),
        event("requisition.resumed", 4),
    )
    early = event("requisition.resumed", 0.5)
    for order in permutations(told):
        assert gaps_of(ALWAYS, life(early, *order, *held(6, 7)), at(0), at(9), ended=False) == spans(1, 3, 6, 7)
    assert gaps_of(ALWAYS, life(*held(1, 1), event("requisition.reopened", 2)), at(0), at(9), ended=False) == [], "of no length"


def test_a_clock_of_the_holder_stands_still_while_anybody_else_has_the_ball() -> None:
    ball = (0, TA), (1, HM), (3, "candidate"), (4, TA), (5, HM)
    told = life(holders=ball)
    assert gaps_of(HOLDER, told, at(0), at(9), ended=False) == spans(0, 1, 3, 5)
    assert gaps_of(HOLDER, told, at(3.5), at(9), ended=False) == spans(3.5, 5)
    assert gaps_of(HOLDER, told, at(1), at(9), ended=False) == spans(3, 5)
    assert gaps_of(HOLDER, told, at(1), at(2), ended=False) == []
    assert gaps_of(HOLDER, told, at(1), at(3), ended=False) == spans(3, 4), "what follows is not looked at yet"
    assert gaps_of(HOLDER, told, at(1), at(3), ended=True) == []
    assert gaps_of(HOLDER, life(holders=((2, TA), (3, HM))), at(1), at(9), ended=False) == spans(2, 3), "before anybody had it"
    assert gaps_of(HOLDER, life(holders=((0, TA),), application=None), at(0), at(9), ended=False) == [], "a requisition has none"
    assert gaps_of(ALWAYS, told, at(0), at(9), ended=False) == []
    both = promise(side="holder", owner=None, clock="holder", pause=[], resume=[])
    assert gaps_of(both, told, at(0), at(9), ended=False) == spans(3, 4), "either side will do"


def test_pauses_and_other_holders_are_one_set_of_gaps() -> None:
    either = promise(clock="holder")
    ball = (0, HM), (2, TA), (4, HM), (6, "candidate"), (7, HM)

    def gaps(*pauses: float) -> list[Gap]:
        return gaps_of(either, life(*held(*pauses), holders=ball), at(0), at(20), ended=False)

    assert gaps(1, 3) == spans(1, 4, 6, 7), "they overlap"
    assert gaps(4, 5) == spans(2, 5, 6, 7), "they touch"
    assert gaps(2.5, 3) == spans(2, 4, 6, 7), "one lies in the other"
    assert gaps(1, 9) == spans(1, 9), "one covers all"
    assert gaps(1) == spans(1, None), "nothing follows what goes on"
    assert gaps(1, 2, 4, 6) == spans(1, 7)


def cut(told: Life, start: float, until: float, gaps: list[Gap], side: str = HM) -> list[tuple[float, float, str, str]]:
    hour = timedelta(hours=1)
    return [
        ((b - NOON) / hour, (e - NOON) / hour, state, who) for b, e, state, who in pieces(told, at(start), at(until), gaps, side)
    ]


def test_a_life_is_cut_where_the_ball_goes_and_where_the_clock_stops() -> None:
    told = life(holders=((0, HM), (2, TA), (4, "paused"), (5, HM)))
    gaps = spans(2, 5)
    whole = [(0, 2, "running", HM), (2, 4, "waiting", TA), (4, 5, "paused", "paused"), (5, 8, "running", HM)]
    assert cut(told, 0, 8, gaps) == whole
    assert cut(told, 1, 5, gaps) == [(1, 2, "running", HM), *whole[1:3]]
    assert cut(told, 2, 4, gaps) == [whole[1]]
    assert cut(told, 5, 8, gaps) == [whole[3]]
    assert cut(told, 4.5, 6, gaps) == [(4.5, 5, "paused", "paused"), (5, 6, "running", HM)]
    assert cut(told, 3, 3, gaps) == []


def test_a_gap_while_the_debtor_has_the_ball_is_a_pause() -> None:
    told = life(holders=((0, HM),))
    assert cut(told, 0, 4, spans(1, 2, 3, None)) == [
        (0, 1, "running", HM),
        (1, 2, "paused", HM),
        (2, 3, "running", HM),
        (3, 4, "paused", HM),
    ]
    assert cut(told, 0, 4, spans(1, 2), side=TA)[1] == (1, 2, "waiting", HM)


def test_where_nobody_holds_a_ball_the_debtor_s_side_stands_for_them() -> None:
    assert cut(life(application=None), 0, 4, spans(1, 2)) == [(0, 1, "running", HM), (1, 2, "paused", HM), (2, 4, "running", HM)]
    late = life(holders=((3, TA),))
    assert cut(late, 1, 5, []) == [(1, 3, "running", HM), (3, 5, "running", TA)]


def test_gaps_that_begin_or_end_at_the_edges_make_no_pieces_of_no_length() -> None:
    told = life(holders=((0, HM),))
    assert cut(told, 1, 3, spans(1, 2)) == [(1, 2, "paused", HM), (2, 3, "running", HM)]
    assert cut(told, 1, 3, spans(2, 3)) == [(1, 2, "running", HM), (2, 3, "paused", HM)]
    assert cut(told, 1, 3, spans(3, 4)) == [(1, 3, "running", HM)]
    assert cut(told, 1, 3, spans(0, 1)) == [(1, 3, "running", HM)]
    assert cut(told, 1, 9, spans(2, 3, 4, 5, 6, 7)) == [
        (b, e, "paused" if b % 2 == 0 else "running", HM) for b, e in ((1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 9))
    ]
