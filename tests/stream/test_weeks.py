"""One week of hiring as each vendor tells it, by webhook and by poll, through the poller and the pure steps of the workers.

The weeks are those of tests/weeks, which tests/integration/test_vendor_pipeline.py lives through everything that runs; here each
is told alone, also with every record twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from schemas.fact import Fact, Watermark, facts_record
from schemas.outcome import Verdict
from schemas.raw import RawHeaders
from schemas.sources import Account, Api, SecretRef, Sources
from streams.connectors import CONNECTORS, declared_kinds
from streams.normalise import Normaliser
from streams.poll_state import PollState
from streams.poller import Poller
from streams.polling import SOURCES, authority
from streams.raw_log import RawRecord
from streams.safe_fetch import Vendor
from tests.stories import ACCOUNT, agreement
from tests.tracked import Table, Told, Tracked
from tests.unit.test_poller import Hands, Log
from tests.vendors import STAGES
from tests.weeks import WEEKS
from tests.weeks.week import CARD, END, ENDS, MINUTE, MOMENTS, SUBMITTED, TAKEN, Week

ORIGIN = "https://ats.example"
SECRETS = {"token": "token-of-the-week", "account_token": "token-of-the-week"}
SECRETS |= {"client_id": "client", "client_secret": "token-of-the-week"}


async def _no_pause(_: float) -> None:
    return None


class Lived:
    """A week at one vendor: everything that came into `ats.raw`, in order."""

    def __init__(self, folder: Path, week: Week) -> None:
        self.week, self.log, self.clock = week, Log(), Hands()
        handler = week.handler()
        week.moved_to(ORIGIN)
        asyncio.run(self._live(PollState(folder), httpx.MockTransport(handler or (lambda _: httpx.Response(404)))))

    async def _live(self, state: PollState, transport: httpx.MockTransport) -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            poller = self._poller(state, client) if self.week.polled else None
            for moment, when in MOMENTS.items():
                await self._poll(poller, when - MINUTE)
                webhooks = self.week.tell(moment)
                self.clock.at = when + MINUTE
                self.log.records += [self._kept(dict(headers), body) for headers, body in webhooks]
                await self._poll(poller, when + MINUTE)
            await self._poll(poller, END)
        state.close()

    async def _poll(self, poller: Poller | None, at: datetime) -> None:
        """Until it was good: Ashby's errors come with HTTP 200, and the next poll is."""
        self.clock.at = at
        for _ in range(3):
            if poller is None or await poller.poll():
                return
        raise AssertionError("no poll was good")

    def _poller(self, state: PollState, client: httpx.AsyncClient) -> Poller:
        source = SOURCES[self.week.system]
        api = Api(version=self.week.api.get("version"), user=self.week.api.get("user"), token_url=f"{ORIGIN}/token")
        vendor = Vendor(client, ORIGIN + self.week.path, authority(source, api, SECRETS), sleep=_no_pause)
        account = Account(account=ACCOUNT, system=self.week.system, polled=self.week.polled, api=api)
        return Poller("acme", account, source, vendor, self.log, state, self.clock, 900_000)

    def _kept(self, headers: dict[str, str], body: bytes) -> RawRecord:
        names: frozenset[str] = getattr(CONNECTORS[self.week.system], "vendor_headers", frozenset())
        own = {"tenant": "acme", "account": ACCOUNT, "system": self.week.system, "channel": "webhook", "request_id": "r"}
        told = {name: value for name, value in headers.items() if name in names}
        raw = RawHeaders.model_validate({**own, "received_at": self.clock.at, "vendor": told})
        return RawRecord(raw, body, self.clock.at)

    def facts(self, repeat: int = 1) -> Iterator[tuple[datetime, list[Told]]]:
        """What normalise makes of each record that came, in order of receipt."""
        table, step = Table(), Normaliser(STAGES, "ats.facts", "ats.rejected", 1)
        for number, one in enumerate(self.log.records):
            stamp = int(one.at.timestamp() * 1000)
            place = {"topic": "ats.raw", "partition": 0, "offset": number, "timestamp": stamp}
            record = SimpleNamespace(**place, value=one.body, headers=one.headers.to_kafka())
            found = step(0, [record] * repeat, table)
            table.write(found.changes)
            assert not [m for m in found.messages if m.topic == "ats.rejected"], [m.value for m in found.messages]
            said = [facts_record.validate_json(m.value or b"") for m in found.messages]
            yield one.at, [told for told in said if isinstance(told, Fact | Watermark)]

    def judged(self, repeat: int) -> Tracked:
        secrets = (SecretRef(env="X"),)
        source = Account(account=ACCOUNT, system=self.week.system, webhook_secrets=secrets, polled=self.week.polled)
        tracked = Tracked(agreement(), declared_kinds(Sources(tenant="acme", accounts=(source,))))
        for when, said in self.facts(repeat):
            if said:
                tracked.feed(*said)
            tracked.tick(when)
        tracked.tick(END)
        assert tracked.letters == []
        return tracked


every = pytest.mark.parametrize("week", WEEKS, ids=lambda week: week.__name__.lower())


@every
@pytest.mark.parametrize("repeat", [1, 2], ids=["once", "sent twice"])
def test_the_week_is_judged_as_it_was(tmp_path: Path, week: type[Week], repeat: int) -> None:
    one = week(ACCOUNT)
    found, ids = Lived(tmp_path, one).judged(repeat).obligations(), one.obligations()
    assert set(ids.values()) <= set(found), sorted(found)
    assert {name: found[own].verdict for name, own in ids.items()} == dict.fromkeys(ids, Verdict.MET)
    review = found[ids["review_candidate"]]
    assert review.ended_at is not None
    assert abs(review.started_at - SUBMITTED) <= 2 * MINUTE >= abs(review.ended_at - TAKEN)
    if "submit_feedback" in ids:
        card = found[ids["submit_feedback"]]
        assert (card.owner, card.started_at, card.ended_at) == ("p-manager", ENDS, CARD)
    cycles = [i for i in found if i.startswith(("review_candidate:", "schedule_interview:")) and not i.endswith(":1")]
    assert cycles == [], "a change told twice is one change"


@pytest.mark.parametrize("week", [w for w in WEEKS if w.system in ("ashby", "lever")], ids=lambda week: week.system)
def test_a_move_told_by_webhook_and_by_poll_is_one_fact(tmp_path: Path, week: type[Week]) -> None:
    moves: dict[str, set[object]] = {}
    for _, said in Lived(tmp_path, week(ACCOUNT)).facts():
        for one in said:
            if isinstance(one, Fact) and one.kind == "application.stage_changed":
                moves.setdefault(one.fact_id, set()).add(one.attributes["stage"])
    assert len(moves) == 3
    assert sorted(map(str, set().union(*moves.values()))) == ["applied", "interview", "manager_review"]
