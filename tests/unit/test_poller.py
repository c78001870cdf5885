"""The poller against a fake Harvest: what reaches `ats.raw`, when cursor and watermark move, and a vendor's bad days."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.fact import Fact
from schemas.sources import Account, Api
from streams import poll_reading, poll_state
from streams import poller as module
from streams.connectors import CONNECTORS
from streams.errors import Unreachable
from streams.poll_state import SCHEMA, PollState
from streams.poller import Poller
from streams.pollers.plan import Ask
from streams.polling import SOURCES, ClientCredentials, Fixed
from streams.raw_log import RawRecord
from streams.safe_fetch import PollFailed, RefusedLink, Vendor, next_page, origin
from streams.tracker_rows import UnknownRow
from tests.fake_harvest import BASE, DATE, TOKEN_URL, FakeHarvest
from tests.greenhouse import STAGES

OLD, NEW, LATER = "2026-03-01T09:00:00Z", "2026-03-03T09:00:00Z", "2026-03-03T12:20:00Z"
STATE_V1 = Path(__file__).parents[1] / "fixtures/state_v1/poller.db"
START = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


@dataclass
class Log:
    """`ats.raw` in memory; refuses while `down`."""

    records: list[RawRecord] = field(default_factory=list)
    down: bool = False

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def fault(self) -> str | None:
        return None

    async def append(self, records: Sequence[RawRecord], within: float) -> None:
        if self.down:
            raise Unreachable("down")
        self.records += records

    def of(self, channel: str) -> list[Any]:
        return [json.loads(r.body) for r in self.records if r.headers.channel == channel]


@dataclass
class Hands:
    """A clock that is set by hand."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at


def harvest() -> FakeHarvest:
    cards = [
        {"id": n, "application_id": 900 + n, "interviewer_id": 7, "submitted_at": NEW, "updated_at": NEW} for n in range(1, 6)
    ]
    interviews: list[dict[str, Any]] = [
        {
            "id": 40,
            "application_id": 901,
            "job_id": 88,
            "starts_at": LATER,
            "ends_at": LATER,
            "status": "scheduled",
            "updated_at": OLD,
        },
        {"id": 41, "application_id": 902, "job_id": 88, "starts_at": None, "status": "to_be_scheduled", "updated_at": NEW},
    ]
    panel = [{"id": 9001, "interview_id": 40, "user_id": 7, "scorecard_id": 1, "updated_at": NEW}]
    jobs = [{"id": 88, "status": "open", "opened_at": OLD, "created_at": OLD, "updated_at": OLD}]
    return FakeHarvest(
        {
            "/scorecards": [*cards],
            "/interviews": interviews,
            "/interviewers": panel,
            "/jobs": jobs,
            "/job_owners": [{"id": 5, "job_id": 88, "user_id": 3, "type": "recruiter", "responsible": True, "updated_at": NEW}],
            "/job_hiring_managers": [{"id": 6, "job_id": 88, "user_id": 4, "updated_at": OLD}],
            "/openings": [{"id": 61, "job_id": 88, "open": True, "updated_at": OLD}],
        }
    )


@dataclass
class Bench:
    """One account on a fake, with its pauses noted instead of slept."""

    folder: Path
    fake: FakeHarvest
    log: Log = field(default_factory=Log)
    clock: Hands = field(default_factory=Hands)
    pauses: list[float] = field(default_factory=list)
    polled: tuple[str, ...] = ("scorecards",)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def do(self, work: Callable[[Poller], Any]) -> Any:
        """Open the state, work, close it: each call is a process of its own."""

        async def inside() -> Any:
            state = PollState(self.folder)
            try:
                async with httpx.AsyncClient(transport=httpx.MockTransport(self.fake)) as client:
                    signing = ClientCredentials(TOKEN_URL, "client", "hush", "7")
                    vendor = Vendor(client, BASE, signing, sleep=self.pause, attempts=4)
                    account = Account(account="gh", system="greenhouse", polled=self.polled, api=Api())
                    source = SOURCES["greenhouse"]
                    return await work(Poller("acme", account, source, vendor, self.log, state, self.clock, 900_000))
            finally:
                state.close()

        return asyncio.run(inside())

    def poll(self, since: datetime | None = None) -> bool:
        return bool(self.do(lambda one: one.poll(since)))

    def cursor(self, record_type: str = "scorecards") -> datetime | None:
        state = PollState(self.folder)
        try:
            return state.cursor("gh", record_type)
        finally:
            state.close()

    def facts(self) -> list[Fact]:
        records = [r for r in self.log.records if r.headers.channel == "record"]
        return [fact for r in records for fact in CONNECTORS["greenhouse"].normalise(r.headers, r.body, STAGES)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, harvest())


