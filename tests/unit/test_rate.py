"""How fast one source may come: the bucket alone, and the gateway's answers with it."""

from __future__ import annotations

import pytest

from streams.door import Refused
from streams.rate import Rate
from tests.unit.test_gateway import EXTRACTOR, RECRUITER, SECRET, Client, MemoryLog, account, bearer, gateway, signed

BODY = b'{"action":"candidate_stage_change","payload":{}}'


class Watch:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_then_one_at_a_time_and_each_source_for_itself() -> None:
    watch = Watch()
    rate = Rate(0.5, 3, watch)
    for _ in range(3):
        rate.take("a")
    with pytest.raises(Refused) as caught:
        rate.take("a")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "2")
    rate.take("b")
    watch.seconds += 1.9
    with pytest.raises(Refused):
        rate.take("a")
    watch.seconds += 0.1
    rate.take("a")
    watch.seconds += 1_000  # never more than the burst
    for _ in range(3):
        rate.take("a")
    with pytest.raises(Refused):
        rate.take("a")


def test_without_a_limit_everything_passes() -> None:
    rate = Rate(0, 1)
    for _ in range(10):
        rate.take("a")


def test_the_gateway_says_when_to_come_again_and_a_forger_uses_up_nothing() -> None:
    raw, watch = MemoryLog(), Watch()
    with Client(gateway(raw, accounts=[account("greenhouse")], rate=Rate(0.1, 2, watch)).app()) as client:
        for _ in range(5):
            assert client.post("/webhooks/greenhouse", content=BODY, headers=signed(BODY, b"wrong")).status_code == 401
        codes = [client.post("/webhooks/greenhouse", content=BODY, headers=signed(BODY, SECRET)) for _ in range(3)]
        assert [answer.status_code for answer in codes] == [200, 200, 429]
        assert codes[2].headers["Retry-After"] == "10"
        assert "come again" in codes[2].json()["mend"]
        assert len(raw.kept) == 2
        jobs = [client.post("/records/greenhouse/jobs", content=b"[{}]", headers=bearer(EXTRACTOR)) for _ in range(3)]
        assert [answer.status_code for answer in jobs] == [200, 200, 429]
        assert client.post("/facts", content=b"{", headers=bearer(RECRUITER)).status_code == 422  # another token, its own bucket
