"""The mapping file of an import: which columns of a CSV, or which objects and events of an OCEL log, are which part of a fact."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import Field, ValidationError, field_validator

from schemas.base import Agreed
from schemas.fact import FACT_KINDS
from streams.errors import InvalidConfiguration, InvalidPayload
from streams.imported import EXAMPLE, moment

Words = tuple[str, ...]


class Value(Agreed):
    """One column (or OCEL attribute) and how to read it."""

    column: str
    type: Literal["text", "id", "ids", "number", "boolean", "time"] = "text"
    zone: str | None = None  #: of times that name none; default: the mapping's
    format: str | None = None  #: as strptime takes it, for times that are not ISO 8601
    separator: str = ";"  #: of `ids`

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return _zone(zone)

    @field_validator("format")
    @classmethod
    def _with_a_time(cls, pattern: str | None) -> str | None:
        if pattern is not None and not any(code in pattern for code in ("%H", "%I", "%X", "%c")):
            raise ValueError("a date without a time is no instant; the format needs an hour (%H)")
        if pattern is not None and "%I" in pattern and "%p" not in pattern:
            raise ValueError("2 o'clock is morning or afternoon: %I needs %p, or it is %H")
        if pattern is not None and "%Z" in pattern:
            raise ValueError("%Z would read the zone's name and not use it: write the name into the format, and give `zone:`")
        return pattern


class Told(Agreed):
    """What is common to a CSV row's fact and an OCEL event: the kind and the attributes."""

    kind: str
    attributes: dict[str, Value] = Field(default_factory=dict)

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in FACT_KINDS:
            raise ValueError(f"{kind!r} is no fact kind; docs/import.md lists them")
        return kind

    @field_validator("attributes", mode="before")
    @classmethod
    def _short_form(cls, attributes: object) -> object:
        if not isinstance(attributes, dict):
            return attributes
        return {name: {"column": value} if isinstance(value, str) else value for name, value in attributes.items()}


class CsvFact(Told):
    """One fact of a row. With `where`, only of rows that have one of these values; without, of rows that have the time."""

    where: dict[str, Words] = Field(default_factory=dict)
    occurred_at: Value
    requisition_id: str | None = None
    application_id: str | None = None
    candidate_id: str | None = None
    interview_id: str | None = None
    person: str | None = None
    actor: str | None = None
    people: dict[str, str] = Field(default_factory=dict)  #: role -> column; several ids with `;` between them

    @field_validator("occurred_at", mode="before")
    @classmethod
    def _column(cls, value: object) -> object:
        return {"column": value, "type": "time"} if isinstance(value, str) else value

    @property
    def columns(self) -> set[str]:
        ids = (self.requisition_id, self.application_id, self.candidate_id, self.interview_id, self.person, self.actor)
        named = {column for column in (*ids, *self.people.values()) if column}
        return named | set(self.where) | {self.occurred_at.column} | {value.column for value in self.attributes.values()}


class Csv(Agreed):
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    facts: tuple[CsvFact, ...] = Field(min_length=1)
    ignore: dict[str, Words] = Field(default_factory=dict)  #: rows with one of these values mean nothing to us

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"{encoding!r} is no encoding such as utf-16 or cp1252") from None
        return encoding


Role = Literal[
    "application",
    "requisition",
    "interview",
    "candidate",
    "person",
    "actor",
    "recruiter",
    "hiring_manager",
    "coordinator",
    "ignore",
]


class Ocel(Agreed):
    objects: dict[str, Role] = Field(min_length=1)  #: the log's object type -> what it is to us
    events: dict[str, Told] = Field(min_length=1)  #: the log's event type (1.0: activity)
    ignore: Words = ()  #: event types that mean nothing to us

    @field_validator("events", mode="before")
    @classmethod
    def _short_form(cls, events: object) -> object:
        if not isinstance(events, dict):
            return events
        return {name: {"kind": told} if isinstance(told, str) else told for name, told in events.items()}


class Mapping(Agreed):
    """The whole file."""

    account: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_-]*$")
    zone: str | None = None
    csv: Csv | None = None
    ocel: Ocel | None = None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return _zone(zone)

    def zone_of(self, value: Value | None = None) -> ZoneInfo | None:
        name = (value.zone if value else None) or self.zone
        return ZoneInfo(name) if name else None


def _zone(name: str | None) -> str | None:
    if name is not None and name not in available_timezones():
        raise ValueError(f"{name!r} is no IANA zone such as Europe/Berlin")
    return name


def load(path: Path | None) -> Mapping:
    """The mapping; an empty one without a file. Raises InvalidConfiguration with every fault and where in the file it is."""
    if path is None:
        return Mapping()
    try:
        content = yaml.safe_load(path.read_text())
        return Mapping.model_validate(content)
    except OSError as error:
        raise InvalidConfiguration([f"{path}: cannot be read: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        raise InvalidConfiguration([f"{path}: not YAML: {error}"]) from error
    except ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise InvalidConfiguration(faults) from error


def refs(text: str, separator: str, account: str) -> list[str]:
    return [f"{account}/{one.strip()}" for one in text.split(separator) if one.strip()]


def read(given: object, value: Value, mapping: Mapping, account: str) -> object:
    """One attribute as the mapping types it: a column's text, or JSON's own value. Raises InvalidPayload naming the column."""
    if not isinstance(given, str):
        return _typed(given, value, account)
    text = given.strip()
    if value.type == "time":
        return moment(text, value.column, mapping.zone_of(value), value.format).isoformat()
    if value.type == "ids":
        return refs(text, value.separator, account)
    if value.type == "boolean":
        if text.casefold() not in ("true", "false", "yes", "no", "1", "0"):
            raise InvalidPayload("not_a_boolean", f"{value.column}: true or false")
        return text.casefold() in ("true", "yes", "1")
    if value.type == "number":
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            raise InvalidPayload("not_a_number", value.column) from None
    return text


def _typed(given: object, value: Value, account: str) -> object:
    """What JSON types itself, if that is what the mapping says."""
    plain = isinstance(given, int | float) and not isinstance(given, bool)
    if value.type == "time":
        raise InvalidPayload("not_a_time", f"{value.column}: write text such as {EXAMPLE}")
    if value.type == "ids":
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise InvalidPayload("not_ids", f"{value.column}: a list of texts, or one text")
        return [ref for one in given for ref in refs(one, value.separator, account)]
    if value.type == "boolean":
        if not isinstance(given, bool) and given not in (0, 1):
            raise InvalidPayload("not_a_boolean", f"{value.column}: true or false")
        return bool(given)
    if value.type == "number" and not plain:
        raise InvalidPayload("not_a_number", value.column)
    if isinstance(given, dict | list):
        raise InvalidPayload("not_short_text", f"{value.column}: an attribute holds ids, words and numbers")
    return given