def test_every_page_is_kept_then_the_watermark_of_the_start_then_the_cursor(bench: Bench) -> None:
    assert bench.poll()
    assert [card["id"] for card in bench.log.of("record")] == [5, 4, 3, 2, 1]
    assert bench.log.records[-1].headers.channel == "watermark"
    assert bench.log.of("watermark") == [{"record_type": "scorecards", "complete_until": START.isoformat()}]
    assert bench.cursor() == START
    assert all(r.headers.backfill for r in bench.log.records[:-1]), "a first poll reads history"


def test_the_next_poll_asks_with_an_overlap_and_keeps_what_is_new_or_changed(bench: Bench) -> None:
    bench.poll()
    bench.log.records.clear()
    bench.clock.at = START + timedelta(minutes=30)
    bench.fake.lists["/scorecards"][0] |= {"updated_at": LATER, "candidate_rating": "yes"}
    bench.fake.lists["/scorecards"][1] |= {"updated_at": "2026-03-03T11:55:00Z"}
    assert bench.poll()
    assert bench.fake.asked[-1].url.params["updated_at"] == "gte|2026-03-03T11:50:00Z"
    assert [card["id"] for card in bench.log.of("record")] == [2, 1]
    assert not any(r.headers.backfill for r in bench.log.records)
    bench.log.records.clear()
    assert bench.poll()
    assert bench.log.of("record") == [], "what is in the overlap again and the same is not kept again"


def test_nothing_is_made_durable_that_was_not_acknowledged(bench: Bench) -> None:
    bench.log.down = True
    assert not bench.poll()
    assert bench.cursor() is None
    bench.log.down = False
    assert bench.poll()
    assert len(bench.log.of("record")) == 5


def test_killed_between_acknowledgement_and_cursor_the_same_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(PollState, "commit", killed)
        bench.poll()
    assert len(bench.log.of("record")) == 5 and bench.cursor() is None
    assert bench.poll()
    once, twice = bench.facts()[:5], bench.facts()[5:]
    assert [f.fact_id for f in once] == [f.fact_id for f in twice]


def test_a_page_that_fails_for_good_leaves_cursor_and_watermark(bench: Bench) -> None:
    bench.poll()
    bench.clock.at += timedelta(hours=1)
    bench.fake.bad = [lambda _: httpx.Response(403)]
    assert not bench.poll()
    assert bench.cursor() == START
    assert len(bench.log.of("watermark")) == 1


#: Two limits: ten requests in ten seconds, which are used up, and two thousand.
WORKABLE_S = {
    "X-Rate-Limit-Remaining": "0",
    "X-Rate-Limit-Reset": "1772539203",
    "X-RateLimit-Remaining": "1915",
    "X-RateLimit-Reset": "1772539260",
}

BAD_DAYS: dict[str, Callable[[httpx.Request], httpx.Response | None]] = {
    "5xx": lambda _: httpx.Response(503),
    "half a page": lambda _: httpx.Response(200, content=b'[{"id": 1', headers=DATE),
    "429 in seconds": lambda _: httpx.Response(429, headers={"Retry-After": "3"}),
    "429 by a date": lambda _: httpx.Response(429, headers={**DATE, "Retry-After": "Tue, 03 Mar 2026 12:00:03 GMT"}),
    "429 by the window": lambda _: httpx.Response(429, headers={**DATE, "X-RateLimit-Reset": "1772539203"}),
    "429 by Workable's window": lambda _: httpx.Response(429, headers={**DATE, **WORKABLE_S}),
}


@pytest.mark.parametrize("name", sorted(BAD_DAYS))
def test_what_passes_by_itself_is_asked_again(bench: Bench, name: str) -> None:
    bench.fake.bad = [lambda _: None, BAD_DAYS[name], BAD_DAYS[name]]
    assert bench.poll()
    assert len(bench.log.of("record")) == 5
    assert len(bench.pauses) == 2
    if name.startswith("429"):
        assert bench.pauses == [3.0, 3.0]


