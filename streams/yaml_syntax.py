"""The syntax of a YAML file: its nodes, or the one fault that keeps it from being read, with its line and a mend.

What no person writes is refused before it is put together: libyaml composes by recursion and ends the program where the nesting
is deep enough, and few lines of aliases can stand for more values than there is memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: libyaml where PyYAML was built with it: large people files load ten times as fast.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 100  #: levels; the samples have nine
MOST_REPEATED = 500_000  #: values that aliases repeat in one file


class Unreadable(Exception):
    """Why a file is no YAML that can be read: `line` (from 1) and `text`, with its mend."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line, self.text = line, text


def compose(path: Path) -> yaml.Node:
    """The root node of a file in UTF-8. Raises Unreadable, also for a file that is not there or says nothing."""
    text = _text(path)
    try:
        _refuse_excess(text)
        root = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context
        if error.context == "while scanning a quoted scalar" and error.context_mark:
            mark, reason = error.context_mark, f"the quote that begins here is not closed where it should be ({error.problem})"
        raise Unreadable(mark.line + 1 if mark else 1, f"is not YAML: {reason}; mend the syntax there") from error
    except yaml.YAMLError as error:  # a character that YAML forbids
        character = getattr(error, "character", None)
        at = text.find(chr(character)) if isinstance(character, int) and character >= 0 else 0
        said = " ".join(str(error).split())
        raise Unreadable(text.count("\n", 0, max(at, 0)) + 1, f"is not YAML: {said}; remove that character") from error
    if root is None:
        raise Unreadable(1, "is empty; see docs/policy.md for what belongs there")
    return root


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return content.decode()
    except OSError as error:
        raise Unreadable(1, f"cannot be read ({error.strerror}); put it into {path.parent}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, f"is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _refuse_excess(text: str) -> None:
    """Goes through the events, which takes no recursion, and adds up what the aliases would repeat and how deep."""
    known: dict[str, tuple[int, int]] = {}  #: anchor -> values in all, levels below it
    unfinished: list[tuple[str | None, int, int]] = []  #: the same of what is not closed yet
    repeated = 0
    for event in yaml.parse(text, Loader=LOADER):
        size, height, anchor = 1, 0, getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            size, height = known.get(anchor or "", (1, 0))
            repeated += size - 1
        elif isinstance(event, yaml.CollectionStartEvent):
            unfinished.append((anchor, 1, 0))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size, height = unfinished.pop()
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        line = event.start_mark.line + 1 if event.start_mark else 1
        if len(unfinished) + height > DEEPEST:
            raise Unreadable(line, f"is nested deeper than {DEEPEST} levels; no file here needs more than ten")
        if repeated > MOST_REPEATED:
            raise Unreadable(line, f"aliases repeat more than {MOST_REPEATED} values; write out what is meant")
        if isinstance(event, yaml.CollectionStartEvent):
            continue
        if anchor is not None and not isinstance(event, yaml.AliasEvent):
            known[anchor] = (size, height)
        if unfinished:
            outer, values, levels = unfinished[-1]
            unfinished[-1] = (outer, values + size, max(levels, height + 1))
