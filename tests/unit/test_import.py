"""Files of history to facts: each form, and each thing that may be wrong with one, named with its line and mend."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.fact import Fact, Origin
from schemas.raw import RawHeaders
from streams import files, import_files, imported, imports, normalise_files
from streams.errors import InvalidConfiguration, InvalidPayload
from streams.import_mapping import Mapping, load
from streams.settings import Settings
from tests.greenhouse import STAGES

RECEIVED = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HEADERS = RawHeaders(
    tenant="acme", account="workday", system="import", channel="import", received_at=RECEIVED, request_id="r-1", backfill=True
)
MAPPING = """
account: workday
zone: Europe/Berlin
csv:
  delimiter: ","
  facts:
    - kind: application.created
      where: {Event: [Applied]}
      occurred_at: At
      requisition_id: Req
      application_id: App
      candidate_id: Cand
      people: {recruiter: Recruiters}
    - kind: application.stage_changed
      where: {Event: [Moved]}
      occurred_at: {column: At, format: "%d.%m.%Y %H:%M"}
      requisition_id: Req
      application_id: App
      attributes: {stage_name: Stage, score: {column: Score, type: number}}
  ignore: {Event: [Viewed]}
ocel:
  objects: {Application: application, Job: requisition, Candidate: candidate, Interviewer: person, Recruiter: recruiter}
  events:
    Apply: application.created
    Submit Feedback: {kind: scorecard.submitted, attributes: {scorecard_id: card, complete: {column: done, type: boolean}}}
  ignore: [Open Page]
