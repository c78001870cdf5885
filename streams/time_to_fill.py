"""Time to fill and time to hire, by the SHRM definition: calendar days, weekends and holidays included. Pure.

Beside adherence, which counts working time of whoever owes: these count everybody's days, the candidate's too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import mean, median
from typing import Any

TIME_TO_FILL = (
    "time to fill: calendar days from requisition opened to offer accepted, weekends and holidays included (SHRM); "
    "time to hire: the same from application to offer accepted; rounded to tenths, once"
)
DAY_SECONDS = 86_400


def times_to_fill(acceptances: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a team: n, mean and median days. A requisition counts with its first acceptance only, a hire each time.

    `acceptances` as `ledger.acceptances` gives them, ordered by acceptance; a requisition filled before their period is not
    in its time to fill. What is not told (when the requisition was opened) is left out and counted as `unknown`.
    """
    fills: dict[str, list[float]] = defaultdict(list)
    hires: dict[str, list[float]] = defaultdict(list)
    unknown: dict[str, int] = defaultdict(int)
    filled: set[str] = set()
    for row in acceptances:
        team = row["team"]
        hires[team].append(_days(row["created_at"], row["accepted_at"]))
        if row["filled_before"] or row["requisition_id"] in filled:
            continue
        filled.add(row["requisition_id"])
        if row["requisition_opened_at"] is None:
            unknown[team] += 1
        else:
            fills[team].append(_days(row["requisition_opened_at"], row["accepted_at"]))
    return [
        {"team": team, "time_to_fill": _figures(fills[team]), "time_to_hire": _figures(hires[team]), "unknown": unknown[team]}
        for team in sorted(hires)
    ]


def _days(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / DAY_SECONDS


def _figures(days: list[float]) -> dict[str, Any]:
    if not days:
        return {"n": 0, "mean_days": None, "median_days": None}
    return {"n": len(days), "mean_days": round(mean(days), 1), "median_days": round(median(days), 1)}
