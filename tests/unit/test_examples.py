"""The examples beside the schemas are valid, cover every record type, and mean what they say."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from schemas.fact import Fact, facts_record
from schemas.outcome import outcome_adapter
from schemas.raw import rejected_record
from streams import check, evaluate_files
from streams.errors import InvalidConfiguration
from streams.settings import Settings
from tests.stories import stories

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "schemas/examples"


def lines(name: str) -> list[bytes]:
    return (EXAMPLES / name).read_bytes().splitlines()


def test_facts_ticks_and_watermarks_are_read() -> None:
    assert {facts_record.validate_json(line).type for line in lines("facts.jsonl")} == {"fact", "tick", "watermark", "rejudge"}


def test_outcomes_of_every_kind_are_read_and_written_back_the_same() -> None:
    found = [outcome_adapter.validate_json(line) for line in lines("outcomes.jsonl")]
    assert [outcome.body.type for outcome in found] == ["obligation", "application", "progress", "signal"]
    assert [orjson.loads(outcome.to_json()) for outcome in found] == [orjson.loads(line) for line in lines("outcomes.jsonl")]


def test_a_dead_letter_is_read() -> None:
    (line,) = lines("rejected.jsonl")
    assert rejected_record.validate_json(line).pointer == "ats.raw:1:7"  # type: ignore[union-attr]


def test_the_example_facts_are_those_of_their_story() -> None:
    story = next(s for s in stories() if s.name == "decide_after_the_last_scorecard")
    found = [fact for line in lines("facts.jsonl") if isinstance(fact := facts_record.validate_json(line), Fact)]
    assert found == list(story.facts)


def test_evaluate_reads_the_example_without_kafka(capsys: pytest.CaptureFixture[str]) -> None:
    story = next(s for s in stories() if s.name == "decide_after_the_last_scorecard")
    as_of = story.expectations[-1].as_of
    code = evaluate_files.run(Settings(deploy_dir=ROOT / "deploy"), [EXAMPLES / "facts.jsonl"], as_of, None)
    said = capsys.readouterr()
    found = {orjson.loads(line)["obligation_id"]: orjson.loads(line)["verdict"] for line in said.out.splitlines()}
    assert (code, said.err) == (0, "")
    assert found["decide:acme/r1:a1:1"] == "met"


def test_a_line_that_is_no_fact_is_named_and_the_rest_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join([*lines("facts.jsonl"), b'{"type": "fact", "kind": 7}']) + b"\n")
    story = next(s for s in stories() if s.name == "decide_after_the_last_scorecard")
    assert evaluate_files.run(Settings(deploy_dir=ROOT / "deploy"), [path], story.expectations[-1].as_of, None) == 65
    said = capsys.readouterr()
    assert f"{path}:{len(lines('facts.jsonl')) + 1}: " in said.err
    assert "decide:acme/r1:a1:1" in said.out


@pytest.mark.parametrize("verb", ["check", "evaluate"])
def test_an_exception_approved_by_its_requester_is_refused_with_file_line_and_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    story = next(s for s in stories() if s.name == "approved_exception_excuses")
    told = [fact for fact in story.facts if fact.kind.startswith("exception.")]
    own = {f.attributes["exception_id"]: f.actor for f in told if f.kind == "exception.requested"}
    wrong = [f for f in told if f.kind == "exception.approved" and f.actor == own[f.attributes["exception_id"]]]
    assert wrong, "the story has one"
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join(fact.to_json() for fact in story.facts) + b"\n")
    settings = Settings(deploy_dir=ROOT / "deploy")
    if verb == "check":
        with pytest.raises(InvalidConfiguration) as refused:
            check.run(settings, as_json=False, facts=[path])
        said = refused.value.faults
    else:
        assert evaluate_files.run(settings, [path], story.expectations[-1].as_of, None) == 65
        said = [line for line in capsys.readouterr().err.splitlines() if "who asked for it" in line]
    assert [line.split(": ")[0] for line in said] == [f"{path}:{story.facts.index(fact) + 1}" for fact in wrong]
    assert all("another person has to approve it" in line for line in said)
