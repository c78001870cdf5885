"""What the files say of the past other than it was published: a fault for each, at its line.

In: the files as they were read, what they say now, what was published. An agreement judges what started under it, so once the
time of a stanza has come it neither changes nor goes; what is new is a stanza of its own whose time is still to come. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.agreement import Published
from schemas.calendar import CalendarFile, CalendarSpec
from schemas.directory import BEGINNING
from schemas.policy import Commitment, Policy
from streams.yaml_lines import Node

#: What of a stanza of the people file judges; names, contacts, identities and leave may be mended.
JUDGES = {"people": ("team", "calendar", "location"), "teams": ("department", "calendar", "location"), "locations": ("calendar",)}
Dated = list[tuple[datetime, Mapping[str, Any]]]  #: stanzas of one key as they were published, each with its date
FURTHER = "put that back, and say what is new in a further stanza, with an effective_from that is still to come"


def compare(nodes: Mapping[str, Node], now: Sequence[Published], before: Sequence[Published]) -> None:
    """Adds the faults to the documents of `nodes` (policy, calendars, people). `now`: all that the files say, of one time."""
    at = now[0].published_at
    _changed(nodes, now, before, at)
    for kind, listed in (("policy", "commitments"), ("calendars", "calendars")):
        last = _last(kind, before)
        if last is not None:
            _gone(nodes[kind][listed], now, _stanzas(kind, last.content), last.published_at, at)
    was, people = _last("people", before), _last("people", now)
    if was is not None and people is not None:
        _people(nodes["people"], people.content, was, at)


def _changed(nodes: Mapping[str, Node], now: Sequence[Published], before: Iterable[Published], at: datetime) -> None:
    """Stanzas of a policy and calendars whose content is not what it was."""
    last = {identity: one for one in before for identity in _identities(one)}
    for one in now:
        changed = [last[i] for i in _identities(one) if i in last and _current(last[i]) != one.content]
        past = next((was for was in changed if was.effective_from <= at), None)
        if past is not None:
            _node(one, nodes).fault(
                f"{one.kind} {one.name}, version {one.version}, was published on {past.published_at:%Y-%m-%d} with other content "
                f"({past.content_hash}, now {one.content_hash}); put that back, and say what is new in a version of its own, "
                "with an effective_from that is still to come"
            )


def _gone(
    listed: Node, now: Iterable[Published], was: Iterable[Commitment | CalendarSpec], published_at: datetime, at: datetime
) -> None:
    """Stanzas that were there at the last publication, whose time has come, and that are not there any more."""
    here = {identity for one in now for identity in _identities(one)}
    for stanza in was:
        kind, version = ("commitment", stanza.version) if isinstance(stanza, Commitment) else ("calendar", "")
        since = stanza.effective_from
        if since > at or any(i in here for i in _names(kind, stanza.name, since, version)):
            continue
        mine = [node for node in listed if node["name"].text == stanza.name]
        if isinstance(stanza, Commitment):
            named, mend = (
                f"commitment {stanza.name}, version {version},",
                (
                    "put its stanza back, and end it by a further one: the same name, another version, "
                    "an effective_from that is still to come, and enabled: false"
                ),
            )
        else:
            named, mend = f"calendar {stanza.name} from {since:%Y-%m-%d}", "put its stanza back"
        (mine[0] if mine else listed).fault(
            f"{named} was published on {published_at:%Y-%m-%d} and is not here any more, or is off, while what started under it "
            f"may still run; {mend}"
        )


def _people(file: Node, now: Mapping[str, Any], was: Published, at: datetime) -> None:
    """Who was in which team, department and on which calendar until `at`."""
    day = f"{was.published_at:%Y-%m-%d}"
    company, before = now["company"]["calendar"], was.content["company"]["calendar"]
    if company != before:
        file["company"]["calendar"].fault(
            f"calendar: {before} was published on {day}, now it is {company}, and so it would be for the past; put that back, "
            f"and give {before} a further stanza in calendars.yaml, with an effective_from that is still to come"
        )
    for kind, names in JUDGES.items():
        here, there = _by_key(now.get(kind, ())), _by_key(was.content.get(kind, ()))
        lines = {node["key"].text: node for node in reversed([*file[kind]])}
        for key, stanzas in there.items():
            if key not in here:
                file[kind].fault(f"{key} was published on {day} and is not here any more; put it back: the past needs it")
            elif said := _otherwise(here[key], stanzas, names, at):
                lines[key].fault(f"{key} was published on {day} with {said}; {FURTHER}")


def _otherwise(here: Dated, there: Dated, names: Iterable[str], at: datetime) -> str | None:
    """The first of `names` that was published otherwise of a time up to `at`, in words."""
    for instant in sorted({since for since, _ in (*here, *there) if since <= at}):
        now, was = _in_force(here, instant), _in_force(there, instant)
        for name in names:
            if now.get(name) != was.get(name):
                since = "" if instant == BEGINNING else f" from {instant:%Y-%m-%dT%H:%M:%SZ} on"
                return f"{name}: {was.get(name) or 'none'}{since}, and here it is {now.get(name) or 'none'}"
    return None


def _by_key(stanzas: Iterable[Mapping[str, Any]]) -> dict[str, Dated]:
    """Key -> its stanzas with their dates, in order. No date is the beginning of time."""
    found: dict[str, Dated] = {}
    for stanza in stanzas:
        since = datetime.fromisoformat(stanza["effective_from"]) if "effective_from" in stanza else BEGINNING
        found.setdefault(stanza["key"], []).append((since.astimezone(UTC), stanza))
    for each in found.values():
        each.sort(key=lambda dated: dated[0])
    return found


def _in_force(stanzas: Dated, at: datetime) -> Mapping[str, Any]:
    return next((stanza for since, stanza in reversed(stanzas) if since <= at), stanzas[0][1])


def _last(kind: str, published: Sequence[Published]) -> Published | None:
    return next((one for one in reversed(published) if one.kind == kind), None)


def _stanzas(kind: str, content: dict[str, Any]) -> Sequence[Commitment | CalendarSpec]:
    """What a whole file said."""
    return Policy.model_validate(content).agreed() if kind == "policy" else CalendarFile.model_validate(content).calendars


def _current(one: Published) -> dict[str, Any]:
    """Its content as today's models write it: keys that are new since then at their default."""
    if one.kind == "commitment":
        return Commitment.model_validate(one.content).model_dump(mode="json", exclude={"description"}, exclude_none=True)
    return CalendarSpec.model_validate(one.content).model_dump(mode="json")


def _identities(one: Published) -> Iterator[tuple[str, ...]]:
    if one.kind in ("commitment", "calendar"):
        yield from _names(one.kind, one.name, one.effective_from, one.version)


def _names(kind: str, name: str, effective_from: datetime, version: str) -> Iterator[tuple[str, ...]]:
    """A stanza is the one it was if it has its date or its version."""
    yield kind, name, "from", effective_from.isoformat()
    if kind == "commitment":
        yield kind, name, "version", version


def _node(one: Published, nodes: Mapping[str, Node]) -> Node:
    listed = nodes["policy"]["commitments"] if one.kind == "commitment" else nodes["calendars"]["calendars"]
    mine = [node for node in listed if node["name"].text == one.name]
    for node in mine:
        if one.kind == "commitment" and (node["version"].text or "1") == one.version:
            return node
        if (
            one.kind == "calendar"
            and len(mine) > 1
            and one.effective_from.date().isoformat() in str(node["effective_from"].value)
        ):
            return node
    return mine[0]
