"""Exceptions as files of facts tell them, paired as the core pairs them: by what they are about, in order of time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.fact import Fact
from streams.directory import People
from streams.exceptions import exception_of
from streams.obligations import apart, routed
from streams.timeline import merge

EXCEPTIONS = frozenset({"exception.requested", "exception.approved"})

Line = tuple[str, int]  #: file and line


class ToldExceptions:
    """Takes every fact, keeps exceptions and what says where they belong; once all are there it knows who excused themselves."""

    def __init__(self) -> None:
        self._told: list[Fact] = []
        self._lines: dict[str, Line] = {}  #: fact -> where it is told first
        self._places: dict[tuple[str | None, ...], Fact] = {}  #: the last fact of each, for `routed` lets the last one count

    def add(self, fact: Fact, line: Line) -> None:
        place = (fact.requisition_id, fact.application_id, fact.candidate_id, fact.interview_id)
        last = self._places.get(place)
        if last is None or (last.occurred_at, last.fact_id) < (fact.occurred_at, fact.fact_id):
            self._places[place] = fact
        if fact.kind in EXCEPTIONS:
            self._told.append(fact)
            self._lines.setdefault(fact.fact_id, line)

    def approved_by_requester(self, people: People | None) -> Iterator[tuple[Line, str]]:
        """Approvals by who asked, each once. `people` knows one person by more than one reference."""
        said: set[str] = set()
        for life in self._lives():
            for approval, by in _own(life, people):
                if approval.fact_id not in said:
                    said.add(approval.fact_id)
                    name = exception_of(approval.attributes)
                    text = f"exception {name} is approved by {by}, who asked for it; another person has to approve it"
                    yield self._lines[approval.fact_id], text

    def _lives(self) -> Iterator[list[Fact]]:
        """The exceptions that count for each requisition, and for each application with its requisition's."""
        if not self._told:
            return
        by_requisition: dict[str | None, list[Fact]] = {}
        for fact in routed([*self._places.values(), *self._told]):
            if fact.kind in EXCEPTIONS:
                by_requisition.setdefault(fact.requisition_id, []).append(fact)
        for copies in by_requisition.values():
            own, of_applications = apart(merge(copies))
            yield own
            yield from ([*own, *them] for them in of_applications.values())


def _own(life: Sequence[Fact], people: People | None) -> Iterator[tuple[Fact, str]]:
    """Approvals in one life by who asked first for what they approve."""
    asked: dict[str, str] = {}
    ordered = sorted(life, key=lambda fact: (fact.occurred_at, fact.fact_id))
    known = [(fact, name) for fact in ordered if fact.actor is not None and (name := exception_of(fact.attributes)) is not None]
    for fact, name in known:
        if fact.kind == "exception.requested":
            asked.setdefault(name, _key(fact, people))
    for fact, name in known:
        if fact.kind == "exception.approved" and asked.get(name) == _key(fact, people):
            yield fact, str(fact.actor)


def _key(fact: Fact, people: People | None) -> str:
    actor = str(fact.actor)
    return people.key(actor) if people is not None else actor
