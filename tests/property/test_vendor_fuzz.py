"""Whatever Merge, SmartRecruiters, Teamtailor or Workable sends: sound facts or InvalidPayload, nothing else."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.connectors import CONNECTORS
from streams.errors import InvalidPayload, InvalidSignature
from streams.routing import Router
from tests.vendors import BODIES, RECEIVED, STAGES, headers

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**18, "", " ", "x", "12", "a/b", "ünï", "\u0000", "REJECTED", "HIRED", "on_hold", "closed",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-02-30", "2026-03-01", "2026-03-01T10:00:00",
    "2026-03-01T10:00:00+02:00", [], {}, [None], [[]], [{}], ["x"], [1, None, "2"], {"id": None}, {"id": "1"}, {"id": 1},
    {"name": ["x"]}, {"name": {}}, {"state": 1}, {"current_stage": {}}, "x" * 500,
]  # fmt: skip
EXTRA = ("previous", "remote_was_deleted", "cancelled", "withdrew", "anonymized", "rating", "status", "members")


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in steps:
        found += paths(item, (*at, step))
    return found


PATHS = {name: [*paths(body), *((extra,) for extra in EXTRA)] for name, body in BODIES.items()}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A real-shaped body with one to four fields dropped, nulled, added or of another type."""
    vendor, name = draw(st.sampled_from(sorted(BODIES)))
    body = copy.deepcopy(BODIES[vendor, name])
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PATHS[vendor, name]))
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
    return vendor, name, body


@settings(max_examples=2500, deadline=None)
@given(mutated(), st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_mangled_body_gives_sound_facts_or_invalid_payload(case: tuple[str, str, Any], since: datetime | None) -> None:
    vendor, name, body = case
    connector, (channel, _, kind) = CONNECTORS[vendor], name.partition(".")
    declared = connector.record_kinds[kind] if channel == "record" else connector.webhook_kinds
    try:
        found = connector.normalise(headers(vendor, name, changed_since=since), orjson.dumps(body), STAGES)
    except InvalidPayload as error:
        assert error.reason.replace("_", "").isalpha()
        return
    assert {fact.kind for fact in found} <= declared
    for fact in found:
        assert fact.occurred_at.utcoffset() == timedelta(0)
        assert fact.occurred_not_before is None or fact.occurred_not_before <= fact.occurred_at
        assert b"robin" not in fact.to_json().lower()
    for fact in Router({}.get).route(found):
        assert fact.requisition_id is not None


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8)
KEYS = st.sampled_from(["payload", "data", "id", "hook", "event", "event_name", "event_type", "content", "job", "attributes"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.binary(max_size=60) | JSON)
def test_anything_at_all_gives_facts_or_invalid_payload(case: tuple[str, str], body: Any) -> None:
    raw = headers(*case)
    try:
        found = CONNECTORS[case[0]].normalise(raw, body if isinstance(body, bytes) else orjson.dumps(body), STAGES)
    except InvalidPayload:
        return
    assert all(fact.occurred_at.tzinfo is not None and fact.received_at == RECEIVED for fact in found)


NAMES = st.sampled_from(
    [
        "event-name",
        "smartrecruiters-signature",
        "smartrecruiters-timestamp",
        "teamtailor-signature",
        "x-hook-secret",
        "x-merge-webhook-signature",
        "x-workable-signature",
    ]
)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(sorted({vendor for vendor, _ in BODIES})), st.dictionaries(NAMES, st.text(max_size=70)), st.binary() | JSON
)
def test_no_header_gets_anybody_in(vendor: str, sent: dict[str, str], body: Any) -> None:
    try:
        CONNECTORS[vendor].verify(sent, body if isinstance(body, bytes) else orjson.dumps(body), [b"secret", b"old"])
    except InvalidSignature:
        return
    raise AssertionError("a made-up signature was taken")
