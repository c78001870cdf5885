"""Which bodies of `ats.raw` speak of one candidate: by the facts they give, and by what else their JSON names. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams import imported, reported, routing
from streams.connectors import CONNECTORS, Connector
from streams.stages import StageMap

#: Names that vendors give to what is a person or their application, without case and underscores.
THINGS = ("candidate", "person", "application", "opportunity", "prospect", "applicant", "contact")
_HOLDERS = frozenset({*THINGS, *(f"{name}s" for name in THINGS), "opportunities", "people"})
_REFERENCES = frozenset({*(f"{name}id" for name in THINGS), *(f"{name}ids" for name in THINGS)})
#: In a body that was understood and is about something else, such as a job and who filled it, these are no more than that id.
_PASSING = frozenset({"applicationid", "applicationids"})
_IDS = ("id", "uuid", "_id")


def facts_of(raw: RawHeaders, body: bytes, stages: StageMap, connectors: Mapping[str, Connector] = CONNECTORS) -> list[Fact]:
    """What a body says to us; nothing where it says nothing or cannot be read."""
    try:
        if raw.channel == "fact":
            return [reported.read(raw, body)]
        if raw.channel == "import":
            return [imported.read(raw, body, stages)]
        if raw.channel in ("webhook", "record"):
            return connectors[raw.system].normalise(raw, body, stages)
    except Exception:
        return []  # a body that breaks its connector is judged by `Person.named_in` all the same
    return []


class Person:
    """One candidate of one account, with all that is theirs; `learn` every fact first, then ask."""

    def __init__(self, candidate_id: str) -> None:
        self.candidate_id = candidate_id
        self._neighbours: dict[str, set[str]] = defaultdict(set)
        self._nodes: frozenset[str] | None = None
        self._natives: frozenset[str] = frozenset()
        self._token: re.Pattern[bytes] = re.compile(b"")

    def learn(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            nodes = _nodes(fact)
            for one in nodes[1:]:
                self._neighbours[nodes[0]].add(one)
                self._neighbours[one].add(nodes[0])
            for node, target in routing.links(fact):
                if not target.startswith("requisition:"):
                    self._neighbours[node].add(target)
                    self._neighbours[target].add(node)

    def close(self) -> int:
        """Everything was learned; returns how many things are theirs, themselves included (merged candidates are one person)."""
        found, waiting = set(), [f"candidate:{self.candidate_id}"]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += self._neighbours.get(node, ())
        self._nodes, self._neighbours = frozenset(found), defaultdict(set)
        own = [node.partition(":")[2] for node in found if node.startswith(("candidate:", "application:"))]
        self._natives = frozenset(one.partition("/")[2] for one in own)
        words = b"|".join(re.escape(native.encode()) for native in sorted(self._natives))
        self._token = re.compile(rb"(?<![A-Za-z0-9])(?:%s)(?![A-Za-z0-9])" % words)
        return len(found)

    def told_of(self, facts: Iterable[Fact]) -> bool:
        """Whether one of the facts is about them."""
        assert self._nodes is not None, "close() comes first"
        return any(node in self._nodes for fact in facts for node in _nodes(fact))

    def named_in(self, body: bytes, record_type: str | None = None, *, understood: bool = False) -> bool:
        """Whether a body names them: as JSON by the usual fields, else by their id standing anywhere in it.

        `understood`: it gave facts, none of them about this person.
        """
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._token.search(body) is not None
        whole = (record_type or "").replace("_", "").casefold()
        telling = _REFERENCES - _PASSING if understood else _REFERENCES
        return self._in(value, telling, theirs=any(name in whole for name in _HOLDERS))

    def _in(self, value: Any, telling: frozenset[str], *, theirs: bool) -> bool:
        """`theirs`: the value stands where a candidate or application is expected."""
        if isinstance(value, list):
            return any(self._in(item, telling, theirs=theirs) for item in value)
        if not isinstance(value, dict):
            return False
        if theirs and any(_is(value.get(name), self._natives) for name in _IDS):
            return True
        for name, item in value.items():
            plain = name.replace("_", "").replace("-", "").casefold()
            if plain in telling and any(_is(one, self._natives) for one in (item if isinstance(item, list) else [item])):
                return True
            if plain in _HOLDERS and _is(item, self._natives):
                return True
            if self._in(item, telling, theirs=plain in _HOLDERS):
                return True
        return False


def _is(value: object, natives: frozenset[str]) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value) in natives


def _nodes(fact: Fact) -> list[str]:
    named = {"application": fact.application_id, "candidate": fact.candidate_id, "interview": fact.interview_id}
    found = [f"{sort}:{one}" for sort, one in named.items() if one is not None]
    for name in ("scorecard", "offer"):
        if (native := fact.attributes.get(f"{name}_id")) is not None:
            found.append(f"{name}:{fact.account}/{native}")
    return found
