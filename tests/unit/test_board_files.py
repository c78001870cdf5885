"""The boards' JSON against the pinned models of Grafana 11.6 and the rules of grafana/dashboard-linter, written again here.

The linter and Grafana themselves are in no registry this project uses; docs/boards.md says what that leaves unproven.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from streams.settings import ROOT

BOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
UNITS = {"none", "short", "s", "percentunit", "dateTimeFromNow", "dtdurations", "cps", "reqps", "bool_yes_no"}
CHECKED = {"stat", "gauge", "bargauge", "timeseries", "table"}  # bargauge and table are ours; the linter leaves them out

pytestmark = pytest.mark.parametrize("board", [json.loads(path.read_text()) for path in BOARDS], ids=lambda b: b["uid"])


def variables(board: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [v for v in board["templating"]["list"] if v["type"] == kind]


def test_grafanas_own_models_read_it_and_write_the_same_queries(board: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    for ours, theirs in zip(board["panels"], again["panels"], strict=True):
        for key in ("id", "type", "title", "description", "gridPos"):
            assert theirs[key] == ours[key]
        assert theirs["fieldConfig"]["defaults"]["unit"] == ours["fieldConfig"]["defaults"]["unit"]
        assert [t["expr"] for t in theirs["targets"]] == [t["expr"] for t in ours["targets"]]
        assert set(ours["options"]) <= set(theirs["options"]), "an option that Grafana does not know"
    assert [v["name"] for v in again["templating"]["list"]] == [v["name"] for v in board["templating"]["list"]]


def test_variables_follow_the_linter(board: dict[str, Any]) -> None:
    (source,) = variables(board, "datasource")
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "prometheus")
    by_name = {v["name"]: v for v in variables(board, "query")}
    for name in ("job", "instance"):
        assert by_name[name]["label"] == name.title()
        assert by_name[name]["multi"] is True
        assert by_name[name]["allValue"] == ".+"
    for one in by_name.values():
        assert one["refresh"] == 2, "on time range change"
        assert one["datasource"]["uid"] == "${datasource}"
        assert re.fullmatch(r"label_values\(.+, \w+\)", one["query"]["query"])


def test_panels_follow_the_linter(board: dict[str, Any]) -> None:
    assert board["editable"] is False
    assert 0 < len(board["panels"]) <= 12
    assert len({p["id"] for p in board["panels"]}) == len({p["title"] for p in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["type"] in CHECKED
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        for owner in (panel, *panel["targets"]):
            assert owner["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_queries_follow_the_linter(board: dict[str, Any]) -> None:
    for target in (t for panel in board["panels"] for t in panel["targets"]):
        expr = target["expr"]
        selectors = re.findall(r"\b(?:mutual_sla_\w+|up)(\{[^}]*\})?", expr)
        assert selectors
        for selector in selectors:
            assert 'job=~"$job"' in selector, expr
            assert 'instance=~"$instance"' in selector, expr
        assert re.findall(r"\[([^]]+)\]", expr) == re.findall(r"\[(\$__rate_interval)\]", expr), expr
        for counter in re.findall(r"mutual_sla_\w+_total", expr):
            assert re.search(rf"rate\({counter}\{{", expr), f"{counter} is a counter"


def test_panels_do_not_overlap_and_fit_the_grid(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        g = panel["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert g["x"] + g["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
