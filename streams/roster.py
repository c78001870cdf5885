"""Who had which role on a requisition or application at an instant, from the people snapshots that facts carry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime

from schemas.fact import Fact
from streams.directory import People

UNASSIGNED = "unassigned"


class Roster:
    """Role -> person over time. A snapshot holds until the next one that names the role."""

    def __init__(self, facts: Iterable[Fact], people: People) -> None:
        named: dict[str, list[tuple[datetime, str, tuple[str, ...]]]] = {}
        for fact in facts:
            for role, refs in fact.people.items():
                if refs:
                    named.setdefault(role, []).append((fact.occurred_at, fact.fact_id, refs))
        self._people = people
        self._named = {role: sorted(snapshots) for role, snapshots in named.items()}
        self._times = {role: [s[0] for s in snapshots] for role, snapshots in self._named.items()}

    def who(self, role: str | None, at: datetime) -> str | None:
        """Key of the first person in `role` at `at`; before the first snapshot, whom the first one names; None if nobody."""
        snapshots = self._named.get(role or "")
        if not snapshots:
            return None
        place = max(0, bisect_right(self._times[role or ""], at) - 1)
        return self._people.key(snapshots[place][2][0])

    def owner(self, role: str, fallback: str | None, at: datetime) -> str:
        """Who owes: the person in `role`, else in `fallback`, else `unassigned`."""
        return self.who(role, at) or self.who(fallback, at) or UNASSIGNED

    def team(self, at: datetime) -> str:
        """The hiring team: that of the hiring manager at `at`; `unassigned` where the directory does not know them."""
        manager = self.who("hiring_manager", at)
        return (self._people.team_of(manager) if manager else None) or UNASSIGNED


class Traits:
    """What is known of a requisition over time: the attributes its own facts carry, the latest of each."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        told = sorted((f for f in facts if f.application_id is None and f.attributes), key=lambda f: (f.occurred_at, f.fact_id))
        self._told = [(f.occurred_at, f.attributes) for f in told if f.kind.startswith("requisition.")]

    def at(self, at: datetime) -> dict[str, object]:
        """Attribute -> value as of `at`; before the first fact, what the first one says."""
        found: dict[str, object] = {}
        for index, (when, attributes) in enumerate(self._told):
            if index and when > at:
                break
            found.update(attributes)
        return found

    def changes(self, after: datetime, until: datetime) -> list[datetime]:
        """The instants in (after, until] at which something may have changed."""
        return sorted({when for when, _ in self._told if after < when <= until})
