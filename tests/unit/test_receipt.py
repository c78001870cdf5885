"""A receipt says enough to redo a verdict by hand: each interval, each fact, each line of the arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.fact import Fact
from streams.agreement import Agreement
from streams.deadline import HOUR_US as HOUR_OF_DEADLINES
from streams.obligations import Evaluation, evaluate
from streams.receipt import HOUR_US, Held, Said
from tests.stories import Story, agreement, stories
from tests.unit.test_timeline import MONDAY, fact

AGREEMENT = agreement()
HOUR = timedelta(hours=1)


def test_a_receipt_tells_intervals_facts_and_arithmetic() -> None:
    story = next(s for s in stories() if s.name == "offer_waits_for_its_approval")
    as_of = story.at("Fri 12:00")
    found = evaluate(story.facts, AGREEMENT.policy, AGREEMENT.calendars, AGREEMENT.people, story.watermarks, as_of).obligations
    receipt = next(o.receipt for o in found if o.commitment == "send_offer")
    assert [(f.role, f.kind) for f in receipt.facts] == [
        ("start", "application.stage_changed"),
        ("requires", "offer.approved"),
        ("stop", "offer.sent"),
    ]
    assert receipt.arithmetic == (
        "started 2026-03-05 12:00:00+01:00 with application.stage_changed, once offer.approved was there",
        "business_days: 1 on berlin ends 2026-03-06 12:00:00+01:00",
        "deadline 2026-03-06 12:00:00+01:00",
        "offer.sent at 2026-03-06 11:00:00+01:00",
        "working time that counted: 7.0000 hours",
        "met: done in time",
    )


def test_a_receipt_names_the_people_file_and_since_when_it_is_so() -> None:
    story = next(s for s in stories() if s.name == "person_changes_teams_on_the_way")
    as_of = max(e.as_of for e in story.expectations)
    found = evaluate(story.facts, AGREEMENT.policy, AGREEMENT.calendars, AGREEMENT.people, story.watermarks, as_of).obligations
    moved = story.at("Thu 00:00")
    assert {o.started_at >= moved for o in found} == {True, False}
    for o in found:
        since = " from 2026-03-04T23:00:00Z" if o.started_at >= moved else ""
        assert o.receipt.people_version == AGREEMENT.people.version + since


def test_a_receipt_tells_pauses_from_waiting_and_what_they_moved() -> None:
    held = next(s for s in stories() if s.name == "hold_extends_the_deadline")
    as_of = held.at("Wed 13:00")
    found = evaluate(held.facts, AGREEMENT.policy, AGREEMENT.calendars, AGREEMENT.people, held.watermarks, as_of).obligations
    receipt = next(o.receipt for o in found if o.commitment == "review_candidate")
    assert [(i.state, i.holder, i.business_us / 3_600_000_000) for i in receipt.intervals] == [
        ("running", "hiring_manager", 2),
        ("paused", "paused", 8),
        ("running", "hiring_manager", 1),
    ]
    assert receipt.intervals[-1].end is None
    assert "moved by 8.0000 hours in which the clock stood still" in receipt.arithmetic
    assert "working time that counted: 3.0000 hours" in receipt.arithmetic
    waiting = next(s for s in stories() if s.name == "interview_clock_waits_for_scheduling")
    as_of = waiting.at("Tue 12:00")
    found = evaluate(
        waiting.facts, AGREEMENT.policy, AGREEMENT.calendars, AGREEMENT.people, waiting.watermarks, as_of
    ).obligations
    receipt = next(o.receipt for o in found if o.commitment == "hold_interview")
    assert [(i.state, i.holder) for i in receipt.intervals] == [("waiting", "talent_acquisition")]
    assert "no deadline while the clock stands still" in receipt.arithmetic


def judged(story: Story, facts: Iterable[Fact], as_of: datetime, by: Agreement) -> Evaluation:
    return evaluate(facts, by.policy, by.calendars, by.people, story.watermarks, as_of)


def settled(body: dict[str, Any]) -> dict[str, Any]:
    """What of a body does not move with the clock: all of it once it has ended."""
    if "ended_at" in body or body["type"] == "application":
        return body
    receipt = {name: value for name, value in body["receipt"].items() if name not in ("intervals", "arithmetic")}
    return {n: v for n, v in body.items() if n not in ("elapsed_us", "business_us", "receipt")} | {"receipt": receipt}


def by_subject(found: Evaluation) -> dict[str, Said | Held]:
    return {one.subject: one for one in (*found.said, *found.held)}


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.name)
def test_a_fingerprint_changes_with_everything_a_body_says(story: Story) -> None:
    """The story with each of its facts left out, or told an hour later: what then reads otherwise is news."""
    by, as_of = agreement(story.policy), max(e.as_of for e in story.expectations)
    first = by_subject(judged(story, story.facts, as_of, by))
    assert first
    for place, one in enumerate(story.facts):
        rest = [*story.facts[:place], *story.facts[place + 1 :]]
        later = one.model_copy(update={"occurred_at": one.occurred_at + HOUR})
        for facts in (rest, [*rest, later]):
            for subject, said in by_subject(judged(story, facts, as_of, by)).items():
                if subject in first and settled(said.body()) != settled(first[subject].body()):
                    assert said.fingerprint != first[subject].fingerprint


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.name)
def test_time_that_only_passes_is_no_news(story: Story) -> None:
    by, as_of = agreement(story.policy), max(e.as_of for e in story.expectations)
    found = judged(story, story.facts, as_of, by)
    if found.next_due is not None and found.next_due <= as_of + HOUR:
        return
    first, later = by_subject(found), by_subject(judged(story, story.facts, as_of + HOUR, by))
    assert {s: one.fingerprint for s, one in first.items()} == {s: one.fingerprint for s, one in later.items()}
    assert all(len(one.fingerprint) == 16 for one in first.values()), "8 bytes"


def test_what_is_not_known_is_not_said() -> None:
    story = next(s for s in stories() if s.name == "review_in_time")
    found = judged(story, story.facts, max(e.as_of for e in story.expectations), AGREEMENT)
    for body in (one.body() for one in (*found.said, *found.held)):
        assert None not in body.values()
        assert all(None not in part.values() for part in body.get("holdings", ()))


def test_of_an_application_it_says_who_held_the_ball_and_when_it_was_accepted() -> None:
    told = [
        fact("application.created", MONDAY),
        fact("offer.sent", MONDAY + HOUR),
        fact("offer.accepted", MONDAY + 2 * HOUR),
        fact("application.hired", MONDAY + 3 * HOUR),
    ]
    held = judged(stories()[0], told, MONDAY + 9 * HOUR, AGREEMENT).held[0]
    assert held.subject == told[0].application_id
    assert [(h["start"], h.get("end"), h["holder"]) for h in held.body()["holdings"]] == [
        (MONDAY, MONDAY + HOUR, "talent_acquisition"),
        (MONDAY + HOUR, MONDAY + 2 * HOUR, "candidate"),
        (MONDAY + 2 * HOUR, MONDAY + 3 * HOUR, "talent_acquisition"),
        (MONDAY + 3 * HOUR, None, "nobody"),
    ]
    accepted = [
        judged(stories()[0], facts, MONDAY + 9 * HOUR, AGREEMENT).applications[0].accepted_at
        for facts in (told, [told[0], told[3]], [told[0], told[2]], told[:1])
    ]
    assert accepted == [MONDAY + 2 * HOUR, MONDAY + 3 * HOUR, MONDAY + 2 * HOUR, None]


@pytest.mark.parametrize(
    ("later", "accepted"),
    [
        ([("application.unhired", 4)], None),
        ([("application.unhired", 4), ("application.hired", 5)], 2),  # by the offer there was
        ([("application.unhired", 4), ("offer.accepted", 6), ("offer.accepted", 7), ("application.hired", 8)], 6),
        ([("application.hired", 4), ("application.unhired", 5)], None),
    ],
)
def test_a_hire_that_was_taken_back_was_not_accepted(later: list[tuple[str, int]], accepted: int | None) -> None:
    told = [
        fact("application.created", MONDAY),
        fact("offer.accepted", MONDAY + 2 * HOUR),
        fact("application.hired", MONDAY + 3 * HOUR),
        *(fact(kind, MONDAY + hours * HOUR) for kind, hours in later),
    ]
    (state,) = judged(stories()[0], told, MONDAY + 9 * HOUR, AGREEMENT).applications
    assert state.accepted_at == (None if accepted is None else MONDAY + accepted * HOUR)


def test_the_last_interval_is_open_only_while_the_obligation_is() -> None:
    story = next(s for s in stories() if s.name == "review_overdue_then_late")
    last = max(e.as_of for e in story.expectations)
    ends = [o.receipt.intervals[-1].end for o in judged(story, story.facts, last, AGREEMENT).obligations if o.receipt.intervals]
    ended = [o.ended_at for o in judged(story, story.facts, last, AGREEMENT).obligations if o.receipt.intervals]
    assert ends == ended
    assert None in ends
    assert any(ends)


def test_the_event_that_ended_a_clock_too_late_to_cancel_it_is_still_called_a_cancel() -> None:
    story = next(s for s in stories() if s.name == "cancelled_at_the_very_deadline")
    found = judged(story, story.facts, max(e.as_of for e in story.expectations), AGREEMENT).obligations
    missed = next(o for o in found if o.commitment == "review_candidate" and o.verdict == "missed")
    assert [(f.role, f.kind) for f in missed.receipt.facts if f.role != "start"] == [("cancel", "application.withdrawn")]


def test_a_receipt_says_what_a_clock_waited_for_only_if_it_did() -> None:
    approved, drafted = (fact(f"offer.{what}", MONDAY + HOUR) for what in ("approved", "created"))
    for stage_at, once in ((HOUR / 2, ", once offer.approved was there"), (HOUR, ""), (2 * HOUR, "")):
        offer = fact("application.stage_changed", MONDAY + stage_at, attributes={"stage": "offer"})
        found = judged(
            stories()[0], (fact("application.created", MONDAY), drafted, approved, offer), MONDAY + 9 * HOUR, AGREEMENT
        )
        lines = next(o.receipt.arithmetic for o in found.obligations if o.commitment == "send_offer")
        assert lines[0].endswith(f"with application.stage_changed{once}")


def receipts(name: str) -> list[Any]:
    """Receipts of a story's last instant."""
    story = next(s for s in stories() if s.name == name)
    found = judged(story, story.facts, max(e.as_of for e in story.expectations), agreement(story.policy))
    return [o.receipt for o in found.obligations]


