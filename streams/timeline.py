"""Facts in, ordered events out: the one place that decides which copy of a fact counts and what comes before what.

State is the *set* of facts. `merge` makes a set of any pile of copies; `events` puts it in the documented total order and
adds the moments that follow from facts (`interview.booked`, `interview.ended`, `feedback.completed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from schemas.fact import ORIGIN_RANK, Fact
from streams.directory import People
from streams.event import Event, key_of
from streams.interviews import INTERVIEW_KINDS, Interviews, version_order


def merge(facts: Iterable[Fact]) -> list[Fact]:
    """The set of facts in any pile of copies: one per `fact_id`, the same for every order and duplication.

    Of copies that differ, the better origin of the time wins, then the earlier time, then the smaller content hash; of equal
    copies the one we learned first. A fact counts as backfilled only if every equal copy was.
    """
    best: dict[str, Fact] = {}
    for fact in facts:
        other = best.get(fact.fact_id)
        best[fact.fact_id] = fact if other is None else _better(fact, other)
    return list(best.values())


def _better(one: Fact, two: Fact) -> Fact:
    if one == two:
        return one
    if one.occurred_at_source != two.occurred_at_source:
        return min(one, two, key=lambda f: ORIGIN_RANK[f.occurred_at_source])
    if one.occurred_at != two.occurred_at:  # two deliveries of one happening: it was there when the first arrived
        return min(one, two, key=lambda f: f.occurred_at)
    hashes = one.content_hash, two.content_hash
    if hashes[0] != hashes[1]:
        return one if hashes[0] < hashes[1] else two
    first = one if one.received_at <= two.received_at else two
    return first.model_copy(update={"backfill": one.backfill and two.backfill})


def events(facts: Iterable[Fact], people: People, as_of: datetime) -> tuple[list[Event], datetime | None]:
    """Ordered events up to `as_of`, and the next instant at which time alone adds one (None if none is known of).

    `facts` is a merged set of one application (or requisition) with those of its requisition. Facts that happened after
    `as_of` are left out; the end of an interview happens when its time comes.
    """
    happened: list[Fact] = []
    following: datetime | None = None
    deleted: dict[object, datetime] = {}
    named: Fact | None = None
    about_interviews: list[Fact] = []
    for fact in facts:
        at, kind = fact.occurred_at, fact.kind
        if at > as_of:
            following = at if following is None or at < following else following
            continue
        happened.append(fact)
        if fact.interview_id is not None and kind in INTERVIEW_KINDS:
            about_interviews.append(fact)
        elif kind == "scorecard.deleted":
            card = fact.attributes.get("scorecard_id")
            deleted[card] = min(at, deleted.get(card, at))
        if fact.application_id is None and fact.people.get("recruiter"):
            named = fact if named is None else min(fact, named, key=version_order)
    found = [_event(fact, people, deleted) for fact in happened]
    if named is not None:
        found.append(_recruiter_named(named))
    if about_interviews:
        interviews = Interviews(about_interviews, people)
        found = [interviews.linked(event) if event.kind == "scorecard.submitted" else event for event in found]
        added, ahead = interviews.moments(found, as_of)
        found += added
        following = min((at for at in (ahead, following) if at is not None), default=None)
    found.sort(key=key_of)
    return found, following


def _event(fact: Fact, people: People, deleted: Mapping[object, datetime]) -> Event:
    attributes: Mapping[str, Any] = fact.attributes
    person = people.key(fact.person) if fact.person else None
    actor = people.key(fact.actor) if fact.actor else None
    undone = None
    if fact.kind == "scorecard.submitted":
        undone = deleted.get(attributes.get("scorecard_id"))
        if actor is not None and person is not None:  # where the vendor says who submitted it: whether that was the interviewer
            attributes = {**attributes, "own": actor == person}
    return Event(
        fact.occurred_at,
        fact.fact_id,
        fact.kind,
        attributes,
        fact.application_id,
        fact.interview_id,
        person,
        actor,
        fact.occurred_not_before,
        undone,
        fact.backfill,
    )


def _recruiter_named(fact: Fact) -> Event:
    """The first fact of the requisition that names a recruiter: somebody took it."""
    name = f"recruiter.named:{fact.fact_id}"
    because, earliest = (fact.fact_id,), fact.occurred_not_before
    return Event(fact.occurred_at, name, "recruiter.named", {}, not_before=earliest, backfill=fact.backfill, because=because)
