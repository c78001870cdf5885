"""Whatever a vendor sends, a connector gives facts with aware times or says InvalidPayload; nothing else ever comes out."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.connectors.greenhouse import ACTIONS, GREENHOUSE, RECORDS
from streams.errors import InvalidPayload
from streams.routing import Router
from tests.greenhouse import BODIES, STAGES, headers

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**18, 2**64 - 1, "", " ", "x", "12", "a/b", "ünï", "\u0000",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "2026-02-30", "2026-03-01", "2026-03-01T10:00:00", "2026-W10-1", "24:00", [], {}, [None], [[]],
    [{}], ["x"], [1, None, "2"], {"id": None}, {"id": []}, {"id": "1"}, {"date_time": 7},
    {"date": "2026-03-01", "date_time": None},
    {"name": ["x"]}, {"name": {}}, "x" * 500,
]  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in steps:
        found += paths(item, (*at, step))
    return found


PATHS = {name: paths(body) for name, body in BODIES.items()}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """A real-shaped body with one to four fields dropped, nulled or of another type."""
    name = draw(st.sampled_from(sorted(BODIES)))
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


@settings(max_examples=1500, deadline=None)
@given(mutated())
def test_a_mangled_body_gives_sound_facts_or_invalid_payload(case: tuple[str, Any]) -> None:
    name, body = case
    raw = headers(name)
    channel, _, kind = name.partition(".")
    declared = RECORDS[kind][1] if channel == "record" else tuple(k for _, kinds in ACTIONS.values() for k in kinds)
    try:
        found = GREENHOUSE.normalise(raw, orjson.dumps(body), STAGES)
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
    for fact in Router({}.get).route(found):
        assert fact.requisition_id is not None


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
KEYS = st.sampled_from(["action", "payload", "id", "job", "application"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.binary(max_size=60) | JSON)
def test_anything_at_all_gives_facts_or_invalid_payload(name: str, body: Any) -> None:
    raw = headers(name)
    try:
        found = GREENHOUSE.normalise(raw, body if isinstance(body, bytes) else orjson.dumps(body), STAGES)
    except InvalidPayload:
        return
    assert all(fact.occurred_at.tzinfo is not None for fact in found)