def test_a_declined_request_is_what_cancelled_an_obligation() -> None:
    roles = [(f.role, f.kind) for receipt in receipts("declined_for_one_application") for f in receipt.facts]
    assert ("cancel", "request.declined") in roles
    assert ("stop", "request.declined") not in roles


def test_behind_a_derived_moment_a_receipt_names_the_facts_it_follows_from() -> None:
    story = next(s for s in stories() if s.name == "feedback_of_a_panel")
    known = {f.fact_id for f in story.facts}
    ended = [[f for f in r.facts if f.kind == "interview.ended"] for r in receipts(story.name)]
    moments = [facts for facts in ended if facts]
    assert moments
    for moment, *because in moments:
        assert moment.role in ("start", "stop")
        assert moment.event_id not in known
        assert [f.role for f in because] == ["because"] * len(because)
        assert because
        assert {f.event_id for f in because} <= known


def test_a_clock_that_a_change_started_anew_says_since_when() -> None:
    lines = [line for receipt in receipts("priority_raised_reset") for line in receipt.arithmetic if "anew" in line]
    assert lines
    assert all(line.startswith("started anew 2026-03-") and line.endswith(", when the requisition changed") for line in lines)


def test_an_hour_of_receipts_is_one_of_deadlines() -> None:
    assert HOUR_US * timedelta(microseconds=1) == HOUR
    assert HOUR_US == HOUR_OF_DEADLINES


def test_a_decline_before_the_start_stands_in_the_receipt_as_what_cancelled() -> None:
    story = next(s for s in stories() if s.name == "declined_after_it_was_kept")
    found = judged(story, story.facts, max(e.as_of for e in story.expectations), AGREEMENT)
    (late,) = (o for o in found.obligations if o.obligation_id == "review_candidate:acme/r1:a5:1")
    assert [(fact.role, fact.kind) for fact in late.receipt.facts] == [
        ("start", "application.stage_changed"),
        ("cancel", "request.declined"),
    ]
