"""What changes while a clock runs: after something was taken back it counts; in the people file it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from schemas.outcome import Obligation
from streams.obligations import evaluate
from tests.stories import Story, agreement, stories


def told(name: str) -> Story:
    return next(story for story in stories() if story.name == name)


def owed(story: Story, obligation_id: str, policy: dict[str, Any], changed_at: str, as_of: str) -> Obligation:
    """As of a minute after `as_of`, if the priority was raised at `changed_at`."""
    by = agreement(policy)
    raised = {"fact_id": "changed", "kind": "requisition.updated", "occurred_at": story.at(changed_at)}
    opened = story.facts[0].model_copy(update={"attributes": {"priority": "low"}})
    facts = [opened, *story.facts[1:], opened.model_copy(update=raised | {"attributes": {"priority": "high"}})]
    then = story.at(as_of) + timedelta(minutes=1)
    found = evaluate(facts, by.policy, by.calendars, by.people, story.watermarks, then).obligations
    return next(one for one in found if one.obligation_id == obligation_id)


def test_a_priority_raised_after_the_scorecard_was_deleted_changes_the_target() -> None:
    story, ada = told("feedback_deleted_and_given_again"), "submit_feedback:acme/r1:a1:i1:p-ada:1"
    stanza: dict[str, Any] = {"target": {"business_hours": 12}, "on_change": "retroactive"}
    stanza["targets"] = [{"when": {"priority": "high"}, "target": {"business_hours": 9}}]
    assert owed(story, ada, {"submit_feedback": stanza}, "Wed 09:30", "Wed 12:00").deadline == story.at("Wed 12:00")
    # at the old deadline it is too late
    assert owed(story, ada, {"submit_feedback": stanza}, "Wed 15:00", "Wed 15:00").deadline == story.at("Wed 15:00")


def test_who_changes_teams_changes_no_target_of_what_runs() -> None:
    story = told("person_changes_teams_on_the_way")
    stanza: dict[str, Any] = {"target": {"business_days": 2}, "on_change": "retroactive"}
    stanza["targets"] = [{"when": {"team": "sales"}, "target": {"business_hours": 1}}]
    one = owed(story, "review_candidate:acme/r1:a1:1", {"review_candidate": stanza}, "Thu 09:30", "Thu 10:00")
    assert (one.team, one.deadline) == ("platform", story.at("Fri 16:00"))
