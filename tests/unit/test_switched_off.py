"""A stanza that is not enabled ends the one before it; what began earlier runs on as it was agreed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.policy import Commitment, Policy
from streams.check import load_policy
from streams.errors import InvalidConfiguration
from streams.obligations import evaluate
from tests.stories import Story, agreement, stories

DEPLOY = Path(__file__).parents[2] / "deploy"
REVIEW = "review_candidate"


def policy(*changes: dict[str, Any]) -> dict[str, Any]:
    """The demo company's policy, with a further stanza for each of `changes`: the one there is, changed."""
    raw: dict[str, Any] = yaml.safe_load((DEPLOY / "policy.yaml").read_text())
    for change in changes:
        raw["commitments"].append({**next(c for c in raw["commitments"] if c["name"] == change["name"]), **change})
    return raw


def off(name: str, at: datetime | str, version: str = "2") -> dict[str, Any]:
    return {"name": name, "version": version, "effective_from": at, "enabled": False}


def both_off(at: datetime) -> list[dict[str, Any]]:
    """The review, and what is due with it."""
    return [off(REVIEW, at), off("qualified_talent", at)]


def judged(story: Story, raw: dict[str, Any]) -> dict[str, str]:
    by, last = agreement(), max(e.as_of for e in story.expectations)
    found = evaluate(story.facts, Policy.model_validate(raw), by.calendars, by.people, story.watermarks, last)
    return {o.obligation_id: o.verdict for o in found.obligations if o.commitment == REVIEW}


def test_what_starts_from_then_on_is_not_owed_and_what_started_before_runs_on() -> None:
    story = next(s for s in stories() if s.name == "review_overdue_then_late")
    started = min(f.occurred_at for f in story.facts if f.attributes.get("stage") == "manager_review")
    before = judged(story, policy())
    assert before
    assert judged(story, policy(*both_off(started + timedelta(microseconds=1)))) == before
    assert judged(story, policy(*both_off(started))) == {}
    on_again = [{**one, "version": "3", "effective_from": started, "enabled": True} for one in both_off(started)]
    assert judged(story, policy(*both_off(started - timedelta(days=2)), *on_again)) == before
    assert judged(story, policy(off("decide", started))) == before


def test_only_what_says_something_is_agreed() -> None:
    raw = policy(off(REVIEW, "2026-07-01T00:00:00Z"), off(REVIEW, "2027-07-01T00:00:00Z", "3"))
    found = Policy.model_validate(raw).agreed()
    enabled = [c["name"] for c in raw["commitments"] if c.get("enabled", True)]
    assert [c.name for c in found] == [*enabled, REVIEW, REVIEW]
    assert len(enabled) < len(raw["commitments"]) - 2, "samples that were never on are among what is left out"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([off("submit_feedback", "2026-07-01T00:00:00Z")], "submit_feedback is not in force from 2026-07-01T00:00:00+00:00 on"),
        ([off(name, "2026-07-01T00:00:00Z") for name in ("submit_feedback", "objective_feedback", "validated_feedback")], ""),
    ],
)
def test_nothing_is_due_with_what_is_over(changes: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(policy(*changes)))
    if not said:
        assert load_policy(path).commitments[-1].enabled is False
        return
    with pytest.raises(InvalidConfiguration) as refused:
        load_policy(path)
    assert all(said in fault and "policy.yaml:" in fault for fault in refused.value.faults)


def test_every_sibling_of_the_demo_company_is_named_above() -> None:
    raw = policy()
    with_it = {c["name"] for c in raw["commitments"] if c.get("sibling") == "submit_feedback" and c.get("enabled", True)}
    assert with_it == {"objective_feedback", "validated_feedback"}
    assert all(Commitment.model_validate(c) for c in raw["commitments"])
