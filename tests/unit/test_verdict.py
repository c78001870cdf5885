"""Verdicts at the very instants that decide: deadline, stop, cancel, take-back and approval in the same microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.fact import Fact, Watermark
from schemas.outcome import Obligation, Verdict
from streams.obligations import evaluate
from tests.stories import ACCOUNT, agreement
from tests.unit.test_timeline import fact, interview

INSTANT = timedelta(microseconds=1)
MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)  # 09:00 in Berlin
DAY = timedelta(days=1)
START = MONDAY + DAY
DUE = START + 2 * DAY  # of a review, two working days
FEEDBACK = {"submit_feedback", "objective_feedback", "validated_feedback"}


def of_requisition(kind: str, at: datetime, **more: Any) -> Fact:
    return fact(kind, at, application_id=None, **more)


SCENE = (
    of_requisition(
        "requisition.opened", MONDAY, people={"recruiter": (f"{ACCOUNT}/rec",), "hiring_manager": (f"{ACCOUNT}/mgr",)}
    ),
    fact("application.created", MONDAY),
    fact("application.stage_changed", START, attributes={"stage": "manager_review"}),
)


def judged(*told: Fact, as_of: datetime = MONDAY + 20 * DAY, policy: Any = None, marks: Any = ()) -> dict[str, Obligation]:
    by = agreement(policy)
    return {o.commitment: o for o in evaluate(told, by.policy, by.calendars, by.people, marks, as_of).obligations}


def review(*told: Fact, **more: Any) -> Obligation:
    return judged(*SCENE, *told, **more)["review_candidate"]


def test_a_promise_is_open_at_its_very_deadline_and_overdue_from_the_next_microsecond_on() -> None:
    assert [review(as_of=at).verdict for at in (DUE, DUE + INSTANT)] == [Verdict.OPEN, Verdict.OVERDUE]
    by = agreement()
    found = evaluate(SCENE, by.policy, by.calendars, by.people, (), DUE)
    assert found.next_due == DUE + INSTANT


def test_what_is_done_at_the_very_deadline_is_in_time() -> None:
    for late, verdict in ((timedelta(), Verdict.MET), (INSTANT, Verdict.MISSED)):
        done = review(fact("application.stage_changed", DUE + late, attributes={"stage": "interview"}))
        assert (done.verdict, done.ended_at) == (verdict, DUE + late)


def test_a_cancel_counts_only_strictly_before_the_deadline() -> None:
    for early, verdict in ((INSTANT, Verdict.CANCELLED), (timedelta(), Verdict.MISSED)):
        assert review(fact("application.withdrawn", DUE - early)).verdict == verdict


def test_of_a_stop_and_a_cancel_in_one_instant_the_first_by_kind_ends_the_clock() -> None:
    at = START + DAY
    rejected, withdrawn, closed = (
        fact(kind, at) for kind in ("application.rejected", "application.withdrawn", "requisition.closed")
    )
    assert review(rejected, withdrawn).verdict == Verdict.MET
    assert review(rejected, closed.model_copy(update={"application_id": None})).verdict == Verdict.CANCELLED


def test_what_comes_after_the_end_of_a_clock_moves_its_deadline_no_more() -> None:
    """Withdrawn, then a hold of the requisition, then a stage that would have kept the promise."""
    withdrawn = fact("application.withdrawn", START + DAY / 2)
    hold = of_requisition("requisition.held", START + DAY), of_requisition("requisition.resumed", START + DAY * 1.1)
    done = fact("application.stage_changed", START + DAY * 1.5, attributes={"stage": "interview"})
    for end, verdict in ((withdrawn, Verdict.CANCELLED), (done.model_copy(update={"occurred_at": START + DAY / 2}), Verdict.MET)):
        found = review(end, *hold, done.model_copy(update={"fact_id": "later"}))
        assert (found.verdict, found.deadline, found.ended_at) == (verdict, DUE, START + DAY / 2)


def test_an_open_clock_stands_still_until_the_very_instant_it_runs_again() -> None:
    held, resumed = (of_requisition(f"requisition.{kind}", START + n * DAY / 24) for kind, n in (("held", 1), ("resumed", 2)))
    told = [review(held, resumed, as_of=START + at).reason for at in (DAY / 12 - INSTANT, DAY / 12, DAY / 12 + INSTANT)]
    assert told == ["the clock stands still", "running", "running"]


def test_a_cancel_at_the_deadline_that_a_hold_moved_is_too_late() -> None:
    held, resumed = (of_requisition(f"requisition.{kind}", START + n * DAY / 24) for kind, n in (("held", 1), ("resumed", 2)))
    due = DUE + DAY / 24
    for early, verdict in ((INSTANT, Verdict.CANCELLED), (timedelta(), Verdict.MISSED)):
        found = review(held, resumed, fact("application.withdrawn", due - early))
        assert (found.verdict, found.deadline) == (verdict, due)


def test_what_may_have_been_done_at_the_very_deadline_is_decided_for_the_debtor() -> None:
    for late, verdict in ((timedelta(), (Verdict.MET, True)), (INSTANT, (Verdict.MISSED, False))):
        more: dict[str, Any] = {"occurred_at_source": "poll", "occurred_not_before": DUE + late}
        done = review(fact("application.stage_changed", DUE + DAY, attributes={"stage": "interview"}, **more))
        assert (done.verdict, done.uncertain) == verdict


def test_a_source_that_was_read_up_to_the_very_deadline_is_not_silent() -> None:
    def read(until: datetime) -> tuple[Watermark, ...]:
        return (Watermark(account=ACCOUNT, kinds=("application.rejected",), complete_until=until, received_at=until),)

    told = [review(marks=read(at)).verdict for at in (DUE - INSTANT, DUE)]
    assert told == [Verdict.UNVERIFIED, Verdict.OVERDUE]


HELD = interview("i", MONDAY + DAY)
ENDED = MONDAY + DAY + timedelta(hours=2)  # that of test_timeline is an hour later
CARD: dict[str, Any] = {"scorecard_id": "c", "complete": True, "rated": True, "reasoned": True}


def feedback(*told: Fact, **more: Any) -> dict[str, Obligation]:
    return {name: o for name, o in judged(*SCENE[:2], HELD, *told, **more).items() if name in FEEDBACK}


def card(at: datetime, **said: Any) -> Fact:
    who: dict[str, Any] = {"interview_id": HELD.interview_id, "person": f"{ACCOUNT}/ada", "actor": f"{ACCOUNT}/ada"}
    return fact("scorecard.submitted", at, attributes=CARD | said, **who)


def test_a_card_deleted_by_the_very_deadline_was_never_given() -> None:
    deadline = feedback()["submit_feedback"].deadline
    assert deadline is not None
    for late, verdict in ((timedelta(), Verdict.OVERDUE), (INSTANT, Verdict.MET)):
        gone = fact("scorecard.deleted", deadline + late, attributes={"scorecard_id": "c"})
        assert feedback(card(deadline - DAY / 4), gone)["submit_feedback"].verdict == verdict
    twice = [fact("scorecard.deleted", deadline + n * DAY, attributes={"scorecard_id": "c"}) for n in (0, 1)]
    for order in (twice, twice[::-1]):
        assert feedback(card(deadline - DAY / 4), *order)["submit_feedback"].verdict == Verdict.OVERDUE, "the first deletion"


def test_quality_is_open_until_the_very_deadline_and_then_there_is_nothing_to_judge() -> None:
    deadline = feedback()["objective_feedback"].deadline
    assert deadline is not None
    for late, verdict in ((timedelta(), Verdict.OPEN), (INSTANT, Verdict.CANCELLED)):
        assert feedback(as_of=deadline + late)["objective_feedback"].verdict == verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({}, Verdict.MET),
        ({"rated": False}, Verdict.MISSED),
        ({"rated": None}, Verdict.UNVERIFIED),
        ({"rated": None, "reasoned": False}, Verdict.MISSED),
        ({"rated": None, "reasoned": None}, Verdict.UNVERIFIED),
    ],
)
def test_quality_that_the_source_does_not_tell_is_unknown_unless_what_it_tells_is_bad(said: Any, verdict: Verdict) -> None:
    given = feedback(card(ENDED + DAY / 4, **said))["validated_feedback"]
    assert given.verdict == verdict
    untold = [name for name in ("rated", "reasoned") if name in said and said[name] is None]
    if verdict == Verdict.UNVERIFIED:
        assert given.reason == f"the source does not tell {', '.join(untold)}"


def test_what_stops_a_clock_does_not_come_before_itself() -> None:
    """`before` asks for what came earlier than the card; the card itself, or another clock's end of the instant, is not."""
    changes = {
        "objective_feedback": {
            "quality": {"good": [{"kind": "scorecard.submitted"}], "before": [{"kind": "scorecard.submitted"}]}
        }
    }
    assert feedback(card(ENDED + DAY / 4), policy=changes)["objective_feedback"].verdict == Verdict.MET
    for earlier, verdict in ((INSTANT, Verdict.MISSED), (-INSTANT, Verdict.MET)):
        decided = fact("application.stage_changed", ENDED + DAY / 4 - earlier, attributes={"stage": "debrief"})
        assert feedback(card(ENDED + DAY / 4), decided)["objective_feedback"].verdict == verdict


