"""What to tell the world about one subject: the difference between what was published and what the facts say now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from schemas.outcome import ApplicationState, Obligation, Verdict
from streams.obligations import Evaluation

#: In the place of a digest: the end of this obligation was told; only its return is news.
GONE = "gone"

Published = dict[str, tuple[str, str]]
Body = Obligation | ApplicationState

_TO_KEEP = {"receipt": {"facts", "intervals", "arithmetic"}}


def difference(published: Published, evaluation: Evaluation) -> Iterator[tuple[str, str, Body]]:
    """(subject id, digest, body) of what is new; `published` is brought up to date on the way.

    An obligation that was published and that the facts no longer give is published once more, cancelled because it no longer
    applies, with what it last said: the ledger never forgets a row by itself.
    """
    said: set[str] = set()
    for obligation in evaluation.obligations:
        said.add(obligation.obligation_id)
        digest = obligation.digest
        if published.get(obligation.obligation_id, ("", ""))[0] != digest:
            published[obligation.obligation_id] = (digest, obligation.model_dump_json(exclude=_TO_KEEP, exclude_none=True))
            yield obligation.obligation_id, digest, obligation
    for state in evaluation.applications:
        said.add(state.application_id)
        digest = state.digest
        if published.get(state.application_id, ("", ""))[0] != digest:
            published[state.application_id] = (digest, "")
            yield state.application_id, digest, state
    for subject, (digest, kept) in list(published.items()):
        if subject not in said and digest != GONE and kept:
            published[subject] = (GONE, kept)
            yield subject, GONE, no_longer(kept)


def no_longer(kept: str) -> Obligation:
    """The end of an obligation that no longer applies, from what was kept of it."""
    body = orjson.loads(kept)
    body.update(verdict=Verdict.CANCELLED, reason="no longer applies")
    body["receipt"].update(facts=(), intervals=(), arithmetic=("the facts known now give no such obligation",))
    return Obligation.model_validate(body)
