"""Who is who: identities of the ATS to opaque keys, their teams, and whose calendar counts for them.

In: the agreed people file (`schemas.directory`). Pure. Names and contacts stay inside `Person`: only the edge reads them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from schemas.directory import BEGINNING, Company, Directory, Leave, Location, Person, Team
from streams.calendars import Calendar, Calendars, content_version

CalendarSource = Literal["person", "team", "location", "company"]
Stanza = TypeVar("Stanza", Person, Team, Location)
#: Left out of the hash where no stanza has one, so that a file from before there were dates keeps its version.
DATES: Any = {kind: {"__all__": {"effective_from"}} for kind in ("people", "teams", "locations")}


@dataclass(frozen=True, slots=True)
class People:
    """The people file, looked up by person key (`p-017`) or by reference (`{account}/{native user id}`).

    `people`, `teams` and `locations` have each key's last stanza; ask `person`, `team` and `team_of` for one as of an instant.
    """

    version: str  #: hash of the whole file
    company: Company
    people: Mapping[str, Person] = field(repr=False)
    teams: Mapping[str, Team] = field(repr=False)
    locations: Mapping[str, Location] = field(repr=False)
    _keys: Mapping[str, str] = field(repr=False)
    _dates: tuple[datetime, ...] = field(default=(), repr=False)  #: when anything changes, in order
    _versions: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)  #: of keys with several stanzas, by date
    _on_leave: dict[tuple[Calendar, tuple[Leave, ...]], Calendar] = field(default_factory=dict, repr=False, compare=False)
    #: who owes, for which team, after how many changes -> name and source of their calendar, and their leave
    _whose: dict[tuple[str | None, str | None, int], tuple[str, CalendarSource, tuple[Leave, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_directory(cls, directory: Directory) -> People:
        """Doubled stanzas or identities are `check`'s to refuse; here the last one counts."""
        people, teams, locations = by_date(directory.people), by_date(directory.teams), by_date(directory.locations)
        stanzas: tuple[Person | Team | Location, ...] = (*people, *teams, *locations)
        versions: dict[str, tuple[Any, ...]] = {}
        for one in stanzas:
            name = _name(type(one), one.key)
            versions[name] = (*versions.get(name, ()), one)
        dates = {one.effective_from for one in stanzas} - {BEGINNING}
        return cls(
            content_version(directory.model_dump(mode="json", exclude=None if dates else DATES)),
            directory.company,
            {person.key: person for person in people},
            {team.key: team for team in teams},
            {location.key: location for location in locations},
            {
                f"{account}/{native}": person.key
                for person in people
                for account, natives in person.identities.items()
                for native in natives
            },
            tuple(sorted(dates)),
            {name: several for name, several in versions.items() if len(several) > 1},
        )

    def person(self, ref_or_key: str | None, at: datetime | None = None) -> Person | None:
        """The person of a reference or key as of `at` (None: as the file says last), or None if the file does not know them."""
        if ref_or_key is None:
            return None
        key = self.key(ref_or_key)
        return self._as_of(self.people.get(key), at) if self._versions else self.people.get(key)

    def team(self, key: str, at: datetime | None = None) -> Team | None:
        """The team of a key as of `at` (None: as the file says last), or None if the file does not know it."""
        return self._as_of(self.teams.get(key), at) if self._versions else self.teams.get(key)

    def _as_of(self, last: Stanza | None, at: datetime | None) -> Stanza | None:
        """Of all stanzas of what `last` is the last one of, the one in force; before the first, the first."""
        if last is None or at is None:
            return last
        several: Sequence[Stanza] = self._versions.get(_name(type(last), last.key), (last,))
        in_force = several[0]
        for one in several:
            if one.effective_from <= at:
                in_force = one
        return in_force

    def version_at(self, at: datetime) -> str:
        """What a receipt calls the file an obligation started at `at` was judged by: its hash, and since when it is so."""
        changes = bisect_right(self._dates, at)
        return f"{self.version} from {self._dates[changes - 1]:%Y-%m-%dT%H:%M:%SZ}" if changes else self.version

    def key(self, ref: str) -> str:
        """The opaque key of a reference; the reference itself (opaque as well) if the file does not know it."""
        return self._keys.get(ref, ref)

    def team_of(self, ref_or_key: str | None, at: datetime | None = None) -> str | None:
        """The key of the person's team as of `at` (None: as the file says last), or None if the person is unknown."""
        person = self.person(ref_or_key, at)
        return person.team if person else None

    def calendar_for(
        self, person_ref: str | None, team: str | None, calendars: Calendars, at: datetime, known_at: datetime | None = None
    ) -> tuple[Calendar, CalendarSource]:
        """The calendar in force at `at` for who owes, and where it came from: the first of the person's own, their team's,
        their location's (then their team's location's), the company's; of all of them the stanza in force at `at`.

        A known person's own team counts; `team` only stands in for an unknown or unassigned person. Days of leave count on
        whichever calendar it is, if they were learned by `known_at` (None: no cut). Raises InvalidConfiguration if the file
        names a calendar that does not exist.
        """
        asked = person_ref, team, bisect_right(self._dates, at) if self._dates else 0
        whose = self._whose.get(asked)
        if whose is None:
            person = self.person(person_ref, at)
            named = self._calendar_name(person, self.team(person.team if person else team or "", at), at)
            whose = self._whose[asked] = *named, self._leave(person)
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

    def _leave(self, person: Person | None) -> tuple[Leave, ...]:
        """The days away of all their stanzas."""
        if person is None:
            return ()
        versions = self._versions.get(_name(Person, person.key), (person,))
        return tuple(leave for one in versions for leave in one.leave)

    def _calendar_name(self, person: Person | None, team: Team | None, at: datetime) -> tuple[str, CalendarSource]:
        if person and person.calendar:
            return person.calendar, "person"
        if team and team.calendar:
            return team.calendar, "team"
        for key in (person.location if person else None, team.location if team else None):
            if key and (location := self._as_of(self.locations.get(key), at)):
                return location.calendar, "location"
        return self.company.calendar, "company"


def _name(kind: type, key: str) -> str:
    return f"{kind.__name__} {key}"


def by_date(stanzas: Iterable[Stanza]) -> list[Stanza]:
    """In order of their dates; those of one date as they stand in the file."""
    return sorted(stanzas, key=lambda one: one.effective_from)