"""


def mapping(tmp_path: Path, text: str = MAPPING) -> Mapping:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    return load(path)


def told(path: Path, plan: Mapping) -> list[Fact | str]:
    """Each fact of a file, or `where: reason: detail`."""
    out: list[Fact | str] = []
    for where, found in import_files.facts(path, plan, "workday"):
        try:
            if isinstance(found, InvalidPayload):
                raise found
            out.append(imported.read(HEADERS, json.dumps(found).encode(), STAGES))
        except InvalidPayload as error:
            out.append(f"{where}: {error.reason}: {error.detail}")
    return out


def one(found: list[Fact | str]) -> Fact:
    [fact] = found
    assert isinstance(fact, Fact), fact
    return fact


ROWS = """Event,At,Req,App,Cand,Recruiters,Stage,Score
Applied,2026-03-02T09:00:00+01:00,R-1,A-1,C-1,u1;u2,,
Applied,2026-03-02 09:00,R-1,A-2,C-2,,,
Moved,04.05.2026 09:30,R-1,A-1,,,Onsite interview,4.5
Viewed,,,,,,,
"""


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_a_csv_by_its_mapping(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(ROWS.encode()) if name.endswith("gz") else ROWS.encode())
    first, second, third = told(path, mapping(tmp_path))
    assert isinstance(first, Fact) and isinstance(second, Fact) and isinstance(third, Fact)
    assert first.occurred_at == second.occurred_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert (first.application_id, first.requisition_id, first.candidate_id) == ("workday/A-1", "workday/R-1", "workday/C-1")
    assert first.people == {"recruiter": ("workday/u1", "workday/u2")}
    assert first.backfill and first.occurred_at_source is Origin.EVENT and first.received_at == RECEIVED
    assert third.occurred_at == datetime(2026, 5, 4, 7, 30, tzinfo=UTC)
    assert third.attributes == {"stage_name": "Onsite interview", "stage": "interview", "score": 4.5}
    assert len({fact.fact_id for fact in (first, second, third)}) == 3


def test_the_same_happening_is_the_same_fact_however_its_time_is_written(tmp_path: Path) -> None:
    head, path = "Event,At,Req,App,Cand,Recruiters,Stage,Score\n", tmp_path / "rows.csv"
    ids = []
    for time in ("2026-03-02T09:00:00+01:00", "2026-03-02T08:00:00Z", "2026-03-02 09:00"):
        path.write_text(f"{head}Applied,{time},R-1,A-1,C-1,,,\n")
        ids.append(one(told(path, mapping(tmp_path))).fact_id)
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("row", "reason", "mend"),
    [
        ("Applied,2026-03-02,R-1,A-1,C-1,,,", "date_without_time", "write the time"),
        ("Applied,2026-W10-1,R-1,A-1,C-1,,,", "date_without_time", "write the time"),
        ("Applied,05/04/2026 09:00,R-1,A-1,C-1,,,", "ambiguous_date", "month or the day first"),
        ("Applied,5/4/26,R-1,A-1,C-1,,,", "ambiguous_date", "month or the day first"),
        ("Applied,yesterday,R-1,A-1,C-1,,,", "not_a_time", "format:"),
        ("Applied,,R-1,A-1,C-1,,,", "not_a_time", "At"),
        ("Applied,2026-03-29 02:30,R-1,A-1,C-1,,,", "unclear_local_time", "does not exist"),
        ("Applied,2025-10-26 02:30,R-1,A-1,C-1,,,", "unclear_local_time", "happens twice"),
        ("Applied,2027-03-02T09:00:00Z,R-1,A-1,C-1,,,", "in_the_future", "occurred_at"),
        ("Applied,0001-03-02T09:00:00Z,R-1,A-1,C-1,,,", "time_out_of_range", "At"),
        ("Moved,2026-03-02T09:00:00Z,R-1,A-1,,,Offer,", "not_a_time", "%d.%m.%Y"),
        ("Moved,04.05.2026 09:30,R-1,A-1,,,Offer,high", "not_a_number", "Score"),
        ("Applied,2026-03-02T09:00:00Z,R-1,Zuleika Ombrage,C-1,,,", "not_an_id", "application_id"),
        ("Applied,2026-03-02T09:00:00Z,,,,,,", "missing_field", "requisition_id"),
        ("Rejected,2026-03-02T09:00:00Z,R-1,A-1,C-1,,,", "row_without_fact", "ignore"),
        ("Applied,2026-03-02T09:00:00Z,R-1,A-1,C-1,,,,", "columns_do_not_fit", "more or fewer"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_mend(tmp_path: Path, row: str, reason: str, mend: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"Event,At,Req,App,Cand,Recruiters,Stage,Score\n{row}\n")
    [fault] = told(path, mapping(tmp_path))
    assert isinstance(fault, str)
    assert fault.startswith(f"2: {reason}: ")
    assert mend in fault
    assert "Ombrage" not in fault


def test_without_a_zone_in_the_mapping_a_local_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    found = told(path, mapping(tmp_path, MAPPING.replace("zone: Europe/Berlin\n", "")))
    assert [str(fault).split(":")[1] for fault in found[1:]] == [" time_without_zone", " time_without_zone"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("application.created", "application.invented"), "no fact kind"),
        (('"%d.%m.%Y %H:%M"', '"%m/%d/%Y"'), "a date without a time is no instant"),
        (("Europe/Berlin", "Berlin"), "no IANA zone"),
        (('"%d.%m.%Y %H:%M"', '"%m/%d/%Y %I:%M"'), "morning or afternoon"),
        (('"%d.%m.%Y %H:%M"', '"%Y-%m-%d %H:%M:%S %Z"'), "not use it"),
        (('"%d.%m.%Y %H:%M"', '"%s"'), "a date without a time is no instant"),
        (('delimiter: ","', "encoding: klingon"), "no encoding"),
        (("Job: requisition", "Job: vacancy"), "ocel.objects.Job"),
    ],
)
def test_a_mapping_nobody_can_mean_is_refused(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(InvalidConfiguration, match=words):
        mapping(tmp_path, MAPPING.replace(*change))


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Event,At,Req\nApplied,2026-03-02T09:00:00Z,R-1\n")
    assert told(path, mapping(tmp_path)) == [
        ": missing_column: line 1: App, Cand, Recruiters, Score, Stage; correct the mapping or the file"
    ]


def test_a_column_that_is_there_twice_is_named_if_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS.replace("Event,At,Req,App,Cand,Recruiters,Stage,Score", "Event,At,Req,App,Cand,App,Stage,Score"))
    plan = mapping(tmp_path, MAPPING.replace("      people: {recruiter: Recruiters}\n", ""))
    assert told(path, plan) == [": column_twice: line 1: App; which of them? rename the others in the file"]
    path.write_text(ROWS.replace("\n", ",,\n").replace("Score,,", "Score,Note,Note"))
    assert len(told(path, mapping(tmp_path))) == 3


def test_the_empty_rows_at_a_sheet_s_end_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS + ",,,,,,,\n , ,,,,,,\n")
    assert len(told(path, mapping(tmp_path))) == 3


@pytest.mark.parametrize(("name", "mend"), [("year.xlsx", "as CSV"), ("log.xml", "as JSON"), ("log.sqlite", "as JSON")])
def test_what_cannot_be_read_is_said_once_with_what_to_do(tmp_path: Path, name: str, mend: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04\n\n\x00\n")
    [fault] = told(path, mapping(tmp_path))
    assert str(fault).startswith(": unread_format: ") and mend in str(fault)


EVENTS_2: dict[str, Any] = {
    "objectTypes": [],
    "eventTypes": [],
    "objects": [
        {"id": "A-1", "type": "Application", "relationships": [{"objectId": "R-1", "qualifier": "for"}]},
        {"id": "A-2", "type": "Application"},
        {"id": "R-1", "type": "Job"},
        {"id": "u7", "type": "Interviewer"},
        {"id": "u8", "type": "Interviewer"},
        {"id": "x", "type": "Room"},
    ],
    "events": [
        {"id": "e1", "type": "Apply", "time": "2026-03-02T09:00:00Z", "relationships": [{"objectId": "A-1"}, {"objectId": "x"}]},
        {
            "id": "e2",
            "type": "Submit Feedback",
            "time": "2026-03-09T10:00:00Z",
            "attributes": [{"name": "card", "value": "77"}, {"name": "done", "value": True}, {"name": "notes", "value": "prose"}],
            "relationships": [{"objectId": "A-1"}, {"objectId": "A-2"}, {"objectId": "u7"}],
        },
        {"id": "e3", "type": "Open Page", "time": "x", "relationships": []},
        {"id": "e4", "type": "Hire", "time": "2026-03-09T10:00:00Z", "relationships": [{"objectId": "A-1"}]},
        {"id": "e5", "type": "Apply", "time": "2026-03-09", "relationships": [{"objectId": "A-1"}]},
        {"id": "e6", "type": "Apply", "time": "2026-03-09T10:00:00Z", "relationships": [{"objectId": "u7"}, {"objectId": "u8"}]},
        {"id": "e7", "type": "Apply", "time": "2026-03-09T10:00:00Z", "relationships": [{"objectId": "nobody"}]},
    ],
}


def _as_version_1() -> dict[str, Any]:
    events = {
        e["id"]: {
            "ocel:activity": e["type"],
            "ocel:timestamp": e["time"],
            "ocel:vmap": {a["name"]: a["value"] for a in e.get("attributes", [])},
            "ocel:omap": [r["objectId"] for r in e["relationships"]],
        }
        for e in EVENTS_2["events"]
    }
    objects = {o["id"]: {"ocel:type": o["type"], "ocel:ovmap": {}} for o in EVENTS_2["objects"]}
    return {"ocel:global-log": {"ocel:version": "1.0"}, "ocel:events": events, "ocel:objects": objects}


@pytest.mark.parametrize("version", [1, 2])
def test_an_ocel_log_by_its_mapping(tmp_path: Path, version: int) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(EVENTS_2 if version == 2 else _as_version_1()))
    found = told(path, mapping(tmp_path))
    facts = [fact for fact in found if isinstance(fact, Fact)]
    assert [(fact.kind, fact.application_id) for fact in facts] == [
        ("application.created", "workday/A-1"),
        ("scorecard.submitted", "workday/A-1"),
        ("scorecard.submitted", "workday/A-2"),
    ]
    assert facts[0].requisition_id == ("workday/R-1" if version == 2 else None)  # 1.0 relates no objects
    assert facts[1].person == "workday/u7"
    assert facts[1].attributes == {"scorecard_id": "77", "complete": True}
    assert [fault.split(": ")[:2] for fault in found if isinstance(fault, str)] == [
        ["event e4", "unmapped_event"],
        ["event e5", "date_without_time"],
        ["event e6", "several_objects"],
        ["event e7", "unknown_object"],
    ]


TYPED = """
ocel:
  objects: {A: application}
  events:
    Card:
      kind: scorecard.submitted
      attributes:
        at: {column: at, type: time}
        who: {column: who, type: ids}
        score: {column: score, type: number}
        done: {column: done, type: boolean}
        scorecard_id: card
