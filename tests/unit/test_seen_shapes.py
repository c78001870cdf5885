"""Bodies in shapes that vendors were seen to send, or say that they send, and that a first reading of their pages got wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from schemas.fact import Fact, Origin
from streams.connectors import CONNECTORS
from streams.pollers import workable
from streams.pollers.plan import Found
from tests.fake_ats import drive
from tests.vendors import BODIES, STAGES, facts, headers


def read(vendor: str, name: str, body: Any, **changes: Any) -> list[Fact]:
    """The facts of a whole body, `record.TYPE` or `webhook.EVENT`."""
    return CONNECTORS[vendor].normalise(headers(vendor, name, **changes), json.dumps(body).encode(), STAGES)


def kinds(found: list[Fact]) -> list[str]:
    return [fact.kind for fact in found]


# -- Workable ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rating", "word"),
    [
        ({"score": "positive", "scale": "thumbs", "grade": 1}, "positive"),
        ({"score": "negative", "scale": "thumbs", "grade": 0}, "negative"),
        ({"score": "definite", "scale": "stars", "grade": 5}, "definite"),
        ({"score": "definite"}, "definite"),
        ({"score": "what a day", "grade": 3}, "other"),
    ],
)
def test_workable_scores_with_a_word_and_grades_with_a_number(rating: dict[str, Any], word: str) -> None:
    [card] = facts("workable", "record.activities", {"action": "rating", "target_stage": None, "rating": rating})
    assert (card.kind, card.attributes["rated"], card.attributes["complete"]) == ("scorecard.submitted", True, True)
    assert card.attributes["rating"] == word


@pytest.mark.parametrize("rating", [None, {}, {"score": None, "grade": None}, {"score": ""}, {"score": True}])
def test_workable_an_evaluation_without_a_score_rates_nothing(rating: Any) -> None:
    [card] = facts("workable", "record.activities", {"action": "rating", "target_stage": None, "rating": rating})
    assert (card.attributes["rated"], card.attributes["complete"]) == (False, False)


def workable_people(request: httpx.Request) -> httpx.Response:
    """The list says that somebody was disqualified, and only the candidate's own page when, and by whom."""
    listed = {name: v for name, v in BODIES["workable", "record.candidates"].items() if not name.startswith(("disq", "withd"))}
    if request.url.path.endswith("/candidates"):
        people = [{**listed, "id": "in", "disqualified": False}, {**listed, "id": "out", "disqualified": True}]
        return httpx.Response(200, json={"candidates": people})
    told = {**listed, "disqualified": True, "disqualified_at": "2026-03-09T08:00:00Z", "withdrew": True}
    return httpx.Response(200, json={"candidate": {**told, "id": request.url.path.rpartition("/")[2]}})


def test_workable_when_a_candidate_was_disqualified_is_asked_for_because_no_list_tells() -> None:
    base, token = "https://acme.workable.com/spi/v3", {"Authorization": "Bearer t"}
    found: list[Found] = drive(workable.PLANS["candidates"](None), workable_people, base, token)
    told = {
        one.body["id"]: [f for f in read("workable", "record.candidates", one.body) if f.kind != "application.created"]
        for one in found
    }
    assert "application.withdrawn" not in kinds(told["in"])
    [gone] = [fact for fact in told["out"] if fact.kind == "application.withdrawn"]
    assert gone.occurred_at == datetime(2026, 3, 9, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "event",
    ["employee_created", "employee_updated", "employee_published", "onboarding_completed", "timeoff_updated"],
)
def test_workable_events_of_employees_tell_nothing(event: str) -> None:
    assert read("workable", "webhook.candidate_moved", {"event_type": event, "id": "1", "data": {"id": "e1"}}) == []


# -- Lever -------------------------------------------------------------------------------------------------------------


def test_lever_an_interview_of_a_panel_has_the_panel_s_time_of_creation() -> None:
    created, starts = 1782973120306, 1783000000000
    member = {"id": "u-int", "email": "x@example.com", "name": "X", "responseStatus": "needsAction", "feedbackTemplate": "f1"}
    nested = {"id": "i1", "date": starts, "duration": 45, "feedbackTemplate": None, "interviewers": [member], "subject": "x"}
    panel = {"id": "p1", "opportunityId": "o1", "createdAt": created, "canceledAt": None, "interviews": [nested], "user": "u-rec"}
    raw = headers("workable", "record.panels").model_copy(
        update={"account": "lever", "system": "lever", "received_at": datetime(2026, 7, 2, 12, tzinfo=UTC)}
    )
    [fact] = CONNECTORS["lever"].normalise(raw, json.dumps(panel).encode(), STAGES)
    assert (fact.kind, fact.occurred_at_source, fact.interview_id) == ("interview.scheduled", Origin.POLL, "lever/i1")
    assert fact.occurred_not_before == datetime(2026, 7, 2, 6, 18, 40, 306_000, tzinfo=UTC)
    assert fact.attributes["interviewers"] == ["lever/u-int"]
    alone = {**nested, "createdAt": created, "panel": "p1", "user": "u-rec", "opportunityId": "o1"}
    again = raw.model_copy(update={"record_type": "interviews"})
    [same] = CONNECTORS["lever"].normalise(again, json.dumps(alone).encode(), STAGES)
    assert same.fact_id == fact.fact_id, "the panel and the list of interviews tell one happening"
