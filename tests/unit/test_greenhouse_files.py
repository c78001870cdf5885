"""`mutual-sla normalise`, and the stage names it reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.fact import STAGES
from streams import normalise_files, stages
from streams.errors import InvalidConfiguration
from streams.settings import ROOT, Settings
from tests.greenhouse import BODIES, FOLDER, RECEIVED, facts

SETTINGS = Settings()
TYPES = "scheduled_interviews, scorecards, jobs, applications, application_stages, offers, approvals, activity_feed, users"


def run(*files: Path, record_type: str | None = None) -> int:
    return normalise_files.run(SETTINGS, "greenhouse", list(files), record_type=record_type, received_at=RECEIVED)


def test_every_fixture_gives_the_connectors_facts(capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted(FOLDER.glob("*.json")):
        assert run(path) == 0, path.name
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [fact["kind"] for fact in printed] == [fact.kind for fact in facts(path.stem)]


def test_arrays_and_json_lines_are_taken_and_what_is_unusable_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [BODIES["record.jobs"], {"id": 7}, BODIES["webhook.job_deleted"], 5, {**BODIES["record.scorecards"], "id": "a b"}]
    array, lines = tmp_path / "array.json", tmp_path / "lines.jsonl"
    array.write_text(json.dumps(bodies))
    lines.write_text("\n".join(map(json.dumps, bodies)) + "\n{broken\n")
    assert run(array, lines) == 65
    out, err = capsys.readouterr()
    assert [json.loads(line)["kind"] for line in out.splitlines()] == [
        "requisition.opened", "requisition.updated", "requisition.closed", "requisition.deleted",
    ] * 2  # fmt: skip
    assert err.splitlines() == [
        f"{array}:1: unknown_record_type: say --type, one of {TYPES}",
        f"{array}:3: not_an_object",
        f"{array}:4: not_an_id: id",
        f"{lines}:1: unknown_record_type: say --type, one of {TYPES}",
        f"{lines}:3: not_an_object",
        f"{lines}:4: not_an_id: id",
        f"{lines}:5: not_json: line 1, column 2: unexpected character, expected a string key",
    ]


def test_an_item_that_is_nested_too_deeply_is_unusable_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep, good = b"[" * 300 + b"]" * 300, json.dumps(BODIES["webhook.job_deleted"]).encode()
    array, lines = tmp_path / "array.json", tmp_path / "lines.jsonl"
    array.write_bytes(b"[" + deep + b"," + good + b"]")
    lines.write_bytes(good[:-1] + b', "x": ' + deep + b"}\n" + good)
    assert run(array, lines) == 65
    out, err = capsys.readouterr()
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["requisition.deleted"] * 2
    assert err.splitlines() == [f"{path}:0: nested_too_deep: over 254 objects or lists in each other" for path in (array, lines)]


def test_a_type_that_is_said_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"id": 7, "created_at": "2026-01-05T10:00:00Z"}')
    assert run(path, record_type="jobs") == 0
    assert '"requisition.opened"' in capsys.readouterr().out
    with pytest.raises(InvalidConfiguration, match="no record type"):
        run(path, record_type="tags")
    with pytest.raises(InvalidConfiguration, match="no connector"):
        normalise_files.run(SETTINGS, "taleo", [path], received_at=RECEIVED)
    assert run(tmp_path / "missing.json") == 65


def test_unmapped_stages_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = json.dumps(BODIES["webhook.candidate_stage_change"]).replace("Hiring Manager Review", "Zorbing")
    path = tmp_path / "two.jsonl"
    path.write_text(body + "\n" + body)
    assert run(path) == 0
    assert capsys.readouterr().err.count("Zorbing") == 1


# -- stages.yaml -------------------------------------------------------------------------------------------------------

NAMES = {
    "Application Review": "applied", "Recruiter Phone Screen": "screen", "Preliminary Phone Screen": "screen",
    "Assessment": "screen", "Take Home Test": "screen", "Hiring Manager Review": "manager_review",
    "Manager resume review": "manager_review", "Hiring Manager Screen": "interview", "Phone Interview": "interview",
    "Face to Face": "interview", "On-site": "interview", "Debrief": "debrief", "Offer": "offer", "  offer ": "offer",
    "Reference Check": "offer", "Hired": "hired", "Zorbing": "unmapped",
}  # fmt: skip


@pytest.mark.parametrize(("name", "stage"), NAMES.items())
def test_common_stage_names_are_mapped(name: str, stage: str) -> None:
    assert stages.load(ROOT / "deploy" / "stages.yaml").of("greenhouse", name) == stage


def test_an_accounts_own_names_come_first(tmp_path: Path) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text("stages: {screen: ['*test*']}\naccounts: {acme: {interview: ['Wing  TEST']}}\n")
    mapping = stages.load(path)
    assert (mapping.of("acme", "wing test"), mapping.of("other", "Wing Test")) == ("interview", "screen")


def test_every_fault_of_the_file_is_listed_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text("stages:\n  interwiev: [x]\n  offer: x\n  hired: ['', [1]]\nextra: 1\naccounts: []\n")
    with pytest.raises(InvalidConfiguration) as error:
        stages.load(path)
    assert [fault.removeprefix(f"{path}:").split(":")[0] for fault in error.value.faults] == ["2", "3", "4", "4", "5", "6"]
    assert ", ".join(STAGES) in error.value.faults[0]
    for text in ("", "[", "- a"):
        path.write_text(text)
        with pytest.raises(InvalidConfiguration):
            stages.load(path)
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        stages.load(tmp_path / "missing.yaml")


def test_a_missing_mapping_stops_the_command(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration):
        normalise_files.run(replace(SETTINGS, deploy_dir=tmp_path), "greenhouse", [], received_at=RECEIVED)
