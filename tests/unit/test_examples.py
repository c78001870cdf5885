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


@pytest.mark.parametrize(
    ("kind", "attribute", "told", "said"),
    [
        ("interview.scheduled", "ends_at", "2026-03-03T11:00:00", "has no time zone"),
        ("interview.scheduled", "starts_at", "soon", "is no time"),
        ("scorecard.submitted", "interviewed_at", 7, "is no time"),
        ("onboarding.start_set", "starts_on", "2026-03-03T09:00", "has no time zone"),
        ("exception.requested", "until", "friday", "is no time"),
        ("exception.requested", "from", None, "is no time"),
        ("interview.scheduled", "starts_at", "0001-01-01T00:00:00+14:00", "is not between 1970 and 2199"),
        ("application.stage_changed", "stage", {"a": 1}, "is no text"),
        ("scorecard.deleted", "scorecard_id", [7], "is no text"),
        ("exception.requested", "exception_id", ["e"], "is missing or no text"),
        ("exception.approved", "exception_id", None, "is missing or no text"),
    ],
)
def test_an_attribute_that_cannot_be_read_is_named_with_its_line_and_the_rest_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, attribute: str, told: object, said: str
) -> None:
    story = next(s for s in stories() if s.name == "decide_after_the_last_scorecard")
    template = story.facts[-1]
    attributes = {"exception_id": "e", "from": "2026-03-02T00:00:00Z", "until": "2026-03-09T00:00:00Z", attribute: told}
    bad = template.model_copy(
        update={"kind": kind, "fact_id": "bad", "interview_id": "acme/x", "actor": "acme/x", "attributes": attributes}
    )
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join([bad.to_json(), *lines("facts.jsonl")]) + b"\n")
    settings = Settings(deploy_dir=ROOT / "deploy")
    with pytest.raises(InvalidConfiguration) as refused:
        check.run(settings, as_json=False, facts=[path])
    (fault,) = refused.value.faults
    assert fault.startswith(f"{path}:1: attributes.{attribute}: ") and said in fault
    assert evaluate_files.run(settings, [path], story.expectations[-1].as_of, None) == 65
    heard = capsys.readouterr()
    assert fault in heard.err
    assert "decide:acme/r1:a1:1" in heard.out


def test_days_and_instants_of_an_onboarding_are_both_read(tmp_path: Path) -> None:
    story = next(s for s in stories() if s.name == "decide_after_the_last_scorecard")
    days = ("2026-03-03", "2026-03-03T09:00:00+01:00")
    told = [
        story.facts[-1].model_copy(update={"kind": "onboarding.start_set", "fact_id": day, "attributes": {"starts_on": day}})
        for day in days
    ]
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join(fact.to_json() for fact in told))
    check.run(Settings(deploy_dir=ROOT / "deploy"), as_json=False, facts=[path])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "application.rejcted"}, "kind: 'application.rejcted' is no kind of fact; did you mean application.rejected?"),
        ({"kind": "interview.ended"}, "kind: interview.ended follows from other facts; tell interview.scheduled"),
        ({"occurred_at": "0001-01-01T00:00:00+05:00"}, "before the year 1"),
        ({"received_at": "1901-01-01T00:00:00Z"}, "received_at: 1901-01-01T00:00:00+00:00 is not between 1970 and 2199"),
        (
            {"kind": "exception.approved", "actor": None, "attributes": {"exception_id": "e"}},
            "actor: exception.approved has to say",
        ),
    ],
)
def test_a_fact_that_cannot_count_is_named_and_the_rest_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
) -> None:
    told = [orjson.loads(line) for line in lines("facts.jsonl")]
    last = next(one for one in reversed(told) if one["type"] == "fact")
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, [{**last, "fact_id": "bad", **changes}, *told])))
    settings = Settings(deploy_dir=ROOT / "deploy")
    with pytest.raises(InvalidConfiguration) as refused:
        check.run(settings, as_json=False, facts=[path])
    (fault,) = refused.value.faults
    assert fault.startswith(f"{path}:1: ") and said in fault
    story = next(s for s in stories() if s.name == "decide_after_the_last_scorecard")
    assert evaluate_files.run(settings, [path], story.expectations[-1].as_of, None) == 65
    heard = capsys.readouterr()
    assert fault in heard.err and "decide:acme/r1:a1:1" in heard.out


def test_exceptions_are_paired_as_they_are_judged(tmp_path: Path) -> None:
    """By what they are about and who asked first, not by the order of lines; one person by either of their references."""
    base = next(fact for line in lines("facts.jsonl") if isinstance(fact := facts_record.validate_json(line), Fact))
    span = {"from": "2026-03-02T00:00:00Z", "until": "2026-03-09T00:00:00Z"}

    def told(kind: str, hour: int, actor: str, requisition: str, application: str | None = None) -> Fact:
        changes = {
            "kind": f"exception.{kind}",
            "fact_id": f"{kind}{hour}",
            "actor": actor,
            "attributes": {"exception_id": "e"} | span,
        }
        at = base.occurred_at.replace(hour=hour)
        subject = {"requisition_id": requisition, "application_id": application, "people": {}}
        return base.model_copy(update=changes | subject | {"occurred_at": at})

    facts = [
        told("requested", 3, "acme/second", "acme/r1"),
        told("requested", 1, "acme/first", "acme/r1"),
        told("approved", 4, "acme/first", "acme/r1", "acme/a1"),  # who asked first for the requisition and all in it
        told("approved", 5, "acme/second", "acme/r1"),
        told("requested", 6, "acme/third", "acme/r2"),
        told("approved", 7, "acme/third", "acme/r1"),  # another requisition has an exception of this name
        told("requested", 8, "greenhouse/1001", "acme/r3"),
        told("approved", 9, "p-001", "acme/r3"),
    ]
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join(fact.to_json() for fact in facts))
    settings = Settings(deploy_dir=ROOT / "deploy")
    assert check.load_agreement(settings.deploy_dir).people.key("greenhouse/1001") == "p-001"
    with pytest.raises(InvalidConfiguration) as refused:
        check.run(settings, as_json=False, facts=[path])
    assert [fault.split(": ")[0] for fault in refused.value.faults] == [f"{path}:3", f"{path}:8"]
