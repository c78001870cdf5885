"""Files to canonical facts, still as plain objects: JSON lines, CSV by its mapping, OCEL event logs by theirs.

Out: (where in the file, object) for each fact, or (where, InvalidPayload) for what cannot be one. Ids get their account here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from streams import files
from streams.errors import InvalidPayload
from streams.import_mapping import Csv, CsvFact, Mapping, read, refs
from streams.import_ocel import facts_of_log, is_log
from streams.imported import SUBJECTS, moment

#: Endings of what cannot be read -> what to do.
UNREAD = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), "save the sheet as CSV, with times that have a zone"),
    **dict.fromkeys((".xml", ".xmlocel", ".sqlite"), "export the log as JSON"),
}

Found = tuple[str, dict[str, Any] | InvalidPayload]  #: (`12` the line, or `event e7`), the canonical fact


def facts(path: Path, mapping: Mapping, account: str) -> Iterator[Found]:
    """Every fact of a file. What the file is, is told by its name and content; a fault of the whole file comes as one item."""
    try:
        names = path.name.removesuffix(".gz")
        if (ending := Path(names).suffix) in UNREAD:
            raise InvalidPayload("unread_format", f"{ending}: {UNREAD[ending]}")
        if names.endswith((".csv", ".tsv")):
            yield from _csv(path, mapping, account)
        elif names.endswith((".json", ".jsonocel")):
            whole = _whole(path)
            if is_log(whole):
                yield from facts_of_log(whole, mapping, account)
            else:
                yield from _objects(whole)
        else:
            yield from _lines(path)
    except InvalidPayload as error:
        yield "", error


def _whole(path: Path) -> Any:
    try:
        return orjson.loads(files.whole(path))
    except orjson.JSONDecodeError as error:
        raise InvalidPayload("not_json", f"line {error.lineno}; JSON lines have the ending .jsonl") from None


def _objects(whole: Any) -> Iterator[Found]:
    for number, item in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield f"element {number}", item if isinstance(item, dict) else InvalidPayload("not_an_object")


def _lines(path: Path) -> Iterator[Found]:
    with files.opened(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield str(number), InvalidPayload("not_json", "one JSON object a line")
                continue
            yield str(number), found if isinstance(found, dict) else InvalidPayload("not_an_object", "one JSON object a line")


def _csv(path: Path, mapping: Mapping, account: str) -> Iterator[Found]:
    if mapping.csv is None:
        raise InvalidPayload("no_mapping", "give --mapping with a `csv:` part; docs/import.md has an example")
    with files.opened(path) as stream:
        delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else mapping.csv.delimiter
        reader = csv.DictReader(io.TextIOWrapper(stream, mapping.csv.encoding, newline=""), delimiter=delimiter, strict=True)
        try:
            _refuse_unclear_columns(mapping.csv, reader.fieldnames or ())
            for row in reader:
                for found in _row(row, mapping, mapping.csv, account):
                    yield str(reader.line_num), found
        except csv.Error as error:
            raise InvalidPayload("not_csv", f"line {reader.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            raise InvalidPayload("not_utf8", f"near line {reader.line_num}: {error.encoding}; give `encoding:`") from None


def _refuse_unclear_columns(plan: Csv, there: Any) -> None:
    wanted = set().union(*(fact.columns for fact in plan.facts), plan.ignore)
    if missing := sorted(wanted - set(there)):
        raise InvalidPayload("missing_column", f"line 1: {', '.join(missing)}; correct the mapping or the file")
    if twice := sorted(name for name in wanted if list(there).count(name) > 1):
        raise InvalidPayload("column_twice", f"line 1: {', '.join(twice)}; which of them? rename the others in the file")


def _row(row: dict[str, Any], mapping: Mapping, plan: Csv, account: str) -> Iterator[dict[str, Any] | InvalidPayload]:
    if None in row or None in row.values():
        yield InvalidPayload("columns_do_not_fit", "the row has more or fewer columns than the heading")
        return
    if not any(value.strip() for value in row.values()):
        return  # spreadsheets end with such rows
    if any(row[column].strip() in words for column, words in plan.ignore.items()):
        return
    empty = True
    for fact in plan.facts:
        if fact.where and any(row[column].strip() not in words for column, words in fact.where.items()):
            continue
        if not fact.where and not row[fact.occurred_at.column].strip():
            continue  # it has not happened (yet)
        empty = False
        try:
            yield _fact(row, mapping, fact, account)
        except InvalidPayload as error:
            yield error
    if empty:
        yield InvalidPayload("row_without_fact", "no `where` of the mapping fits and no time is there; add one, or `ignore`")


def _fact(row: dict[str, str], mapping: Mapping, plan: CsvFact, account: str) -> dict[str, Any]:
    time = plan.occurred_at
    said: dict[str, Any] = {
        "kind": plan.kind,
        "occurred_at": moment(row[time.column], time.column, mapping.zone_of(time), time.format).isoformat(),
    }
    for name in (*SUBJECTS, "person", "actor"):
        column = getattr(plan, name)
        if column and row[column].strip():
            said[name] = f"{account}/{row[column].strip()}"
    people = {role: refs(row[column], ";", account) for role, column in plan.people.items() if row[column].strip()}
    attributes = {
        name: read(row[value.column], value, mapping, account)
        for name, value in plan.attributes.items()
        if row[value.column].strip()
    }
    return {**said, "people": people, "attributes": attributes}
