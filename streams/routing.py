"""Which requisition a fact belongs to: a durable graph of what belongs to what, learned from the facts themselves.

Many facts name no requisition: a scorecard has an application, a deleted interview only itself, a merge only people. Objects
are nodes (interview, scorecard, offer, candidate -> application -> requisition), and a fact that names no requisition stays at
the most specific node it names and goes up every link of it, whether the link was known before the fact or comes after. Facts
at a node and links of a node are sets that only grow, so the order and the repetition of records never matter.

* A fact that names its requisition goes there, and teaches the links it holds.
* A candidate's fact goes to each of their applications, as a copy with an id of its own.
* An application that was seen in several requisitions: a fact that names one goes to that one; facts that name none go to all.
  Each sighting in one requisition tells the others `application.moved`, so that nobody there is waited for any more.
* A fact at a node without links waits (is parked), counted, until a link comes; it is never dropped and never guessed. One
  that waited too long is let go (`let_go`): no longer counted, and still released by a link that comes after all.

Pure: state goes in by `get` and out as changes; keys and values are small (streams.shelf).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from schemas.fact import ORIGIN_RANK, Fact, Origin, fact_id
from streams.errors import InvalidPayload
from streams.shelf import Get, State
from streams.tracker_rows import UnknownRow

PARKED = b"parked"
FACTS = b"facts|"  #: how the keys of the facts at a node begin
SCHEMA = 1  #: of all rows of the table; a later one is written into the row `VERSION` by whoever first writes it
VERSION = b"schema"

#: Facts whose time is the moment at which the application was seen in the requisition they name. Others may be read from a
#: later state of it: a poll today says where the application is today, beside when it was created.
SIGHTINGS = frozenset({"application.stage_changed", "application.updated"})


class Wait(NamedTuple):
    """A fact that waits: where, and its digest there."""

    node: str
    digest: str
    fact: Fact


class Router:
    """Routes the facts of one step. `changes` are the state's, to be written with whatever the facts caused."""

    def __init__(self, get: Get) -> None:
        self._state = State(get)
        self._out: list[Fact] = []
        self.waits: list[Wait] = []  #: those that began to wait in this step

    @property
    def changes(self) -> dict[bytes, bytes | None]:
        return self._state.changes

    @property
    def parked(self) -> int:
        """Facts that wait for a link, in this partition of the state."""
        return self._state.number(PARKED)

    def check(self) -> None:
        """Raises UnknownRow if a newer program has written into this state."""
        if (version := self._state.number(VERSION)) > SCHEMA:
            raise UnknownRow("the table of what belongs to what", version, SCHEMA)

    def route(self, facts: Iterable[Fact]) -> list[Fact]:
        """The facts of one record to facts with requisition_id, with those that its links release, in order of receipt.

        An unchanged copy of a fact that was placed before gives nothing, unless it was received earlier or is no backfill.
        Raises InvalidPayload(`no_subject`) for a fact that names nothing; then `changes` must not be written.
        """
        facts, self._out = list(facts), []
        seen_in: dict[str, set[str]] = {}
        for fact in facts:
            if fact.requisition_id is not None:
                seen_in.setdefault(fact.fact_id, set()).add(fact.requisition_id)
        for fact in facts:
            for node, target in links(fact):
                self._link(node, target)
            alone = len(seen_in.get(fact.fact_id, ())) == 1
            self._place(fact, _start(fact), sighting=alone and fact.kind in SIGHTINGS)
        return self._out

    def _place(self, fact: Fact, node: str, *, sighting: bool = False) -> None:
        """Keep a fact at its node and send it up every link; one that names its requisition goes there straight away.

        Of the latter is kept only that it was here, and of a sighting what it means to other requisitions.
        """
        named = fact.requisition_id is not None and node.startswith(("application:", "requisition:"))
        shelf, digest = f"{'seen' if named and not sighting else 'facts'}|{node}", fact.content_hash[:16]
        known = self._state.find(shelf, digest)
        if known is not None:
            backfill = known.get("backfill", False)
            if _at(known) <= fact.received_at and backfill <= fact.backfill:
                return
            best = {"received_at": min(_at(known), fact.received_at), "backfill": fact.backfill and backfill}
            fact = fact.model_copy(update=best)
        if named:
            self._out.append(fact)
        if named and not sighting:
            self._state.put(shelf, digest, fact.model_dump(mode="json", include={"received_at", "backfill"}))
            return
        kept = _moved(fact) if named else fact
        self._state.put(shelf, digest, kept.model_dump(mode="json", exclude_defaults=True))
        targets = self._targets(node)
        if known is None and not targets and _waits(kept):
            self._count(1)
            self.waits.append(Wait(node, digest, kept))
        for target in targets:
            self._forward(kept, target)

    def _link(self, node: str, target: str) -> None:
        links, digest = f"links|{node}", _digest(target)
        if self._state.find(links, digest) is not None:
            return
        first = next(self._state.items(links), None) is None
        self._state.put(links, digest, target)
        kept = {digest: Fact.model_validate(item) for digest, item in self._state.items(f"facts|{node}")}
        if first:
            gone = dict(self._state.items(f"gone|{node}"))
            self._count(-sum(_waits(fact) for digest, fact in kept.items() if digest not in gone))
        for fact in sorted(kept.values(), key=lambda f: (f.received_at, f.occurred_at, f.fact_id)):
            self._forward(fact, target)

    def waiting(self, node: str) -> Iterator[Wait]:
        """The facts at a node that wait for a link and were not let go."""
        if self._targets(node):
            return
        gone = dict(self._state.items(f"gone|{node}"))
        for digest, item in self._state.items(f"facts|{node}"):
            if digest not in gone and _waits(fact := Fact.model_validate(item)):
                yield Wait(node, digest, fact)

    def let_go(self, node: str, digest: str) -> Fact | None:
        """Count a fact no longer that still waits, and give it; None where it found its way meanwhile."""
        known = self._state.find(f"facts|{node}", digest)
        if known is None or self._targets(node) or self._state.find(f"gone|{node}", digest) is not None:
            return None
        self._state.put(f"gone|{node}", digest, True)
        self._count(-1)
        return Fact.model_validate(known)

    def _forward(self, fact: Fact, target: str) -> None:
        sort, _, native = target.partition(":")
        if sort == "requisition":
            if fact.kind == "application.moved" and fact.attributes.get("to_requisition_id") == native:
                return  # it is there
            self._out.append(fact.model_copy(update={"requisition_id": native}))
        elif sort == "application":
            changes: dict[str, Any] = {"application_id": native}
            if fact.application_id is None and fact.candidate_id is not None and fact.interview_id is None and _personal(fact):
                changes["fact_id"] = fact_id(fact.tenant, fact.account, fact.kind, [fact.fact_id], native)
            self._place(fact.model_copy(update=changes), target)
        else:
            self._place(fact, target)

    def _targets(self, node: str) -> list[str]:
        return sorted(target for _, target in self._state.items(f"links|{node}"))

    def _count(self, more: int) -> None:
        if more:
            self._state.write(PARKED, b"%d" % (self.parked + more))


