"""Events found by condition, in their order, whatever kinds the condition names first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.policy import Condition
from streams.conditions import Conditions, fits
from streams.event import Event
from streams.history import History, first_after

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SENT, HIRED, AGAIN = (
    Event(NOON, "1", "offer.sent", {"n": 1}, interview_id="i", person="p"),
    Event(NOON + HOUR, "2", "application.hired", {}),
    Event(NOON + 2 * HOUR, "3", "offer.sent", {"n": 2}),
)


def conditions(*told: Condition) -> Conditions:
    return Conditions(told)


def test_what_matches_is_in_order_over_all_kinds() -> None:
    history = History([SENT, HIRED, AGAIN])
    for kinds in (("offer.sent", "application.hired"), ("application.hired", "offer.sent")):
        asked = conditions(*(Condition(kind=kind) for kind in ("requisition.held", *kinds)))
        assert history.matching(asked) == (SENT, HIRED, AGAIN)
        assert history.matching(asked) is history.matching(asked)
    assert history.matching(conditions(Condition(kind="offer.sent", where={"n": 2}))) == (AGAIN,)
    assert history.of_kind("offer.sent") == [SENT, AGAIN]
    assert list(history.of_kind("requisition.held")) == []
    assert history.of_interviewer(conditions(Condition(kind="offer.sent"))) == {("i", "p"): [SENT], (None, None): [AGAIN]}


def test_first_after_a_place_leaves_out_the_place_itself() -> None:
    events = [SENT, HIRED, AGAIN]
    assert [first_after(events, e.key) for e in events] == [HIRED, AGAIN, None]
    assert first_after(events, (NOON - HOUR, 0, 0, "")) is SENT
    assert first_after((), SENT.key) is None


def test_any_of_several_alternatives_of_a_kind_will_do() -> None:
    either = conditions(Condition(kind="offer.sent", where={"n": (1, 3)}), Condition(kind="offer.sent", where={"m": 1}))
    assert [either.match("offer.sent", said) for said in ({"n": 1}, {"n": 3}, {"n": 2}, {"m": 1}, {})] == [True] * 2 + [
        False,
        True,
        False,
    ]
    anyone = conditions(Condition(kind="offer.sent", where={"n": 1}), Condition(kind="offer.sent"))
    assert anyone.match("offer.sent", {})
    assert not anyone.match("application.hired", {"n": 1})
    assert fits({"n": (1, 2), "m": 1}, {"n": 2, "m": 1, "x": 0})
    assert not fits({"n": (1, 2), "m": 1}, {"n": 2})


def test_a_derived_moment_is_known_when_the_facts_behind_it_are() -> None:
    assert conditions(Condition(kind="interview.ended"), Condition(kind="offer.sent")).sources == {
        "interview.scheduled",
        "offer.sent",
    }
