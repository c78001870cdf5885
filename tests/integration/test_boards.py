"""Every query of every board, variables filled in, at a real Prometheus that scrapes a real run."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from schemas.outcome import HOLDERS
from streams import credentials, holding_time, topics
from streams.check import load_sources
from streams.ledger_database import snapshot
from streams.settings import ROOT
from tests.installation import Installation, Sink, now
from tests.monitored import Monitored, installation
from tests.waiting import until

pytestmark = pytest.mark.prometheus

BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))}
SIDES = {"talent_acquisition", "hiring_manager"}
WORKING = 'mutual_sla_holder_business_seconds{window="90d"}'
#: What a panel's series must be told apart by.
LABELS = {
    "Overdue now": {"side"},
    "Waiting longest": {"side"},
    "Due soon": {"side"},
    "What is late now, and who holds the ball": {"owner", "side", "team", "commitment", "obligation", "state", "holder"},
    "Every promise, with n and its interval": {"side", "commitment", "team"},
    "Partnership index by team": {"team"},
    "Trend of both sides": {"side"},
    "Trend of the index": {"team"},
    "Where the time went": {"holder"},
    "How long each holder had the ball": {"holder"},
    "Working time of both sides": {"holder"},
    "Every team's holders": {"team", "holder"},
    "Trend of the shares": {"holder"},
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
            until(lambda: stack.query("mutual_sla_exporter_snapshot_success_timestamp_seconds"))
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


#: Metrics of the roles between the vendor and the ledger; the others are the exporter's.
ROLES = re.compile(r"mutual_sla_(gateway|worker|ledger_lag|ledger_outcomes|ledger_commit|parked)")


def queries(*, of_roles: bool) -> list[Any]:
    return [
        pytest.param(board, panel, target, id=f"{name}: {panel['title']} {target['refId']}")
        for name, board in BOARDS.items()
        for panel in board["panels"]
        for target in panel["targets"]
        if bool(ROLES.search(target["expr"])) == of_roles
    ]


def shape(board: dict[str, Any], panel: dict[str, Any], target: dict[str, Any], stack: Monitored) -> None:
    """Wait for data of a query and check that it is what its panel shows."""

    def told() -> list[dict[str, Any]]:
        """No series, or none that is a number yet (a quantile of nothing), is not data."""
        return [s for s in stack.query(filled_in(board, target["expr"])) if s["value"][1] != "NaN"]

    found = until(told)
    values = [float(series["value"][1]) for series in found]
    assert LABELS.get(panel["title"], set()) <= set.intersection(*(set(series["metric"]) for series in found))
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if unit == "percentunit" and target["refId"] != "B":
        assert all(0 <= value <= 1 for value in values)
    if unit == "dateTimeFromNow":
        assert all(1.7e12 < value < 4e12 for value in values), "milliseconds since 1970"
    if unit == "s":
        assert all(-5 <= value < 86400 * 30 for value in values)
    if "holder" in LABELS.get(panel["title"], set()) and "side" not in LABELS[panel["title"]]:
        assert {series["metric"]["holder"] for series in found} <= set(HOLDERS)
    if "side" in LABELS.get(panel["title"], set()):
        assert {series["metric"]["side"] for series in found} <= SIDES


@pytest.mark.parametrize(("board", "panel", "target"), queries(of_roles=False))
def test_every_panel_of_the_ledger_has_data_of_its_shape(
    stack: Monitored, board: dict[str, Any], panel: dict[str, Any], target: dict[str, Any]
) -> None:
    shape(board, panel, target, stack)


def test_the_holders_figures_are_those_of_the_api(stack: Monitored) -> None:
    """Nothing has changed since the board's figures were read but that time went on."""
    shown = until(lambda: stack.query('mutual_sla_holder_seconds{window="90d"}'))
    working = {(s["metric"]["team"], s["metric"]["holder"]): float(s["value"][1]) for s in stack.query(WORKING)}
    at = now()
    with snapshot(stack.here.engine) as conn:
        rows = holding_time.times(conn, stack.here.agreement, at, ["team"], since=at - timedelta(days=90))
    told = {(row["team"], row["holder"]): row for row in rows}
    assert {(s["metric"]["team"], s["metric"]["holder"]) for s in shown} == set(told)
    assert set(working) == {key for key in told if key[1] in SIDES}
    for series in shown:
        row = told[series["metric"]["team"], series["metric"]["holder"]]
        assert row["seconds"] - 300 * row["applications"] <= float(series["value"][1]) <= row["seconds"]
    for key, seconds in working.items():
        assert told[key]["business_seconds"] - 300 * told[key]["applications"] <= seconds <= told[key]["business_seconds"]


