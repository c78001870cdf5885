"""Conditions of the policy, ready to be asked of thousands of facts: by kind first, then by attributes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.fact import DERIVED_KINDS
from schemas.policy import Condition, Wanted

Where = tuple[tuple[str, tuple[object, ...]], ...]  #: attribute -> any of these values


class Conditions:
    """Any of some conditions. Compared by identity; `Agreement` makes one for each distinct list in the policy."""

    __slots__ = ("kinds", "sources", "wheres")

    def __init__(self, given: Iterable[Condition]) -> None:
        wheres: dict[str, tuple[Where, ...]] = {}
        for condition in given:
            wheres[condition.kind] = (*wheres.get(condition.kind, ()), _where(condition.where))
        self.kinds = tuple(wheres)
        #: for each kind its alternatives; None where any fact of the kind will do
        self.wheres = {kind: None if () in alternatives else alternatives for kind, alternatives in wheres.items()}
        #: the kinds of facts that have to be known for these conditions to be decided
        self.sources = frozenset(source for kind in wheres for source in DERIVED_KINDS.get(kind, (kind,)))

    def match(self, kind: str, attributes: Mapping[str, Any]) -> bool:
        """Whether a fact (or derived moment) of this kind and with these attributes is one of those meant."""
        alternatives = self.wheres.get(kind, ())
        if alternatives is None:
            return True
        for where in alternatives:  # noqa: SIM110, a generator takes twice as long, and this is asked most of all
            if _fits(where, attributes):
                return True
        return False


def fits(wanted: Wanted, attributes: Mapping[str, Any]) -> bool:
    """Whether every wanted attribute has the wanted value, or one of them; one that is not there has none."""
    return _fits(_where(wanted), attributes)


def _where(wanted: Wanted) -> Where:
    return tuple((name, value if isinstance(value, tuple) else (value,)) for name, value in wanted.items())


def _fits(where: Where, attributes: Mapping[str, Any]) -> bool:
    for name, allowed in where:  # noqa: SIM110, as in `match`
        if attributes.get(name) not in allowed:
            return False
    return True
