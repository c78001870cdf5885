"""YAML whose every value still knows its line, so that a fault can say where it is.

In: a file. Out: a `Node` (the plain value, with the line of each part) and faults as `file:line: what is wrong; how to mend it`.
Nothing raises for bad input: each fault is collected, reading goes on with what is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from streams.yaml_syntax import Unreadable, compose

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

#: What YAML 1.1 reads as another number than it says, where 1.2 does not: base eight, and base sixty (`1:30`).
_OCTAL = re.compile("[-+]?0[0-9_]+")
_SIXTIES = re.compile("[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+([.][0-9_]*)?")


@dataclass(frozen=True, slots=True)
class Faults:
    """Everything wrong with a set of files, in the order it was found."""

    found: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, file: str, line: int, text: str) -> None:
        text = text.replace("\n", "\\n")  # of a key or value: a fault is one line
        if (file, line, text) not in self.found:
            self.found.append((file, line, text))

    def ordered(self) -> list[tuple[str, int, str]]:
        """(file, line, text), by file as they were read, then by line."""
        files = list(dict.fromkeys(file for file, _, _ in self.found))
        return sorted(self.found, key=lambda fault: (files.index(fault[0]), fault[1]))

    def lines(self) -> list[str]:
        """The same as `file:line: text`."""
        return [f"{file}:{line}: {text}" for file, line, text in self.ordered()]

    def __bool__(self) -> bool:
        return bool(self.found)


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its value, and the line of every mapping key and list item in it."""

    file: str
    lines: dict[Location, int]
    faults: Faults

    def line(self, location: Sequence[str | int]) -> int:
        """The line of the deepest part of `location` that the file has."""
        return self.lines[self.known(location)]

    def known(self, location: Sequence[str | int]) -> Location:
        """The deepest part of `location` that the file has; names of union members, which pydantic adds, are skipped."""
        place: Location = ()
        for part in location:
            if (*place, part) in self.lines:
                place = (*place, part)
        return place


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document. Asking for what is not there, or not of that form, gives an empty node: never an error."""

    document: Document
    location: Location
    value: Any

    def __getitem__(self, key: str | int) -> Node:
        inner = self.value.get(key) if isinstance(self.value, dict) else None
        return Node(self.document, (*self.location, key), inner)

    def __iter__(self) -> Iterator[Node]:
        """The items of a list; of anything else, none."""
        for number, item in enumerate(self.value if isinstance(self.value, list) else ()):
            yield Node(self.document, (*self.location, number), item)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The keys (a date as ISO text) and values of a mapping; of anything else, none."""
        for key, inner in self.value.items() if isinstance(self.value, dict) else ():
            yield str(key), Node(self.document, (*self.location, str(key)), inner)

    @property
    def text(self) -> str | None:
        """The value if it is text, else None."""
        return self.value if isinstance(self.value, str) else None

    def texts(self) -> list[Node]:
        """The value and the items of a list that are text."""
        return [node for node in (self, *self) if node.text is not None]

    @property
    def line(self) -> int:
        return self.document.line(self.location)

    def fault(self, text: str) -> None:
        self.document.faults.add(self.document.file, self.line, text)


