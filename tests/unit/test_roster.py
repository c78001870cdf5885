"""Who had which role when, what a requisition was like when, and how far a source was read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from schemas.fact import Fact, Watermark
from streams.completeness import ALWAYS, NEVER, SILENT_US, complete_until, from_watermarks
from streams.history import History
from streams.holders import Hold
from streams.life import Life
from streams.roster import Roster, Traits
from streams.timeline import Event
from tests.stories import ACCOUNT, agreement
from tests.unit.test_timeline import fact

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)
PEOPLE = agreement().people


def snapshot(number: int, hours: float, **roles: Any) -> Fact:
    people = {role: tuple(f"{ACCOUNT}/{who}" for who in them) for role, them in roles.items()}
    return fact("requisition.updated", NOON + hours * HOUR, fact_id=f"f{number}", application_id=None, people=people)


def test_a_role_is_that_of_the_last_snapshot_that_names_it_from_its_very_instant_on() -> None:
    told = (
        snapshot(1, 0, hiring_manager=["mgr"], recruiter=["rec"]),
        snapshot(2, 1, hiring_manager=["mgr"]),
        snapshot(3, 2, hiring_manager=["mgr2", "mgr"], recruiter=[]),
    )
    for order in permutations(told):
        roster = Roster(order, PEOPLE)
        times = [NOON - HOUR, NOON, NOON + 2 * HOUR - INSTANT, NOON + 2 * HOUR, NOON + 9 * HOUR]
        assert [roster.who("hiring_manager", at) for at in times] == ["p-manager"] * 3 + ["p-manager2"] * 2
        assert roster.who("recruiter", NOON + 9 * HOUR) == "p-recruiter"
        assert roster.changes("hiring_manager") == [(NOON + 2 * HOUR, "f3")], "the one that says the same is no change"
        assert [list(roster.changes(role)) for role in ("recruiter", "sourcer", None)] == [[], [], []]
        assert (roster.who("sourcer", NOON), roster.who(None, NOON)) == (None, None)


def test_of_two_snapshots_of_one_instant_the_greater_id_has_the_last_word() -> None:
    for order in permutations([snapshot(1, 0, recruiter=["rec2"]), snapshot(2, 0, recruiter=["rec"])]):
        assert Roster(order, PEOPLE).who("recruiter", NOON) == "p-recruiter"


def test_who_is_not_known_is_replaced_or_unassigned() -> None:
    roster = Roster([snapshot(1, 0, recruiter=["rec"], hiring_manager=["stranger"])], PEOPLE)
    assert roster.owner("sourcer", "recruiter", NOON) == "p-recruiter"
    assert roster.owner("sourcer", None, NOON) == "unassigned"
    assert roster.owner("recruiter", "hiring_manager", NOON) == "p-recruiter"
    assert roster.team(NOON) == "unassigned", "the directory does not know the manager"
    assert Roster((), PEOPLE).team(NOON) == "unassigned"
    assert Roster([snapshot(1, 0, hiring_manager=["mia"])], PEOPLE).team(NOON) == "data"


def said(number: int, hours: float, kind: str = "requisition.updated", application: str | None = None, **attributes: Any) -> Fact:
    return fact(kind, NOON + hours * HOUR, fact_id=f"f{number}", application_id=application, attributes=attributes)


def test_a_requisition_is_as_its_own_facts_say_the_latest_of_each_attribute() -> None:
    told = (
        said(1, 1, "requisition.opened", priority="low", level=3),
        said(2, 2, priority="high"),
        said(3, 3),
        said(4, 4, application="acme/a1", priority="of an application"),
        said(5, 5, "request.declined", priority="of a request"),
        said(6, 6, level=4),
    )
    for order in (told, told[::-1]):
        traits = Traits(order)
        assert traits.at(NOON) == {"priority": "low", "level": 3}, "before the first, what the first says"
        assert traits.at(NOON + 2 * HOUR - INSTANT) == {"priority": "low", "level": 3}
        assert traits.at(NOON + 2 * HOUR) == {"priority": "high", "level": 3}
        assert traits.at(NOON + 9 * HOUR) == {"priority": "high", "level": 4}
        assert traits.changes(NOON + HOUR, NOON + 6 * HOUR) == [NOON + 2 * HOUR, NOON + 6 * HOUR]
        assert traits.changes(NOON, NOON + 6 * HOUR - INSTANT) == [NOON + HOUR, NOON + 2 * HOUR]
    assert Traits(()).at(NOON) == {}


def test_of_two_facts_of_one_instant_the_greater_id_says_what_the_requisition_is_like() -> None:
    for order in permutations([said(1, 1, priority="high"), said(2, 1, priority="low")]):
        assert Traits(order).at(NOON + HOUR) == {"priority": "low"}
        assert Traits(order).changes(NOON, NOON + 2 * HOUR) == [NOON + HOUR]


def life(*holders: str) -> Life:
    holds = [
        Hold(NOON + n * HOUR, NOON + (n + 1) * HOUR if n + 1 < len(holders) else None, holder, None, "f", "s")
        for n, holder in enumerate(holders)
    ]
    roster = Roster([snapshot(1, 0, recruiter=["rec"], hiring_manager=["mgr"])], PEOPLE)
    return Life("t", "acme/r/1", "acme/a1", History(()), roster, Traits(()), holds)


def test_whoever_holds_the_ball_holds_it_from_the_very_instant_on() -> None:
    told = life("talent_acquisition", "hiring_manager", "nobody")
    times = [NOON - INSTANT, NOON, NOON + HOUR - INSTANT, NOON + HOUR, NOON + 5 * HOUR]
    assert [told.place(at) for at in times] == [-1, 0, 0, 1, 2]
    assert told.during(NOON, NOON + HOUR) == told.holdings[:1]
    assert told.during(NOON + HOUR / 2, NOON + HOUR + INSTANT) == told.holdings[:2]
    assert told.during(NOON + HOUR, NOON + 9 * HOUR) == told.holdings[1:]
    assert told.during(NOON - HOUR, NOON + HOUR) == told.holdings[:1]
    assert told.during(NOON - HOUR, NOON) == []
    assert told.account == "acme"
    assert told.parties(NOON) == ("platform", "p-recruiter", "p-manager") == told.parties(NOON)


def test_what_is_over_starts_nothing_that_only_follows_from_facts() -> None:
    told = life("talent_acquisition", "nobody")
    for kind, silent, over in (
        ("interview.ended", False, True),
        ("application.stage_changed", False, False),
        ("application.stage_changed", True, True),
    ):
        assert told.is_over(Event(NOON + HOUR, "e", kind, {}), silent=silent) == over
        assert not told.is_over(Event(NOON + HOUR - INSTANT, "e", kind, {}), silent=silent)
        assert not told.is_over(Event(NOON - HOUR, "e", kind, {}), silent=silent)
    assert not told.is_over(Event(NOON + HOUR, "e", "application.hired", {}))
    assert not life("nobody", "talent_acquisition").is_over(Event(NOON - HOUR, "e", "interview.ended", {}))


def mark(kinds: str, until: float, learned: float, account: str = "acme") -> Watermark:
    return Watermark(
        account=account, kinds=tuple(kinds.split()), complete_until=NOON + until * HOUR, received_at=NOON + learned * HOUR
    )


def test_a_source_is_read_as_far_as_the_furthest_watermark_that_was_learned_by_then() -> None:
    marks = [mark("a b", 1, 2), mark("a", 3, 4), mark("a c", 2, 5), mark("a", 9, 9, account="other")]
    for order in permutations(marks):
        assert from_watermarks(order)["acme"] == {"a": NOON + 3 * HOUR, "b": NOON + HOUR, "c": NOON + 2 * HOUR}
        known = from_watermarks(order, NOON + 4 * HOUR)
        assert known["acme"] == {"a": NOON + 3 * HOUR, "b": NOON + HOUR, "c": NEVER}, "declared, and nothing of it known yet"
        assert from_watermarks(order, NOON + 4 * HOUR - INSTANT)["acme"]["a"] == NOON + HOUR
    complete = from_watermarks(marks)
    assert complete_until(complete, "acme", ("a", "b", "nobody declares it")) == NOON + HOUR
    assert complete_until(complete, "acme", ("nobody declares it",)) == ALWAYS
    assert complete_until(complete, "unknown", ("a",)) == ALWAYS
    assert SILENT_US * INSTANT == HOUR
