"""Whatever a vendor sends, a connector gives facts with aware times or says InvalidPayload; nothing else ever comes out.

And whatever somebody makes up, no header and no body lets them speak for a vendor.
"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.connectors import CONNECTORS
from streams.errors import InvalidPayload, InvalidSignature
from streams.routing import Router
from tests.every_fixture import BODIES, FACTUAL
from tests.vendors import RECEIVED, STAGES, headers

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**18, 2**64 - 1, "", " ", "x", "12", "a/b", "ünï", "\u0000",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "2026-02-30", "2026-03-01", "2026-03-01T10:00:00", "2026-W10-1", "24:00", [], {}, [None], [[]],
    [{}], ["x"], [1, None, "2"], {"id": None}, {"id": []}, {"id": "1"}, {"date_time": 7},
    {"date": "2026-03-01", "date_time": None},
    {"name": ["x"]}, {"name": {}}, "x" * 500, 1772442005000, 7258118400000, -1772442005000, "onHold", "closed", "Archived",
]  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in steps:
        found += paths(item, (*at, step))
    return found


PATHS = {name: [*paths(BODIES[name]), ("previous",)] for name in FACTUAL}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[tuple[str, str], Any]:
    """A real-shaped body with one to four fields dropped, nulled or of another type."""
    name = draw(st.sampled_from(FACTUAL))
    body = copy.deepcopy(BODIES[name])
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PATHS[name]))
        where = body
        try:
            for step in path[:-1]:
                where = where[step]
            if isinstance(where, dict) != isinstance(path[-1], str):
                continue  # an earlier change made a list of an object, or the other way round
            if draw(st.booleans()):
                where[path[-1]] = copy.deepcopy(draw(st.sampled_from(ODD)))
            else:
                del where[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return name, body


@settings(max_examples=4000, deadline=None)
@given(mutated(), st.none() | st.just(RECEIVED - timedelta(days=2)))
def test_a_mangled_body_gives_sound_facts_or_invalid_payload(case: tuple[tuple[str, str], Any], since: datetime | None) -> None:
    (system, name), body = case
    connector, raw = CONNECTORS[system], headers(system, name, changed_since=since)
    channel, _, kind = name.partition(".")
    declared = connector.record_kinds[kind] if channel == "record" else connector.webhook_kinds
    try:
        found = connector.normalise(raw, orjson.dumps(body), STAGES)
    except InvalidPayload as error:
        assert error.reason.replace("_", "").isalpha()
        return
    assert {fact.kind for fact in found} <= set(declared)
    for fact in found:
        assert fact.occurred_at.utcoffset() == timedelta(0)
        assert fact.occurred_not_before is None or fact.occurred_not_before <= fact.occurred_at
        assert any(
            [
                fact.requisition_id,
                fact.application_id,
                fact.candidate_id,
                fact.interview_id,
                fact.attributes.get("scorecard_id"),
                fact.attributes.get("offer_id"),
            ]
        )
        assert b"robin" not in fact.to_json().lower()
    for fact in Router(lambda _: None).route(found):
        assert fact.requisition_id is not None


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
KEYS = st.sampled_from(
    ["action", "payload", "id", "job", "application", "data", "event", "hook", "token", "triggeredAt", "signature", "content"]
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(FACTUAL), st.binary(max_size=60) | JSON)
def test_anything_at_all_gives_facts_or_a_declared_error(case: tuple[str, str], body: Any) -> None:
    connector, raw = CONNECTORS[case[0]], body if isinstance(body, bytes) else orjson.dumps(body)
    assert connector.is_ping(raw) in (True, False)
    try:
        connector.verify({}, raw, [b"secret"])
    except InvalidSignature:
        pass
    else:
        raise AssertionError("an unsigned body was taken")
    try:
        found = connector.normalise(headers(*case), raw, STAGES)
    except InvalidPayload:
        return
    assert all(fact.occurred_at.tzinfo is not None for fact in found)


SIGNED = st.binary(max_size=200) | st.sampled_from(
    [
        b'{"payload":{"data":{"id":"1"}},"signature":"x"}',
        b'{"resource_id":1}',
        b'{"token":"t","triggeredAt":1780000000000,"signature":"%s"}' % (b"ab" * 32),
    ]
)
HEADERS = st.sampled_from(
    [
        "ashby-signature",
        "event-name",
        "signature",
        "smartrecruiters-signature",
        "smartrecruiters-timestamp",
        "teamtailor-signature",
        "x-hook-secret",
        "x-merge-webhook-signature",
        "x-workable-signature",
    ]
)
CLAIMS = st.text(max_size=70) | st.sampled_from(["sha256 " + "ab" * 32, "sha256=" + "ab" * 32, "v1=" + "ab" * 32, "A" * 43])


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(sorted(CONNECTORS)), st.dictionaries(HEADERS, CLAIMS), SIGNED)
def test_no_header_gets_anybody_in(system: str, sent: dict[str, str], body: bytes) -> None:
    try:
        CONNECTORS[system].verify(sent, body, [b"secret", b"old"])
    except InvalidSignature:
        return
    raise AssertionError("a made-up signature was taken")
