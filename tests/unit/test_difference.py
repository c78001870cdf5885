"""What is told anew and what not: a body when it says something else, an end once, and a return after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from schemas.fact import Fact
from schemas.outcome import Obligation, Verdict
from streams.difference import GONE, KEPT, KEPT_OF_RECEIPT, Published, difference, no_longer
from streams.obligations import Evaluation, evaluate
from tests.stories import agreement, stories

BY = agreement()
STORY = next(s for s in stories() if s.name == "review_in_time")
LAST = max(e.as_of for e in STORY.expectations)
REVIEW = "review_candidate:acme/r1:a1:1"


def judged(*facts: Fact, as_of: datetime = LAST) -> Evaluation:
    return evaluate(facts, BY.policy, BY.calendars, BY.people, STORY.watermarks, as_of)


WHOLE = judged(*STORY.facts)
LESS = judged(*(f for f in STORY.facts if f.attributes.get("stage") is None))  # nothing to review


def told(published: Published, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    found = list(difference(published, evaluation))
    assert len({subject for subject, _, _ in found}) == len(found)
    assert all(published[subject][0] == fingerprint for subject, fingerprint, _ in found)
    return {subject: body for subject, _, body in found}


def test_everything_is_told_once_and_then_only_what_changed() -> None:
    published: Published = {}
    assert set(told(published, WHOLE)) == {one.subject for one in (*WHOLE.said, *WHOLE.held)} == set(published)
    assert told(published, WHOLE) == {}
    earlier = judged(*STORY.facts, as_of=LAST - timedelta(days=3))
    changed = told(published, earlier)
    assert REVIEW in changed
    assert changed[REVIEW] == next(one.body() for one in earlier.said if one.subject == REVIEW)


def test_what_the_facts_no_longer_give_is_cancelled_once_with_what_it_last_said() -> None:
    published: Published = {}
    before = Obligation.model_validate(told(published, WHOLE)[REVIEW])
    ended = told(published, LESS)
    assert REVIEW in ended
    assert None not in ended[REVIEW].values(), "what is not known is not said"
    body = Obligation.model_validate(ended[REVIEW])
    assert (body.verdict, body.reason) == (Verdict.CANCELLED, "no longer applies")
    assert (body.receipt.facts, body.receipt.intervals) == ((), ())
    assert body.receipt.arithmetic == ("the facts known now give no such obligation",)
    assert {name: getattr(body, name) for name in KEPT} == {name: getattr(before, name) for name in KEPT}
    assert [getattr(body.receipt, n) for n in KEPT_OF_RECEIPT] == [getattr(before.receipt, n) for n in KEPT_OF_RECEIPT]
    assert published[REVIEW][0] == GONE
    assert told(published, LESS) == {}, "its end was told"
    again = told(published, WHOLE)
    assert Obligation.model_validate(again[REVIEW]) == before, "its return is news"
    assert REVIEW in told(published, LESS)


def test_an_application_that_no_fact_gives_any_more_is_not_cancelled() -> None:
    published: Published = {}
    told(published, WHOLE)
    applications = {one.subject for one in WHOLE.held}
    assert applications
    nothing = told(published, judged())
    assert set(nothing) == {one.subject for one in WHOLE.said}
    assert applications <= set(published)


def test_of_an_application_only_its_fingerprint_is_kept() -> None:
    published: Published = {}
    told(published, WHOLE)
    assert {published[one.subject] for one in WHOLE.held} == {(one.fingerprint, None) for one in WHOLE.held}
    assert all(len(published[one.subject][1] or ()) == len(KEPT) + len(KEPT_OF_RECEIPT) for one in WHOLE.said)


def as_list(body: dict[str, Any]) -> Any:
    published: Published = {}
    told(published, WHOLE)
    return published[REVIEW][1]


def as_text(body: dict[str, Any]) -> Any:
    return orjson.dumps(body).decode()


@pytest.mark.parametrize("kept", [as_list, as_text])
def test_an_end_is_the_same_from_rows_of_today_and_of_before(kept: Callable[[dict[str, Any]], Any]) -> None:
    body = next(one.body() for one in WHOLE.said if one.subject == REVIEW)
    assert no_longer(kept(body)).obligation_id == REVIEW
    assert no_longer(kept(body)) == no_longer(as_text(body))
