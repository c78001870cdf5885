"""Which copy of a fact counts, and to which interview a scorecard belongs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from schemas.fact import Fact, Origin
from streams.timeline import Event, events, merge
from tests.stories import ACCOUNT, REQUISITION, agreement

PEOPLE = agreement().people
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fact(kind: str = "scorecard.submitted", at: datetime = MONDAY, **more: Any) -> Fact:
    told: dict[str, Any] = {"fact_id": f"{kind}-{at.isoformat()}", "tenant": "t", "account": ACCOUNT, "system": "greenhouse"}
    told |= {"occurred_at_source": Origin.OBJECT, "received_at": at, "requisition_id": REQUISITION}
    return Fact.model_validate(told | {"application_id": f"{ACCOUNT}/a1", "kind": kind, "occurred_at": at} | more)


def copy(at: datetime = MONDAY, **more: Any) -> Fact:
    return fact("application.rejected", at, fact_id="same", **more)


#: In each pair the first counts, whichever comes first.
COPIES = {
    "better origin": (
        copy(MONDAY + HOUR, occurred_at_source=Origin.EVENT, received_at=MONDAY + 9 * HOUR),
        copy(MONDAY, occurred_at_source=Origin.DELIVERY),
    ),
    "earlier time": (copy(MONDAY, received_at=MONDAY + 9 * HOUR), copy(MONDAY + HOUR, received_at=MONDAY)),
    "smaller hash": tuple(sorted((copy(attributes={"n": 1}), copy(attributes={"n": 2})), key=lambda f: f.content_hash)),
    "learned first": (copy(received_at=MONDAY + HOUR), copy(received_at=MONDAY + 2 * HOUR)),
}


@pytest.mark.parametrize("name", COPIES)
def test_of_two_copies_the_same_one_counts_in_any_order(name: str) -> None:
    best, other = COPIES[name]
    for order in permutations([best, other, other]):
        assert merge(order) == [best]


def test_a_fact_is_backfilled_only_if_every_equal_copy_was() -> None:
    early, late = copy(backfill=True), copy(received_at=MONDAY + HOUR)
    for order in permutations([early, late]):
        assert [(f.backfill, f.received_at) for f in merge(order)] == [(False, early.received_at)]
    assert merge([early, early])[0].backfill


def interview(name: str, starts: datetime, known: datetime = MONDAY, **more: Any) -> Fact:
    told = {"starts_at": starts.isoformat(), "ends_at": (starts + HOUR).isoformat(), "interviewers": [f"{ACCOUNT}/ada"]}
    return fact("interview.scheduled", known, fact_id=name, interview_id=f"{ACCOUNT}/{name}", attributes=told | more)


DAY = 24 * HOUR
INTERVIEWS = (
    interview("early", MONDAY + DAY, interview_step_id="s1"),
    interview("middle", MONDAY + 2 * DAY, interview_step_id="s2", scorecards={f"{ACCOUNT}/bob": "listed"}),
    interview("late", MONDAY + 5 * DAY, interview_step_id="s3"),
)


@pytest.mark.parametrize(
    ("expected", "person", "at", "said"),
    [
        pytest.param("early", "p-ada", MONDAY + DAY, {}, id="the last that began before, at its very begin"),
        pytest.param("middle", "p-ada", MONDAY + 4 * DAY, {}, id="the last of several that began before"),
        pytest.param(None, "p-ada", MONDAY + HOUR, {}, id="none began before"),
        pytest.param("late", "p-ada", MONDAY + HOUR, {"interview_step_id": "s3"}, id="of the step it names"),
        pytest.param(
            "late", "p-ada", MONDAY + HOUR, {"interviewed_at": (MONDAY + 5 * DAY).isoformat()}, id="at the time it names"
        ),
        pytest.param("middle", "p-bob", MONDAY + HOUR, {"scorecard_id": "listed"}, id="that lists it, for whom it lists it"),
    ],
)
def test_a_scorecard_belongs_to(expected: str | None, person: str, at: datetime, said: dict[str, Any]) -> None:
    card = fact(at=at, person=f"{ACCOUNT}/ada", attributes={"scorecard_id": "c1"} | said)
    found = next(e for e in told(*INTERVIEWS, card) if e.kind == "scorecard.submitted")
    assert (found.interview_id, found.person) == (expected and f"{ACCOUNT}/{expected}", person)


def test_an_interview_is_booked_when_it_was_created_and_whenever_it_moves() -> None:
    first = interview("i", MONDAY + 2 * DAY, MONDAY + HOUR, created_at=MONDAY.isoformat())
    read_again = first.model_copy(update={"fact_id": "i2", "occurred_at": MONDAY + 2 * HOUR})
    moved = interview("i", MONDAY + 3 * DAY, MONDAY + 3 * HOUR, created_at=MONDAY.isoformat()).model_copy(
        update={"fact_id": "i3"}
    )
    booked = [(e.at, e.attributes["moved"]) for e in told(moved, read_again, first) if e.kind == "interview.booked"]
    assert booked == [(MONDAY, False), (MONDAY + 3 * HOUR, True)]


def test_an_interview_called_off_at_its_very_end_was_held() -> None:
    held = interview("i", MONDAY + DAY)
    end = MONDAY + DAY + HOUR
    for at, kinds in ((end, ["interview.ended"]), (end - timedelta(microseconds=1), [])):
        off = fact("interview.cancelled", at, interview_id=held.interview_id)
        assert [e.kind for e in told(held, off) if e.kind == "interview.ended"] == kinds


def told(*facts: Fact) -> list[Event]:
    return events(facts, PEOPLE, MONDAY + 9 * DAY)[0]
