"""The people file: who is who in the ATS, in which team, on which calendar, and how to reach them.

Names and contacts never leave this file except at the edge (pager, board link); everything else knows people by `key`.
"""

from __future__ import annotations

from datetime import date

from pydantic import Field

from schemas.base import Agreed, Instant


class Contact(Agreed):
    """Where the pager reaches a person; the first that is set, in this order."""

    webhook: str | None = None  #: HTTP endpoint that takes our JSON
    slack_webhook: str | None = None  #: Slack-compatible incoming webhook
    email: str | None = None


class Leave(Agreed):
    """First and last day away, in the person's zone. Learned before a deadline it moves it; later it needs an exception."""

    first: date
    last: date
    learned_at: Instant


class Person(Agreed):
    key: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    name: str
    team: str
    calendar: str | None = None
    location: str | None = None
    identities: dict[str, tuple[str, ...]] = Field(default_factory=dict)  #: account -> native user ids
    contact: Contact = Contact()
    leave: tuple[Leave, ...] = ()


class Team(Agreed):
    """A hiring team: its manager's people, and the recruiters who work with them, are judged together."""

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    name: str
    department: str
    calendar: str | None = None
    location: str | None = None
    digest: Contact = Contact()  #: where the weekly digest goes


class Location(Agreed):
    key: str
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
