"""Facts and watermarks from files of JSON lines, in the form they have in `ats.facts`, with everything wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from schemas.fact import Fact, Rejudge, Tick, Watermark, facts_record
from streams.yaml_lines import Faults


def read(files: Iterable[Path], faults: Faults) -> Iterator[Fact | Tick | Watermark | Rejudge]:
    """The records of the files, "-" is standard input; after the last one also what is wrong between them is in `faults`.

    A line that is no record is passed over. An exception that its requester approved stays: the core lets it excuse nothing.
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
                if isinstance(record, Fact) and record.kind == "exception.requested":
                    asked.setdefault(record.attributes.get("exception_id"), record.actor)
                elif isinstance(record, Fact) and record.kind == "exception.approved":
                    approved.append((str(path), number, record.attributes.get("exception_id"), record.actor))
                yield record
    for file, number, exception, by in approved:
        if by is not None and asked.get(exception) == by:
            text = f"exception {exception} is approved by {by}, who asked for it; another person has to approve it"
            faults.add(file, number, text)
