"""A stage change that a webhook and a poll tell with times seconds apart is two facts, and judged as one, in every story.

Greenhouse's webhook knows only the application's last activity, which comes after the poll's `entered_at`; Workable's the
candidate's `updated_at`. Their ids differ (they hang on the second), the obligations must not.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.fact import Fact, fact_id
from streams.obligations import evaluate
from tests.stories import Story, agreement, stories

SAME = ("verdict", "owner", "side", "team", "started_at", "due_soon_at", "deadline", "ended_at", "elapsed_us", "business_us")


def again(fact: Fact, seconds: int) -> Fact:
    """The same change as the other way tells it."""
    later = fact.occurred_at + timedelta(seconds=seconds)
    other = fact_id(fact.tenant, fact.account, fact.kind, [fact.fact_id], later)
    return fact.model_copy(
        update={"fact_id": other, "occurred_at": later, "received_at": fact.received_at + timedelta(minutes=5)}
    )


def judged(story: Story, facts: list[Fact], as_of: Any) -> dict[str, dict[str, Any]]:
    by = agreement(story.policy)
    found = evaluate(facts, by.policy, by.calendars, by.people, story.watermarks, as_of).obligations
    return {one.obligation_id: {name: getattr(one, name) for name in SAME} for one in found}


def tellable(story: Story) -> bool:
    """Not where an application enters two stages at one instant: told again later, it enters the first of them once more."""
    entered = [(f.application_id, f.occurred_at) for f in story.facts if f.kind == "application.stage_changed"]
    return len(set(entered)) == len(entered)


@pytest.mark.parametrize("seconds", [7])
@pytest.mark.parametrize("story", [story for story in stories() if tellable(story)], ids=lambda story: story.name)
def test_told_twice_seconds_apart_it_is_judged_once(story: Story, seconds: int) -> None:
    twice = [again(fact, seconds) for fact in story.facts if fact.kind == "application.stage_changed"]
    for as_of in sorted({one.as_of for one in story.expectations}):
        if any(fact.occurred_at <= as_of < fact.occurred_at + timedelta(seconds=seconds) for fact in story.facts):
            continue  # between the two
        assert judged(story, [*story.facts, *twice], as_of) == judged(story, list(story.facts), as_of)


def test_there_are_stories_to_tell_twice() -> None:
    told = [fact for story in stories() for fact in story.facts if fact.kind == "application.stage_changed"]
    assert len(told) > 50
    assert len({again(fact, 7).fact_id for fact in told} | {fact.fact_id for fact in told}) >= len({f.fact_id for f in told}) * 2
