"""Facts and watermarks from files of JSON lines, in the form they have in `ats.facts`, with everything wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from schemas.fact import Fact, Rejudge, Tick, Watermark, facts_record
from streams.yaml_lines import Faults

#: Attributes in which the core reads an instant, or (`starts_on`) perhaps a day.
TIMES = {
    "interview.scheduled": ("starts_at", "ends_at", "created_at"),
    "scorecard.submitted": ("interviewed_at",),
    "exception.requested": ("from", "until"),
    "onboarding.start_set": ("starts_on",),
}


def read(files: Iterable[Path], faults: Faults) -> Iterator[Fact | Tick | Watermark | Rejudge]:
    """The records of the files, "-" is standard input; after the last one also what is wrong between them is in `faults`.

    A line that is no record, or a fact with a time that cannot be read, is passed over. An exception that excuses nothing
    (its requester approved it, its interval is no interval) stays.
    """
    asked: dict[object, str | None] = {}  # exception -> who asked for it
    approved: list[tuple[str, int, object, str | None]] = []  # file, line, exception, by whom
    for path in files:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    record = facts_record.validate_json(line)
                except ValidationError as error:
                    first = error.errors(include_input=False, include_url=False)[0]
                    where = ".".join(map(str, first["loc"]))
                    faults.add(str(path), number, f"{where}: {first['msg']}; see schemas/fact.py for the form of a fact")
                    continue
                if isinstance(record, Fact):
                    wrong = [f"attributes.{name}: {why}" for name, why in _unreadable(record)]
                    for text in wrong:
                        faults.add(str(path), number, text)
                    if wrong and not record.kind.startswith("exception."):
                        continue
                if isinstance(record, Fact) and record.kind == "exception.requested":
                    asked.setdefault(record.attributes.get("exception_id"), record.actor)
                elif isinstance(record, Fact) and record.kind == "exception.approved":
                    approved.append((str(path), number, record.attributes.get("exception_id"), record.actor))
                yield record
    for file, number, exception, by in approved:
        if by is not None and asked.get(exception) == by:
            text = f"exception {exception} is approved by {by}, who asked for it; another person has to approve it"
            faults.add(file, number, text)


def _unreadable(fact: Fact) -> Iterator[tuple[str, str]]:
    """Times among a fact's attributes that cannot be read, each with what is wrong with it."""
    for name in TIMES.get(fact.kind, ()):
        told = fact.attributes.get(name)
        if told is None and fact.kind != "exception.requested":
            continue
        try:
            at = datetime.fromisoformat(told)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            yield name, f"{told!r} is no time; write it like 2026-03-02T09:00:00Z"
            continue
        if at.tzinfo is None and not (name == "starts_on" and len(str(told)) == len("2026-03-02")):
            yield name, f"{told} has no time zone; write it with its offset, like {told}+01:00"
