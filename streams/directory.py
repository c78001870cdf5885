"""Who is who: identities of the ATS to opaque keys, their teams, and whose calendar counts for them.

In: the agreed people file (`schemas.directory`). Pure. Names and contacts stay inside `Person`: only the edge reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from schemas.directory import Company, Directory, Leave, Location, Person, Team
from streams.calendars import Calendar, Calendars, content_version

CalendarSource = Literal["person", "team", "location", "company"]


@dataclass(frozen=True, slots=True)
class People:
    """The people file, looked up by person key (`p-017`) or by reference (`{account}/{native user id}`)."""

    version: str  #: hash of the whole file
    company: Company
    people: Mapping[str, Person] = field(repr=False)
    teams: Mapping[str, Team] = field(repr=False)
    locations: Mapping[str, Location] = field(repr=False)
    _keys: Mapping[str, str] = field(repr=False)
    _on_leave: dict[tuple[Calendar, tuple[Leave, ...]], Calendar] = field(default_factory=dict, repr=False, compare=False)
    #: who owes, for which team -> name and source of their calendar, and their leave
    _whose: dict[tuple[str | None, str | None], tuple[str, CalendarSource, tuple[Leave, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_directory(cls, directory: Directory) -> People:
        """Doubled keys or identities are `check`'s to refuse; here the last one counts."""
        return cls(
            content_version(directory.model_dump(mode="json")),
            directory.company,
            {person.key: person for person in directory.people},
            {team.key: team for team in directory.teams},
            {location.key: location for location in directory.locations},
            {
                f"{account}/{native}": person.key
                for person in directory.people
                for account, natives in person.identities.items()
                for native in natives
            },
        )

    def person(self, ref_or_key: str | None) -> Person | None:
        """The person of a reference or key, or None if the file does not know them."""
        return None if ref_or_key is None else self.people.get(self.key(ref_or_key))

    def key(self, ref: str) -> str:
        """The opaque key of a reference; the reference itself (opaque as well) if the file does not know it."""
        return self._keys.get(ref, ref)

    def team_of(self, ref_or_key: str | None) -> str | None:
        """The key of the person's team, or None if the person is unknown."""
        person = self.person(ref_or_key)
        return person.team if person else None

    def calendar_for(
        self, person_ref: str | None, team: str | None, calendars: Calendars, at: datetime, known_at: datetime | None = None
    ) -> tuple[Calendar, CalendarSource]:
        """The calendar in force at `at` for who owes, and where it came from: the first of the person's own, their team's,
        their location's (then their team's location's), the company's.

        A known person's own team counts; `team` only stands in for an unknown or unassigned person. Days of leave count on
        whichever calendar it is, if they were learned by `known_at` (None: no cut). Raises InvalidConfiguration if the file
        names a calendar that does not exist.
        """
        whose = self._whose.get((person_ref, team))
        if whose is None:
            person = self.person(person_ref)
            named = self._calendar_name(person, self.teams.get(person.team if person else team or ""))
            whose = self._whose[person_ref, team] = *named, person.leave if person else ()
        name, source, leaves = whose
        calendar = calendars.at(name, at)
        if leaves and known_at is not None:
            leaves = tuple(leave for leave in leaves if leave.learned_at <= known_at)
        if not leaves:
            return calendar, source
        found = self._on_leave.get((calendar, leaves))
        if found is None:
            found = self._on_leave[calendar, leaves] = calendar.with_leave(leaves)
        return found, source

    def _calendar_name(self, person: Person | None, team: Team | None) -> tuple[str, CalendarSource]:
        if person and person.calendar:
            return person.calendar, "person"
        if team and team.calendar:
            return team.calendar, "team"
        for key in (person.location if person else None, team.location if team else None):
            if key and (location := self.locations.get(key)):
                return location.calendar, "location"
        return self.company.calendar, "company"
