"""What to tell the world about one subject: the difference between what was published and what the facts say now. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from schemas.outcome import Obligation, Verdict
from streams.obligations import Evaluation
from streams.receipt import Body

#: In the place of a fingerprint: the end of this obligation was told; only its return is news.
GONE = "gone"

Published = dict[str, tuple[str, str]]

_NOT_KEPT = ("facts", "intervals", "arithmetic")


def difference(published: Published, evaluation: Evaluation) -> Iterator[tuple[str, str, Body]]:
    """(subject id, fingerprint, body) of what is new; `published` is brought up to date on the way.

    An obligation that was published and that the facts no longer give is published once more, cancelled because it no longer
    applies, with what it last said: the ledger never forgets a row by itself.
    """
    said: set[str] = set()
    for one in evaluation.said:
        subject, fingerprint = one.subject, one.fingerprint
        said.add(subject)
        if published.get(subject, NOTHING)[0] != fingerprint:
            body = one.body()
            published[subject] = fingerprint, _kept(body)
            yield subject, fingerprint, body
    for state in evaluation.held:
        subject, fingerprint = state.subject, state.fingerprint
        said.add(subject)
        if published.get(subject, NOTHING)[0] != fingerprint:
            published[subject] = fingerprint, ""
            yield subject, fingerprint, state.body()
    if len(published) > len(said):
        for subject, (fingerprint, kept) in list(published.items()):
            if subject not in said and fingerprint != GONE and kept:
                published[subject] = GONE, kept
                yield subject, GONE, no_longer(kept).model_dump(mode="python", exclude_none=True)


NOTHING = "", ""


def _kept(body: Body) -> str:
    """The body without what its end will not need."""
    receipt = {name: value for name, value in body["receipt"].items() if name not in _NOT_KEPT}
    return orjson.dumps(body | {"receipt": receipt}, option=orjson.OPT_UTC_Z).decode()


def no_longer(kept: str) -> Obligation:
    """The end of an obligation that no longer applies, from what was kept of it."""
    body: dict[str, Any] = orjson.loads(kept)
    body.update(verdict=Verdict.CANCELLED, reason="no longer applies")
    body["receipt"].update(facts=(), intervals=(), arithmetic=("the facts known now give no such obligation",))
    return Obligation.model_validate(body)
