"""A receipt says enough to redo a verdict by hand: each interval, each fact, each line of the arithmetic."""

from __future__ import annotations

from streams.obligations import evaluate
from tests.stories import agreement, stories

AGREEMENT = agreement()


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
