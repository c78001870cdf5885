"""Who had which role on a requisition or application at an instant, from the people snapshots that facts carry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime

from schemas.fact import Fact
from streams.directory import People

UNASSIGNED = "unassigned"


class Roster:
    """Role -> person over time. A snapshot holds until the next one that names the role."""

    __slots__ = ("_named", "_people")

    def __init__(self, facts: Iterable[Fact], people: People) -> None:
        named: dict[str, list[tuple[datetime, str, str]]] = {}
        for fact in facts:
            for role, refs in fact.people.items():
                if refs:
                    named.setdefault(role, []).append((fact.occurred_at, fact.fact_id, refs[0]))
        self._people = people
        self._named = {role: _spells(sorted(snapshots), people) for role, snapshots in named.items()}

    def who(self, role: str | None, at: datetime) -> str | None:
        """Key of the first person in `role` at `at`; before the first snapshot, whom the first one names; None if nobody."""
        spells = self._named.get(role or "")
        if spells is None:
            return None
        since, keys, _ = spells
        return keys[0] if len(keys) == 1 else keys[max(0, bisect_right(since, at) - 1)]

    def owner(self, role: str, fallback: str | None, at: datetime) -> str:
        """Who owes: the person in `role`, else in `fallback`, else `unassigned`."""
        return self.who(role, at) or self.who(fallback, at) or UNASSIGNED

    def changes(self, role: str | None) -> Sequence[tuple[datetime, str]]:
        """When the role passed to somebody else, in order, and the fact that says so; whom the first one names had it before."""
        spells = self._named.get(role or "")
        return () if spells is None or len(spells[1]) == 1 else list(zip(spells[0], spells[2], strict=True))[1:]

    def team(self, at: datetime, by: datetime | None = None) -> str:
        """The hiring team: that of the hiring manager at `at`, by the directory as of `by` (None: of `at`, too).

        `unassigned` where the directory does not know them.
        """
        manager = self.who("hiring_manager", at)
        return (self._people.team_of(manager, at if by is None else by) if manager else None) or UNASSIGNED


def _spells(snapshots: list[tuple[datetime, str, str]], people: People) -> tuple[list[datetime], list[str], list[str]]:
    """Since when somebody had a role, who, and by which fact; snapshots that change nothing left out."""
    since: list[datetime] = []
    keys: list[str] = []
    causes: list[str] = []
    for at, cause, ref in snapshots:
        key = people.key(ref)
        if not keys or keys[-1] != key:
            since.append(at)
            keys.append(key)
            causes.append(cause)
    return since, keys, causes


class Traits:
    """What is known of a requisition over time: the attributes its own facts carry, the latest of each."""

    __slots__ = ("_facts", "_told")

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._facts = facts
        self._told: list[tuple[datetime, dict[str, object]]] | None = None

    @property
    def told(self) -> list[tuple[datetime, dict[str, object]]]:
        """(since when, attributes) in order; put in order when first asked for, most commitments never do."""
        if self._told is None:
            mine = (f for f in self._facts if f.application_id is None and f.attributes and f.kind.startswith("requisition."))
            self._told = [(f.occurred_at, f.attributes) for f in sorted(mine, key=lambda f: (f.occurred_at, f.fact_id))]
        return self._told

    def at(self, at: datetime) -> dict[str, object]:
        """Attribute -> value as of `at`; before the first fact, what the first one says."""
        found: dict[str, object] = {}
        for index, (when, attributes) in enumerate(self.told):
            if index and when > at:
                break
            found.update(attributes)
        return found

    def changes(self, after: datetime, until: datetime) -> list[datetime]:
        """The instants in (after, until] at which something may have changed."""
        return sorted({when for when, _ in self.told if after < when <= until})
