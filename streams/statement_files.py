"""A closed month as files for finance: CSV, Parquet, XLSX and a manifest. The same statement gives the same bytes.

Columns are stable: new ones are only ever appended. Instants are ISO-8601 in UTC and, beside it, in the reporting zone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from schemas.statement import Line, Row, Statement
from streams.statement import hours
from streams.statement_cells import MINIMUM_PEOPLE

FORMAT = "1"  #: of columns and manifest

COUNTS = ("met", "missed", "overdue", "cancelled", "excused", "unverified", "open", "n")
RATIOS = ("adherence", "adherence_without_exceptions")
HOURS = ("mean_hours", "median_hours", "p90_hours")
ROW_COLUMNS = ("period", "department", "side", "commitment", "rolled_up", *COUNTS, *RATIOS, "turnarounds", *HOURS)
LINE_COLUMNS = (
    "period",
    "line_id",
    "department",
    "side",
    "commitment",
    "commitment_version",
    "verdict",
    "deadline_utc",
    "deadline_local",
    "turnaround_hours",
    "uncertain",
)
INDEX_COLUMNS = ("period", "department", "talent_acquisition", "hiring_manager", "partnership_index")

DEFINITIONS = {
    "period": "obligations whose deadline is in [start, end); the month of the reporting zone",
    "adherence": "met / (met + missed + overdue); empty where nothing was due",
    "adherence_without_exceptions": "met / (met + missed + overdue + excused)",
    "n": "met + missed + overdue",
    "cancelled": "ended before its deadline without being owed any more; not counted",
    "excused": "an approved exception decided it; not counted",
    "unverified": "the deadline passed while the source was silent; not counted",
    "turnaround": "working time of who owed it until it was done, in time or late; business hours",
    "p90_hours": "nearest rank: the smallest turnaround that at least 90 % do not exceed",
    "side score": "mean of the adherence of the side's commitments, weighted as the policy says",
    "partnership_index": "harmonic mean of both side scores; empty where one has too few obligations or people",
    "rounding": "computed from whole numbers, rounded once, half-even: ratios to 4 places, hours to 2",
    "rolled_up": f"a cell about fewer than {MINIMUM_PEOPLE} people is joined with others of its department, then of the company",
}

#: Reserved by the zip format as its earliest time.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(statement: Statement, lines: Sequence[Line], folder: Path) -> dict[str, Any]:
    """Write all files into `folder` (made if needed), the manifest last; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    table = [_row_values(statement.period, row) for row in statement.rows]
    shown = [] if statement.withheld else [_line_values(statement, line) for line in lines]
    indices = [[statement.period, *one.model_dump().values()] for one in statement.indices]
    contents = {
        "statement.csv": (_csv(ROW_COLUMNS, table), len(table)),
        "obligations.csv": (_csv(LINE_COLUMNS, shown), len(shown)),
        "index.csv": (_csv(INDEX_COLUMNS, indices), len(indices)),
        "statement.parquet": (_parquet(table), len(table)),
        "statement.xlsx": (_xlsx(statement, table, indices), len(table)),
    }
    said = manifest(statement, {name: {"rows": n, "sha256": _sha256(body)} for name, (body, n) in contents.items()})
    for name, (body, _) in contents.items():
        _replace(folder / name, body)
    _replace(folder / "manifest.json", (json.dumps(said, indent=2, sort_keys=True) + "\n").encode())
    return said


def content_of(folder: Path) -> str | None:
    """The `content_sha256` of the files in `folder`; None where they are not all there, as the manifest is written last."""
    try:
        return str(json.loads((folder / "manifest.json").read_text())["content_sha256"])
    except FileNotFoundError:
        return None


def manifest(statement: Statement, files: Mapping[str, Any]) -> dict[str, Any]:
    """What an auditor needs to check completeness and accuracy of the files."""
    control = statement.control
    shown = {"obligations": control.obligations, "without_deadline": control.without_deadline}
    if not statement.withheld:
        shown |= control.model_dump()
    return {
        "format": FORMAT,
        "period": statement.period,
        "zone": statement.zone,
        "start": statement.start.isoformat(),
        "end": statement.end.isoformat(),
        "closed_at": statement.known_until.isoformat(),
        "closed_at_means": "the ledger's own time: everything learned up to here is counted",
        "withheld": statement.withheld,
        "content_sha256": statement.content_sha256,
        "control_totals": shown,
        "files": files,
        "versions": {
            "policy": statement.policy_version,
            "people": statement.people_version,
            "calendars": statement.calendars_version,
            "judged_by": statement.judged_by,
        },
        "ledger_position": statement.ledger_position,
        "definitions": DEFINITIONS,
    }


