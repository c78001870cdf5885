"""What `evaluate` does around the judging: facts to their requisition, cuts in time, halves, and what is due next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from schemas.fact import Fact
from streams.obligations import Evaluation, apart, digest, evaluate, evaluate_application, evaluate_requisition, routed
from tests.stories import ACCOUNT, agreement
from tests.unit.test_timeline import fact, interview

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)  # 09:00 in Berlin
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
BY = agreement()


def lost(name: str, hours: float = 0, **ids: str) -> Fact:
    """A fact that names nothing but what is given."""
    told: dict[str, Any] = {"requisition_id": None, "application_id": None}
    return fact(
        "application.updated", MONDAY + hours * HOUR, fact_id=name, **told | {n: f"{ACCOUNT}/{v}" for n, v in ids.items()}
    )


def places(*facts: Fact) -> set[tuple[str, str | None, str | None]]:
    """(fact, requisition, application), the same for every order."""
    found = {
        frozenset(
            (
                f.fact_id,
                f.requisition_id and f.requisition_id.partition("/")[2],
                f.application_id and f.application_id.partition("/")[2],
            )
            for f in routed(order)
        )
        for order in permutations(facts)
    }
    assert len(found) == 1
    return set(found.pop())


def test_a_fact_is_where_its_application_interview_or_candidate_is() -> None:
    known = lost("known", requisition_id="r1", application_id="a1", candidate_id="c1")
    of_interview = lost("invited", application_id="a1", interview_id="i1")
    assert places(known, lost("f", application_id="a1")) >= {("f", "r1", "a1")}
    assert places(known, of_interview, lost("f", interview_id="i1")) >= {("f", "r1", "a1"), ("invited", "r1", "a1")}
    assert places(known, lost("f", candidate_id="c1")) >= {("f", "r1", "a1")}
    assert places(known, lost("f", interview_id="unknown")) >= {("f", None, None)}
    assert places(known, lost("f", candidate_id="unknown")) >= {("f", None, None)}
    assert places(known, lost("f", application_id="unknown")) >= {("f", None, "unknown")}
    assert places(known, lost("f", requisition_id="r9", candidate_id="c1")) >= {("f", "r9", None)}, "it says where it belongs"
    assert places(known, lost("f", requisition_id="r9", application_id="a1")) >= {("f", "r9", "a1")}


def test_a_candidate_s_fact_is_about_each_of_their_applications() -> None:
    one, two = (lost(f"k{n}", requisition_id=f"r{n}", application_id=f"a{n}", candidate_id="c1") for n in (1, 2))
    told = routed([two, one, lost("f", candidate_id="c1")])
    assert [(f.requisition_id, f.application_id) for f in told if f.fact_id == "f"] == [
        (f"{ACCOUNT}/r{n}", f"{ACCOUNT}/a{n}") for n in (1, 2)
    ]
    assert [f for f in told if f.fact_id != "f"] == [one, two]
    named = lost("f", candidate_id="c1", application_id="a2")
    assert places(one, two, named) >= {("f", "r2", "a2")}


def test_of_several_requisitions_that_an_application_names_the_last_counts() -> None:
    early, late = lost("b", 1, requisition_id="r1", application_id="a1"), lost("a", 2, requisition_id="r2", application_id="a1")
    assert places(early, late, lost("f", application_id="a1")) == {("b", "r1", "a1"), ("a", "r2", "a1"), ("f", "r2", "a1")}
    together = early.model_copy(update={"occurred_at": late.occurred_at})
    assert places(together, late, lost("f", application_id="a1")) >= {("f", "r1", "a1")}, "at one instant that of the greater id"


def test_facts_of_a_requisition_and_of_each_application_lie_apart() -> None:
    own, one, two, again = (
        lost("o"),
        lost("1", application_id="a1"),
        lost("2", application_id="a2"),
        lost("3", application_id="a1"),
    )
    assert apart([own, one, two, again]) == ([own], {f"{ACCOUNT}/a1": [one, again], f"{ACCOUNT}/a2": [two]})


PEOPLE = {"recruiter": (f"{ACCOUNT}/rec",), "hiring_manager": (f"{ACCOUNT}/mgr",)}
OPENED = fact("requisition.opened", MONDAY, application_id=None, people=PEOPLE)
CREATED = fact("application.created", MONDAY)
SUBMITTED = fact(
    "application.stage_changed", MONDAY + HOUR, attributes={"stage": "manager_review", "stage_name": "HM"}, people=PEOPLE
)


def judged(*facts: Fact, as_of: datetime = MONDAY + 9 * DAY, known_at: datetime | None = None) -> Evaluation:
    return evaluate(facts, BY.policy, BY.calendars, BY.people, (), as_of, known_at)


def names(found: Evaluation) -> set[str]:
    return {o.commitment for o in found.obligations}


def test_what_was_learned_at_the_very_instant_was_known() -> None:
    late = SUBMITTED.model_copy(update={"received_at": MONDAY + DAY})
    for known_at, known in ((MONDAY + DAY, True), (MONDAY + DAY - INSTANT, False), (None, True)):
        assert ("review_candidate" in names(judged(OPENED, CREATED, late, known_at=known_at))) is known


def test_what_happened_at_the_very_instant_has_happened() -> None:
    for as_of, happened in ((SUBMITTED.occurred_at, True), (SUBMITTED.occurred_at - INSTANT, False)):
        found = judged(OPENED, CREATED, SUBMITTED, as_of=as_of)
        assert ("review_candidate" in names(found)) is happened
    assert judged(OPENED, CREATED, SUBMITTED, as_of=MONDAY).next_due == SUBMITTED.occurred_at
    mine, later = (
        OPENED.model_copy(update={"people": {}}),
        fact("requisition.updated", MONDAY + DAY, application_id=None, people=PEOPLE),
    )
    owners = [
        {o.owner for o in judged(mine, CREATED, later, as_of=at).obligations} for at in (MONDAY + DAY - INSTANT, MONDAY + DAY)
    ]
    assert owners == [{"unassigned"}, {"p-recruiter", "p-manager"}]


def test_what_a_requisition_becomes_at_the_very_instant_it_is() -> None:
    rules = [{"when": {"priority": "high"}, "target": {"elapsed_hours": 1}}]
    by = agreement({"provide_role_information": {"targets": rules, "on_change": "retroactive"}})
    raised = fact("requisition.updated", MONDAY + HOUR / 2, application_id=None, attributes={"priority": "high"})
    for as_of, due in ((raised.occurred_at, MONDAY + HOUR), (raised.occurred_at - INSTANT, MONDAY + 2 * DAY)):
        found = evaluate((OPENED, raised), by.policy, by.calendars, by.people, (), as_of).obligations
        assert [o.deadline for o in found if o.commitment == "provide_role_information"] == [due]


def test_what_is_due_next_is_the_first_of_all_that_is_due() -> None:
    """Over requisitions, applications, ends of interviews and delayed starts; of what has ended nothing is."""
    review = judged(OPENED, CREATED, SUBMITTED, as_of=MONDAY + HOUR)
    requisition = judged(OPENED, as_of=MONDAY)
    assert requisition.next_due == MONDAY + 2 * DAY + INSTANT, "role information"
    assert judged(CREATED, as_of=MONDAY).next_due == MONDAY + 7 * DAY + INSTANT, "the next contact, five working days on"
    assert review.next_due == MONDAY + 2 * DAY + INSTANT
    other = [f.model_copy(update={"requisition_id": f"{ACCOUNT}/r2", "fact_id": f"other {f.kind}"}) for f in (OPENED, CREATED)]
    early = [
        f.model_copy(update={"occurred_at": f.occurred_at - 3 * DAY, "application_id": f.application_id and "acme/a2"})
        for f in other
    ]
    both = judged(OPENED, CREATED, SUBMITTED, *early, as_of=MONDAY + HOUR)
    assert both.next_due == judged(*early, as_of=MONDAY + HOUR).next_due
    assert both.next_due is not None and review.next_due is not None
    assert both.next_due < review.next_due
    soon = interview("i", MONDAY + 2 * HOUR)
    assert judged(OPENED, CREATED, soon, as_of=MONDAY + HOUR).next_due == MONDAY + 3 * HOUR
    over = judged(
        OPENED, CREATED, fact("application.rejected", MONDAY + HOUR), fact("requisition.approved", MONDAY, application_id=None)
    )
    assert over.next_due is None or over.next_due > MONDAY + 9 * DAY
    assert judged().next_due is None


def test_a_delayed_start_is_due_and_no_obligation_until_its_time_comes() -> None:
    approved = fact("requisition.approved", MONDAY, application_id=None)
    begins = MONDAY + 3 * DAY
    only = agreement({c.name: {"enabled": c.name in ("first_slate", "provide_role_information")} for c in BY.policy.enabled()})

    def slate(as_of: datetime) -> tuple[bool, datetime | None]:
        found = evaluate((OPENED, approved), only.policy, only.calendars, only.people, (), as_of)
        return "first_slate" in names(found), found.next_due

    assert slate(begins - INSTANT) == (False, begins)
    assert slate(begins)[0] is True


def test_two_evaluations_add_up() -> None:
    one, two = judged(OPENED, as_of=MONDAY), judged(CREATED, as_of=MONDAY)
    late = Evaluation(next_due=MONDAY + 99 * DAY)
    assert (one + two).said == one.said + two.said
    assert (one + two).held == one.held + two.held == two.held
    assert {(a + b).next_due for a, b in permutations((one, late))} == {one.next_due}
    assert {(a + b).next_due for a, b in permutations((one, Evaluation()))} == {one.next_due}


def test_nothing_gives_nothing() -> None:
    assert evaluate_application([OPENED], [], BY, {}, MONDAY) == Evaluation()
    assert evaluate_requisition([], [], BY, {}, MONDAY) == Evaluation()


def test_a_requisition_keeps_of_an_application_s_fact_what_its_promises_ask_for() -> None:
    kept = digest(SUBMITTED, BY)
    assert kept is not None
    assert (kept.attributes, kept.people, kept.candidate_id) == ({"stage": "manager_review"}, {}, None)
    assert (kept.fact_id, kept.application_id, kept.occurred_at) == (
        SUBMITTED.fact_id,
        SUBMITTED.application_id,
        SUBMITTED.occurred_at,
    )
    screened = SUBMITTED.model_copy(update={"attributes": {"stage": "screen"}})
    assert [digest(one, BY) for one in (screened, CREATED, OPENED)] == [None] * 3


def test_an_application_takes_role_and_calendar_from_whoever_owes_for_a_delayed_start() -> None:
    """Three working days after the approval on the calendar of the recruiter: in New York they begin later."""
    bob = {"recruiter": (f"{ACCOUNT}/bob",), "hiring_manager": (f"{ACCOUNT}/mgr",)}
    approved = fact("requisition.approved", MONDAY, application_id=None)
    started = {}
    for people in (PEOPLE, bob, {}):
        opened = OPENED.model_copy(update={"people": people})
        started[str(people)] = next(o.started_at for o in judged(opened, approved).obligations if o.commitment == "first_slate")
    opens = datetime(2026, 3, 5, 14, tzinfo=UTC)  # 09:00 in New York, on the third day after Monday's opening
    assert list(started.values()) == [MONDAY + 3 * DAY, opens, MONDAY + 3 * DAY]
