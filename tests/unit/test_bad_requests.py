"""What callers get wrong at the gateway, of every vendor that calls: nobody else is heard, nothing that was signed is lost."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
import pytest

from streams.connectors import CONNECTORS
from tests.every_fixture import Signed
from tests.unit.test_gateway import LIMIT, SECRET, Client, MemoryLog, account, gateway
from tests.weeks import WEEKS
from tests.weeks.merge import LINKED
from tests.weeks.week import APPLIED, Week

CALLERS = {week.system: week for week in WEEKS if week.__name__ != "GreenhouseV1"}
every = pytest.mark.parametrize("system", sorted(CALLERS))
#: Vendors that sign the time, and how far it may be from ours.
SKEW = {"smartrecruiters": timedelta(minutes=10), "lever": timedelta(hours=72)}


@dataclass
class At:
    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass
class Desk:
    """A gateway with one account of the system, at the time of the week's applications."""

    week: Week
    raw: MemoryLog
    clock: At
    client: Client

    def send(self, signed: Signed, **more: str) -> int:
        headers, body = signed
        path = f"/webhooks/{self.week.system}/acc"
        status: int = self.client.post(path, content=body, headers={**headers, **more}).status_code
        return status

    @property
    def refusal(self) -> int:
        return getattr(CONNECTORS[self.week.system], "bad_signature_status", 401)

    @property
    def success(self) -> int:
        return CONNECTORS[self.week.system].success_status

    def signed(self, secret: bytes = SECRET) -> Signed:
        """The webhook of the application."""
        self.week.secret = secret
        if (handler := getattr(self.week, "handler", None)) is not None:
            handler()
        return self.week.tell("applied")[0]


@pytest.fixture
def desk(system: str) -> Iterator[Desk]:
    raw, clock = MemoryLog(), At(APPLIED)
    one = account("acc", system).model_copy(update={"linked_account": LINKED} if system == "merge" else {})
    with Client(gateway(raw, accounts=[one], clock=clock).app()) as client:
        yield Desk(CALLERS[system]("acc"), raw, clock, client)


def unsigned(system: str, signed: Signed) -> Signed:
    headers, body = signed
    value = orjson.loads(body)
    bare = orjson.dumps({name: item for name, item in value.items() if name != "signature"})
    return {name: item for name, item in headers.items() if "signature" not in name}, bare


@every
def test_what_is_signed_is_kept_to_the_byte(system: str, desk: Desk) -> None:
    signed = desk.signed()
    assert desk.send(signed) == desk.success
    assert [one.body for one in desk.raw.kept] == [signed[1]]


@every
def test_a_missing_and_a_wrong_signature_are_refused_and_nothing_is_kept(system: str, desk: Desk) -> None:
    assert desk.send(unsigned(system, desk.signed())) == desk.refusal
    assert desk.send(desk.signed(b"not-the-secret")) == desk.refusal
    assert desk.raw.kept == []


@every
def test_a_signature_of_another_body_is_refused(system: str, desk: Desk) -> None:
    """What Lever signs is a token: it comes a second time only with the same body."""
    signed = desk.signed()
    if system == "lever":
        assert desk.send(signed) == desk.success
        desk.raw.kept.clear()
    headers, body = signed
    forged = body.replace(b'"c1"', b'"c2"').replace(b"501", b"502").replace(b'"J1"', b'"J2"')
    assert forged != body
    assert desk.send((headers, forged)) == desk.refusal
    assert desk.raw.kept == []


@every
@pytest.mark.parametrize("way", [1, -1])
def test_a_clock_that_is_wrong_is_refused_by_vendors_that_sign_the_time_and_heard_from_the_others(
    system: str, desk: Desk, way: int
) -> None:
    signed, skew = desk.signed(), SKEW.get(system, timedelta(days=30))
    desk.clock.at = APPLIED + way * (skew + timedelta(minutes=1))
    early = system == "lever" and way < 0  # a time to come is nobody's retry, however little
    assert desk.send(signed) == (desk.refusal if system in SKEW else desk.success)
    desk.clock.at = APPLIED + way * (timedelta(seconds=30) if early else skew - timedelta(minutes=1))
    assert desk.send(signed) == desk.success


@every
def test_a_replayed_delivery_tells_nothing_twice(system: str, desk: Desk) -> None:
    signed = desk.signed()
    assert desk.send(signed) == desk.send(signed) == desk.success
    again = {one.body for one in desk.raw.kept}
    assert again == {signed[1]}
    assert len(desk.raw.kept) == (1 if system == "lever" else 2), "facts being a set, a copy is harmless"


@every
def test_five_megabytes_are_refused_before_they_are_read_and_signed_or_not(system: str, desk: Desk) -> None:
    assert LIMIT < 5_000_000
    assert desk.send((desk.signed()[0], b'{"a":"' + b"x" * 5_000_000 + b'"}')) == 413
    assert desk.raw.kept == []


@every
@pytest.mark.parametrize("cut", [0, 9])
def test_a_packed_body_is_refused_whole_or_truncated(system: str, desk: Desk, cut: int) -> None:
    headers, body = desk.signed()
    packed = gzip.compress(body)
    assert desk.send((headers, packed[: len(packed) - cut]), **{"content-encoding": "gzip"}) == 415
    assert desk.raw.kept == []
