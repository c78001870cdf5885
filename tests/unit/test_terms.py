"""Who owes, on whose calendar, by which target: what is fixed at the start of a clock, and the little that may still change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
import yaml

from schemas.directory import Directory
from schemas.fact import Fact
from schemas.outcome import Obligation, Side, Verdict
from streams.directory import People
from streams.obligations import evaluate
from tests.stories import ACCOUNT, HERE, agreement
from tests.unit.test_timeline import fact, interview

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)  # 09:00 in Berlin
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
START = MONDAY + HOUR
TA, HM = Side.TALENT_ACQUISITION, Side.HIRING_MANAGER


def requisition(kind: str, when: datetime, who: str | None = None, number: int = 0, **said: Any) -> Fact:
    people = {"hiring_manager": (f"{ACCOUNT}/{who}",)} if who else {}
    return fact(kind, when, fact_id=f"{kind} {when} {number}", application_id=None, people=people, attributes=said)


def review(*told: Fact, as_of: datetime = MONDAY + 30 * DAY, people: People | None = None, **changes: Any) -> Obligation:
    """The review of a candidate who was submitted on Monday at 10:00."""
    by = agreement({"review_candidate": {"clock": "always", "target": {"business_hours": 8}} | changes})
    submitted = fact("application.stage_changed", START, attributes={"stage": "manager_review"})
    facts = fact("application.created", MONDAY), submitted, *told
    found = evaluate(facts, by.policy, by.calendars, people or by.people, (), as_of).obligations
    return next(o for o in found if o.commitment == "review_candidate")


def test_whoever_holds_the_ball_owes_or_held_it_last_or_talent_acquisition() -> None:
    """The first contact is due after two elapsed hours; the ball goes round meanwhile."""
    by = agreement({"no_silence": {"enabled": True, "clock": "always", "target": {"elapsed_hours": 2}, "cycles": "once"}})
    people = {"recruiter": (f"{ACCOUNT}/rec",), "hiring_manager": (f"{ACCOUNT}/mgr",)}
    opened, created = fact("requisition.opened", MONDAY, application_id=None, people=people), fact("application.created", MONDAY)
    review = fact("application.stage_changed", MONDAY + 2 * HOUR, attributes={"stage": "manager_review"})
    early = fact("application.stage_changed", MONDAY + HOUR, attributes={"stage": "manager_review"})
    held = requisition("requisition.held", MONDAY + 1.5 * HOUR)
    begun_by_candidate = fact("offer.sent", MONDAY)
    for facts, who in (
        ((), (TA, "p-recruiter")),
        ((early,), (HM, "p-manager")),
        ((review,), (HM, "p-manager")),
        ((early, held), (HM, "p-manager")),
        ((begun_by_candidate,), (TA, "p-recruiter")),
        ((begun_by_candidate, fact("offer.declined", MONDAY + 3 * HOUR)), (TA, "p-recruiter")),
    ):
        found = evaluate((opened, created, *facts), by.policy, by.calendars, by.people, (), MONDAY + 9 * HOUR).obligations
        silence = next(o for o in found if o.commitment == "no_silence")
        assert (silence.side, silence.owner) == who


OPENED = requisition("requisition.opened", MONDAY, "mgr", priority="low")
RULES = [
    {"when": {"priority": "high"}, "target": {"business_hours": 4}},
    {"when": {"priority": "urgent"}, "target": {"business_hours": 2}},
]


def raised(when: datetime, to: str = "high") -> Fact:
    return requisition("requisition.updated", when, priority=to)


@pytest.mark.parametrize(
    ("on_change", "due"),
    [
        ("pinned", START + DAY),  # 7 hours on Monday, one on Tuesday: 10:00
        ("retroactive", START + 4 * HOUR),
        ("forward", START + 2 * HOUR + 3 * HOUR),  # a quarter of it was gone
        ("reset", START + 2 * HOUR + 4 * HOUR),
    ],
)
def test_a_target_that_changes_on_the_way(on_change: str, due: datetime) -> None:
    found = review(OPENED, raised(START + 2 * HOUR), targets=RULES, on_change=on_change)
    assert found.deadline == due


def test_a_change_counts_only_before_the_deadline_in_force() -> None:
    for when, due in ((START + DAY - INSTANT, START + 4 * HOUR), (START + DAY, START + DAY), (START + 2 * DAY, START + DAY)):
        assert review(OPENED, raised(when), targets=RULES, on_change="retroactive").deadline == due
    later = [raised(START + 3 * HOUR), raised(START + 5 * HOUR, "low")]
    for order in permutations(later):
        assert review(OPENED, *order, targets=RULES, on_change="retroactive").deadline == START + 4 * HOUR, "it was due by then"
    twice = raised(START + 2 * HOUR, "urgent"), raised(START + 3 * HOUR)
    assert review(OPENED, *twice, targets=RULES, on_change="reset").deadline == START + 3 * HOUR + 4 * HOUR


def test_a_change_of_something_else_changes_nothing_and_hides_no_later_one() -> None:
    other = requisition("requisition.updated", START + HOUR, level=4)
    for on_change, due in (("forward", START + 5 * HOUR), ("reset", START + 6 * HOUR)):
        found = review(OPENED, other, raised(START + 2 * HOUR), targets=RULES, on_change=on_change)
        assert found.deadline == due


def test_a_change_at_the_very_start_is_the_start() -> None:
    for on_change in ("pinned", "retroactive", "forward", "reset"):
        assert review(OPENED, raised(START), targets=RULES, on_change=on_change).deadline == START + 4 * HOUR


def test_a_change_counts_from_its_very_instant_on() -> None:
    change = raised(START + 2 * HOUR)
    for as_of, due in ((change.occurred_at - INSTANT, START + DAY), (change.occurred_at, START + 6 * HOUR)):
        assert review(OPENED, change, as_of=as_of, targets=RULES, on_change="reset").deadline == due


def test_a_manager_of_another_team_changes_a_target_of_teams() -> None:
    teams = [{"when": {"team": "data"}, "target": {"elapsed_hours": 3}}]
    other = requisition("requisition.updated", START + HOUR, "mia")
    assert review(OPENED, other, targets=teams, on_change="retroactive").deadline == START + 3 * HOUR
    assert review(OPENED, other, targets=teams, on_change="pinned").deadline == START + DAY
    stranger = requisition("requisition.opened", MONDAY, "stranger")
    assert review(stranger, targets=[{"when": {"location": "nyc"}, "target": {"elapsed_hours": 3}}]).deadline == START + DAY


def company(**leave: Any) -> People:
    """The company, its manager away on the days given."""
    raw = yaml.safe_load((HERE / "company/people.yaml").read_text())
    next(one for one in raw["people"] if one["key"] == "p-manager")["leave"] = list(leave.values())
    return People.from_directory(Directory.model_validate(raw))


def away(day: str, learned: datetime) -> dict[str, Any]:
    return {"first": day, "last": day, "learned_at": learned}


def test_leave_counts_if_it_was_learned_by_the_very_deadline() -> None:
    due = START + DAY  # Tuesday
    for late, deadline in ((timedelta(), due + DAY), (INSTANT, due)):
        assert review(OPENED, people=company(one=away("2026-03-03", due + late))).deadline == deadline


def test_leave_that_moves_the_deadline_may_bring_more_leave_into_it() -> None:
    tuesday = away("2026-03-03", MONDAY)
    due = START + 2 * DAY  # Wednesday, without the Tuesday
    for late, deadline in ((timedelta(), due + DAY), (INSTANT, due)):
        people = company(one=tuesday, two=away("2026-03-04", due + late))
        found = review(OPENED, people=people)
        assert (found.deadline, found.verdict) == (deadline, Verdict.OVERDUE)


def test_leave_that_was_learned_before_the_deadline_as_a_hold_moved_it_counts() -> None:
    hold = requisition("requisition.held", START + HOUR), requisition("requisition.resumed", START + HOUR + DAY)
    due = START + 2 * DAY  # Wednesday: the hold took eight hours
    for late, deadline in ((timedelta(), due + DAY), (INSTANT, due)):
        assert review(OPENED, *hold, people=company(one=away("2026-03-04", due + late))).deadline == deadline


def test_the_role_that_owes_is_what_the_policy_says_and_not_what_its_side_has() -> None:
    people = {"hiring_manager": (f"{ACCOUNT}/mgr",), "recruiter": (f"{ACCOUNT}/rec",), "sourcer": (f"{ACCOUNT}/ada",)}
    opened = OPENED.model_copy(update={"people": people})
    for owner, fallback, who in (
        ("sourcer", None, "p-ada"),
        ("nobody", "recruiter", "p-recruiter"),
        ("nobody", None, "unassigned"),
    ):
        changes = {"review_candidate": {"clock": "always", "owner": owner, "fallback_owner": fallback}}
        by = agreement(changes)
        submitted = fact("application.stage_changed", START, attributes={"stage": "manager_review"})
        found = evaluate((opened, fact("application.created", MONDAY), submitted), by.policy, by.calendars, by.people, (), START)
        assert [o.owner for o in found.obligations if o.commitment == "review_candidate"] == [who]


def test_leave_moves_what_stands_still_as_it_would_be_without_the_pause() -> None:
    paused = requisition("requisition.held", START + HOUR)
    found = review(OPENED, paused, people=company(one=away("2026-03-03", START + DAY)))
    assert found.deadline is None
    assert f"ends {(START + 2 * DAY).astimezone(agreement().calendars.at('berlin', START).tz).isoformat(sep=' ')}" in " ".join(
        found.receipt.arithmetic
    )


def test_what_shares_its_deadline_with_a_sibling_shares_it_person_by_person() -> None:
    """Two interviewers on two calendars: the quality of each card is due with that card and not with the other's."""
    panel = interview("i", MONDAY, interviewers=[f"{ACCOUNT}/ada", f"{ACCOUNT}/bob"])
    by = agreement()
    found = evaluate(
        (fact("application.created", MONDAY), panel), by.policy, by.calendars, by.people, (), MONDAY + 9 * DAY
    ).obligations
    due = {(o.commitment, o.owner): o.deadline for o in found}
    for who in ("p-ada", "p-bob"):
        assert due["submit_feedback", who] == due["objective_feedback", who] == due["validated_feedback", who] is not None
    assert due["submit_feedback", "p-ada"] != due["submit_feedback", "p-bob"]