def test_a_broken_connection_is_tried_again_and_given_up(bench: Bench) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    bench.fake.bad = [broken] * 4
    assert not bench.poll()
    assert len(bench.fake.asked) == 4


@pytest.mark.parametrize(
    ("window", "pauses"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1772539220"}, [20.0]),
        ({"X-RateLimit-Remaining": "0"}, [1.0]),
        ({"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "7"}, [7.0]),
        (WORKABLE_S, [3.0]),
        ({"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "1772539220"}, []),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+10000000014"}, [1.0]),  # as Ashby writes it
    ],
)
def test_a_used_up_window_is_waited_for(bench: Bench, window: dict[str, str], pauses: list[float]) -> None:
    bench.fake.bad = [lambda _: httpx.Response(200, json=[], headers={**DATE, **window})]
    bench.polled = ("scorecards", "jobs")
    assert bench.poll()
    assert bench.pauses == pauses


def test_a_limit_that_nobody_can_wait_for_is_asked_again_soon(bench: Bench) -> None:
    window = {**DATE, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+10000000014"}
    bench.fake.bad = [lambda _: httpx.Response(429, headers=window)]
    assert bench.poll()
    assert len(bench.pauses) == 1 and bench.pauses[0] < 5


def test_an_expired_token_is_fetched_anew_between_two_pages(bench: Bench) -> None:
    bench.fake.lives = 2
    assert bench.poll()
    assert bench.fake.tokens == 2
    assert len(bench.log.of("record")) == 5


def test_a_link_to_another_host_is_refused_and_never_asked(bench: Bench) -> None:
    bench.fake.next_host = "https://evil.example/v3"
    assert not bench.poll()
    assert bench.fake.hosts == {"auth.example", "harvest.example"}
    assert bench.cursor() is None


def test_a_redirect_is_not_followed(bench: Bench) -> None:
    bench.fake.bad = [lambda _: httpx.Response(302, headers={"Location": "http://169.254.169.254/"})]
    assert not bench.poll()
    assert bench.fake.hosts == {"auth.example", "harvest.example"}


@pytest.mark.parametrize(
    "link",
    [
        "http://harvest.example/v3/jobs?cursor=a",
        "https://harvest.example:8443/v3/jobs?cursor=a",
        "https://harvest.example@evil.example/v3/jobs?cursor=a",
        "https://harvest.example.evil.example/v3/jobs",
        "https://harvest.example/v3/users?cursor=a",
        "//evil.example/v3/jobs",
        "file:///etc/passwd",
        "https://harvest.example:port/v3/jobs",
    ],
)
def test_no_link_leads_away(link: str) -> None:
    with pytest.raises(RefusedLink):
        next_page(f'<{link}>; rel="next"', f"{BASE}/jobs")


def test_a_link_is_read_as_web_linking_has_it() -> None:
    header = f'<{BASE}/jobs?cursor=z>; rel="prev", <{BASE}/jobs?cursor=a%3D>; rel="next"'
    assert next_page(header, f"{BASE}/jobs") == {"cursor": "a="}
    assert next_page(f'<{BASE}/jobs?cursor=z>; rel="prev"', f"{BASE}/jobs") is None
    assert next_page(None, BASE) is None
    assert origin("https://A.example/x") == ("https", "a.example", 443)


def test_a_path_cannot_change_the_host() -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={}))) as client:
            await Vendor(client, "https://harvest.example", Fixed({})).ask(Ask("@evil.example/", {}))

    with pytest.raises(RefusedLink):
        asyncio.run(ask())


def test_an_interview_comes_with_its_panel_and_only_once_it_has_a_time(bench: Bench) -> None:
    bench.polled = ("scheduled_interviews",)
    assert bench.poll()
    (fact,) = bench.facts()
    assert (fact.kind, fact.interview_id, fact.attributes["interviewers"]) == ("interview.scheduled", "gh/40", ["gh/7"])
    assert fact.occurred_at == datetime.fromisoformat(NEW), "the panel changed last"


def test_a_job_comes_again_when_its_team_changes(bench: Bench) -> None:
    bench.polled = ("jobs",)
    bench.poll()
    bench.log.records.clear()
    bench.clock.at = START + timedelta(hours=1)
    bench.fake.lists["/job_owners"][0] |= {"user_id": 33, "updated_at": LATER}
    assert bench.poll()
    updated = next(fact for fact in bench.facts() if fact.kind == "requisition.updated")
    assert updated.people == {"recruiter": ("gh/33",), "hiring_manager": ("gh/4",)}
    assert updated.occurred_at == datetime.fromisoformat(LATER)