@pytest.fixture(scope="module")
def pipeline(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Gateway, workers and ledger writer on a real Kafka, scraped while something arrives."""
    folder = tmp_path_factory.mktemp("pipeline")
    with Sink() as sink:
        here = installation(folder, sink, brokers=kafka, topic_prefix="boards.", app_id="boards", tick_seconds=1.0)
        topics.verify(here.settings)
        secrets = credentials.complete(load_sources(here.settings.deploy_dir), here.settings.state_dir, {})
        with Monitored(here, folder) as stack:
            stack.prometheus()
            stack.role("ledger", port="ledger_metrics_port")
            stack.role("worker", "normalise", port="normalise_metrics_port")
            stack.role("worker", "track", port="track_metrics_port")
            stack.role("gateway", secrets=secrets)
            stack.role("exporter")
            stop = threading.Event()
            vendor = threading.Thread(target=_deliver, args=(here, secrets["GREENHOUSE_WEBHOOK_SECRET"].encode(), stop))
            vendor.start()
            yield stack
            stop.set()
            vendor.join()


def _deliver(here: Installation, secret: bytes, stop: threading.Event) -> None:
    """A vendor that sends something twice a second: unusable, but signed, and once in a while with a wrong signature."""
    address = f"http://127.0.0.1:{here.settings.gateway_port}/webhooks/greenhouse"
    number = 0
    while not stop.wait(0.5):
        number += 1
        body = json.dumps({"action": "something_new", "payload": {"id": number}}).encode()
        key = secret if number % 5 else b"wrong"
        signature = f"sha256 {hmac.new(key, body, hashlib.sha256).hexdigest()}"
        headers = {"Signature": signature, "Content-Type": "application/json"}
        httpx.post(address, content=body, headers=headers, timeout=10, trust_env=False)


@pytest.mark.kafka
@pytest.mark.parametrize(("board", "panel", "target"), queries(of_roles=True))
def test_every_panel_of_the_pipeline_has_data_of_its_shape(
    pipeline: Monitored, board: dict[str, Any], panel: dict[str, Any], target: dict[str, Any]
) -> None:
    shape(board, panel, target, pipeline)


@pytest.mark.kafka
def test_ticks_and_dead_letters_of_the_pipeline_reach_prometheus(pipeline: Monitored) -> None:
    partitions = topics.partition_count(pipeline.here.settings, "ats.facts")
    until(lambda: len(pipeline.query("mutual_sla_last_tick_timestamp_seconds")) == partitions)
    age = "max(mutual_sla_clock_timestamp_seconds) - min(mutual_sla_last_tick_timestamp_seconds)"
    until(lambda: float(pipeline.query(age)[0]["value"][1]) < 15)
    letters = until(lambda: pipeline.query('mutual_sla_dead_letters{state="pending"} > 0'))
    assert {series["metric"]["reason"] for series in letters} == {"unknown_action"}
    assert not pipeline.query('ALERTS{alertname=~".*StandsStill|.*ExporterStale|.*ExporterDown",alertstate="firing"}')


def test_both_sides_stand_beside_each_other(stack: Monitored) -> None:
    board = BOARDS["partnership"]
    panel = next(p for p in board["panels"] if p["title"] == "Trend of both sides")
    found = {s["metric"]["side"]: float(s["value"][1]) for s in stack.query(filled_in(board, panel["targets"][0]["expr"]))}
    assert found.keys() == SIDES
    assert found["talent_acquisition"] == 1
    assert found["hiring_manager"] == pytest.approx((24 + 12) / (36 + 12)), "two of three reviews, and what weighs beside them"


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
