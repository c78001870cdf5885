"""The read API on SQLite and PostgreSQL: who may read, and that its figures are the ledger's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from schemas.outcome import ApplicationState, Holding, Side, Verdict
from schemas.sources import Account, SecretRef, Sources, Token
from streams import api, close, credentials, ledger, ports
from streams.access import Access, Identity
from streams.agreement import Agreement
from streams.check import load_agreement, load_sources
from streams.ledger_database import connect
from streams.settings import ROOT, Settings
from tests.ledger_samples import T0, an_obligation, deliver, outcome, ready, ticks
from tests.waiting import until
from tests.workers import running

NOW = datetime(2026, 6, 2, tzinfo=UTC)
TOKEN = "test-token-of-the-api-reader"
ACCESS = Access(
    {TOKEN.encode(): Identity("board", "api"), b"test-token-of-a-recruiter": Identity("p-1", "talent_acquisition")}, {}
)
AGREEMENT = load_agreement(ROOT / "deploy")


class Client:
    """Asks the application in this process, with the reader's token unless told otherwise."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api") as client:
                return await client.get(path, headers=headers or {"Authorization": f"Bearer {TOKEN}"})

        return asyncio.run(ask())


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres")
    return Settings(state_dir=tmp_path, deploy_dir=ROOT / "deploy", ledger_url=url, brokers=f"127.0.0.1:{ports.free()}")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = ledger.open_ledger(settings.ledger)
    ready(engine)
    manager = [an_obligation(f"a{n}", Verdict.MET if n < 6 else Verdict.MISSED, owner=f"p-{n:03}") for n in range(8)]
    recruiter = [
        an_obligation(f"r{n}", Verdict.MET, side=Side.TALENT_ACQUISITION, commitment="first_slate", owner=f"p-1{n:02}")
        for n in range(6)
    ]
    later = an_obligation("later", Verdict.MET, requisition_id="greenhouse/2", deadline=NOW + timedelta(days=1))
    state = ApplicationState(
        tenant="demo",
        application_id="greenhouse/a1",
        requisition_id="greenhouse/1",
        team="platform",
        state="interview",
        created_at=T0,
        holdings=(Holding(start=NOW - timedelta(hours=2), holder="hiring_manager", cause="f", state="interview"),),
    )
    deliver(engine, [outcome(body, 5) for body in [*manager, *recruiter, later, state]])
    deliver(engine, [outcome(an_obligation("a0", Verdict.MISSED, owner="p-000"), 9), *ticks(NOW, 100)])
    yield engine
    engine.dispose()


@pytest.fixture
def client(engine: Engine) -> Client:
    app = api.application(engine, AGREEMENT, ACCESS, lambda: NOW)
    return Client(app)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/obligations",
        "/v1/obligations/x",
        "/v1/adherence?period=2026-05",
        "/v1/index?period=2026-05",
        "/v1/holders",
        "/v1/statements",
        "/v1/statements/2026-05",
    ],
)
def test_nobody_reads_without_the_right_token(client: Client, path: str) -> None:
    assert client.get(path, headers={"Authorization": ""}).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer test-token-of-a-recruiter"}).status_code == 403


def test_health_needs_no_token_and_tells_of_a_missing_ledger(client: Client, tmp_path: Path) -> None:
    assert client.get("/healthz", headers={"Authorization": ""}).json() == {"status": "ok"}
    empty = connect(f"sqlite:///{tmp_path / 'nothing.db'}")
    away = Client(api.application(empty, AGREEMENT, ACCESS, lambda: NOW))
    assert away.get("/healthz").status_code == 503
    empty.dispose()


def test_the_process_ends_well_when_it_is_asked_to(settings: Settings) -> None:
    secrets = {name: f"{name.lower()}-of-the-test" for name in credentials.names(load_sources(ROOT / "deploy"))}
    settings = replace(settings, api_port=ports.free())

    def answers() -> bool:
        try:
            return httpx.get(f"http://{settings.host}:{settings.api_port}/healthz").is_success
        except httpx.TransportError:
            return False

    with running(settings, "api", environment=secrets) as process:
        until(answers, process)
    assert process.exit_code == 0


def test_an_obligation_comes_with_receipt_and_history(client: Client) -> None:
    found = client.get("/v1/obligations/review_candidate:a0:1").json()
    assert found["obligation"]["verdict"] == "missed"
    assert found["obligation"]["receipt"]["target"] == "business_days: 2"
    assert [r["verdict"] for r in found["revisions"]] == ["met", "missed"]
    assert client.get("/v1/obligations/review_candidate:none:1").status_code == 404


