"""Every story of tests/scenarios, told to the pure core."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from streams.obligations import evaluate
from tests.stories import Expectation, Story, agreement, compare, stories


def cases() -> list[Any]:
    return [
        pytest.param(story, e, id=f"{story.name}-{e.as_of:%d-%H%M}-{e.obligation.split(':')[0]}-{i}")
        for story in stories()
        for i, e in enumerate(story.expectations)
    ]


@pytest.mark.parametrize(("story", "expectation"), cases())
def test_the_core_tells_the_story(story: Story, expectation: Expectation) -> None:
    judged_by = agreement(story.policy)
    found = evaluate(
        story.facts, judged_by.policy, judged_by.calendars, judged_by.people, story.watermarks, expectation.as_of
    ).obligations
    compare(story, expectation, {o.obligation_id: o for o in found})


@pytest.mark.parametrize("story", [s for s in stories() if s.held], ids=lambda s: s.name)
def test_the_core_tells_who_held_the_ball(story: Story) -> None:
    by = agreement(story.policy)
    for expected in story.held:
        found = evaluate(story.facts, by.policy, by.calendars, by.people, story.watermarks, expected.as_of).applications
        (application,) = (a for a in found if a.application_id == expected.application_id)
        held = [(h.start, h.holder, h.person) for h in application.holdings]
        changed = [h for n, h in enumerate(held) if n == 0 or h[1:] != held[n - 1][1:]]  # a new state is no new holder
        assert tuple(changed) == expected.holders


@pytest.mark.parametrize("story", stories(), ids=lambda s: s.name)
def test_intervals_of_every_obligation_add_up_to_its_elapsed_time(story: Story) -> None:
    judged_by = agreement(story.policy)
    for as_of in sorted({e.as_of for e in story.expectations}):
        for o in evaluate(
            story.facts, judged_by.policy, judged_by.calendars, judged_by.people, story.watermarks, as_of
        ).obligations:
            lengths = [((i.end or o.ended_at or as_of) - i.start) for i in o.receipt.intervals]
            assert sum(lengths, timedelta()) == timedelta(microseconds=o.elapsed_us)
            assert all(isinstance(i.start, datetime) for i in o.receipt.intervals)
