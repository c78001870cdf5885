"""Calendar days from opening to acceptance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from streams.time_to_fill import times_to_fill

OPENED = datetime(2026, 3, 2, tzinfo=UTC)


def accepted(team: str, requisition: str, days: float, opened: datetime | None = OPENED, applied: float = 0) -> dict[str, Any]:
    return {
        "team": team,
        "requisition_id": requisition,
        "requisition_opened_at": opened,
        "created_at": OPENED + timedelta(days=applied),
        "accepted_at": OPENED + timedelta(days=days),
        "filled_before": False,
    }


def test_a_requisition_counts_with_its_first_acceptance_and_every_hire_counts() -> None:
    (row,) = times_to_fill([accepted("a", "r1", 30), accepted("a", "r2", 40, applied=30), accepted("a", "r1", 50)])
    assert row["time_to_fill"] == {"n": 2, "mean_days": 35.0, "median_days": 35.0}
    assert row["time_to_hire"] == {"n": 3, "mean_days": 30.0, "median_days": 30.0}


def test_an_opening_nobody_told_of_is_unknown_and_not_zero() -> None:
    (row,) = times_to_fill([accepted("a", "r1", 30, opened=None)])
    assert (row["time_to_fill"]["n"], row["time_to_fill"]["mean_days"], row["unknown"]) == (0, None, 1)
