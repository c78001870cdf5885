"""Thin webhooks followed: what is read because of one, from the configured host only, and what is left to the next poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest

from schemas.raw import RawHeaders
from schemas.sources import Account, Api
from streams.connectors import CONNECTORS
from streams.poll_signals import MOST_WAITING, Signals
from streams.poll_state import PollState
from streams.poller import Poller
from streams.polling import SOURCES, Fixed
from streams.safe_fetch import RefusedLink, Vendor, path_below
from streams.settings import Settings
from tests.unit.test_poller import Hands, Log
from tests.vendors import STAGES
from tests.weeks.lever import Lever
from tests.weeks.merge import Merge
from tests.weeks.smartrecruiters import SmartRecruiters
from tests.weeks.week import BOOKED, MINUTE, SUBMITTED, Listed

ORIGIN = "https://ats.example"


def record(week: Listed, headers: dict[str, str], body: bytes, **changes: Any) -> Any:
    """A webhook as the gateway keeps it."""
    kept: frozenset[str] = getattr(CONNECTORS[week.system], "vendor_headers", frozenset())
    values = {"tenant": "acme", "account": week.account, "system": week.system, "channel": "webhook", "request_id": "r"}
    told = {name: value for name, value in headers.items() if name in kept}
    raw = RawHeaders.model_validate({**values, "received_at": week.now, "vendor": told, **changes})
    return SimpleNamespace(headers=raw.to_kafka(), value=body)


class Bench:
    """One account that was polled once, before anything happened; then only signals reach it."""

    def __init__(self, folder: Path, week: Listed) -> None:
        self.folder, self.week, self.log, self.clock = folder, week, Log(), Hands()
        self.asked: list[str] = []
        self.handler = week.handler()
        week.moved_to(ORIGIN)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "ats.example"
        self.asked.append(request.url.path)
        assert self.handler is not None
        return self.handler(request)

    def do(self, work: Callable[[Poller, Signals], Any]) -> None:
        async def inside() -> None:
            state, source = PollState(self.folder), SOURCES[self.week.system]
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                account = Account(account=self.week.account, system=self.week.system, polled=self.week.polled, api=Api())
                vendor = Vendor(client, ORIGIN + self.week.path, Fixed(source.signed(dict.fromkeys(SECRETS, SECRET))))
                poller = Poller("acme", account, source, vendor, self.log, state, self.clock, 900_000)
                await work(poller, Signals(Settings(), [poller]))
            state.close()

        asyncio.run(inside())

    def happen(self, *moments: str) -> None:
        async def first(poller: Poller, _: Signals) -> None:
            assert await poller.poll()

        for moment in moments:
            self.week.tell(moment)
        self.clock.at = self.week.now + MINUTE
        self.do(first)
        self.log.records.clear()
        self.asked.clear()

    def follow(self, records: list[Any], seconds: float = 5.0) -> None:
        """Let the signals in these records be followed until none waits."""
        self.clock.at = self.week.now + 2 * MINUTE

        async def work(_: Poller, signals: Signals) -> None:
            for one in records:
                signals.take(one)
            _listening, *working = signals.tasks()
            _listening.close()
            tasks = [asyncio.create_task(one) for one in working]
            async with asyncio.timeout(seconds):
                while any(signals._waiting.values()) or any(not poller_idle(one) for one in signals._pollers.values()):
                    await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.do(work)

    def found(self) -> list[tuple[str | None, str]]:
        """(record type, kind) of the facts in what was kept."""
        normalise = CONNECTORS[self.week.system].normalise
        records = [r for r in self.log.records if r.headers.channel == "record"]
        facts = [(r.headers.record_type, f.kind) for r in records for f in normalise(r.headers, r.body, STAGES)]
        return sorted(set(facts), key=str)


SECRET, SECRETS = "token-of-the-week", ("token", "account_token")


def poller_idle(poller: Poller) -> bool:
    return not poller._turn.locked()


@pytest.mark.parametrize(
    ("week", "before", "moment", "fact", "asked"),
    [
        (
            SmartRecruiters,
            ("opened", "applied"),
            "submitted",
            ("status_history", "application.stage_changed"),
            "/candidates/c1/jobs/J1/status/history",
        ),
        (
            SmartRecruiters,
            ("opened", "applied"),
            "booked",
            ("interviews", "interview.scheduled"),
            "/interviews-api/v201904/interviews/e1",
        ),
        (Merge, ("opened", "applied"), "submitted", ("applications", "application.stage_changed"), "/api/ats/v1/applications/a1"),
        (Lever, ("opened", "applied"), "booked", ("interviews", "interview.scheduled"), "/v1/opportunities/o1/interviews"),
        (Lever, ("opened", "applied"), "submitted", ("opportunities", "application.stage_changed"), "/v1/opportunities/o1"),
    ],
    ids=["smartrecruiters status", "smartrecruiters interview", "merge", "lever interview", "lever stage"],
)
def test_what_a_thin_webhook_is_about_is_read_at_once_and_nothing_else(
    tmp_path: Path, week: type[Listed], before: tuple[str, ...], moment: str, fact: tuple[str, str], asked: str
) -> None:
    bench = Bench(tmp_path, week("acc"))
    bench.happen(*before)
    records = [record(bench.week, dict(headers), body) for headers, body in bench.week.tell(moment)]
    bench.follow([*records, *records])
    assert fact in bench.found()
    assert bench.asked.count(asked) == 1, "a signal that comes again while it waits is one"
    assert {path for path in bench.asked if not path.startswith(asked)} <= {"/v1/stages", "/v1/archive_reasons"}
    assert bench.log.of("watermark") == [], "one record vouches for no other"


def test_a_merge_sync_reads_what_is_new_of_every_polled_type(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Merge("acc"))
    bench.happen("opened", "applied")
    bench.week.tell("submitted")
    sync = {"hook": {"event": "LinkedAccount.synced"}, "linked_account": {"id": "x"}, "data": {"is_initial_sync": False}}
    bench.follow([record(bench.week, {}, orjson.dumps(sync))])
    assert bench.found() == [("applications", "application.created"), ("applications", "application.stage_changed")]
    assert bench.asked == [f"/api/ats/v1/{name}" for name in bench.week.polled]


def test_before_the_first_poll_nothing_is_followed_for_it_reads_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SmartRecruiters("acc"))
    bench.week.tell("opened")
    bench.week.tell("applied")
    bench.follow([record(bench.week, dict(headers), body) for headers, body in bench.week.tell("submitted")])
    assert (bench.asked, bench.log.records) == ([], [])


@pytest.mark.parametrize(
    "link",
    [
        "<https://evil.example/interviews-api/v201904/interviews/e1>; rel=self",
        "<http://ats.example/interviews-api/v201904/interviews/e1>; rel=self",
        "<https://ats.example:8443/interviews-api/v201904/interviews/e1>; rel=self",
        "<https://user@ats.example/interviews-api/v201904/interviews/e1>; rel=self",
        "<https://ats.example/interviews-api/v201904/interviews/../../../users>; rel=self",
        "<https://ats.example/interviews-api/v201904/interviews/e1?x=y&z=/../>; rel=next",
        "<https://ats.example/interviews-api/v201904/interviews/%2e%2e>; rel=self",
        "<https://ats.example/users/u1>; rel=self",
        "<//169.254.169.254/latest>; rel=self",
        "",
    ],
)
def test_a_link_to_anywhere_else_is_not_followed(tmp_path: Path, link: str) -> None:
    bench = Bench(tmp_path, SmartRecruiters("acc"))
    bench.happen("opened", "applied")
    ((headers, _),) = bench.week.tell("booked")
    bench.follow([record(bench.week, {**headers, "link": link}, b"{}")])
    assert (bench.asked, bench.log.records) == ([], [])


def test_a_link_to_the_configured_host_says_what_a_body_without_ids_is_about(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SmartRecruiters("acc"))
    bench.happen("opened", "applied")
    ((headers, _),) = bench.week.tell("booked")
    bench.follow([record(bench.week, dict(headers), b"{}")])
    assert bench.found() == [("interviews", "interview.scheduled")]


def test_paths_are_below_the_configured_api() -> None:
    assert path_below("https://h.example/api/jobs/1?x=1", "https://h.example/api") == "/jobs/1"
    for link in ("https://h.example/apis/jobs/1", "https://h.example/api", "https://h.example/other", "/api/jobs/1"):
        with pytest.raises(RefusedLink):
            path_below(link, "https://h.example/api")


def test_records_and_history_and_what_cannot_be_read_signal_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SmartRecruiters("acc"))
    bench.happen("opened", "applied")
    ((headers, body),) = bench.week.tell("submitted")
    told = [record(bench.week, dict(headers), body, **how) for how in ({"backfill": True}, {"account": "other"})]
    told += [record(bench.week, dict(headers), odd) for odd in (b"", b"{", b"[]", b"\xff", b'{"candidate_id":[],"job_id":1}')]
    told += [SimpleNamespace(headers=[("tenant", b"\xff")], value=body), SimpleNamespace(headers=None, value=None)]
    bench.follow(told)
    assert (bench.asked, bench.log.records) == ([], [])


def test_a_flood_of_signals_is_cut_and_left_to_the_next_poll(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SmartRecruiters("acc"))
    bench.week.now = SUBMITTED

    async def work(_: Poller, signals: Signals) -> None:
        for number in range(MOST_WAITING + 10):
            body = orjson.dumps({"candidate_id": f"c{number}", "job_id": "J1"})
            signals.take(record(bench.week, {"event-name": "application.status.updated"}, body))
        assert len(signals._waiting["acc"]) == MOST_WAITING

    bench.do(work)


def test_a_signal_that_fails_leaves_the_next_poll_to_read_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SmartRecruiters("acc"))
    bench.happen("opened", "applied", "submitted")
    ((headers, body),) = bench.week.tell("booked")
    hidden = bench.week.lists.pop("/interviews-api/v201904/interviews")
    bench.follow([record(bench.week, dict(headers), body)])
    assert bench.log.records == []
    bench.week.lists["/interviews-api/v201904/interviews"] = hidden
    bench.clock.at = BOOKED + timedelta(hours=1)

    async def poll(poller: Poller, _: Signals) -> None:
        assert await poller.poll()

    bench.do(poll)
    assert ("interviews", "interview.scheduled") in bench.found()
