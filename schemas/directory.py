"""The people file: who is who in the ATS, in which team, on which calendar, and how to reach them.

Names and contacts never leave this file except at the edge (pager, board link); everything else knows people by `key`.
The same key may stand several times with different `effective_from`: what judges an obligation is the stanza in force when it
started. Before the first one the first counts, so whoever never changes needs no date.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from schemas.base import Agreed, WrittenDay, WrittenInstant

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Contact(Agreed):
    """Where the pager reaches a person; the first that is set, in this order."""

    webhook: str | None = None  #: HTTP endpoint that takes our JSON
    slack_webhook: str | None = None  #: Slack-compatible incoming webhook
    email: str | None = None


class Leave(Agreed):
    """First and last day away, in the person's zone. Learned before a deadline it moves it; later it needs an exception."""

    first: WrittenDay
    last: WrittenDay
    learned_at: WrittenInstant


class Person(Agreed):
    key: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    effective_from: WrittenInstant = BEGINNING  #: since when team, calendar and location are these
    name: str
    team: str
    calendar: str | None = None
    location: str | None = None
    #: account -> native user ids; these and the leave of all stanzas of a key are the person's, whatever the date
    identities: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    contact: Contact = Contact()
    leave: tuple[Leave, ...] = ()


class Team(Agreed):
    """A hiring team: its manager's people, and the recruiters who work with them, are judged together."""

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    effective_from: WrittenInstant = BEGINNING  #: since when department, calendar and location are these
    name: str
    department: str
    calendar: str | None = None
    location: str | None = None
    digest: Contact = Contact()  #: where the weekly digest goes


class Location(Agreed):
    key: str
    effective_from: WrittenInstant = BEGINNING  #: since when this is its calendar
    calendar: str


class Company(Agreed):
    name: str
    calendar: str  #: for everybody without a calendar of their own, their team's or their location's
    contact: Contact = Contact()  #: pages whose owner is unknown


class Directory(Agreed):
    version: str
    company: Company
    locations: tuple[Location, ...] = ()
    teams: tuple[Team, ...]
    people: tuple[Person, ...]
