"""Object-centric event logs (OCEL 2.0 and 1.0, both as JSON) to canonical facts, by the `ocel:` part of the mapping.

An event of a mapped type becomes one fact for each application it is about (one fact if it is about none). An object type that is
not mapped says nothing to us and is passed over; an event type that is not is a fault, for it could be a promise kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.errors import InvalidPayload
from streams.import_mapping import Mapping, Ocel, Told, read
from streams.imported import moment

SUBJECTS = {
    "application": "application_id",
    "requisition": "requisition_id",
    "interview": "interview_id",
    "candidate": "candidate_id",
}
SINGLE = ("person", "actor")


@dataclass(slots=True)
class _Log:
    """What both versions say, in one form."""

    types: dict[str, str] = field(default_factory=dict)  #: object id -> type
    related: dict[str, list[str]] = field(default_factory=dict)  #: object id -> objects it belongs with (2.0 only)
    events: list[tuple[str, str, object, dict[str, Any], list[str]]] = field(
        default_factory=list
    )  #: id, type, time, values, objects


def is_log(whole: Any) -> bool:
    """Whether a parsed JSON file is an OCEL log of either version."""
    return isinstance(whole, dict) and ("ocel:events" in whole or {"events", "objects"} <= set(whole))


def facts_of_log(whole: dict[str, Any], mapping: Mapping, account: str) -> Iterator[tuple[str, dict[str, Any] | InvalidPayload]]:
    """(`event ID`, fact or fault) in the log's order."""
    if mapping.ocel is None:
        raise InvalidPayload("no_mapping", "give --mapping with an `ocel:` part; docs/import.md has an example")
    try:
        log = _version_1(whole) if "ocel:events" in whole else _version_2(whole)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidPayload("not_ocel", f"{type(error).__name__}: {error}"[:80]) from None
    for event_id, kind, time, values, objects in log.events:
        if kind in mapping.ocel.ignore:
            continue
        try:
            for fact in _facts(log, mapping, mapping.ocel, account, kind, time, values, objects):
                yield f"event {event_id}", fact
        except InvalidPayload as error:
            yield f"event {event_id}", error


def _version_2(whole: dict[str, Any]) -> _Log:
    log = _Log()
    for thing in whole["objects"]:
        log.types[thing["id"]] = thing["type"]
        log.related[thing["id"]] = [link["objectId"] for link in thing.get("relationships") or ()]
    for event in whole["events"]:
        values = {item["name"]: item["value"] for item in event.get("attributes") or ()}
        objects = [link["objectId"] for link in event.get("relationships") or ()]
        log.events.append((event["id"], event["type"], event["time"], values, objects))
    return log


def _version_1(whole: dict[str, Any]) -> _Log:
    log = _Log(types={name: thing["ocel:type"] for name, thing in whole["ocel:objects"].items()})
    for name, event in whole["ocel:events"].items():
        values = event.get("ocel:vmap") or {}
        log.events.append((name, event["ocel:activity"], event["ocel:timestamp"], values, list(event.get("ocel:omap") or ())))
    return log


def _facts(
    log: _Log, mapping: Mapping, plan: Ocel, account: str, kind: str, time: object, values: dict[str, Any], objects: list[str]
) -> Iterator[dict[str, Any]]:
    told = plan.events.get(kind)
    if told is None:
        raise InvalidPayload("unmapped_event", f"type {kind[:60]!r}: add it to `events` or `ignore` of the mapping")
    roles = _roles(log, plan, objects)
    for single in (*SINGLE, *(role for role in SUBJECTS if role != "application")):
        if len(roles[single]) > 1:
            raise InvalidPayload("several_objects", f"{single}: an event has one, or it is several events")
    others = sorted(role for role in roles if role not in (*SUBJECTS, *SINGLE))
    said: dict[str, Any] = {
        "kind": told.kind,
        "occurred_at": moment(time, "time", mapping.zone_of()).isoformat(),
        "people": {role: [f"{account}/{one}" for one in roles[role]] for role in others},
        "attributes": _attributes(told, mapping, account, values),
    }
    for role in SINGLE:
        if roles[role]:
            said[role] = f"{account}/{roles[role][0]}"
    applications: list[str | None] = [*roles["application"]]
    for application in applications or [None]:
        fact = dict(said)
        for role, name in SUBJECTS.items():
            named = application if role == "application" else next(iter(roles[role]), None)
            one = named or _related(log, plan, application, role)
            if one is not None:
                fact[name] = f"{account}/{one}"
        yield fact


def _roles(log: _Log, plan: Ocel, objects: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one in dict.fromkeys(objects):
        if one not in log.types:
            raise InvalidPayload("unknown_object", "the event names an object that the log does not have")
        role = plan.objects.get(log.types[one], "ignore")
        if role != "ignore":
            found[role].append(one)
    return found


def _related(log: _Log, plan: Ocel, application: str | None, role: str) -> str | None:
    """What the application belongs to by the log's own object relations, if that is one thing; never an interview."""
    if application is None or role == "interview":
        return None
    found = {one for one in log.related.get(application, ()) if plan.objects.get(log.types.get(one, "")) == role}
    return found.pop() if len(found) == 1 else None


def _attributes(told: Told, mapping: Mapping, account: str, values: dict[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in told.attributes.items():
        given = values.get(value.column)
        if given is not None and given != "":
            found[name] = read(given, value, mapping, account)
    return found
