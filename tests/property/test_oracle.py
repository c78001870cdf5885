"""The core against the slow second opinion of tests/oracle.py; `python -m tests.oracle 10000` is the long run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.outcome import Verdict
from schemas.policy import Commitment
from streams import completeness, cycles, deadline, holders, interviews, obligations, terms, timeline, verdict
from streams.agreement import Agreement, Promise
from tests.oracle import disagreements
from tests.random_histories import Histories

BOOKED: Callable[..., Any] = interviews._booked
#: Rules that have to decide something in at least this share of the histories.
OFTEN = {
    "a target by priority": 0.2,
    "a target by level": 0.1,
    "a target by location": 0.1,
    "a target by team": 0.2,
    "a target by department": 0.05,
    "the target of rule 2": 0.2,
    "no rule of the targets": 0.2,
    "a target changed forward": 0.05,
    "a target changed retroactive": 0.03,
    "a target changed reset": 0.03,
    "a target in calendar_days": 0.2,
    "a target in elapsed_hours": 0.2,
    "a target in until": 0.1,
    "a clock started anew by a later start": 0.1,
    "applies": 0.1,
    "does not apply": 0.1,
    "a later version of a stanza": 0.2,
    "a later version of a calendar": 0.1,
    "a scorecard linked by the interview's time": 0.05,
    "a scorecard linked to the last that began": 0.05,
    "a scorecard linked by its listing": 0.02,
    "a fact that was not known yet": 0.1,
    "a fact told more than once": 0.4,
    "whoever holds the ball owes": 0.4,
}


def test_core_and_oracle_agree_on_random_histories_in_which_every_rule_decides_something() -> None:
    drawn, counted, features, histories = Histories(seed=2026), 0, Counter[str](), 200
    for number in range(histories):
        history, seen = drawn.draw(), set[str]()
        count, lines = disagreements(history, seen)
        features.update(seen)
        counted += count
        assert not lines, f"history {number} as of {history.as_of}:\n" + "\n".join(lines)
    assert counted > 2500  # the histories are about something
    rare = {name: features[name] / histories for name, share in OFTEN.items() if features[name] < share * histories}
    assert not rare


def _last_rule(commitment: Commitment, life: Any, agreement: Agreement, at: Any) -> Any:
    return commitment.targets[-1].target if commitment.targets else commitment.target


def _first_stanza(agreement: Agreement, name: str, at: Any) -> Promise | None:
    return agreement.promises[name][-1] if name in agreement.promises else None


def _first_copy(facts: Any) -> Any:
    return list({fact.fact_id: fact for fact in facts}.values())


def _never_left(due: Any, start: Any, change: Any, used: Any, warn_at: Any, gaps: Any) -> Any:
    return due


def _never_anew(promise: Promise, life: Any, delay: Any) -> Any:
    deaf = promise.commitment.model_copy(update={"cycles": "each"} if promise.commitment.cycles == "latest" else {})
    return cycles.clocks(replace(promise, commitment=deaf), life, delay)


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
        lambda clock, life, cancel, due: verdict.Ruling(Verdict.CANCELLED, "", cancel),
    ),
    "everybody approves": (verdict, "excused_by", lambda *_: None),
    "interviews never move": (interviews, "_booked", _booked_once),
    "a pause is forgotten": (terms, "gaps_of", lambda *_, **__: []),
    "nothing calls an interview off": (timeline, "INTERVIEW_KINDS", frozenset({"interview.scheduled"})),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_core_is_noticed(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BREAKS[how])
    drawn = Histories(seed=7)
    assert any(disagreements(drawn.draw(), set())[1] for _ in range(200))
