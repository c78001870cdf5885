"""Free-form stage names to canonical stages, as deploy/stages.yaml says. Pure once loaded.

Patterns are globs (`*`, `?`), compared without case and with runs of white space as one space. An account's own patterns come
first, then those for all; within each, the first in file order that matches. A name that nothing matches is `UNMAPPED`: the
fact still says when a stage was entered, and no commitment starts or stops by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from schemas.fact import STAGES
from streams.errors import InvalidConfiguration
from streams.yaml_syntax import Unreadable, compose

UNMAPPED = "unmapped"

#: What an archive reason can mean, for vendors whose archive holds all three; anything else is the company's no.
REASONS = ("withdrawn", "hired", "rejected")

Patterns = tuple[tuple[str, str], ...]  # (pattern, canonical stage), in file order


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


@dataclass(frozen=True)
class StageMap:
    """The mapping in force; `of` remembers its answers, as an account has few names and many facts."""

    everywhere: Patterns = ()
    by_account: Mapping[str, Patterns] = field(default_factory=dict)
    reasons: Patterns = ()
    _known: dict[tuple[str, str], str] = field(default_factory=dict, compare=False, repr=False)

    def of(self, account: str, name: str) -> str:
        """The canonical stage of an account's stage name, or `UNMAPPED`."""
        asked = (account, name)
        stage = self._known.get(asked)
        if stage is None:
            plain = _plain(name)
            rules = (*self.by_account.get(account, ()), *self.everywhere)
            stage = next((stage for pattern, stage in rules if fnmatchcase(plain, pattern)), UNMAPPED)
            if len(self._known) < 10_000:  # a vendor that puts free text there must not fill our memory
                self._known[asked] = stage
        return stage

    def reason(self, *names: str | None) -> str | None:
        """What an archive reason means, by its text or its id, whichever pattern fits first; None if none fits."""
        plain = [_plain(name) for name in names if name]
        return next((meaning for pattern, meaning in self.reasons for name in plain if fnmatchcase(name, pattern)), None)


def load(path: Path) -> StageMap:
    """Read stages.yaml. Raises InvalidConfiguration with every fault as `file:line: fault; how to mend it`."""
    faults: list[str] = []
    try:
        root = compose(path)
    except Unreadable as error:
        raise InvalidConfiguration([f"{path}:{error.line}: {error.text}"]) from error
    everywhere: Patterns = ()
    reasons: Patterns = ()
    by_account: dict[str, Patterns] = {}
    for key, node in _entries(path, root, faults):
        if key.value == "stages":
            everywhere = _patterns(path, node, faults)
        elif key.value == "reasons":
            reasons = _patterns(path, node, faults, REASONS)
        elif key.value == "accounts":
            by_account = {name.value: _patterns(path, rules, faults) for name, rules in _entries(path, node, faults)}
        else:
            known = "stages, reasons and accounts"
            faults.append(f"{path}:{_line(key)}: unknown key {key.value!r}; there are {known}, correct it or remove it")
    if faults:
        raise InvalidConfiguration(faults)
    return StageMap(everywhere, by_account, reasons)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _entries(path: Path, node: yaml.Node, faults: list[str]) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys and values of a mapping, each key once: of a second one YAML would keep only the last."""
    if not isinstance(node, yaml.MappingNode):
        faults.append(f"{path}:{_line(node)}: must be a mapping; write names, each with a colon and what belongs to it")
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            faults.append(f"{path}:{_line(key)}: a key must be a word; write a single name in front of the colon")
        elif key.value in seen:
            faults.append(f"{path}:{_line(key)}: {key.value} is already on line {seen[key.value]}; put both into one")
        else:
            seen[key.value] = _line(key)
            yield key, value


def _patterns(path: Path, node: yaml.Node, faults: list[str], known: tuple[str, ...] = STAGES) -> Patterns:
    found: list[tuple[str, str]] = []
    for key, names in _entries(path, node, faults):
        if key.value not in known:
            what = "canonical stage" if known == STAGES else "meaning of a reason"
            faults.append(f"{path}:{_line(key)}: {key.value!r} is no {what}; there are {', '.join(known)}; choose one")
            continue
        if not isinstance(names, yaml.SequenceNode):
            faults.append(f"{path}:{_line(names)}: the patterns of {key.value} must be a list; write them as [first, second]")
            continue
        for name in names.value:
            if isinstance(name, yaml.ScalarNode) and name.value.strip():
                found.append((_plain(name.value), key.value))
            else:
                faults.append(f"{path}:{_line(name)}: a pattern of {key.value} must be a name or glob; write one, or remove it")
    return tuple(found)