"""


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("at", "2026-03-02T09:00:00Z", {"at": "2026-03-02T09:00:00+00:00"}),
        ("at", 1772445600000, "not_a_time"),
        ("who", "u1;u2", {"who": ["workday/u1", "workday/u2"]}),
        ("who", ["u1", "u2"], {"who": ["workday/u1", "workday/u2"]}),
        ("who", [1], "not_ids"),
        ("who", 7, "not_ids"),
        ("score", 4.5, {"score": 4.5}),
        ("score", True, "not_a_number"),
        ("done", True, {"done": True}),
        ("done", 1, {"done": True}),
        ("done", 2, "not_a_boolean"),
        ("card", 77, {"scorecard_id": 77}),
        ("card", {"a": 1}, "not_short_text"),
        ("card", None, {}),
    ],
)
def test_an_attribute_that_json_types_is_held_to_the_mapping_s_type(tmp_path: Path, name: str, value: object, found: Any) -> None:
    event = {"id": "e", "type": "Card", "time": "2026-03-02T09:00:00Z", "relationships": [{"objectId": "A-1"}]}
    log = {"objects": [{"id": "A-1", "type": "A"}], "events": [{**event, "attributes": [{"name": name, "value": value}]}]}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    [told_of] = told(path, mapping(tmp_path, TYPED))
    if isinstance(told_of, Fact):
        assert told_of.attributes == found
    else:
        assert told_of.startswith(f"event e: {found}: ")


def test_canonical_lines_keep_their_fact_ids_and_what_is_wrong_with_one_is_said(tmp_path: Path) -> None:
    fact = {"kind": "application.created", "occurred_at": "2026-03-02T09:00:00Z", "application_id": "workday/1"}
    lines: list[Any] = [
        fact,
        {**fact, "fact_id": "f" * 32, "tenant": "acme", "type": "fact", "received_at": "2020-01-01T00:00:00Z", "backfill": False},
        {**fact, "tenant": "files"},
        {**fact, "application_id": "greenhouse/1"},
        {**fact, "application_id": 17},
        {**fact, "occurred_at": 1_770_000_000},
        {**fact, "attributes": {"notes": "She said\nthat"}},
        {**fact, "surprise": 1},
        {**fact, "people": {"recruiter": "workday/1"}},
        [fact],
    ]
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + '\n\n{"kind": \n')
    first, second, *faults = told(path, Mapping())
    assert isinstance(first, Fact) and isinstance(second, Fact)
    assert (second.fact_id, second.received_at, second.backfill) == ("f" * 32, RECEIVED, True)
    assert first.fact_id != second.fact_id
    assert [str(fault).split(": ")[:2] for fault in faults] == [
        ["3", "another_tenant"],
        ["4", "not_an_id"],
        ["5", "not_an_id"],
        ["6", "not_a_time"],
        ["7", "not_short_text"],
        ["8", "unknown_field"],
        ["9", "not_an_object"],
        ["10", "not_an_object"],
        ["12", "not_json"],
    ]


@pytest.mark.parametrize(("name", "wrong"), [("facts.jsonl.gz", "truncated_gzip"), ("rows.csv.gz", "truncated_gzip")])
def test_a_gzip_that_breaks_off_is_a_fault_and_no_shorter_file(tmp_path: Path, name: str, wrong: str) -> None:
    path = tmp_path / name
    line = json.dumps({"kind": "application.created", "occurred_at": "2026-03-02T09:00:00Z", "application_id": "workday/1"})
    content = ROWS if ".csv" in name else (line + "\n") * 1000
    path.write_bytes(gzip.compress(content.encode())[:-12])
    assert f": {wrong}: the file breaks off" in str(told(path, mapping(tmp_path))[-1])
    path.write_bytes(b"\x1f\x8b" + b"no gzip" * 9)
    with pytest.raises(InvalidPayload, match="broken_gzip"):
        files.whole(path)


def test_normalise_takes_gzip_and_names_a_broken_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"id": 7, "created_at": "2026-01-05T10:00:00Z"}'
    whole, broken = tmp_path / "whole.json.gz", tmp_path / "broken.json.gz"
    whole.write_bytes(gzip.compress(body))
    broken.write_bytes(gzip.compress(body)[:-9])
    given = {"record_type": "jobs", "received_at": RECEIVED}
    assert normalise_files.run(Settings(), "greenhouse", [whole], **given) == 0  # type: ignore[arg-type]
    assert '"requisition.opened"' in capsys.readouterr().out
    assert normalise_files.run(Settings(), "greenhouse", [broken], **given) == 65  # type: ignore[arg-type]
    assert "truncated_gzip" in capsys.readouterr().err


def test_what_normalise_prints_for_the_tenant_can_be_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "jobs.json", tmp_path / "facts.jsonl"
    source.write_text('{"id": 7, "created_at": "2026-01-05T10:00:00Z"}')
    given: dict[str, Any] = {"account": "workday", "record_type": "jobs", "received_at": RECEIVED, "tenant": "acme"}
    assert normalise_files.run(Settings(), "greenhouse", [source], **given) == 0
    out.write_text(capsys.readouterr().out)
    printed = [json.loads(line) for line in out.read_text().splitlines()]
    found = told(out, Mapping())
    assert [fact.fact_id for fact in found if isinstance(fact, Fact)] == [line["fact_id"] for line in printed]


def test_a_fact_that_is_nested_too_deeply_to_be_sent_is_named_before_anything_is(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    fact = b'{"kind": "requisition.opened", "occurred_at": "2026-03-02T09:00:00Z", "requisition_id": "workday/7"'
    deep = b', "attributes": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}"
    headers = RawHeaders(
        tenant="acme", account="workday", system="import", channel="import", received_at=RECEIVED, request_id="r", backfill=True
    )
    path.write_bytes(fact + b"}\n" + fact + deep + b"\n")
    with pytest.raises(imports.InvalidFile) as refused:
        imports._judge(imports._Reading(Mapping(), headers, STAGES), path, lambda: None)
    assert str(refused.value).splitlines()[0] == f"{path}:2: nested_too_deep: over 254 objects or lists in each other"
