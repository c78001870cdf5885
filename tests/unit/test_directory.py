"""Who is who: identities, teams, and whose calendar counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from schemas.calendar import CalendarFile, CalendarSpec
from schemas.directory import Company, Directory, Leave, Location, Person, Team
from streams.calendars import Calendars, content_version
from streams.directory import People

NINE_TO_FIVE = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), ("09:00-17:00",))
NAMES = ("own", "team", "place", "team-place", "company")
CALENDARS = Calendars.from_file(
    CalendarFile(version="1", calendars=tuple(CalendarSpec(name=n, zone="Europe/Berlin", windows=NINE_TO_FIVE) for n in NAMES))
)
MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
FEBRUARY, LATER = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)


def people(*persons: Person, team_calendar: str | None = None, team_location: str | None = None) -> People:
    return People.from_directory(
        Directory(
            version="1",
            company=Company(name="C", calendar="company"),
            locations=(Location(key="here", calendar="place"), Location(key="there", calendar="team-place")),
            teams=(Team(key="t", name="T", department="D", calendar=team_calendar, location=team_location),),
            people=persons,
        )
    )


def person(**given: object) -> Person:
    return Person.model_validate({"key": "p", "name": "P", "team": "t", "identities": {"ats": ["1", "2"]}, **given})


def test_a_reference_becomes_the_key_and_an_unknown_one_stays_opaque() -> None:
    known = people(person())
    assert (known.key("ats/2"), known.key("other/2"), known.key("p")) == ("p", "other/2", "p")
    assert (known.team_of("ats/1"), known.team_of("ats/9")) == ("t", None)


@pytest.mark.parametrize(
    ("own", "place", "team_calendar", "team_location", "name", "source"),
    [
        ("own", "here", "team", "there", "own", "person"),
        (None, "here", "team", "there", "team", "team"),
        (None, "here", None, "there", "place", "location"),
        (None, None, None, "there", "team-place", "location"),
        (None, None, None, None, "company", "company"),
    ],
)
def test_the_calendar_comes_from_the_nearest_that_has_one(
    own: str | None, place: str | None, team_calendar: str | None, team_location: str | None, name: str, source: str
) -> None:
    known = people(person(calendar=own, location=place), team_calendar=team_calendar, team_location=team_location)
    calendar, found = known.calendar_for("ats/1", None, CALENDARS, MONDAY)
    assert (calendar.name, found) == (name, source)


def test_an_unknown_person_works_as_the_team_does() -> None:
    known = people(person(), team_calendar="team")
    assert known.calendar_for("ats/9", "t", CALENDARS, MONDAY)[0].name == "team"
    assert known.calendar_for(None, None, CALENDARS, MONDAY)[0].name == "company"


def test_leave_counts_once_it_was_learned() -> None:
    known = people(person(leave=(Leave(first=date(2026, 3, 2), last=date(2026, 3, 2), learned_at=LATER),)))
    assert known.calendar_for("p", None, CALENDARS, MONDAY, FEBRUARY)[0].is_working(MONDAY)
    away = known.calendar_for("p", None, CALENDARS, MONDAY, LATER)[0]
    assert not away.is_working(MONDAY)
    assert away.version != CALENDARS.at("company", MONDAY).version


def test_the_version_changes_with_the_file() -> None:
    assert people(person()).version == people(person()).version
    assert people(person()).version != people(person(name="Q")).version


JULY = datetime(2026, 7, 1, tzinfo=UTC)


def moved() -> People:
    """P goes from team t to team u on 1 July, and so does team u from one location to another; nobody else has a date."""
    return People.from_directory(
        Directory(
            version="1",
            company=Company(name="C", calendar="company"),
            locations=(
                Location(key="here", calendar="place"),
                Location(key="here", effective_from=JULY, calendar="own"),
                Location(key="there", calendar="team-place"),
            ),
            teams=(
                Team(key="t", name="T", department="D", location="here"),
                Team(key="u", effective_from=JULY, name="U", department="E", location="here"),
                Team(key="u", name="U", department="D", location="there"),
            ),
            people=(
                person(team="u", effective_from=JULY, leave=(Leave(first=JULY, last=JULY, learned_at=JULY),)),
                person(leave=(Leave(first=date(2026, 3, 2), last=date(2026, 3, 2), learned_at=FEBRUARY),)),
                Person(key="q", name="Q", team="u", identities={"ats": ("3",)}),
            ),
        )
    )


def test_a_change_counts_from_its_date_on_and_the_past_stays() -> None:
    known, before = moved(), JULY - timedelta(microseconds=1)
    assert [known.team_of("ats/1", at) for at in (MONDAY, before, JULY, None)] == ["t", "t", "u", "u"]
    assert [known.team_of("ats/3", at) for at in (MONDAY, JULY, None)] == ["u", "u", "u"]
    departments = [team.department for at in (MONDAY, before, JULY, None) if (team := known.team("u", at))]
    assert departments == ["D", "D", "E", "E"]
    assert [known.calendar_for("ats/1", None, CALENDARS, at)[0].name for at in (MONDAY, before, JULY, MONDAY)] == [
        "place",
        "place",
        "own",
        "place",
    ]
    assert [known.calendar_for("ats/3", None, CALENDARS, at)[0].name for at in (MONDAY, JULY)] == ["team-place", "own"]


def test_leave_is_the_persons_whichever_stanza_says_it() -> None:
    known = moved()
    for at in (MONDAY, JULY + timedelta(hours=8)):
        assert not known.calendar_for("ats/1", None, CALENDARS, at)[0].is_working(at)
        assert known.calendar_for("ats/1", None, CALENDARS, at)[0].is_working(at + timedelta(days=1))


def test_a_receipt_names_the_file_and_since_when_it_is_so() -> None:
    known = moved()
    assert known.version_at(MONDAY) == known.version
    assert known.version_at(JULY + timedelta(days=9)) == f"{known.version} from 2026-07-01T00:00:00Z"
    august, september = (JULY + timedelta(days=n) for n in (31, 62))
    several = people(*(person(effective_from=at) for at in (september, JULY, august)))
    told = [
        several.version_at(at).removeprefix(several.version) for at in (JULY, august - timedelta(seconds=1), august, september)
    ]
    assert told == [f" from 2026-{day}T00:00:00Z" for day in ("07-01", "07-01", "08-01", "09-01")]
    undated = people(person())
    assert undated.version_at(JULY) == undated.version


def test_a_file_without_dates_keeps_the_version_it_had_before_there_were_dates() -> None:
    said = Directory(version="1", company=Company(name="C", calendar="company"), teams=(), people=(person(),))
    as_it_was = said.model_dump(mode="json")
    for one in as_it_was["people"]:
        del one["effective_from"]
    assert People.from_directory(said).version == content_version(as_it_was)
