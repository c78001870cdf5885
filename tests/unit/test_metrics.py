"""Names: conventions, and that rules, boards, alerts and the runbook only speak of what exists."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams import metrics
from streams.settings import ROOT
from tests.conftest import program

RULES = ROOT / "deploy/prometheus/rules.yml"
BOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
SERIES = {name: metric for metric in metrics.ALL.values() for name in metric.series()}
TARGET_LABELS = {"job", "instance", "le"}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions(value: Any) -> Iterator[str]:
    """Every query of a board, variables' included, wherever it is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "query", "definition") and isinstance(inner, str):
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def spoken_of() -> list[tuple[str, str]]:
    """(where, query) of everything that asks Prometheus."""
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    found += [(rule["alert"], rule["annotations"]["description"]) for rule in alerts()]
    found += [(path.name, expression) for path in BOARDS for expression in expressions(json.loads(path.read_text()))]
    return found


def test_names_follow_the_conventions() -> None:
    for name, metric in metrics.ALL.items():
        assert re.fullmatch(r"mutual_sla_[a-z0-9_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert not re.search(r"_(ms|millis|minutes|hours|percent)(_|$)", name), f"{name}: seconds and ratios only"
        assert metric.help.endswith("."), name
        assert not set(metric.labels) & {"candidate", "application", "requisition", "name", "email", "le"}, name
        if "owner" in metric.labels:
            assert metric in (metrics.OWNER_OBLIGATIONS, metrics.OWNER_OLDEST_DUE, metrics.LATE_OBLIGATION)


def test_every_target_of_the_policy_is_a_bucket_bound() -> None:
    policy = yaml.safe_load((ROOT / "deploy/policy.yaml").read_text())
    days = {c["target"]["business_days"] for c in policy["commitments"] if "business_days" in c.get("target", {})}
    assert {day * 8 * 3600.0 for day in days} <= set(metrics.TURNAROUND_BUCKETS)


def test_metrics_are_spelled_nowhere_else_in_python() -> None:
    spelled = [
        f"{path.name}: {node.value}"
        for path in sorted((ROOT / "streams").rglob("*.py"))
        if path.name != "metrics.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in SERIES
    ]
    assert spelled == []


def test_every_metric_of_rules_and_boards_exists_with_its_labels() -> None:
    asked = spoken_of()
    assert len(asked) > 40
    for where, query in asked:
        for name, _, selector in re.findall(r"\b(mutual_sla_\w+)(\{([^}]*)\})?", query):
            assert name in SERIES, f"{where}: {name} is not in metrics.py"
            named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert named <= set(SERIES[name].labels) | TARGET_LABELS, f"{where}: {name} has no {named}"


def test_every_alert_says_what_it_is_and_has_a_runbook_heading() -> None:
    headings = {
        line[3:].strip().lower() for line in (ROOT / "deploy/runbook.md").read_text().splitlines() if line.startswith("## ")
    }
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["alert"].startswith("MutualSLA")
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        said = rule["annotations"]
        assert "{{" not in said["summary"], "a summary is static"
        assert said["runbook_url"] == f"deploy/runbook.md#{rule['alert'].lower()}"
        assert rule["alert"].lower() in headings
    assert {heading for heading in headings if heading.startswith("mutualsla")} == {name.lower() for name in names}


def test_alertmanager_speaks_of_alerts_that_exist() -> None:
    names = {rule["alert"] for rule in alerts()}
    config = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    matchers = [m for rule in config["inhibit_rules"] for side in ("source_matchers", "target_matchers") for m in rule[side]]
    named = {name for matcher in matchers for name in re.findall(r"MutualSLA\w+", matcher)}
    assert named <= names
    assert "owner" in config["route"]["group_by"]


@pytest.mark.prometheus
def test_every_rule_does_what_its_cases_say() -> None:
    cases = sorted((ROOT / "tests/rules").glob("*.yml"))
    told = [test for path in cases for test in yaml.safe_load(path.read_text())["tests"]]
    fired = {c["alertname"] for test in told for c in test["alert_rule_test"] if c.get("exp_alerts")}
    quiet = {c["alertname"] for test in told for c in test["alert_rule_test"] if not c.get("exp_alerts")}
    assert fired == quiet == {rule["alert"] for rule in alerts()}, "each rule has a case that fires and one that does not"
    done = subprocess.run([str(program("promtool")), "test", "rules", *map(str, cases)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_the_rendered_configuration_is_valid(tmp_path: Path) -> None:
    from streams import monitoring
    from streams.settings import Settings

    prometheus, alertmanager = monitoring.render(Settings(), tmp_path)
    for command in (["promtool", "check", "config", str(prometheus)], ["amtool", "check-config", str(alertmanager)]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
