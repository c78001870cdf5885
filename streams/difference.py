"""What to tell the world about one subject: the difference between what was published and what the facts say now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from schemas.outcome import Obligation, Verdict
from streams.obligations import Evaluation
from streams.receipt import Body

#: In the place of a fingerprint: the end of this obligation was told; only its return is news.
GONE = "gone"

#: What is kept of an obligation, in this order, then of its receipt; the rest its end does not need.
KEPT = (
    "obligation_id", "tenant", "commitment", "commitment_version", "side", "owner", "team", "recruiter", "hiring_manager",
    "requisition_id", "application_id", "interview_id", "started_at", "due_soon_at", "deadline", "ended_at", "elapsed_us",
    "business_us", "uncertain", "backfill",
)  # fmt: skip
KEPT_OF_RECEIPT = ("calendar", "calendar_source", "calendar_version", "policy_version", "people_version", "zone", "target")

#: Subject id -> fingerprint, and what is kept: a list since schema 2 of the rows, text with the whole body before, nothing of an
#: application. A pair, or a list of two once it was a row's JSON.
Published = dict[str, Sequence[Any]]


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
            published[subject] = fingerprint, _keep(body)
            yield subject, fingerprint, body
    for state in evaluation.held:
        subject, fingerprint = state.subject, state.fingerprint
        said.add(subject)
        if published.get(subject, NOTHING)[0] != fingerprint:
            published[subject] = fingerprint, None
            yield subject, fingerprint, state.body()
    if len(published) > len(said):
        for subject, (fingerprint, kept) in list(published.items()):
            if subject not in said and fingerprint != GONE and kept:
                published[subject] = GONE, kept
                yield subject, GONE, no_longer(kept).model_dump(mode="python", exclude_none=True)


NOTHING = "", None


def _keep(body: Body) -> list[Any]:
    """As it is in JSON, so that it is the same whether it was just said or read from a row."""
    receipt = body["receipt"]
    kept = [*map(body.get, KEPT), *map(receipt.get, KEPT_OF_RECEIPT)]
    return [value.isoformat() if isinstance(value, datetime) else value for value in kept]


def _body(kept: list[Any] | str) -> Body:
    if isinstance(kept, str):
        body: Body = orjson.loads(kept)
        return body
    told = {name: value for name, value in zip(KEPT, kept, strict=False) if value is not None}
    return told | {"receipt": dict(zip(KEPT_OF_RECEIPT, kept[len(KEPT) :], strict=True))}


def no_longer(kept: list[Any] | str) -> Obligation:
    """The end of an obligation that no longer applies, from what was kept of it (or from its whole body as JSON)."""
    body = _body(kept)
    body.update(verdict=Verdict.CANCELLED, reason="no longer applies")
    body["receipt"].update(facts=(), intervals=(), arithmetic=("the facts known now give no such obligation",))
    return Obligation.model_validate(body)
