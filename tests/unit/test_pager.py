"""The pager: who is told what, once, and what an end of an alert is worth."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from streams import contacts
from streams.ledger_database import connect
from streams.paged import SCHEMA, Paged, pages
from streams.pager import Alert, Pager, application
from streams.tracker_rows import UnknownRow
from tests.installation import Installation, Sink

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)


class Watch:
    """A clock a test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def here(tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setattr(contacts, "BACK_OFF_SECONDS", 0.01)
    return Installation(tmp_path, sink)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def client(here: Installation, watch: Watch) -> FastAPI:
    return application(Pager(here.settings, here.agreement, connect(here.settings.ledger), watch).handle)


def alert(name: str, status: str = "firing", starts_at: str = "2026-05-06T11:00:00Z", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "A summary.", "description": "A description.", "runbook_url": "deploy/runbook.md#x"},
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": f"{name}{sorted(labels.items())}",
        "generatorURL": "",
    }


def post(pager: FastAPI, *alerts: dict[str, Any], version: str = "4") -> int:
    async def call() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(pager), base_url="http://pager") as http:
            body = {"version": version, "groupKey": "{}", "receiver": "pager", "alerts": list(alerts)}
            return (await http.post("/alerts", json=body)).status_code

    return asyncio.run(call())


def test_an_overdue_promise_is_told_to_its_owner_in_words_they_can_act_on(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=51))
    here.judge(NOW)
    assert post(client(here, watch), alert("MutualSLAOverdue", owner="m0")) == 200
    (page,) = sink.to("/m0")
    assert page["subject"] == "1 overdue: review_candidate"
    for said in (
        "application greenhouse/a1",
        "requisition greenhouse/r0",
        "(3 h late)",
        "The ball is with the hiring manager",
        "Why: http",
    ):
        assert said in page["text"]
    assert "Wed 06 May 2026 11:00 CEST" in page["text"], "the deadline in the owner's zone"
    assert page["obligations"][0]["verdict"] == "overdue"
    assert not sink.to("/m1")
    assert not sink.to("/company")


def test_a_repeat_a_restart_and_a_new_start_of_the_alert_page_nobody_again(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    first = client(here, watch)
    post(first, alert("MutualSLAOverdue", owner="m0"))
    post(first, alert("MutualSLAOverdue", owner="m0"))
    restarted = client(here, watch)
    post(restarted, alert("MutualSLAOverdue", owner="m0"))
    post(restarted, alert("MutualSLAOverdue", owner="m0", starts_at="2026-05-06T11:59:00Z"))
    assert len(sink.to("/m0")) == 1
    assert [row["obligation_id"] for row in pages(here.settings)] == ["review_candidate:greenhouse/r0:a1:1"]


def test_a_pager_that_dies_before_its_note_tells_again_with_the_same_idempotency_key(
    here: Installation, sink: Sink, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(_: Paged, __: Sequence[Mapping[str, Any]]) -> None:
        raise Killed

    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    with monkeypatch.context() as death:
        death.setattr(Paged, "add", dies)
        with pytest.raises(Killed):
            Pager(here.settings, here.agreement, connect(here.settings.ledger), watch).handle(
                Alert.model_validate(alert("MutualSLAOverdue", owner="m0"))
            )
    watch.at = NOW + timedelta(minutes=5)
    for _ in range(2):
        assert post(client(here, watch), alert("MutualSLAOverdue", owner="m0")) == 200
    one, two = (key for path, _, key in sink.received if path == "/m0")
    assert one == two != ""


def test_what_rebuild_wrote_pages_nobody_until_there_is_news_of_it(here: Installation, sink: Sink, watch: Watch) -> None:
    pager = client(here, watch)
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.submitted("a2", 0, NOW - timedelta(hours=40))
    found = here.evaluated(NOW)
    assert [o.verdict for o in found if o.commitment == "review_candidate"] == ["overdue", "open"]
    here.learn(found, NOW, rebuilt="missing")
    post(pager, alert("MutualSLAOverdue", owner="m0"), alert("MutualSLADueSoon", owner="m0"))
    assert sink.received == []
    watch.at = NOW + timedelta(hours=9)
    here.judge(watch.at)  # now a2 is overdue as well, which is news
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    assert [row["obligation_id"] for row in pages(here.settings)] == ["review_candidate:greenhouse/r0:a2:1"]


def test_a_further_obligation_of_the_same_owner_is_paged_while_the_first_still_is_late(
    here: Installation, sink: Sink, watch: Watch
) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=60))
    here.judge(NOW)
    pager = client(here, watch)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    here.submitted("a2", 0, NOW - timedelta(hours=49))
    here.judge(NOW)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    _, second = sink.to("/m0")
    assert "greenhouse/a2" in second["text"]
    assert "greenhouse/a1" not in second["text"]
    assert "1 more that you were told of before is still overdue." in second["text"]


