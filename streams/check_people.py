"""What calendars and people files can say that their form allows and nobody can mean; faults go to the nodes' documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time

import holidays

from schemas.calendar import WEEKDAYS, CalendarFile
from schemas.directory import Directory
from streams.calendars import Calendars, public_holidays
from streams.check_policy import BEGINNING, check_zone, dated, host_of, nearest, refuse_doubled
from streams.directory import People
from streams.errors import InvalidConfiguration
from streams.yaml_lines import Node

#: Where a calendar without a date is tried.
RECENT = datetime(2026, 1, 1, tzinfo=UTC)


def check_calendars(file: Node) -> None:
    """Adds every fault of the calendars that their model cannot see."""
    for calendar in file["calendars"]:
        check_zone(calendar["zone"])
        _holidays(calendar["holidays"])
        windows = calendar["windows"]
        for day, hours in windows.entries():
            if day not in WEEKDAYS:
                hours.fault(f"{day} is not a weekday; {nearest(day, WEEKDAYS)}")
        for _, hours in (*windows.entries(), *calendar["exceptions"].entries()):
            _ordered(hours)
        if isinstance(windows.value, dict) and not any(windows.value.values()):
            windows.fault("no weekday has a window, so nothing would ever be due; add at least one")
    refuse_doubled(file["calendars"], "calendar", lambda c: c["name"].text and f"{c['name'].text} from {dated(c)}")


def check_people(file: Node, calendar_names: Collection[str] | None) -> None:
    """Adds every fault of the people that their model cannot see; `calendar_names` None: not known, not checked."""
    teams, locations = _keys(file["teams"]), _keys(file["locations"])
    for kind in ("teams", "locations", "people"):
        refuse_doubled(file[kind], f"{kind} key", lambda node: node["key"].text and f"{node['key'].text} from {dated(node)}")
        _refuse_gaps(file[kind])
    refuse_doubled(list(_identities(file)), "identity", lambda node: f"{node.location[-2]}/{node.text}")
    for holder in (file["company"], *file["locations"], *file["teams"], *file["people"]):
        _known(holder["calendar"], "calendar", calendar_names)
        _known(holder["location"], "location", locations)
        for contact in (holder["contact"], holder["digest"]):
            _contact(contact)
    for person in file["people"]:
        _known(person["team"], "team", teams)
        for leave in person["leave"]:
            first, last = _day(leave["first"]), _day(leave["last"])
            if first and last and last < first:
                leave.fault(f"the leave ends on {last} before it begins on {first}; change one of them")


def check_working_time(calendar_file: CalendarFile, directory: Directory, calendars: Node, people: Node) -> None:
    """Adds a fault for each calendar, and each leave, that leaves no working time for 400 days. Takes files without faults."""
    everyone = Calendars.from_file(calendar_file)
    for spec, node in zip(calendar_file.calendars, calendars["calendars"], strict=True):
        try:
            everyone.at(spec.name, spec.effective_from).next_opening(max(spec.effective_from, RECENT))
        except InvalidConfiguration as error:
            node.fault(str(error))
    known = People.from_directory(directory)
    for person, node in zip(directory.people, people["people"], strict=True):
        for leave, place in zip(person.leave, node["leave"], strict=True):
            since = datetime.combine(leave.first, time(), tzinfo=UTC)
            try:
                known.calendar_for(person.key, None, everyone, since)[0].next_opening(since)
            except InvalidConfiguration as error:
                place.fault(f"{error}; name a deputy in the ATS instead")


def _holidays(rule: Node) -> None:
    country, region = rule["country"], rule["region"]
    if country.text is None:
        return
    known = holidays.list_supported_countries()
    if country.text not in known:
        country.fault(f"{country.text} is not a country of the `holidays` library; write an ISO 3166-1 code such as DE")
        return
    if region.text is not None:
        try:
            public_holidays(country.text, region.text, RECENT.year)
        except NotImplementedError:
            regions = sorted(known[country.text])
            region.fault(f"{region.text} is not a region of {country.text}; {nearest(region.text, regions)}")


def _ordered(windows: Node) -> None:
    """Windows of one day follow each other: `HH:MM` compares as text."""
    end = ""
    for window in windows:
        begin, _, until = (window.text or "").partition("-")
        if end and begin and begin < end:
            window.fault(f"window {window.text} begins before the one in front of it ends ({end}); put them in order, apart")
        end = max(end, until)


def _known(name: Node, what: str, names: Collection[str] | None) -> None:
    if name.text is not None and names is not None and name.text not in names:
        name.fault(f"{what} {name.text} is not there; {nearest(name.text, names)}")


def _keys(nodes: Node) -> list[str]:
    return [key for node in nodes if (key := node["key"].text) is not None]


def _refuse_gaps(stanzas: Node) -> None:
    """Of each key one stanza has no date: nothing else says what held before the first change."""
    undated = {stanza["key"].text for stanza in stanzas if dated(stanza) == BEGINNING}
    for stanza in stanzas:
        key = stanza["key"].text
        if key is not None and key not in undated:
            undated.add(key)  # said once
            stanza["effective_from"].fault(
                f"of {key} nothing is said of the time before {stanza['effective_from'].value}; put back the stanza that held "
                "until then, or remove the date of the first one"
            )


def _identities(file: Node) -> Iterator[Node]:
    """Every native user id, but for those that a further stanza of the same person repeats."""
    first: dict[tuple[str | None, str, str], int] = {}  #: whose, account, id -> the first stanza that has it
    for number, person in enumerate(file["people"]):
        for account, natives in person["identities"].entries():
            for native in natives:
                if native.text is not None and first.setdefault((person["key"].text, account, native.text), number) == number:
                    yield native


def _contact(contact: Node) -> None:
    email = contact["email"]
    if email.text is not None and "@" not in email.text.strip("@"):
        email.fault(f"{email.text} is not an email address; write one such as somebody@example.com")
    for url in (contact["webhook"], contact["slack_webhook"]):
        if url.text is not None and not (url.text.startswith(("http://", "https://")) and host_of(url.text)):
            url.fault("is not an HTTP address; write one such as https://chat.example/hook")


def _day(node: Node) -> date | None:
    try:
        return date.fromisoformat(str(node.value))
    except ValueError:
        return None
