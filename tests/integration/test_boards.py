"""Every query of every board, variables filled in, at a real Prometheus that scrapes a real run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from streams.settings import ROOT
from tests.installation import Installation, Sink, now, wait_for
from tests.monitored import Monitored, installation

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(150)]

BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))}
SIDES = {"talent_acquisition", "hiring_manager"}
#: What a panel's series must be told apart by.
LABELS = {
    "Overdue now": {"side"},
    "Waiting longest": {"side"},
    "Due soon": {"side"},
    "What is late now, and who holds the ball": {"owner", "side", "team", "commitment", "obligation", "state"},
    "Every promise, with n and its interval": {"side", "commitment", "team"},
    "Partnership index by team": {"team"},
    "Trend of both sides": {"side"},
    "Trend of the index": {"team"},
    "Roles that answer": {"job"},
    "Dead letters that wait": {"reason"},
    "Ticks": {"partition"},
    "Newest fact by source": {"account"},
    "How complete each source is": {"account"},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("boards")
    with Sink() as sink:
        here = installation(folder, sink, managers=12)
        a_few_weeks(here)
        with Monitored(here, folder) as stack:
            stack.role("exporter")
            stack.role("pager")
            stack.prometheus()
            wait_for(lambda: stack.query("mutual_sla_exporter_snapshot_success_timestamp_seconds"))
            yield stack


def a_few_weeks(here: Installation) -> None:
    """Both sides owe and keep, late and in time, in both teams; something is late now; something could not be used."""
    at = now()
    for manager in range(12):
        here.opened(manager, at - timedelta(days=29))
        for number in range(3):
            here.submitted(f"a{manager}-{number}", manager, at - timedelta(days=22 + number))
            if (manager // 2 + number) % 3:
                here.happened("application.rejected", f"a{manager}-{number}", manager, at - timedelta(days=21 + number))
    here.submitted("soon", 1, at - timedelta(hours=40))
    here.reject(0, "not_json", at)
    here.judge(at)


def filled_in(board: dict[str, Any], query: str) -> str:
    """As Grafana fills it in: every variable that has All, at All; the others at their default."""
    query = query.replace("$__rate_interval", "1m")
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        value = variable["allValue"] if variable.get("includeAll") else variable["current"]["value"]
        query = query.replace(f"${variable['name']}", value)
    assert "$" not in query, query
    return query


def from_exporter(expr: str) -> bool:
    return not any(
        f"mutual_sla_{role}_" in expr
        for role in ("gateway", "worker", "ledger_lag", "ledger_outcomes", "ledger_commit", "parked")
    )


def queries() -> list[Any]:
    return [
        pytest.param(board, panel, target, id=f"{name}: {panel['title']} {target['refId']}")
        for name, board in BOARDS.items()
        for panel in board["panels"]
        for target in panel["targets"]
        if from_exporter(target["expr"])
    ]


@pytest.mark.parametrize(("board", "panel", "target"), queries())
def test_every_panel_has_data_of_its_shape(
    stack: Monitored, board: dict[str, Any], panel: dict[str, Any], target: dict[str, Any]
) -> None:
    found = wait_for(lambda: stack.query(filled_in(board, target["expr"])))
    values = [float(series["value"][1]) for series in found]
    assert all(value == value for value in values), "not a number"
    assert LABELS.get(panel["title"], set()) <= set.intersection(*(set(series["metric"]) for series in found))
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if unit == "percentunit" and target["refId"] != "B":
        assert all(0 <= value <= 1 for value in values)
    if unit == "dateTimeFromNow":
        assert all(1.7e12 < value < 4e12 for value in values), "milliseconds since 1970"
    if unit == "s":
        assert all(-5 <= value < 86400 * 30 for value in values)
    if "side" in LABELS.get(panel["title"], set()):
        assert {series["metric"]["side"] for series in found} <= SIDES


def test_both_sides_stand_beside_each_other(stack: Monitored) -> None:
    board = BOARDS["partnership"]
    panel = next(p for p in board["panels"] if p["title"] == "Trend of both sides")
    found = {s["metric"]["side"]: float(s["value"][1]) for s in stack.query(filled_in(board, panel["targets"][0]["expr"]))}
    assert found.keys() == SIDES
    assert found["talent_acquisition"] == 1
    assert found["hiring_manager"] == pytest.approx(24 / 36), "two of three candidates were reviewed in time"


def test_variables_offer_what_there_is(stack: Monitored) -> None:
    offered: dict[str, set[str]] = {}
    for board in BOARDS.values():
        for variable in (v for v in board["templating"]["list"] if v["type"] == "query"):
            selector, _, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
            found = stack.query(f"count by ({label}) ({filled_in(board, selector)})")
            offered.setdefault(variable["name"], set()).update(series["metric"][label] for series in found)
    assert offered["side"] == SIDES
    assert offered["team"] == {"berlin", "paris"}
    assert {"first_slate", "review_candidate", "decide"} <= offered["commitment"]
    assert {"exporter", "pager"} <= offered["job"]