def approved(begin: str, end: str, **said: Any) -> tuple[Fact, Fact]:
    asked = {"exception_id": "e", "from": begin, "until": end} | said
    request = fact("exception.requested", MONDAY, actor=f"{ACCOUNT}/rec", attributes=asked)
    return request, fact("exception.approved", MONDAY + DAY, actor=f"{ACCOUNT}/mgr", attributes={"exception_id": "e"})


def test_an_exception_covers_its_first_and_its_last_instant() -> None:
    day, before, after = (at.isoformat() for at in (DUE, DUE - INSTANT, DUE + INSTANT))
    told = [review(*approved(*span)).verdict for span in ((day, after), (before, day), (before, before), (after, after))]
    assert told == [Verdict.EXCUSED, Verdict.EXCUSED, Verdict.OVERDUE, Verdict.OVERDUE]


@pytest.mark.parametrize(
    "span",
    [("soon", DUE.isoformat()), (None, DUE.isoformat()), (DUE.isoformat(), None), ("2026-03-01T00:00:00", "2027-01-01T00:00:00")],
)
def test_what_is_no_time_or_has_no_zone_excuses_nothing(span: Any) -> None:
    assert review(*approved(*span)).verdict == Verdict.OVERDUE


def test_a_later_exception_counts_though_an_earlier_one_is_void() -> None:
    """Approved by its requester, never requested, by nobody known: none of these hides the one that is in order."""
    span: dict[str, Any] = {"from": MONDAY.isoformat(), "until": (DUE + DAY).isoformat()}
    own = [
        fact(
            f"exception.{word}", MONDAY, fact_id=f"own {word}", actor=f"{ACCOUNT}/rec", attributes={"exception_id": "own"} | span
        )
        for word in ("requested", "approved")
    ]
    lost = fact("exception.approved", MONDAY, fact_id="lost", actor=f"{ACCOUNT}/mgr", attributes={"exception_id": "lost"})
    assert review(*own, lost).verdict == Verdict.OVERDUE
    assert review(*own, lost, *approved(*span.values())).verdict == Verdict.EXCUSED
    assert review(*own, lost, *approved(*span.values(), commitment="decide")).verdict == Verdict.OVERDUE
    request, approval = approved(*span.values())
    unsigned, by_nobody = (f.model_copy(update={"actor": None}) for f in (request, approval))
    earlier = unsigned.model_copy(update={"fact_id": "earlier"})
    told = (unsigned, approval), (unsigned, by_nobody), (request, by_nobody), (earlier, request, approval)
    assert [review(*them).verdict for them in told] == [Verdict.OVERDUE] * 3 + [Verdict.EXCUSED]


@pytest.mark.parametrize(
    ("exception_id", "verdict"),
    [("e", "excused"), (7, "excused")] + [(x, "overdue") for x in (None, "", [], ["e"], {"e": 1}, True)],
)
def test_an_exception_without_an_id_excuses_nothing(exception_id: Any, verdict: str) -> None:
    pair = approved(MONDAY.isoformat(), (DUE + DAY).isoformat())
    told = [f.model_copy(update={"attributes": {**f.attributes, "exception_id": exception_id}}) for f in pair]
    assert review(*told).verdict == verdict
