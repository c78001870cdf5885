"""Stories as data: each file of tests/scenarios tells what happened and what the pipeline must say, at which instants.

The same stories run through the pure core, through the tracker's step and through real Kafka. Times are local to the
story's `zone` (Berlin unless it says otherwise), such as `Mon 09:00` of the story's first week or a full ISO time.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import yaml

from schemas.calendar import CalendarFile
from schemas.directory import Directory
from schemas.fact import DERIVED_KINDS, FACT_KINDS, Fact, Origin, Watermark, fact_id
from schemas.outcome import Obligation
from schemas.policy import Policy
from streams.agreement import Agreement
from streams.calendars import Calendars
from streams.directory import People

HERE = Path(__file__).parent
ACCOUNT = "acme"
REQUISITION = "acme/r1"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TIMES = ("deadline", "started_at", "ended_at", "due_soon_at")


@dataclass(frozen=True)
class Expectation:
    """What one obligation looks like at one instant; only the named fields are compared."""

    as_of: datetime
    obligation: str
    fields: dict[str, Any] | Literal["absent"]


@dataclass(frozen=True)
class Held:
    """Who held the ball of one application up to an instant: since when, which side, and who of it."""

    as_of: datetime
    application_id: str
    holders: tuple[tuple[datetime, str, str | None], ...]


@dataclass(frozen=True)
class Story:
    name: str
    zone: ZoneInfo
    monday: date
    facts: tuple[Fact, ...]
    watermarks: tuple[Watermark, ...]
    expectations: tuple[Expectation, ...]
    held: tuple[Held, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)

    def at(self, text: str) -> datetime:
        return _at(text, self.monday, self.zone)


def _at(text: str, monday: date, zone: ZoneInfo) -> datetime:
    """`Tue 14:30` of the first week, `Tue+1 14:30` of the next, or ISO with or without a zone."""
    head, _, clock = text.partition(" ")
    day, _, weeks = head.partition("+")
    if day not in DAYS:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    found = monday + timedelta(days=DAYS.index(day) + 7 * int(weeks or 0))
    return datetime.combine(found, datetime.strptime(clock, "%H:%M").time(), zone)  # noqa: DTZ007


def policy_file(policy: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the demo company's policy file says, with `policy` laid over its stanzas by name.

    `NAME VERSION` is a further stanza of that name: the one there is, with its own version and what is laid over it.
    """
    raw: dict[str, Any] = deepcopy(_policy_read())
    for key, changes in (policy or {}).items():
        name, _, version = key.partition(" ")
        stanza = next(c for c in raw["commitments"] if c["name"] == name)
        if version:
            stanza = {**stanza, "version": version}
            raw["commitments"].append(stanza)
        stanza.update(changes)
    return raw


@lru_cache(maxsize=1)
def _policy_read() -> Any:
    return yaml.safe_load((HERE.parent / "deploy/policy.yaml").read_text())


def agreement(policy: Mapping[str, Any] | None = None) -> Agreement:
    """The demo company's policy (with `policy` laid over, see `policy_file`), judged for the people of the stories."""
    return Agreement(
        Policy.model_validate(policy_file(policy)),
        Calendars.from_file(CalendarFile.model_validate(yaml.safe_load((HERE / "company/calendars.yaml").read_text()))),
        People.from_directory(Directory.model_validate(yaml.safe_load((HERE / "company/people.yaml").read_text()))),
    )


def stories() -> list[Story]:
    """Every story there is, by file name."""
    found = [_story(path) for path in sorted((HERE / "scenarios").glob("*.yaml"))]
    assert found, "no story was found"
    return found


def compare(story: Story, expectation: Expectation, found: dict[str, Obligation]) -> None:
    """The named fields of one obligation, times in the story's own notation."""
    obligation = found.get(expectation.obligation)
    if isinstance(expectation.fields, str):  # "absent"
        assert obligation is None, f"{expectation.obligation} is there at {expectation.as_of}: {obligation}"
        return
    assert obligation is not None, f"{expectation.obligation} is missing; there are {sorted(found)}"
    for name, wanted in expectation.fields.items():
        assert _value(obligation, name) == _wanted(story, name, wanted), f"{name} of {expectation.obligation}: {obligation}"


def _value(obligation: Obligation, name: str) -> Any:
    if name == "business_hours":
        return round(obligation.business_us / 3_600_000_000, 6)
    return getattr(obligation, name)


def _wanted(story: Story, name: str, wanted: Any) -> Any:
    return story.at(wanted) if name in TIMES and wanted is not None else wanted


def _story(path: Path) -> Story:
    told = yaml.safe_load(path.read_text())
    zone, monday = ZoneInfo(told.get("zone", "Europe/Berlin")), told.get("monday", date(2026, 3, 2))
    assert monday.weekday() == 0, f"{path}: monday is not a Monday"
    expectations = [
        Expectation(_at(moment["as_of"], monday, zone), obligation, fields)
        for moment in told["expect"]
        for obligation, fields in moment["obligations"].items()
    ]
    held = [
        Held(_at(moment["as_of"], monday, zone), f"{ACCOUNT}/{name}", tuple((_at(at, monday, zone), *who) for at, *who in them))
        for moment in told["expect"]
        for name, them in moment.get("holders", {}).items()
    ]
    end = max(e.as_of for e in expectations)
    complete = told.get("complete_until", "always")
    until = end + timedelta(days=1) if complete == "always" else _at(complete, monday, zone)
    kinds = tuple(k for k in FACT_KINDS if k not in DERIVED_KINDS)
    return Story(
        name=path.stem,
        zone=zone,
        monday=monday,
        facts=tuple(_fact(f, monday, zone) for f in told["facts"]),
        watermarks=(Watermark(account=ACCOUNT, kinds=kinds, complete_until=until, received_at=until),),
        expectations=tuple(expectations),
        held=tuple(held),
        policy=told.get("policy", {}),
    )


def _fact(told: dict[str, Any], monday: date, zone: ZoneInfo) -> Fact:
    """Short forms: `stage: offer` for an attribute, `application: a1`, `people: {recruiter: r}`, times; all on r1 unless told."""
    told = dict(told)
    at = _at(told.pop("at"), monday, zone)
    kind = told.pop("kind")
    received = _at(told.pop("received"), monday, zone) if "received" in told else at
    ids = {f"{name}_id": f"{ACCOUNT}/{told.pop(name)}" for name in ("application", "interview", "candidate") if name in told}
    people = {role: (f"{ACCOUNT}/{who}",) for role, who in told.pop("people", {}).items()}
    persons = {name: f"{ACCOUNT}/{told.pop(name)}" for name in ("person", "actor") if name in told}
    not_before = _at(told.pop("not_before"), monday, zone) if "not_before" in told else None
    for name in ("starts_at", "ends_at", "interviewed_at", "from", "until"):
        if name in told:
            told[name] = _at(told[name], monday, zone).isoformat()
    if "interviewers" in told:
        told["interviewers"] = [f"{ACCOUNT}/{who}" for who in told["interviewers"]]
    native = [*ids.values(), *persons.values(), told.get("stage", "")]
    requisition = f"{ACCOUNT}/{told.pop('requisition')}" if "requisition" in told else REQUISITION
    return Fact(
        fact_id=fact_id("test", ACCOUNT, kind, native, at),
        kind=kind,
        tenant="test",
        account=ACCOUNT,
        system="greenhouse",
        occurred_at=at,
        occurred_at_source=Origin.POLL if not_before else Origin.OBJECT,
        occurred_not_before=not_before,
        received_at=received,
        requisition_id=requisition,
        people=people,
        attributes=told,
        **ids,
        **persons,
    )