def test_the_all_clear_says_why_it_ended(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.submitted("a2", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    pager = client(here, watch)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    here.happened("application.rejected", "a1", 0, NOW + timedelta(minutes=30))
    # learned late: it happened before the deadline, so the promise was kept after all
    here.happened("application.rejected", "a2", 0, NOW - timedelta(hours=10))
    watch.at = NOW + timedelta(hours=1)
    here.judge(watch.at)
    post(pager, alert("MutualSLAOverdue", "resolved", owner="m0"))
    post(pager, alert("MutualSLAOverdue", "resolved", owner="m0"))
    _, ended = sink.to("/m0")
    assert ended["subject"] == "No longer overdue: review_candidate"
    assert "a1, requisition greenhouse/r0): done at Wed 06 May 2026 14:30 CEST, 2 h 30 min late" in ended["text"]
    assert "a2, requisition greenhouse/r0): kept in time at Wed 06 May 2026 04:00 CEST, thank you" in ended["text"]


def test_an_alert_that_resolves_without_cause_says_nothing(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    pager = client(here, watch)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    assert post(pager, alert("MutualSLAOverdue", "resolved", owner="m0")) == 200
    assert post(pager, alert("MutualSLAOverdue", owner="m0", starts_at="2026-05-06T12:30:00Z")) == 200
    assert len(sink.to("/m0")) == 1
    assert pages(here.settings)[0]["ended_at"] is None  # type: ignore[index]


def test_an_all_clear_that_alertmanager_never_sent_is_told_all_the_same(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.submitted("a2", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    pager = Pager(here.settings, here.agreement, connect(here.settings.ledger), watch)
    post(application(pager.handle), alert("MutualSLAOverdue", owner="m0"))
    here.happened("application.withdrawn", "a1", 0, NOW - timedelta(hours=4))
    here.judge(NOW)
    for _ in range(2):
        pager.settle()
    _, ended = sink.to("/m0")
    assert "a1, requisition greenhouse/r0): cancelled" in ended["text"]
    assert "greenhouse/a2" not in ended["text"]


def test_due_soon_that_becomes_overdue_is_told_once_as_overdue(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=40))
    here.judge(NOW)
    pager = client(here, watch)
    post(pager, alert("MutualSLADueSoon", owner="m0"))
    watch.at = NOW + timedelta(hours=9)
    here.judge(watch.at)
    post(pager, alert("MutualSLADueSoon", "resolved", owner="m0"), alert("MutualSLAOverdue", owner="m0"))
    soon, late = sink.to("/m0")
    assert "(in 8 h)" in soon["text"]
    assert late["subject"] == "1 overdue: review_candidate"


def test_nothing_late_in_the_ledger_pages_nobody(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.happened("application.rejected", "a1", 0, NOW - timedelta(hours=20))
    here.judge(NOW)
    assert post(client(here, watch), alert("MutualSLAOverdue", owner="m0")) == 200
    assert sink.received == []


def test_backfilled_history_pages_only_if_it_is_still_late_after_a_while(here: Installation, sink: Sink, watch: Watch) -> None:
    for name in ("a1", "a2"):
        here.submitted(name, 0, NOW - timedelta(days=30))
    here.facts = [f.model_copy(update={"backfill": True}) for f in here.facts]
    here.judge(NOW)
    pager = client(here, watch)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    assert sink.received == []
    here.happened("application.rejected", "a1", 0, NOW - timedelta(days=29))  # the next piece of history
    here.judge(NOW)
    watch.at = NOW + timedelta(minutes=11)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    (page,) = sink.to("/m0")
    assert [o["obligation_id"] for o in page["obligations"]] == ["review_candidate:greenhouse/r0:a2:1"]


def test_a_flaky_contact_is_tried_again_and_a_dead_one_falls_back_to_the_company(
    here: Installation, sink: Sink, watch: Watch
) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.submitted("b1", 1, NOW - timedelta(hours=50))
    here.judge(NOW)
    sink.failing = {"/m0": 2, "/m1": 99}
    pager = client(here, watch)
    post(pager, alert("MutualSLAOverdue", owner="m0"), alert("MutualSLAOverdue", owner="m1"))
    assert len(sink.to("/m0")) == 1
    (fallback,) = sink.to("/company")
    assert fallback["owner"] == "m1"
    assert {row["owner"]: row["recipient"] for row in pages(here.settings)} == {"m0": "owner", "m1": "company"}


def test_what_reaches_nobody_is_asked_for_again(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    sink.failing = {"/m0": 3, "/company": 3}
    pager = client(here, watch)
    assert post(pager, alert("MutualSLAOverdue", owner="m0")) == 503
    assert pages(here.settings) == []
    assert post(pager, alert("MutualSLAOverdue", owner="m0")) == 200
    assert len(sink.to("/m0")) == 1


def test_a_reassigned_obligation_is_told_to_both(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    pager = client(here, watch)
    post(pager, alert("MutualSLAOverdue", owner="m0"))
    changed = [f.model_copy(update={"people": {"hiring_manager": ("greenhouse/m1",)}}) for f in here.facts]
    here.facts = changed
    here.judge(NOW)
    post(pager, alert("MutualSLAOverdue", "resolved", owner="m0"), alert("MutualSLAOverdue", owner="m1"))
    assert "owed by m1 now" in sink.to("/m0")[1]["text"]
    assert len(sink.to("/m1")) == 1


def test_an_unknown_owner_is_the_companys_to_find(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.facts = [f.model_copy(update={"people": {}}) for f in here.facts]
    here.judge(NOW)
    post(client(here, watch), alert("MutualSLAOverdue", owner="unassigned"))
    assert sink.to("/company")[0]["owner"] == "unassigned"


def test_alerts_about_the_pipeline_go_to_the_company_and_goals_to_the_team(here: Installation, sink: Sink, watch: Watch) -> None:
    pager = client(here, watch)
    goal = {"team": "paris", "commitment": "decide", "side": "hiring_manager"}
    for _ in range(2):
        post(pager, alert("MutualSLATickStandsStill"), alert("MutualSLAGoalMet", **goal))
    post(pager, alert("MutualSLATickStandsStill", "resolved"), alert("MutualSLAGoalMet", "resolved", **goal))
    assert [m["subject"] for m in sink.to("/company")] == ["A summary.", "Over: A summary."]
    assert [m["text"] for m in sink.to("/paris")] == ["A description.\nWhat to do: deploy/runbook.md#x"]


def test_mail_without_a_server_is_left_in_the_outbox(here: Installation, sink: Sink, watch: Watch) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    person = here.agreement.people.people["m0"]
    mailed = person.model_copy(update={"contact": type(person.contact)(email="m0@example.com")})
    here.agreement.people.people["m0"] = mailed  # type: ignore[index]
    post(client(here, watch), alert("MutualSLAOverdue", owner="m0"))
    (letter,) = (here.settings.state_dir / "outbox").glob("*.eml")
    assert "To: m0@example.com" in letter.read_text()
    assert [row["channel"] for row in pages(here.settings)] == ["outbox"]


def test_an_outbox_without_room_is_asked_for_again_and_keeps_nobody_else_from_being_told(
    here: Installation, sink: Sink, watch: Watch
) -> None:
    for number in range(2):
        here.submitted(f"a{number}", number, NOW - timedelta(hours=50))
    here.judge(NOW)
    company = here.agreement.people.company
    mailed = company.model_copy(update={"contact": type(company.contact)(email="hr@example.com")})
    object.__setattr__(here.agreement.people, "company", mailed)
    person = here.agreement.people.people["m0"]
    mailed_too = person.model_copy(update={"contact": type(person.contact)(email="m0@example.com")})
    here.agreement.people.people["m0"] = mailed_too  # type: ignore[index]
    box = here.settings.state_dir / "outbox"
    box.write_text("no folder can be made here")
    alerts = [alert("MutualSLAOverdue", owner=owner) for owner in ("m0", "m1")]
    assert post(client(here, watch), *alerts) == 503
    assert len(sink.to("/m1")) == 1
    box.unlink()
    assert post(client(here, watch), *alerts) == 200
    assert len(list(box.glob("*.eml"))) == len(sink.to("/m1")) == 1


def test_a_look_for_what_has_ended_that_fails_is_not_the_last(
    here: Installation, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager = Pager(here.settings, here.agreement, connect(here.settings.ledger), watch)
    looks = []

    def full(_: Paged) -> list[tuple[str, str]]:
        looks.append(1)
        raise OperationalError("select", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(Paged, "open_desks", full)
    pager.settle()
    assert looks == [1]


def test_what_is_not_alertmanagers_webhook_is_refused(here: Installation, watch: Watch) -> None:
    assert post(client(here, watch), {"status": "firing"}) == 422


def test_the_file_of_an_earlier_release_is_gone_on_with_and_that_of_a_newer_one_refused(
    here: Installation, sink: Sink, watch: Watch
) -> None:
    here.submitted("a1", 0, NOW - timedelta(hours=50))
    here.judge(NOW)
    post(client(here, watch), alert("MutualSLAOverdue", owner="m0"))
    file = here.settings.state_dir / "pager.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 0")  # the same tables without a number: what releases before 1 wrote
    post(client(here, watch), alert("MutualSLAOverdue", owner="m0"))
    assert len(sink.to("/m0")) == 1
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(UnknownRow, match=rf"pager.db is of schema {SCHEMA + 1}; .*install the release that wrote it"):
        Paged(here.settings)