def test_since_reads_again_as_history_and_moves_the_cursor_only_over_what_was_read(bench: Bench) -> None:
    assert bench.poll(datetime(2026, 3, 2, tzinfo=UTC))
    assert bench.cursor() is None and bench.log.of("watermark") == [], "what was before has never been read"
    bench.poll()
    bench.log.records.clear()
    bench.clock.at = START + timedelta(hours=2)
    assert bench.poll(datetime(2026, 3, 2, tzinfo=UTC))
    assert len(bench.log.of("record")) == 5, "also what has not changed"
    assert all(r.headers.backfill for r in bench.log.records if r.headers.channel == "record")
    assert bench.cursor() == bench.clock.at


def test_one_type_that_fails_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.polled = ("offers", "scorecards")
    assert not bench.poll()  # the fake has no /offers
    assert bench.cursor("offers") is None and bench.cursor() == START


def test_a_failing_account_pauses_longer_and_recovers(bench: Bench) -> None:
    class Enough(Exception):
        pass

    pauses: list[float] = []
    outcomes = iter([False, False, True, False])

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise Enough

    async def work(one: Poller) -> None:
        class Stub:
            account = one.account

            async def poll(self) -> bool:
                return next(outcomes)

        await module.forever(Stub(), pause)  # type: ignore[arg-type]

    with pytest.raises(Enough):
        bench.do(work)
    assert pauses == [600.0, 900.0, 300.0, 600.0]


@dataclass
class MergeBench:
    """Merge's list of one type, one record in it, polled by a process of its own each time."""

    folder: Path
    record_type: str
    record: dict[str, Any]
    log: Log = field(default_factory=Log)
    clock: Hands = field(default_factory=Hands)
    next_pages: list[httpx.Response] = field(default_factory=list)  #: a page behind the list, for one poll

    def poll(self, since: datetime | None = None, **changes: Any) -> None:
        self.record |= changes
        asyncio.run(self._poll(since))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if "cursor" in request.url.params:
            return self.next_pages.pop()
        return httpx.Response(200, json={"results": [self.record], "next": "2" if self.next_pages else None})

    async def _poll(self, since: datetime | None) -> None:
        state = PollState(self.folder)
        handler = httpx.MockTransport(self._answer)
        async with httpx.AsyncClient(transport=handler) as client:
            account = Account(account="m", system="merge", polled=(self.record_type,), api=Api())
            vendor = Vendor(client, "https://m.example", Fixed({}))
            assert await Poller("acme", account, SOURCES["merge"], vendor, self.log, state, self.clock, 900_000).poll(since)
        state.close()
        self.clock.at += timedelta(minutes=5)

    def kept(self) -> list[RawRecord]:
        return [r for r in self.log.records if r.headers.channel == "record"]

    def facts(self, kind: str) -> list[Fact]:
        found = [f for r in self.kept() for f in CONNECTORS["merge"].normalise(r.headers, r.body, STAGES)]
        return [fact for fact in found if fact.kind == kind]


def test_state_that_changed_without_a_time_says_since_when(tmp_path: Path) -> None:
    offer = {"id": "o1", "remote_id": "1", "application": "a1", "status": "SENT", "modified_at": NEW}
    bench = MergeBench(tmp_path, "offers", offer)
    bench.poll()
    bench.poll(status="APPROVED")
    first, second = bench.kept()
    assert first.headers.changed_since is None and second.headers.changed_since == START
    assert json.loads(second.body)["previous"]["status"] == "SENT"


def test_a_stage_is_entered_once_however_often_its_record_changes_or_is_read_again(tmp_path: Path) -> None:
    applied = {"id": "s1", "name": "Applied"}
    record = {"id": "a1", "job": "j1", "applied_at": OLD, "current_stage": applied, "modified_at": NEW}
    bench = MergeBench(tmp_path, "applications", record)
    bench.poll()
    bench.poll(current_stage={"id": "s2", "name": "Interview"})
    bench.poll(modified_at=LATER)
    bench.poll(since=START - timedelta(days=30))
    told = bench.facts("application.stage_changed")
    assert [fact.attributes["stage"] for fact in told] == ["applied", "interview", "interview", "interview"]
    assert len({fact.fact_id for fact in told}) == 2
    assert {fact.occurred_not_before for fact in told[1:]} == {START}


