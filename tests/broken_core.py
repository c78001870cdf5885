"""A core that is broken in one way after the other: the oracle has to notice each, else `python -m tests.broken_core` says which.

Needs the interpreted core (`MUTUAL_SLA_COMPILED=0`): compiled calls do not look up what is patched here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import copy
from typing import Any
from unittest import mock

from schemas.outcome import Verdict
from streams import compiled, completeness, cycles, deadline, holders, interviews, obligations, terms, timeline, verdict
from streams.agreement import Agreement, Promise
from tests.oracle import disagreements
from tests.random_histories import Histories

BOOKED: Callable[..., Any] = interviews._booked


def _last_rule(promise: Promise, *_: Any) -> Any:
    return promise.targets[-1].target if promise.targets else promise.target


def _first_stanza(agreement: Agreement, name: str, at: Any) -> Promise | None:
    return agreement.promises[name][-1] if name in agreement.promises else None


def _first_copy(facts: Any) -> Any:
    return list({fact.fact_id: fact for fact in facts}.values())


def _never_left(due: Any, start: Any, change: Any, used: Any, warn_at: Any, gaps: Any) -> Any:
    return due


def _never_anew(promise: Promise, life: Any, delay: Any) -> Any:
    deaf = copy(promise)
    deaf.cycles = "each" if promise.cycles == "latest" else promise.cycles
    return cycles.clocks(deaf, life, delay)


def _booked_once(versions: Any) -> Any:
    return BOOKED(versions)[:1]


BREAKS: dict[str, tuple[Any, str, Any]] = {
    "the last rule of the targets wins": (terms, "_target", _last_rule),
    "every commitment applies": (obligations, "applies", lambda *_: True),
    "the oldest stanza judges": (Agreement, "in_force", _first_stanza),
    "a later start is not heard": (obligations, "clocks", _never_anew),
    "scorecards that name no interview are lost": (interviews.Interviews, "_of_interviewer", lambda *_: ()),
    "a scorecard goes to the first interview": (interviews, "_nearness", lambda interview, _: -interview.known_from.timestamp()),
    "marks count before they are learned": (
        obligations,
        "from_watermarks",
        lambda marks, known_at=None: completeness.from_watermarks(marks),
    ),
    "the warning does not wait": (deadline, "_soon", lambda start, warn_at, gaps, plain: plain.due_soon_at),
    "forward keeps nothing": (deadline.Due, "left_after", _never_left),
    "the ball stays with its first owner": (holders, "_by_person", lambda found, roster: found),
    "any copy of a fact will do": (obligations, "merge", _first_copy),
    "a cancel at the deadline counts": (
        verdict,
        "_cancelled",
        lambda clock, life, cancel, *_: verdict.Ruling(Verdict.CANCELLED, "", cancel),
    ),
    "everybody approves": (verdict, "excused_by", lambda *_: None),
    "interviews never move": (interviews, "_booked", _booked_once),
    "a pause is forgotten": (terms, "gaps_of", lambda *_, **__: []),
    "nothing calls an interview off": (timeline, "INTERVIEW_KINDS", frozenset({"interview.scheduled"})),
}


def noticed(how: str) -> bool:
    """Whether a disagreement shows within 200 histories."""
    with mock.patch.object(*BREAKS[how]):
        drawn = Histories(seed=7)
        return any(disagreements(drawn.draw(), set())[1] for _ in range(200))


if __name__ == "__main__":
    assert not compiled.in_use(), "MUTUAL_SLA_COMPILED=0 has the core interpreted"
    if unnoticed := [how for how in BREAKS if not noticed(how)]:
        sys.exit(f"the oracle does not notice: {', '.join(unnoticed)}")