def _row_values(period: str, row: Row) -> list[Any]:
    values = row.model_dump()
    cell = row.cell
    return [period, cell.department, cell.side, cell.commitment, *(values[name] for name in ROW_COLUMNS[4:])]


def _line_values(statement: Statement, line: Line) -> list[Any]:
    cell = line.cell
    local = line.deadline.astimezone(ZoneInfo(statement.zone))
    took = "" if line.turnaround_us is None else _turnaround(line.turnaround_us)
    uncertain = "true" if line.uncertain else "false"
    return [
        statement.period,
        line.line_id,
        cell.department,
        cell.side,
        cell.commitment,
        line.commitment_version,
        line.verdict,
        _iso(line.deadline),
        _iso(local),
        took,
        uncertain,
    ]


def _turnaround(microseconds: int) -> str:
    return str(hours(Fraction(microseconds)))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _csv(columns: Sequence[str], table: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_guarded(value) for value in row] for row in table)
    return text.getvalue().encode()


def _guarded(value: Any) -> Any:
    # a department called "=cmd()" must not run in anybody's spreadsheet
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _writable(value: Any) -> Any:
    # a workbook cannot hold control characters; without this the month would be closed and have no files
    return ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value


def _parquet(table: Sequence[Sequence[Any]]) -> bytes:
    kinds = {
        **dict.fromkeys(COUNTS, pa.int64()),
        **dict.fromkeys(RATIOS, pa.decimal128(5, 4)),
        **dict.fromkeys(HOURS, pa.decimal128(18, 2)),
        "turnarounds": pa.int64(),
    }
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in ROW_COLUMNS])
    columns = zip(*table, strict=True) if table else ((),) * len(ROW_COLUMNS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _xlsx(statement: Statement, table: Sequence[Sequence[Any]], indices: Sequence[Sequence[Any]]) -> bytes:
    book = Workbook()
    book.remove(book.active)
    _sheet(book, "Statement", ROW_COLUMNS, table)
    _sheet(book, "Index", INDEX_COLUMNS, indices)
    totals = {"obligations": statement.control.obligations, "without_deadline": statement.control.without_deadline}
    if not statement.withheld:
        totals |= statement.control.verdicts | {"turnarounds": statement.control.turnarounds}
    _sheet(book, "Control totals", ("total", "obligations"), list(totals.items()))
    about = {"period": f"{_iso(statement.start)} to {_iso(statement.end)} ({statement.zone})", "policy": statement.policy_version}
    about |= {"closed at": _iso(statement.known_until), "content": statement.content_sha256}
    _sheet(book, "Definitions", ("word", "meaning"), list((DEFINITIONS | about).items()))
    raw = io.BytesIO()
    book.save(raw)
    return _same_bytes(raw.getvalue())


def _sheet(book: Workbook, title: str, columns: Sequence[str], table: Iterable[Sequence[Any]]) -> None:
    sheet = book.create_sheet(title)
    sheet.append(list(columns))
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    for row in table:
        sheet.append([_guarded(_writable(value)) for value in row])
    for number, name in enumerate(columns):
        sheet.column_dimensions[chr(ord("A") + number)].width = max(12, len(name) + 2)


def _same_bytes(workbook: bytes) -> bytes:
    """The workbook without the times at which it was made: openpyxl writes them into the zip and into docProps."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as source, zipfile.ZipFile(out, "w") as target:
        for name in sorted(source.namelist()):
            body = source.read(name)
            if name == "docProps/core.xml":
                body = re.sub(rb"(<dcterms:(created|modified)[^>]*>)[^<]*", rb"\g<1>1980-01-01T00:00:00Z", body)
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, body)
    return out.getvalue()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _replace(path: Path, body: bytes) -> None:
    """Whole or not at all: a reader never finds half a file."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # its own: two may close at once
    fresh.write_bytes(body)
    fresh.replace(path)
