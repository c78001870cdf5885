"""What senders get wrong, through the normalise step: a reason that quotes nothing, the other records whole, no fact invented."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.fact import Fact, facts_record
from schemas.raw import Rejected
from streams.normalise import Normaliser
from streams.stages import UNMAPPED
from tests.greenhouse import BODIES, RECEIVED, STAGES, headers

NAME = "webhook.new_candidate_application"
Application = dict[str, Any]


def normalised(change: Callable[[Application], None]) -> tuple[list[Fact], list[Rejected]]:
    """Facts and dead letters of the changed body, with a good record behind it that must come through."""
    body = json.loads(json.dumps(BODIES[NAME]))
    change(body["payload"]["application"])
    rows: dict[bytes, bytes] = {}
    sent = [(json.dumps(body).encode(), headers(NAME)), (json.dumps(BODIES["record.jobs"]).encode(), headers("record.jobs"))]
    records = [
        SimpleNamespace(
            topic="ats.raw",
            partition=0,
            offset=n,
            timestamp=int(RECEIVED.timestamp() * 1000),
            value=value,
            headers=raw.to_kafka(),
        )
        for n, (value, raw) in enumerate(sent)
    ]
    step = Normaliser(STAGES, "ats.facts", "ats.rejected", 1)(0, records, rows.get)  # type: ignore[arg-type]
    found = [facts_record.validate_json(m.value or b"") for m in step.messages if m.topic == "ats.facts"]
    facts = [one for one in found if isinstance(one, Fact)]
    assert "requisition.opened" in {fact.kind for fact in facts}, "the good record was lost"
    letters = [Rejected.model_validate_json(m.value or b"") for m in step.messages if m.topic == "ats.rejected"]
    return [fact for fact in facts if fact.kind.startswith("application.")], letters


def setting(name: str, value: object) -> Callable[[Application], None]:
    return lambda application: application.__setitem__(name, value)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("applied_at", "05/04/2026", "not_a_time"),
        ("applied_at", "05/04/2026 09:00 AM", "not_a_time"),
        ("applied_at", "2026-05-04T09:00:00", "time_without_zone"),
        ("applied_at", "2026-05-04", "time_without_zone"),
        ("applied_at", 1_770_000_000, "not_a_time"),
        ("applied_at", "0001-01-01T00:00:00Z", "time_out_of_range"),
        ("id", "Zuleika Ombrage", "not_an_id"),
        ("id", True, "not_an_id"),
        ("id", -5, "not_an_id"),
        ("id", None, "missing_field"),
        ("jobs", "none", "not_a_list"),
        ("candidate", [], "not_an_object"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_with_its_reason(name: str, value: object, reason: str) -> None:
    facts, letters = normalised(setting(name, value))
    assert facts == []
    [letter] = letters
    assert (letter.reason, letter.pointer) == (reason, "ats.raw:0:0")
    assert name in letter.detail
    assert "Ombrage" not in letter.model_dump_json()
    assert "05/04" not in letter.model_dump_json()


@pytest.mark.parametrize("text", ["2026-05-04T09:00:00+05:30", "2026-05-04T03:30:00Z", "2026-05-03T23:30:00.000-0400"])
def test_a_time_with_an_offset_is_that_instant(text: str) -> None:
    facts, letters = normalised(setting("applied_at", text))
    assert letters == []
    assert {fact.occurred_at for fact in facts if fact.kind == "application.created"} == {datetime(2026, 5, 4, 3, 30, tzinfo=UTC)}


def test_ids_as_text_are_the_ids_as_numbers() -> None:
    numbers, _ = normalised(lambda application: None)
    texts, letters = normalised(lambda application: application.update(id=str(application["id"])))
    assert letters == []
    assert [fact.fact_id for fact in texts] == [fact.fact_id for fact in numbers] != []


@pytest.mark.parametrize("name", ["credited_to", "rejection_reason", "source", "custom_fields"])
def test_nulls_where_people_and_objects_were_cost_nothing(name: str) -> None:
    facts, letters = normalised(setting(name, None))
    assert letters == []
    assert "application.created" in {fact.kind for fact in facts}


def test_an_unknown_stage_is_said_and_never_guessed() -> None:
    facts, letters = normalised(setting("current_stage", {"id": 1, "name": "Tea with Barnaby"}))
    assert letters == []
    [entered] = [fact for fact in facts if fact.kind == "application.stage_changed"]
    assert entered.attributes["stage"] == UNMAPPED