def test_obligations_are_listed_by_what_is_asked(client: Client) -> None:
    def ids(query: str) -> list[str]:
        return [o["obligation_id"].split(":")[1] for o in client.get(f"/v1/obligations?{query}").json()["obligations"]]

    assert ids("owner=p-003") == ["a3"]
    assert ids("verdict=missed") == ["a0", "a6", "a7"]
    assert ids("requisition=greenhouse/2") == ["later"]
    assert ids("team=none") == []
    assert len(ids("limit=2")) == 2
    everything = client.get("/v1/obligations").json()
    assert not everything["more"]
    pages = [client.get(f"/v1/obligations?limit=1&offset={place}").json() for place in range(len(everything["obligations"]))]
    assert [one for page in pages for one in page["obligations"]] == everything["obligations"]
    assert [page["more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    assert client.get("/v1/obligations?offset=-1").status_code == 422
    assert client.get("/v1/obligations?verdict=nonsense").status_code == 422
    assert client.get("/v1/obligations?limit=100000").status_code == 422


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "obligations?verdikt=missed&owner=p-003",
            "unknown parameter verdikt; there are: owner, team, requisition, verdict, limit, offset",
        ),
        ("statements?period=2026-05", "unknown parameter period; there are: none"),
        ("adherence?period=2026-05&period=2026-06", "given more than once: period"),
    ],
)
def test_a_filter_that_would_not_be_used_is_refused(client: Client, path: str, says: str) -> None:
    answer = client.get(f"/v1/{path}")
    assert (answer.status_code, answer.json()["detail"]) == (422, says)


def test_adherence_is_the_ledgers_with_n_and_interval(client: Client) -> None:
    found = client.get("/v1/adherence?period=2026-05&by=side").json()
    assert (found["zone"], found["start"]) == ("Europe/Berlin", "2026-04-30T22:00:00Z")
    manager, recruiter = found["groups"]
    assert (manager["side"], manager["met"], manager["missed"], manager["n"], manager["adherence"]) == (
        "hiring_manager",
        5,
        3,
        8,
        0.625,
    )
    assert manager["enough"]
    assert manager["adherence_without_exceptions"] == 0.625
    assert manager["interval"][0] < 0.625 < manager["interval"][1]
    assert recruiter["adherence"] == 1.0
    (by_requisition,) = client.get("/v1/adherence?period=2026-05&by=requisition").json()["groups"]
    assert (by_requisition["requisition"], by_requisition["n"]) == ("greenhouse/1", 14)
    assert client.get("/v1/adherence?period=2026-06&by=side").json()["groups"] == []  # not due yet


@pytest.mark.parametrize("query", ["period=2026-13", "period=2026-05&by=owner", "by=team"])
def test_a_question_that_makes_no_sense_is_422(client: Client, query: str) -> None:
    assert client.get(f"/v1/adherence?{query}").status_code == 422


def test_the_index_is_the_harmonic_mean_with_an_interval_that_stays(client: Client) -> None:
    (team,) = client.get("/v1/index?period=2026-05").json()["rows"]
    assert (team["team"], team["n"]) == ("platform", 14)
    assert team["index"] == pytest.approx(2 * 0.625 / 1.625)
    assert team["interval"][0] <= team["index"] <= team["interval"][1]
    assert client.get("/v1/index?period=2026-05").json()["rows"] == [team]


def test_the_index_of_requisitions_and_of_pairs_is_given_month_by_month(client: Client) -> None:
    (requisition,) = client.get("/v1/index?period=2026-05&by=requisition&months=3").json()["rows"]
    assert (requisition["period"], requisition["requisition_id"], requisition["n"]) == ("2026-05", "greenhouse/1", 14)
    (pair,) = client.get("/v1/index?period=2026-06&by=pair&months=2").json()["rows"]
    assert (pair["period"], pair["n"], pair["index"]) == ("2026-05", 14, requisition["index"])
    body = an_obligation()
    assert (pair["recruiter"], pair["manager"]) == (body.recruiter, body.hiring_manager)
    assert pair["hiring_manager"] == requisition["hiring_manager"] == 0.625  # that side's score


@pytest.mark.parametrize(
    "path", ["obligations?team=%00", "obligations/a%00b", "holders?person=%00", "signals?team=%00", "silences?account=%00"]
)
def test_a_name_that_no_database_takes_is_no_outage(client: Client, path: str) -> None:
    assert client.get(f"/v1/{path}").status_code == 422


@pytest.mark.parametrize("months", ["0", "-1", "37", "x"])
def test_a_number_of_months_that_makes_no_sense_is_422(client: Client, months: str) -> None:
    assert client.get(f"/v1/index?period=2026-05&months={months}").status_code == 422


def test_adherence_is_said_with_and_without_exceptions(engine: Engine, client: Client) -> None:
    deliver(engine, [outcome(an_obligation("a7", Verdict.EXCUSED, owner="p-007"), 20)])
    (manager, _) = client.get("/v1/adherence?period=2026-05&by=side").json()["groups"]
    assert (manager["n"], manager["excused"]) == (7, 1)
    assert (manager["adherence"], manager["adherence_without_exceptions"]) == (5 / 7, 0.625)


