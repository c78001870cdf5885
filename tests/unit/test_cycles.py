"""Which clocks a commitment starts: cycles, what they wait for, and which of several ends counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from schemas.fact import Fact
from schemas.outcome import Obligation, Verdict
from streams.obligations import evaluate
from tests.stories import ACCOUNT, agreement
from tests.unit.test_timeline import fact, interview

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PEOPLE = {"recruiter": (f"{ACCOUNT}/rec",), "hiring_manager": (f"{ACCOUNT}/mgr",)}
OPENED = fact("requisition.opened", MONDAY, application_id=None, people=PEOPLE)
CREATED = fact("application.created", MONDAY)


def owed(name: str, *told: Fact, policy: Any = None) -> list[Obligation]:
    by = agreement(policy)
    found = evaluate((OPENED, CREATED, *told), by.policy, by.calendars, by.people, (), MONDAY + 60 * DAY).obligations
    return [o for o in found if o.commitment == name]


def spans(name: str, *told: Fact, policy: Any = None) -> list[tuple[datetime, datetime | None]]:
    return [(o.started_at, o.ended_at) for o in owed(name, *told, policy=policy)]


def stage(name: str, at: datetime) -> Fact:
    return fact("application.stage_changed", at, attributes={"stage": name})


CONTACT = [fact("candidate.informed", MONDAY + n * DAY) for n in (1, 2, 3)]


def test_what_repeats_is_started_by_what_stopped_it_and_each_other_only_by_the_next() -> None:
    one, two, three = (e.occurred_at for e in CONTACT)
    repeats = {"no_silence": {"enabled": True}}
    assert spans("no_silence", *CONTACT, policy=repeats) == [(MONDAY, one), (one, two), (two, three), (three, None)]
    each = {"no_silence": {"enabled": True, "cycles": "each"}}
    assert spans("no_silence", *CONTACT, policy=each) == [(MONDAY, one), (two, three)]
    once = {"no_silence": {"enabled": True, "cycles": "once"}}
    assert spans("no_silence", *CONTACT, policy=once) == [(MONDAY, one)]


def test_the_latest_start_before_the_end_counts_and_the_end_itself_is_none() -> None:
    told = [stage("interview", MONDAY + n * HOUR) for n in (1, 2, 3)]
    done, again = interview("i", MONDAY + DAY, MONDAY + 4 * HOUR), stage("interview", MONDAY + 5 * HOUR)
    latest = {"schedule_interview": {"cycles": "latest"}}
    first, second = MONDAY + 3 * HOUR, MONDAY + 5 * HOUR
    assert spans("schedule_interview", *told, done, again, policy=latest) == [(first, MONDAY + 4 * HOUR), (second, None)]
    assert spans("schedule_interview", *told, policy=latest) == [(first, None)]
    itself = {"no_silence": {"enabled": True, "cycles": "latest"}}
    one, two, three = (e.occurred_at for e in CONTACT)
    assert spans("no_silence", *CONTACT, policy=itself) == [(MONDAY, one), (two, three)]


def test_alternatives_of_what_happens_once_count_in_their_order_and_not_in_time() -> None:
    approved = fact("requisition.approved", MONDAY + HOUR, application_id=None)
    intakes = [fact("requisition.intake_held", MONDAY + n * DAY, application_id=None) for n in (2, 3)]
    assert [start for start, _ in spans("first_slate", approved, *intakes)] == [MONDAY + 2 * DAY]
    assert [start for start, _ in spans("first_slate", approved)] == [MONDAY + HOUR + 3 * DAY]


def test_a_delay_is_that_of_the_alternative_that_started_the_clock() -> None:
    """Told of both alternatives, the second of them with a delay; a third one that never happens has another."""
    start = [
        {"kind": "requisition.intake_held"},
        {"kind": "requisition.approved", "delay": {"elapsed_hours": 5}},
        {"kind": "requisition.reopened", "delay": {"elapsed_hours": 7}},
    ]
    policy = {"hold_intake": {"start": start, "cycles": "each", "stop": [{"kind": "offer.sent"}]}}
    approved = fact("requisition.approved", MONDAY + HOUR, application_id=None)
    held = fact("requisition.intake_held", MONDAY + HOUR, application_id=None)
    assert [start for start, _ in spans("hold_intake", approved, policy=policy)] == [MONDAY + 6 * HOUR]
    assert [start for start, _ in spans("hold_intake", held, policy=policy)] == [MONDAY + HOUR]


def test_a_delayed_start_that_lies_ahead_hides_no_clock_that_runs() -> None:
    start = [
        {"kind": "offer.created", "delay": {"elapsed_hours": 9}},
        {"kind": "application.stage_changed", "where": {"stage": "manager_review"}},
    ]
    by = agreement({"review_candidate": {"start": start}})
    told = fact("offer.created", MONDAY), stage("interview", MONDAY + HOUR), stage("manager_review", MONDAY + 2 * HOUR)
    found = evaluate((OPENED, CREATED, *told), by.policy, by.calendars, by.people, (), MONDAY + 3 * HOUR)
    assert [o.started_at for o in found.obligations if o.commitment == "review_candidate"] == [MONDAY + 2 * HOUR]
    assert found.next_due == MONDAY + 9 * HOUR


HELD = interview("i", MONDAY)


def test_the_clock_of_an_interviewer_waits_for_what_it_requires() -> None:
    policy = {"submit_feedback": {"requires": [{"kind": "offer.created"}, {"kind": "application.screened"}]}}
    ended = MONDAY + HOUR
    for drafted, screened, start in (
        (-HOUR, -HOUR, ended),
        (2 * HOUR, 3 * HOUR, MONDAY + 3 * HOUR),
        (3 * HOUR, HOUR / 2, MONDAY + 3 * HOUR),
    ):
        needed = fact("offer.created", MONDAY + drafted), fact("application.screened", MONDAY + screened)
        found = owed("submit_feedback", HELD, *needed, policy=policy)
        assert [o.started_at for o in found] == [start]
        assert owed("submit_feedback", HELD, needed[0], policy=policy) == []
    assert [o.started_at for o in owed("submit_feedback", HELD)] == [ended]


def test_of_the_ends_of_an_interview_and_of_its_application_the_earlier_cancels() -> None:
    for order in permutations((1, 2)):
        no_show = fact("interview.no_show", MONDAY + order[0] * 2 * HOUR, interview_id=HELD.interview_id)
        other = fact("interview.no_show", MONDAY + HOUR + HOUR / 2, interview_id=f"{ACCOUNT}/other")
        deleted = fact("application.deleted", MONDAY + order[1] * 2 * HOUR)
        found = owed("submit_feedback", HELD, no_show, deleted, other)
        assert [(o.verdict, o.ended_at) for o in found] == [(Verdict.CANCELLED, MONDAY + 2 * HOUR)]
    only = owed("submit_feedback", HELD, fact("interview.no_show", MONDAY + 3 * HOUR, interview_id=HELD.interview_id))
    assert [o.ended_at for o in only] == [MONDAY + 3 * HOUR]


def test_a_declined_request_cancels_the_one_commitment_it_names_or_all() -> None:
    review = stage("manager_review", MONDAY + HOUR)
    for about, verdict in ((None, Verdict.CANCELLED), ("review_candidate", Verdict.CANCELLED), ("decide", Verdict.OVERDUE)):
        said = {"reason_code": "illegal"} | ({"commitment": about} if about else {})
        declined = fact("request.declined", MONDAY + DAY, attributes=said)
        assert [o.verdict for o in owed("review_candidate", review, declined)] == [verdict]


def test_only_of_a_declined_request_it_matters_which_commitment_it_names() -> None:
    declined = fact("request.declined", MONDAY + 3 * DAY, attributes={"commitment": "decide"})
    withdrawn = fact("application.withdrawn", MONDAY + DAY, attributes={"commitment": "decide"})
    found = owed("review_candidate", stage("manager_review", MONDAY + HOUR), declined, withdrawn)
    assert [(o.verdict, o.ended_at) for o in found] == [(Verdict.CANCELLED, MONDAY + DAY)]


def test_the_third_different_application_makes_a_slate_and_the_same_one_twice_does_not() -> None:
    intake = fact("requisition.intake_held", MONDAY + HOUR, application_id=None)
    approved = fact("requisition.approved", MONDAY + HOUR, application_id=None)
    said = [
        stage("manager_review", MONDAY + n * HOUR).model_copy(update={"application_id": f"{ACCOUNT}/a{a}", "fact_id": f"s{n}"})
        for n, a in ((2, 1), (3, 1), (4, 2), (5, 3), (6, 4))
    ]
    assert spans("first_slate", approved, intake, *said) == [(MONDAY + HOUR, MONDAY + 5 * HOUR)]
    assert spans("first_slate", approved, intake, *said[:3]) == [(MONDAY + HOUR, None)]


def test_facts_of_the_requisition_itself_count_one_by_one() -> None:
    approved = fact("requisition.approved", MONDAY, application_id=None)
    intakes = [fact("requisition.intake_held", MONDAY + n * HOUR, application_id=None) for n in (1, 2, 3)]
    twice = {"hold_intake": {"stop_count": 2}}
    assert spans("hold_intake", approved, *intakes, policy=twice) == [(MONDAY, MONDAY + 2 * HOUR)]
    assert spans("hold_intake", approved, intakes[0], policy=twice) == [(MONDAY, None)]


def test_what_starts_once_starts_with_the_first_that_was_not_over() -> None:
    """Feedback that is complete after a rejection starts nothing; after the rejection was taken back it does."""
    once = {"decide": {"cycles": "once"}}
    rounds = [interview(name, MONDAY + d * DAY, MONDAY + known * DAY) for name, d, known in (("one", 1, 0), ("two", 5, 4))]
    cards = [
        fact("scorecard.submitted", MONDAY + d * DAY, interview_id=f"{ACCOUNT}/{name}", person=f"{ACCOUNT}/ada")
        for name, d in (("one", 2), ("two", 6))
    ]
    over = fact("application.rejected", MONDAY + 1.5 * DAY), fact("application.unrejected", MONDAY + 3 * DAY)
    assert [start for start, _ in spans("decide", *rounds, *cards, policy=once)] == [MONDAY + 2 * DAY]
    assert [start for start, _ in spans("decide", *rounds, *cards, *over, policy=once)] == [MONDAY + 6 * DAY]