def test_what_a_poll_told_before_it_failed_is_remembered_so_that_its_being_taken_back_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_reading, "BATCH", 1)
    applied = {"id": "s1", "name": "Applied"}
    bench = MergeBench(
        tmp_path, "applications", {"id": "a1", "job": "j1", "applied_at": OLD, "current_stage": applied, "modified_at": NEW}
    )
    bench.poll()
    bench.next_pages = [httpx.Response(404)]
    with pytest.raises(AssertionError):
        bench.poll(current_stage={"id": "s2", "name": "Interview"})
    bench.poll(current_stage=applied)
    told = bench.facts("application.stage_changed")
    assert [fact.attributes["stage"] for fact in told] == ["applied", "interview", "applied"]
    assert len({fact.fact_id for fact in told}) == 3


def test_what_was_on_its_way_when_the_poller_died_is_told_as_taken_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied, interview = {"id": "s1", "name": "Applied"}, {"id": "s2", "name": "Interview"}
    bench = MergeBench(
        tmp_path, "applications", {"id": "a1", "job": "j1", "applied_at": OLD, "current_stage": applied, "modified_at": NEW}
    )
    bench.poll()
    append = Log.append

    async def dies(log: Log, *arguments: Any, **options: Any) -> None:
        await append(log, *arguments, **options)
        raise KeyboardInterrupt  # it is there, and nobody heard

    with monkeypatch.context() as death:
        death.setattr(Log, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.poll(current_stage=interview)
    bench.poll(current_stage=applied)
    told = bench.facts("application.stage_changed")
    assert [fact.attributes["stage"] for fact in told] == ["applied", "interview", "applied"]
    assert len({fact.fact_id for fact in told}) == 3


def test_a_poller_goes_on_with_the_file_of_a_release_that_numbered_none(bench: Bench) -> None:
    """tests/fixtures/state_v1/poller.db: what the poller of commit a911ced left of this harvest, polled once at START."""
    bench.polled = ("scorecards", "scheduled_interviews", "jobs")
    shutil.copy(STATE_V1, bench.folder)
    assert [bench.cursor(name) for name in bench.polled] == [START] * 3
    bench.clock.at += timedelta(minutes=5)
    assert bench.poll()
    assert bench.log.of("record") == [], "what was seen is known"
    assert len(bench.log.of("watermark")) == 3
    bench.fake.lists["/jobs"][0] |= {"status": "closed", "updated_at": LATER}
    assert bench.poll()
    assert [record["status"] for record in bench.log.of("record")] == ["closed"]
    with closing(sqlite3.connect(bench.folder / "poller.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def test_a_migration_that_is_broken_off_leaves_the_older_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unwritable(int):
        def __format__(self, _: str) -> str:
            return "("  # of the last statement

    shutil.copy(STATE_V1, bench.folder)
    monkeypatch.setattr(poll_state, "SCHEMA", Unwritable(1))
    with pytest.raises(sqlite3.OperationalError):
        PollState(bench.folder)
    with closing(sqlite3.connect(bench.folder / "poller.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
        assert len(db.execute("PRAGMA table_info(seen)").fetchall()) == 5
    monkeypatch.undo()
    assert bench.cursor() == START


def test_a_file_of_a_newer_release_is_refused_and_left_alone(bench: Bench) -> None:
    shutil.copy(STATE_V1, bench.folder)
    with closing(sqlite3.connect(bench.folder / "poller.db")) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    before = (bench.folder / "poller.db").read_bytes()
    with pytest.raises(UnknownRow, match=rf"poller.db is of schema {SCHEMA + 1}; .*install the release that wrote it"):
        PollState(bench.folder)
    assert (bench.folder / "poller.db").read_bytes() == before


def test_a_secret_is_never_shown() -> None:
    shown = repr([ClientCredentials(TOKEN_URL, "client", "hush"), Fixed({"Authorization": "Bearer hush"})])
    assert "hush" not in shown


def test_refused_credentials_end_the_poll(bench: Bench) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(bench.fake)) as client:
            await Vendor(client, BASE, ClientCredentials(TOKEN_URL, "client", "wrong", "7")).ask(Ask("/jobs", {}))

    with pytest.raises(PollFailed, match="no access token: status 401"):
        asyncio.run(ask())
