"""Who holds the ball: of facts of one instant, under holds and closes of the requisition, and when people change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from schemas.fact import Fact
from schemas.outcome import ApplicationState
from streams.obligations import evaluate
from tests.stories import ACCOUNT, agreement
from tests.unit.test_timeline import fact, interview

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BY = agreement()
TA, HM = "talent_acquisition", "hiring_manager"


def at(hours: float) -> datetime:
    return MONDAY + hours * HOUR


def own(kind: str, hours: float, **said: Any) -> Fact:
    return fact(kind, at(hours), attributes=said)


def requisition(kind: str, hours: float, **people: str) -> Fact:
    told = {role: (f"{ACCOUNT}/{who}",) for role, who in people.items()}
    return fact(kind, at(hours), application_id=None, people=told)


def stage(name: str, hours: float) -> Fact:
    return own("application.stage_changed", hours, stage=name)


def state(*told: Fact) -> ApplicationState | None:
    """The application, the same for facts in order and backwards."""
    found = [
        evaluate(order, BY.policy, BY.calendars, BY.people, (), MONDAY + 30 * DAY).applications for order in (told, told[::-1])
    ]
    assert found[0] == found[1]
    return found[0][0] if found[0] else None


def held(*told: Fact) -> list[tuple[float, str, str]]:
    """(since which hour, who, in which state)."""
    found = state(*told)
    assert found is not None
    for one, two in zip(found.holdings, found.holdings[1:], strict=False):
        assert one.end == two.start
    assert found.holdings[-1].end is None
    return [((h.start - MONDAY) / HOUR, h.holder, h.state) for h in found.holdings]


CREATED = own("application.created", 0)
START = (0.0, TA, "applied")


@pytest.mark.parametrize(
    ("facts", "holder"),
    [
        pytest.param((own("availability.given", 1), stage("manager_review", 1)), HM, id="a side that owes before TA"),
        pytest.param((stage("manager_review", 1), own("offer.sent", 1)), "candidate", id="the candidate before the sides"),
        pytest.param((own("offer.sent", 1), own("application.rejected", 1)), "nobody", id="an end before the candidate"),
        pytest.param(
            (own("application.unrejected", 1), own("application.rejected", 1)), "nobody", id="an end before its undoing"
        ),
        pytest.param((own("offer.sent", 1), requisition("requisition.held", 1)), "paused", id="a pause lies over the holder"),
        pytest.param((own("offer.sent", 1), requisition("requisition.closed", 1)), "nobody", id="a close lies over the holder"),
    ],
)
def test_of_facts_of_one_instant_one_has_the_last_word(facts: tuple[Fact, ...], holder: str) -> None:
    for order in permutations(facts):
        assert [who for _, who, _ in held(CREATED, *order)] == [TA, holder]


def test_an_application_begins_with_its_first_own_event_and_what_was_before_sets_the_scene() -> None:
    assert state(requisition("requisition.held", 0), requisition("requisition.closed", 1)) is None
    paused = held(requisition("requisition.held", -1), CREATED, requisition("requisition.resumed", 2))
    assert paused == [(0, "paused", "applied"), (2, TA, "applied")]
    closed = held(requisition("requisition.closed", -1), CREATED, requisition("requisition.reopened", 2))
    assert closed == [(0, "nobody", "closed"), (2, TA, "applied")]
    found = state(requisition("requisition.opened", -1), CREATED, requisition("requisition.held", 3))
    assert found is not None
    assert (found.created_at, found.ended_at) == (MONDAY, None)


def test_a_hold_and_a_close_give_the_ball_back_where_it_was_or_went_meanwhile() -> None:
    hold = requisition("requisition.held", 2), requisition("requisition.resumed", 4)
    review, sent = stage("manager_review", 1), own("offer.sent", 3)
    assert held(CREATED, review, *hold) == [
        START,
        (1, HM, "manager_review"),
        (2, "paused", "manager_review"),
        (4, HM, "manager_review"),
    ]
    told = held(CREATED, review, *hold, sent)
    assert told[2:] == [(2, "paused", "manager_review"), (3, "paused", "offer_out"), (4, "candidate", "offer_out")]
    closed = requisition("requisition.closed", 2), requisition("requisition.reopened", 4)
    assert held(CREATED, review, *closed)[2:] == [(2, "nobody", "closed"), (4, HM, "manager_review")]
    assert held(CREATED, review, *closed, sent)[2:] == [(2, "nobody", "closed"), (4, "candidate", "offer_out")]
    deleted = requisition("requisition.deleted", 2)
    assert held(CREATED, review, deleted)[2:] == [(2, "nobody", "deleted")]


def test_a_rejection_ends_it_under_a_close_too_and_both_have_to_be_undone() -> None:
    told = CREATED, own("application.rejected", 1), requisition("requisition.closed", 2), requisition("requisition.reopened", 3)
    assert held(*told) == [START, (1, "nobody", "rejected")]
    assert held(*told, own("application.unrejected", 4))[-1] == (4, TA, "screen")
    assert held(*told[:3], own("application.unrejected", 4))[-1] == (1, "nobody", "closed")


@pytest.mark.parametrize(
    ("facts", "ended", "how"),
    [
        pytest.param((own("application.hired", 1), requisition("requisition.closed", 9)), 1, "hired", id="hired, then closed"),
        pytest.param((own("application.rejected", 1), requisition("requisition.deleted", 9)), 1, "rejected", id="then deleted"),
        pytest.param(
            (requisition("requisition.closed", 1), own("application.rejected", 9)), 1, "rejected", id="closed, rejected"
        ),
        pytest.param((own("application.hired", 1), own("candidate.deleted", 9)), 1, "deleted", id="hired, then forgotten"),
        pytest.param((requisition("requisition.closed", 1),), 1, "closed", id="closed"),
    ],
)
def test_an_application_ends_once_and_what_is_learned_later_says_only_how(
    facts: tuple[Fact, ...], ended: float, how: str
) -> None:
    found = state(CREATED, *facts)
    assert found is not None
    assert (found.ended_at, found.state, len(found.holdings)) == (at(ended), how, 2)


def test_the_end_of_an_interview_brings_nobody_back_to_life() -> None:
    booked = interview("i", at(1), at(0.5))
    over = own("application.rejected", 1.5)
    assert held(CREATED, booked, over)[-1] == (1.5, "nobody", "rejected")
    closed = requisition("requisition.closed", 1.5), requisition("requisition.reopened", 5)
    assert held(CREATED, booked, *closed)[-1] == (5, HM, "interview"), "its end was not heard while it was closed"
    assert held(CREATED, booked)[-1] == (2, HM, "feedback")


def test_what_changes_neither_holder_nor_state_nor_person_cuts_nothing() -> None:
    assert held(CREATED, stage("screen", 1), stage("applied", 2), stage("screen", 3)) == [START, (1, TA, "screen")]
    assert held(CREATED, own("availability.requested", 1), own("availability.given", 2)) == [
        START,
        (1, HM, "applied"),
        (2, TA, "applied"),
    ]
    found = state(requisition("requisition.opened", -1, recruiter="rec"), CREATED)
    assert found is not None
    assert [(h.person, h.cause) for h in found.holdings] == [("p-recruiter", CREATED.fact_id)]


def people(*told: Fact) -> list[tuple[float, str, str | None]]:
    found = state(*told)
    assert found is not None
    return [((h.start - MONDAY) / HOUR, h.holder, h.person) for h in found.holdings]


def test_who_takes_the_role_over_holds_the_ball_from_then_on_and_only_while_it_is_there() -> None:
    opened = requisition("requisition.opened", -1, recruiter="rec", hiring_manager="mgr")
    review = stage("manager_review", 3)
    other = requisition("requisition.updated", 1, recruiter="rec2")
    assert people(opened, CREATED, other, review) == [(0, TA, "p-recruiter"), (1, TA, "p-recruiter2"), (3, HM, "p-manager")]
    manager = requisition("requisition.updated", 1, hiring_manager="mgr2")
    assert people(opened, CREATED, manager, review) == [(0, TA, "p-recruiter"), (3, HM, "p-manager2")]
    late = requisition("requisition.updated", 5, hiring_manager="mgr2")
    assert people(opened, CREATED, late, review)[1:] == [(3, HM, "p-manager"), (5, HM, "p-manager2")]
    at_once = requisition("requisition.updated", 3, hiring_manager="mgr2")
    assert people(opened, CREATED, at_once, review)[1:] == [(3, HM, "p-manager2")]
    nobody = people(opened, CREATED, own("offer.sent", 1), requisition("requisition.updated", 2, recruiter="rec2"))
    assert nobody == [(0, TA, "p-recruiter"), (1, "candidate", None)]
    assert people(CREATED) == [(0, TA, None)]
