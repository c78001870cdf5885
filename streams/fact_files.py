"""Facts and watermarks from files of JSON lines, in the form they have in `ats.facts`, with everything wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from schemas.fact import DERIVED_KINDS, FACT_KINDS, Fact, Rejudge, Tick, Watermark, facts_record
from streams.check_policy import nearest
from streams.directory import People
from streams.exceptions import exception_of
from streams.period import YEARS
from streams.told_exceptions import EXCEPTIONS, ToldExceptions
from streams.yaml_lines import Faults

#: Attributes in which the core reads an instant, or (`starts_on`) perhaps a day.
TIMES = {
    "interview.scheduled": ("starts_at", "ends_at", "created_at"),
    "scorecard.submitted": ("interviewed_at",),
    "exception.requested": ("from", "until"),
    "onboarding.start_set": ("starts_on",),
}
#: Attributes that the core looks up, so they have to be text.
TEXTS = ("stage", "scorecard_id")


def read(files: Iterable[Path], faults: Faults, people: People | None = None) -> Iterator[Fact | Tick | Watermark | Rejudge]:
    """The records of the files, "-" is standard input; after the last one also what is wrong between them is in `faults`.

    A line that is no record, or a fact of no known kind or with an attribute that cannot be read, is passed over. An exception
    that excuses nothing (its requester approved it, nobody is named, its interval is no interval) stays.
    """
    told = ToldExceptions()
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
                    wrong = [*_wrong(record)]
                    for text in wrong:
                        faults.add(str(path), number, text)
                    if wrong and record.kind not in EXCEPTIONS:
                        continue
                    told.add(record, (str(path), number))
                yield record
    for (file, number), text in told.approved_by_requester(people):
        faults.add(file, number, text)


def _wrong(fact: Fact) -> Iterator[str]:
    """What keeps a fact from being read, each with its field and what to do."""
    if fact.kind in DERIVED_KINDS:
        yield f"kind: {fact.kind} follows from other facts; tell {' and '.join(DERIVED_KINDS[fact.kind])}"
    elif fact.kind not in FACT_KINDS:
        yield f"kind: {fact.kind!r} is no kind of fact; {nearest(fact.kind, FACT_KINDS)}"
    for name in TEXTS:
        if fact.attributes.get(name) is not None and not isinstance(fact.attributes[name], str):
            yield f"attributes.{name}: {fact.attributes[name]!r} is no text; write it in quotation marks"
    for name, why in _unreadable(fact):
        yield f"{name}: {why}"
    if fact.kind in EXCEPTIONS:
        if exception_of(fact.attributes) is None:
            yield "attributes.exception_id: it is missing or no text; request and approval have to name the same one"
        if fact.actor is None:
            yield f"actor: {fact.kind} has to say who did it, or nothing is excused"


def _unreadable(fact: Fact) -> Iterator[tuple[str, str]]:
    """Times of a fact that cannot be read or counted with, each with what is wrong with it."""
    outside = f"is not between {YEARS.start} and {YEARS.stop - 1}"
    for field in ("occurred_at", "occurred_not_before", "received_at"):
        instant = getattr(fact, field)
        if instant is not None and instant.year not in YEARS:
            yield field, f"{instant.isoformat()} {outside}"
    for name in TIMES.get(fact.kind, ()):
        told, field = fact.attributes.get(name), f"attributes.{name}"
        if told is None and fact.kind != "exception.requested":
            continue
        try:
            at = datetime.fromisoformat(told)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            yield field, f"{told!r} is no time; write it like 2026-03-02T09:00:00Z"
            continue
        if at.tzinfo is None and not (name == "starts_on" and len(str(told)) == len("2026-03-02")):
            yield field, f"{told} has no time zone; write it with its offset, like {told}+01:00"
        elif at.year not in YEARS and fact.kind != "exception.requested":  # which may last for ever: nothing is counted from it
            yield field, f"{told} {outside}"