def shown(path: Path) -> str:
    """The path as an editor or terminal takes it: relative where it lies below the current folder."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def read(path: Path, faults: Faults) -> Node | None:
    """The file as a node; None, with a fault, if it is not there or not YAML at all."""
    document = Document(shown(path), {(): 1}, faults)
    try:
        root = compose(path)
    except Unreadable as error:
        faults.add(shown(path), error.line, error.text)
        return None
    return Node(document, (), _Plain(document).value(root, ()))


class _Plain:
    """Plain Python values of composed YAML; notes lines and the faults that building values would hide."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.scalars = yaml.SafeLoader("")
        self.open: list[yaml.Node] = []
        self.own: dict[int, set[int]] = {}  #: mapping -> its keys as they were before those of `<<` were put in

    def value(self, node: yaml.Node, place: Location) -> Any:
        if node in self.open:
            self._fault(node, "an alias contains itself; write the value out")
            return None
        self.open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return self._items(node, place)
            return self._scalar(node)
        finally:
            self.open.pop()

    def _mapping(self, node: yaml.MappingNode, place: Location) -> dict[Any, Any]:
        own = self.own.setdefault(id(node), {id(key) for key, _ in node.value})
        self._merge(node)
        merged: set[object] = set()
        seen: set[str] = set()
        values: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            if key in merged:
                self._fault(key_node, f"{key} is in what `<<` merges too, and overriding it is not supported; {_OVERRIDDEN}")
            elif str(key) in seen:  # a date, and the same in quotes
                self._fault(key_node, f"{key} is written twice in one mapping, YAML would keep only the last; remove one")
            if id(key_node) not in own:
                merged.add(key)
            seen.add(str(key))
            inner = (*place, str(key))
            self.document.lines[inner] = key_node.start_mark.line + 1
            values[key] = self.value(value_node, inner)
        return values

    def _items(self, node: yaml.SequenceNode, place: Location) -> list[Any]:
        values = []
        for number, item in enumerate(node.value):
            inner = (*place, number)
            self.document.lines[inner] = item.start_mark.line + 1
            values.append(self.value(item, inner))
        return values

    def _key(self, node: yaml.Node) -> str | date | None:
        """A key as text (or a date); a fault for what YAML 1.1 reads as something else."""
        key = self._scalar(node) if isinstance(node, yaml.ScalarNode) else node
        if isinstance(key, str) or (isinstance(key, date) and not isinstance(key, datetime)):
            return key
        if isinstance(node, yaml.ScalarNode):
            self._fault(node, f"the key {node.value} is read by YAML as {_meaning(key)}; {_quoted(node.value)}")
            return str(node.value)
        self._fault(node, "a key is a list or a mapping; write a single word")
        return None

    def _merge(self, node: yaml.MappingNode) -> None:
        try:
            self.scalars.flatten_mapping(node)
        except yaml.YAMLError:
            self._fault(node, "`<<` takes a mapping or a list of mappings; write the keys out")
            node.value = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            if _SIXTIES.fullmatch(node.value):
                return node.value
            if _OCTAL.fullmatch(node.value):
                self._fault(node, f"{node.value} is read in base eight by some; write it without the 0 in front, or in quotes")
                return 0
        try:
            value = self.scalars.construct_object(node)
            if not isinstance(value, str | int | float | date | None):
                raise ValueError(f"{node.tag} is not for these files")  # bytes, or an empty list of a tag that takes one
        except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
            # PyYAML's constructors fail in many ways where an explicit tag does not fit its value
            reason = getattr(error, "problem", None) or (
                error if isinstance(error, ValueError) else f"it does not fit {node.tag}"
            )
            self._fault(node, f"{node.value!r} is not a value ({reason}); {_quoted(node.value)}")
            return None
        return value

    def _fault(self, node: yaml.Node, text: str) -> None:
        self.document.faults.add(self.document.file, node.start_mark.line + 1, text)


#: What to do about a key that is written beside `<<` as well.
_OVERRIDDEN = "take it out of the merged mapping, or write this mapping out without `<<`"


def parse(model: type[Model], node: Node) -> Model | None:
    """The model of a whole file; None, with a fault for every place that does not fit."""
    try:
        return model.model_validate(node.value)
    except ValidationError as error:
        seen = set()
        for detail in error.errors(include_url=False):
            if detail["type"] == "too_short" and detail["input"]:  # only what is left of it: its own faults are said
                continue
            place = node.document.known(detail["loc"])
            if place not in seen or detail["type"] == "missing":  # members of a union say the same once each
                seen.add(place)
                node.document.faults.add(node.document.file, node.document.line(place), _words(detail, place))
        return None


def _words(detail: Any, place: Location) -> str:
    """A pydantic error for the person who wrote the file."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    name = _name(place)
    if kind in _SAID:
        return _SAID[kind](_name(detail["loc"]), context)
    said = detail["msg"].removeprefix("Value error, ")
    if isinstance(given, bool | int | float | date) and ("string" in kind or "string" in said):
        return f"{name} must be text, but YAML reads it as {_meaning(given)}; {_quoted('it')}"
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) and repr(given) not in said else ""
    return f"{name}: {said[0].lower() + said[1:]}{shown}; {_mend(kind)}"


_SAID: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "missing": lambda name, _: f"{name} is missing; add it",
    "extra_forbidden": lambda name, _: f"{name} is not a key here; remove it or correct its spelling",
    "string_pattern_mismatch": lambda name, context: f"{name} does not match {context['pattern']}; use only such characters",
    "timezone_aware": lambda name, _: f"{name} has no time zone; write it quoted, such as '2026-07-01T00:00:00Z'",
    "too_short": lambda name, context: f"{name} is empty; give at least {context['min_length']}",
    "model_type": lambda name, _: f"{name} must be a mapping of keys to values; see docs/policy.md",
    "literal_error": lambda name, context: f"{name} must be one of {context['expected']}; choose one",
    "enum": lambda name, context: f"{name} must be one of {context['expected']}; choose one",
}


def _mend(kind: str) -> str:
    return "docs/policy.md shows the form" if kind != "value_error" else "correct it"


def _name(place: Sequence[str | int]) -> str:
    """`commitments[2].start[0].kind`; the whole file for the empty place."""
    text = ""
    for part in place:
        text += f"[#{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _meaning(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    return f"the {'date' if isinstance(value, date) else 'number'} {value}"


def _quoted(text: str) -> str:
    return "put it in quotes" if text == "it" else f'put it in quotes: "{text}"'
