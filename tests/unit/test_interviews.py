"""When interviews were booked and held, whose scorecard belongs to which, and when the last feedback was in."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

from schemas.fact import Fact
from streams.event import Event
from streams.timeline import events
from tests.stories import ACCOUNT
from tests.unit.test_timeline import DAY, HOUR, MONDAY, PEOPLE, fact, interview

INSTANT = timedelta(microseconds=1)
LATER = MONDAY + 30 * DAY


def told(*facts: Fact, as_of: datetime = LATER) -> list[Event]:
    return events(facts, PEOPLE, as_of)[0]


def times(kind: str, *facts: Fact, as_of: datetime = LATER) -> list[datetime]:
    return [e.at for e in told(*facts, as_of=as_of) if e.kind == kind]


def completed(*facts: Fact, as_of: datetime = LATER) -> list[datetime]:
    """When all feedback was in; the same for every order in which the facts come."""
    found = {tuple(times("feedback.completed", *order, as_of=as_of)) for order in permutations(facts)}
    assert len(found) == 1
    return list(found.pop())


def without_time(name: str, known: datetime = MONDAY, **more: Any) -> Fact:
    """An all-day interview: it tells neither begin nor end."""
    said = {"interviewers": [f"{ACCOUNT}/ada"]} | more
    return fact("interview.scheduled", known, fact_id=name, interview_id=f"{ACCOUNT}/{name}", attributes=said)


def card(at: datetime, of: str | None, who: str = "ada", **said: Any) -> Fact:
    interview_id = f"{ACCOUNT}/{of}" if of else None
    identity = f"card-{of}-{who}-{at.isoformat()}"
    return fact(at=at, fact_id=identity, interview_id=interview_id, person=f"{ACCOUNT}/{who}", attributes=said)


def off(name: str, at: datetime, kind: str = "interview.cancelled") -> Fact:
    return fact(kind, at, fact_id=f"{kind}-{name}-{at.isoformat()}", interview_id=f"{ACCOUNT}/{name}")


def panel(name: str, starts: datetime, *who: str, known: datetime = MONDAY) -> Fact:
    return interview(name, starts, known, interviewers=[f"{ACCOUNT}/{w}" for w in who])


def belongs_to(card_of: Fact, *interviews: Fact) -> str | None:
    found = next(e for e in told(*interviews, card_of) if e.kind == "scorecard.submitted").interview_id
    return found and found.removeprefix(f"{ACCOUNT}/")


def test_a_scorecard_names_the_interview_by_time_or_step_even_if_a_later_one_had_begun() -> None:
    three = [interview(n, MONDAY + d * DAY, interview_step_id=f"s{d}") for n, d in (("one", 1), ("two", 2), ("three", 3))]
    at = MONDAY + 9 * DAY
    assert belongs_to(card(at, None), *three) == "three"
    assert belongs_to(card(at, None, interviewed_at=(MONDAY + DAY).isoformat()), *three) == "one"
    assert belongs_to(card(at, None, interview_step_id="s2"), *three) == "two"
    both = card(at, None, interviewed_at=(MONDAY + DAY).isoformat(), interview_step_id="s2")
    assert belongs_to(both, *three) == "one", "its time says more than its step"


def test_what_neither_tells_is_no_match() -> None:
    """An interview without time or step is not that of a scorecard without them."""
    begun, all_day = interview("begun", MONDAY + DAY, interview_step_id="s1"), without_time("all_day")
    assert belongs_to(card(MONDAY + 2 * DAY, None), begun, all_day) == "begun"
    assert belongs_to(card(MONDAY + 2 * DAY, None), all_day) is None
    nobody = fact(at=MONDAY + 2 * DAY, fact_id="anonymous", attributes={})
    assert belongs_to(nobody, begun) is None


def test_of_several_interviews_that_list_a_scorecard_the_last_that_had_begun() -> None:
    lists: dict[str, Any] = {"scorecards": {f"{ACCOUNT}/ada": "c"}}
    one, two = (interview(n, MONDAY + d * DAY, **lists) for n, d in (("one", 1), ("two", 3)))
    assert belongs_to(card(MONDAY + 2 * DAY, None, scorecard_id="c"), one, two) == "one"
    assert belongs_to(card(MONDAY + 3 * DAY, None, scorecard_id="c"), one, two) == "two"
    assert belongs_to(card(MONDAY + 4 * DAY, None, scorecard_id="c"), one, two) == "two"
    assert belongs_to(card(MONDAY + HOUR, None, scorecard_id="c"), one, two) == "two", "none had begun: the last of all"
    timeless = without_time("timeless", MONDAY + 5 * DAY, **lists)
    assert belongs_to(card(MONDAY + 6 * DAY, None, scorecard_id="c"), one, timeless) == "one"
    assert belongs_to(card(MONDAY + 6 * DAY, None, scorecard_id="c"), timeless) == "timeless"
    older = without_time("zz", MONDAY + 4 * DAY, **lists)
    assert belongs_to(card(MONDAY + 6 * DAY, None, scorecard_id="c"), timeless, older) == "timeless", "the last first known"


def test_a_scorecard_belongs_rather_to_an_interview_that_was_not_called_off() -> None:
    one, two = interview("one", MONDAY + DAY), interview("two", MONDAY + 2 * DAY)
    dropped = off("two", MONDAY + DAY)
    assert belongs_to(card(MONDAY + 3 * DAY, None), one, two) == "two"
    assert belongs_to(card(MONDAY + 3 * DAY, None), one, two, dropped) == "one"
    assert belongs_to(card(MONDAY + 3 * DAY, None), two, dropped) == "two"


def test_an_interview_ends_at_its_end_and_not_before() -> None:
    held = interview("i", MONDAY + DAY)
    end = MONDAY + DAY + HOUR
    assert times("interview.ended", held, as_of=end) == [end]
    assert times("interview.ended", held, as_of=end - INSTANT) == []


def test_the_next_end_of_an_interview_is_when_time_alone_adds_something() -> None:
    three = [interview(n, MONDAY + d * DAY) for n, d in (("a", 3), ("b", 2), ("c", 4))]
    for order in permutations(three):
        assert events(order, PEOPLE, MONDAY + HOUR)[1] == MONDAY + 2 * DAY + HOUR
        assert events(order, PEOPLE, MONDAY + 2 * DAY + HOUR)[1] == MONDAY + 3 * DAY + HOUR
        assert events(order, PEOPLE, LATER)[1] is None
    tomorrow = fact("application.rejected", MONDAY + DAY)
    assert events([*three, tomorrow], PEOPLE, MONDAY + HOUR)[1] == MONDAY + DAY, "a fact that lies ahead may come first"
    happened, following = events([tomorrow], PEOPLE, MONDAY + DAY)
    assert ([e.event_id for e in happened], following) == ([tomorrow.fact_id], None), "at its very instant it has happened"
    further = fact("application.hired", MONDAY + 2 * DAY)
    for order in permutations([tomorrow, further]):
        assert events(order, PEOPLE, MONDAY)[1] == MONDAY + DAY


def test_an_interview_without_a_time_is_booked_when_first_seen_and_owes_nobody_feedback() -> None:
    timeless = without_time("timeless")
    assert times("interview.booked", timeless, without_time("timeless", MONDAY + HOUR)) == [MONDAY]
    assert times("interview.ended", timeless, off("timeless", MONDAY + HOUR)) == []
    held, given = interview("z", MONDAY + DAY), card(MONDAY + 2 * DAY, "z")
    assert completed(held, given, timeless) == [MONDAY + 2 * DAY]


def test_feedback_is_complete_with_the_last_card_of_the_panel() -> None:
    held, first, last = panel("i", MONDAY + DAY, "ada", "bob"), card(MONDAY + 2 * DAY, "i"), card(MONDAY + 3 * DAY, "i", "bob")
    assert completed(held, first, last) == [MONDAY + 3 * DAY]
    assert completed(held, first) == []
    assert completed(held, first, last, as_of=MONDAY + 3 * DAY) == [MONDAY + 3 * DAY]


def test_of_two_cards_of_one_interviewer_the_first_counts() -> None:
    held, first, again = interview("i", MONDAY + DAY), card(MONDAY + 2 * DAY, "i"), card(MONDAY + 3 * DAY, "i")
    assert completed(held, first, again) == [MONDAY + 2 * DAY]


def test_a_card_written_before_the_end_completes_the_feedback_at_the_end() -> None:
    held, early = interview("i", MONDAY + DAY), card(MONDAY + DAY, "i")
    end = MONDAY + DAY + HOUR
    assert completed(held, early) == [end]
    assert completed(held, early, as_of=end) == [end]
    assert completed(held, early, as_of=end - INSTANT) == []


def test_each_round_of_interviews_is_complete_by_itself_unless_the_next_was_booked_by_then() -> None:
    first, given = interview("one", MONDAY + DAY), card(MONDAY + 2 * DAY, "one")
    last = card(MONDAY + 6 * DAY, "two")
    for booked, moments in (
        (MONDAY + 2 * DAY + INSTANT, [MONDAY + 2 * DAY, MONDAY + 6 * DAY]),
        (MONDAY + 2 * DAY, [MONDAY + 6 * DAY]),
    ):
        assert completed(first, given, interview("two", MONDAY + 5 * DAY, booked), last) == moments
    third = interview("three", MONDAY + 9 * DAY, MONDAY + 8 * DAY)
    rounds = completed(
        first, given, interview("two", MONDAY + 5 * DAY, MONDAY + 3 * DAY), last, third, card(MONDAY + 10 * DAY, "three")
    )
    assert rounds == [MONDAY + 2 * DAY, MONDAY + 6 * DAY, MONDAY + 10 * DAY]


def test_an_interview_recorded_after_it_was_held_was_owed_from_its_end_on() -> None:
    first, given = interview("one", MONDAY + DAY), card(MONDAY + 2 * DAY, "one")
    recorded, late = interview("two", MONDAY + DAY, MONDAY + 3 * DAY), card(MONDAY + 4 * DAY, "two")
    assert completed(first, given, recorded, late) == [MONDAY + 4 * DAY]


def test_feedback_is_complete_when_the_last_interview_left_was_called_off() -> None:
    held, given, other = interview("a", MONDAY + DAY), card(MONDAY + 2 * DAY, "a"), panel("b", MONDAY + 5 * DAY, "ada", "bob")
    assert completed(held, given, other) == []
    assert completed(held, given, other, off("b", MONDAY + 3 * DAY)) == [MONDAY + 3 * DAY]
    assert completed(held, given, other, off("b", MONDAY + 3 * DAY), off("b", MONDAY + 4 * DAY)) == [MONDAY + 3 * DAY]
    nobody = interview("c", MONDAY + DAY)
    assert completed(nobody, off("c", MONDAY)) == [], "there is no feedback that could be complete"


def test_what_was_called_off_takes_place_if_it_was_moved_later_and_not_in_the_same_instant() -> None:
    first = interview("i", MONDAY + DAY)
    moved = interview("i", MONDAY + 3 * DAY, MONDAY + 2 * HOUR).model_copy(update={"fact_id": "moved"})
    end = MONDAY + 3 * DAY + HOUR
    assert times("interview.ended", first, moved, off("i", MONDAY + HOUR)) == [end]
    assert times("interview.ended", first, moved, off("i", MONDAY + 2 * HOUR)) == []
    assert times("interview.ended", first, moved, off("i", MONDAY + HOUR), off("i", end, "interview.no_show")) == [end]


def test_what_follows_from_facts_is_backfilled_where_they_were() -> None:
    """The end of an interview, if every version was; complete feedback, if one of its cards was: it never pages, then."""
    live, old = interview("i", MONDAY + DAY), interview("i", MONDAY + DAY, MONDAY + HOUR)
    again = old.model_copy(update={"fact_id": "again", "backfill": True})
    ended = [e.backfill for e in told(live, again) if e.kind == "interview.ended"]
    ended += [e.backfill for e in told(again) if e.kind == "interview.ended"]
    assert ended == [False, True]
    both = panel("p", MONDAY + DAY, "ada", "bob")
    cards = card(MONDAY + 2 * DAY, "p"), card(MONDAY + 3 * DAY, "p", "bob").model_copy(update={"backfill": True})
    assert [e.backfill for e in told(both, *cards) if e.kind == "feedback.completed"] == [True]


def test_a_recruiter_is_named_by_the_first_fact_of_the_requisition_that_does_and_not_by_an_application_s() -> None:
    people = {"recruiter": (f"{ACCOUNT}/rec",)}
    of_application = fact("application.created", MONDAY, people=people)
    own = [fact("requisition.updated", MONDAY + n * HOUR, fact_id=f"r{n}", application_id=None, people=people) for n in (1, 2)]
    nobody = fact(
        "requisition.opened", MONDAY, application_id=None, people={"recruiter": (), "hiring_manager": (f"{ACCOUNT}/mgr",)}
    )
    for order in permutations((of_application, *own, nobody)):
        named = [(e.at, e.because) for e in told(*order) if e.kind == "recruiter.named"]
        assert named == [(MONDAY + HOUR, ("r1",))]
    assert times("recruiter.named", of_application, nobody) == []


def test_whether_a_card_is_the_interviewer_s_own_is_told_only_where_both_are_known() -> None:
    ada, bob = f"{ACCOUNT}/ada", f"{ACCOUNT}/bob"
    for person, actor, own in ((ada, ada, True), (ada, bob, False), (ada, None, None), (None, ada, None), (None, None, None)):
        given = fact(at=MONDAY, person=person, actor=actor, attributes={})
        assert [e.attributes.get("own") for e in told(given)] == [own]


def test_what_names_no_interview_is_none_and_stops_nothing() -> None:
    unnamed = fact("interview.scheduled", MONDAY, attributes={"ends_at": (MONDAY + DAY).isoformat()})
    assert [e.kind for e in told(unnamed, interview("i", MONDAY + DAY))] == [
        "interview.scheduled",
        "interview.scheduled",
        "interview.booked",
        "interview.ended",
    ]