def test_a_commitment_s_own_minimum_n_counts_where_its_figure_is_shown(engine: Engine) -> None:
    commitments = tuple(
        c.model_copy(update={"minimum_n": 9}) if c.name == "review_candidate" else c for c in AGREEMENT.policy.commitments
    )
    strict = Agreement(AGREEMENT.policy.model_copy(update={"commitments": commitments}), AGREEMENT.calendars, AGREEMENT.people)
    found = Client(api.application(engine, strict, ACCESS, lambda: NOW)).get("/v1/adherence?period=2026-05&by=commitment").json()
    assert {g["commitment"]: (g["n"], g["minimum_n"], g["enough"]) for g in found["groups"]} == {
        "first_slate": (6, 5, True),
        "review_candidate": (8, 9, False),
    }


def test_the_index_says_whether_it_moved_beyond_chance(engine: Engine, client: Client) -> None:
    late = {"deadline": T0 + timedelta(days=30)}  # in June
    worse = [an_obligation(f"b{n}", Verdict.MISSED, owner=f"p-{n:03}", **late) for n in range(8)]
    slates = [
        an_obligation(f"s{n}", Verdict.MET, side=Side.TALENT_ACQUISITION, commitment="first_slate", **late) for n in range(6)
    ]
    deliver(engine, [outcome(body, 30) for body in [*worse, *slates]])
    may, june = (
        Client(api.application(engine, AGREEMENT, ACCESS, lambda: NOW + timedelta(days=9)))
        .get("/v1/index?period=2026-06&months=2")
        .json()["rows"]
    )
    assert (may["period"], may["direction"]) == ("2026-05", None)
    assert (june["period"], june["direction"]) == ("2026-06", "worse")
    assert june["index"] < may["index"]
    (alone,) = (
        Client(api.application(engine, AGREEMENT, ACCESS, lambda: NOW + timedelta(days=9)))
        .get("/v1/index?period=2026-06")
        .json()["rows"]
    )
    assert alone == june


def test_holders_are_counted_up_to_now(client: Client) -> None:
    (row,) = client.get("/v1/holders?team=platform").json()["holders"]
    assert row == {
        "team": "platform",
        "holder": "hiring_manager",
        "seconds": 7200.0,
        "business_seconds": 0.0,  # NOW is two in the night in Berlin
        "us": 7_200_000_000,
        "business_us": 0,
        "applications": 1,
    }
    (row,) = client.get("/v1/holders?by=requisition,person").json()["holders"]
    assert (row["requisition"], row["person"], row["seconds"]) == ("greenhouse/1", "unassigned", 7200.0)
    assert client.get("/v1/holders?by=application&application=greenhouse/none").json()["holders"] == []
    this, before = (client.get(f"/v1/holders?period={month}").json() for month in (f"{NOW:%Y-%m}", "2020-01"))
    assert [row["us"] for row in this["holders"]] == [7_200_000_000]
    assert (this["period"], before["holders"]) == (f"{NOW:%Y-%m}", [])
    assert client.get("/v1/holders?period=2199-12").json()["holders"] == []
    assert client.get("/v1/holders?period=2999-01").status_code == 422
    assert client.get("/v1/holders?period=soon").status_code == 422
    assert client.get("/v1/holders?by=salary").status_code == 422
    assert client.get("/v1/holders?by=").status_code == 422


def test_a_statement_is_there_once_the_month_is_closed(client: Client, settings: Settings) -> None:
    assert client.get("/v1/statements/2026-05").status_code == 404
    assert client.get("/v1/statements/May").status_code == 422
    close.run(settings, "2026-05", None, NOW)
    found = client.get("/v1/statements/2026-05").json()
    assert found["statement"]["control"]["obligations"] == 14
    assert found["adjustments"] == []
    assert "departments" not in found["statement"]
    assert [one["period"] for one in client.get("/v1/statements").json()["statements"]] == ["2026-05"]


def test_the_role_knows_no_secret_but_its_own_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Sources(
        tenant="demo",
        accounts=(Account(account="greenhouse", system="greenhouse", webhook_secrets=(SecretRef(env="NOT_SET_HERE"),)),),
        tokens=(
            Token(identity="board", role="api", token=SecretRef(env="API_TOKEN_FOR_TEST")),
            Token(identity="boss", role="approver", token=SecretRef(env="NOT_SET_HERE")),
        ),
    )
    monkeypatch.setenv("API_TOKEN_FOR_TEST", TOKEN)
    access = Access.from_sources(api.only_api(sources), ROOT)
    assert access.identify(f"Bearer {TOKEN}") == Identity("board", "api")
    assert access.webhook_secrets("greenhouse") == ()