def links(fact: Fact) -> Iterator[tuple[str, str]]:
    """What belongs to what, as far as a fact tells."""
    if fact.kind == "candidate.merged":
        # What happens to the one they were merged into happens to the applications they brought along.
        yield f"candidate:{fact.attributes.get('into_candidate_id')}", f"candidate:{fact.candidate_id}"
    if fact.application_id is None:
        return
    application = f"application:{fact.application_id}"
    if fact.requisition_id is not None:
        yield application, f"requisition:{fact.requisition_id}"
    if fact.candidate_id is not None:
        yield f"candidate:{fact.candidate_id}", application
    if fact.interview_id is not None:
        yield f"interview:{fact.interview_id}", application
    if "offer_id" in fact.attributes:
        yield f"offer:{fact.account}/{fact.attributes['offer_id']}", application
    cards = fact.attributes.get("scorecards")
    for card in (fact.attributes.get("scorecard_id"), *(cards.values() if isinstance(cards, dict) else ())):
        if card is not None:
            yield f"scorecard:{fact.account}/{card}", application


def _start(fact: Fact) -> str:
    """The most specific node a fact names. Raises InvalidPayload(`no_subject`) if it names none."""
    if fact.application_id is not None and not fact.kind.startswith("requisition."):
        return f"application:{fact.application_id}"
    if "offer_id" in fact.attributes:  # an approval names the job and the offer, not the application
        return f"offer:{fact.account}/{fact.attributes['offer_id']}"
    if fact.requisition_id is not None:
        return f"requisition:{fact.requisition_id}"
    if fact.interview_id is not None:
        return f"interview:{fact.interview_id}"
    if "scorecard_id" in fact.attributes:
        return f"scorecard:{fact.account}/{fact.attributes['scorecard_id']}"
    if fact.candidate_id is not None:
        return f"candidate:{fact.candidate_id}"
    raise InvalidPayload("no_subject", fact.kind)


def _personal(fact: Fact) -> bool:
    """Whether it is about a candidate and none of their things, so that each application gets a copy of its own."""
    return "scorecard_id" not in fact.attributes and "offer_id" not in fact.attributes


def _moved(fact: Fact) -> Fact:
    """What a sighting in one requisition means to the others the application was ever seen in."""
    return fact.model_copy(
        update={
            "fact_id": fact_id(fact.tenant, fact.account, "application.moved", [fact.fact_id], fact.requisition_id or ""),
            "kind": "application.moved",
            "occurred_at_source": max(fact.occurred_at_source, Origin.OBJECT, key=ORIGIN_RANK.__getitem__),
            "requisition_id": None,
            "people": {},
            "attributes": {"to_requisition_id": fact.requisition_id},
        }
    )


def _waits(fact: Fact) -> bool:
    """A prospect without a job has no requisition yet, and nobody waits for one."""
    return fact.attributes.get("prospect") is not True


def _at(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["received_at"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
