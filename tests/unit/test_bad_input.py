"""What senders get wrong, of every vendor, through the normalise step: a reason that quotes nothing, the other records whole,
no fact invented. One table; what a vendor's times and stages look like is a column of it."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from schemas.fact import Fact, facts_record
from schemas.raw import RawHeaders, Rejected
from streams.connectors import CONNECTORS
from streams.errors import InvalidPayload
from streams.normalise import Normaliser
from streams.stages import UNMAPPED
from tests.every_fixture import BODIES
from tests.tracked import Table
from tests.vendors import RECEIVED, STAGES, headers

Path = tuple[str | int, ...]
NOON = datetime(2026, 5, 4, 3, 30, tzinfo=UTC)


class Row(NamedTuple):
    """A body of a vendor, and where in it are a time, the id of what it is about, a stage's name, and people."""

    system: str
    name: str
    time: Path
    id: Path
    stage: Path
    people: tuple[str, Path]
    timed: str = "application.created"  #: the kind whose time that is
    millis: bool = False
    broader: str = UNMAPPED  #: what a stage is by the vendor's own word beside its name, where that is not mapped

    @property
    def about(self) -> str:
        return f"{self.system} {self.name}"


APP, DATA = ("payload", "application"), ("payload", "data")
ASHBY = ("data", "application")
TABLE = (
    Row("ashby", "webhook.applicationSubmit", (*ASHBY, "createdAt"), (*ASHBY, "id"), (*ASHBY, "currentInterviewStage", "title"),
        ("webhook.applicationSubmit", (*ASHBY, "hiringTeam")), broader="screen"),
    Row("greenhouse", "webhook.new_candidate_application", (*APP, "applied_at"), (*APP, "id"), (*APP, "current_stage", "name"),
        ("webhook.new_candidate_application", (*APP, "credited_to"))),
    Row("greenhouse", "record.application_stages", ("entered_at",), ("application_id",), ("name",),
        ("record.jobs", ("hiring_team",)), timed="application.stage_changed"),
    Row("lever", "record.opportunities", ("stageChanges", 0, "updatedAt"), ("id",), ("stageChanges", 0, "toStageId"),
        ("record.opportunities", ("owner",)), timed="application.stage_changed", millis=True),
    Row("merge", "record.applications", ("applied_at",), ("id",), ("current_stage", "name"),
        ("record.jobs", ("hiring_managers",))),
    Row("smartrecruiters", "record.status_history", ("content", 2, "changedOn"), ("candidate_id",), ("content", 2, "subStatus"),
        ("record.jobs", ("hiringTeam",)), timed="application.stage_changed", broader="screen"),
    Row("teamtailor", "webhook.job_application.create", (*DATA, "attributes", "created-at"), (*DATA, "id"),
        ("payload", "included", 0, "attributes", "name"), ("webhook.job.create", (*DATA, "relationships"))),
    Row("workable", "webhook.candidate_created", ("data", "created_at"), ("data", "id"), ("data", "stage"),
        ("record.jobs", ("members",))),
)  # fmt: skip
rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.about)


def normalised(system: str, name: str, body: bytes) -> tuple[list[Fact], list[Rejected]]:
    """Facts and dead letters of a body, with a good record behind it that must come through."""
    good, table = BODIES["greenhouse", "record.jobs"], Table()
    sent = [(body, headers(system, name)), (json.dumps(good).encode(), headers("greenhouse", "record.jobs"))]
    records = [_record(number, value, raw) for number, (value, raw) in enumerate(sent)]
    step = Normaliser(STAGES, "ats.facts", "ats.rejected", 1)(0, records, table)
    told = [facts_record.validate_json(m.value or b"") for m in step.messages if m.topic == "ats.facts"]
    facts = [one for one in told if isinstance(one, Fact)]
    assert "requisition.opened" in {fact.kind for fact in facts if fact.account == "greenhouse"}, "the good record was lost"
    letters = [Rejected.model_validate_json(m.value or b"") for m in step.messages if m.topic == "ats.rejected"]
    # What waits for its requisition was understood as well: it is what the connector itself says, not what could be routed.
    if letters:
        assert not [fact for fact in facts if fact.account == system and system != "greenhouse"]
        return [], letters
    return CONNECTORS[system].normalise(headers(system, name), body, STAGES), []


def _record(number: int, value: bytes, raw: RawHeaders) -> Any:
    at = int(RECEIVED.timestamp() * 1000)
    return SimpleNamespace(topic="ats.raw", partition=0, offset=number, timestamp=at, value=value, headers=raw.to_kafka())


def changed(system: str, name: str, path: Path, value: object) -> bytes:
    body = copy.deepcopy(BODIES[system, name])
    where = body
    for step in path[:-1]:
        where = where[step]
    assert path[-1] in where or isinstance(path[-1], int), f"{name} has no {path}"
    where[path[-1]] = value
    return json.dumps(body).encode()


BAD_TIMES = {
    "a US date": ("05/04/2026", "not_a_time", "not_a_time"),
    "a US time": ("05/04/2026 09:00 AM", "not_a_time", "not_a_time"),
    "a date without a time": ("2026-05-04", "time_without_zone", "not_a_time"),
    "no zone": ("2026-05-04T09:00:00", "time_without_zone", "not_a_time"),
    "seconds for ISO": (1_770_000_000.5, "not_a_time", "not_a_time"),
    "a boolean": (True, "not_a_time", "not_a_time"),
    "a list": ([], "not_a_time", "not_a_time"),
    "words": ("yesterday at noon", "not_a_time", "not_a_time"),
    "year 1": ("0001-01-01T00:00:00Z", "time_out_of_range", "not_a_time"),
    "before 1970": (-1, "not_a_time", "time_out_of_range"),
}


@rows
@pytest.mark.parametrize("case", BAD_TIMES)
def test_a_time_that_is_none_is_a_dead_letter_and_never_guessed(row: Row, case: str) -> None:
    value, iso, millis = BAD_TIMES[case]
    facts, letters = normalised(row.system, row.name, changed(row.system, row.name, row.time, value))
    assert facts == []
    [letter] = letters
    assert (letter.reason, letter.pointer) == (millis if row.millis else iso, "ats.raw:0:0")
    assert str(row.time[-1]) in letter.detail
    assert str(value) not in letter.model_dump_json() or isinstance(value, bool | list | int)


@rows
@pytest.mark.parametrize("text", ["2026-05-04T09:00:00+05:30", "2026-05-04T03:30:00Z", "2026-05-03T23:30:00.000-0400"])
def test_a_time_with_an_offset_is_that_instant(row: Row, text: str) -> None:
    value = int(datetime.fromisoformat(text).timestamp() * 1000) if row.millis else text
    facts, letters = normalised(row.system, row.name, changed(row.system, row.name, row.time, value))
    assert letters == []
    assert NOON in {fact.occurred_at for fact in facts if fact.kind == row.timed}


BAD_IDS = {
    "a name": ("Zuleika Ombrage", "not_an_id"),
    "a path": ("../users/1", "not_an_id"),
    "a boolean": (True, "not_an_id"),
    "a negative number": (-5, "not_an_id"),
    "a fraction": (1.5, "not_an_id"),
    "a list": ([1], "not_an_id"),
    "an object": ({"id": 1}, "not_an_id"),
    "null": (None, "missing_field"),
}


@rows
@pytest.mark.parametrize("case", BAD_IDS)
def test_an_id_that_is_none_is_a_dead_letter(row: Row, case: str) -> None:
    value, reason = BAD_IDS[case]
    facts, letters = normalised(row.system, row.name, changed(row.system, row.name, row.id, value))
    assert facts == []
    [letter] = letters
    assert letter.reason == reason
    assert "Ombrage" not in letter.model_dump_json()


@rows
def test_ids_as_text_are_the_ids_as_numbers(row: Row) -> None:
    numbers, texts = (normalised(row.system, row.name, changed(row.system, row.name, row.id, one)) for one in (812, "812"))
    assert numbers[1] == texts[1] == []
    assert [fact.fact_id for fact in texts[0]] == [fact.fact_id for fact in numbers[0]] != []


@rows
def test_null_people_cost_nothing(row: Row) -> None:
    name, path = row.people
    before, _ = normalised(row.system, name, json.dumps(BODIES[row.system, name]).encode())
    facts, letters = normalised(row.system, name, changed(row.system, name, path, None))
    assert letters == []
    assert {fact.kind for fact in facts} >= {fact.kind for fact in before} - {"application.updated"}
    assert all("None" not in str(fact.people) for fact in facts)


@rows
def test_an_unknown_stage_is_said_and_never_guessed(row: Row) -> None:
    unknown = "5a9e6e0c-0000-4a1b-a8c0-000000000000" if row.system == "lever" else "Tea with Barnaby"
    facts, letters = normalised(row.system, row.name, changed(row.system, row.name, row.stage, unknown))
    assert letters == []
    entered = [fact for fact in facts if fact.kind == "application.stage_changed" and fact.attributes["stage_name"] == unknown]
    assert [fact.attributes["stage"] for fact in entered] == [row.broader]


def cut(body: bytes) -> bytes:
    return gzip.compress(body)[:-9]


MALFORMED: dict[str, tuple[Callable[[bytes], bytes], set[str]]] = {
    "nothing": (lambda _: b"", {"not_json"}),
    "half a body": (lambda body: body[: len(body) // 2], {"not_json"}),
    "a list": (lambda body: b"[" + body + b"]", {"not_an_object"}),
    "null": (lambda _: b"null", {"not_an_object"}),
    "an empty object": (lambda _: b"{}", {"missing_field"}),
    "NaN": (lambda _: b'{"id": NaN}', {"not_json"}),
    "no UTF-8": (lambda body: body.replace(b"e", b"\xe9"), {"not_utf8"}),
    "truncated gzip": (cut, {"not_utf8"}),
    "deep nesting": (lambda _: b'{"a":' * 2000 + b"1" + b"}" * 2000, {"not_json", "missing_field"}),
    "nested deeper than can be written": (lambda _: b'{"a":' * 300 + b"1" + b"}" * 300, {"nested_too_deep"}),
    "five megabytes of another thing": (lambda _: b'{"a":"' + b"x" * 5_000_000 + b'"}', {"missing_field"}),
}


@rows
@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_body_of_the_vendor_s_is_a_dead_letter_with_its_reason(row: Row, case: str) -> None:
    make, reasons = MALFORMED[case]
    facts, letters = normalised(row.system, row.name, make(json.dumps(BODIES[row.system, row.name]).encode()))
    assert facts == []
    [letter] = letters
    assert letter.reason in reasons
    assert letter.sha256 and len(letter.model_dump_json()) < 1_000


@pytest.mark.parametrize("system", CONNECTORS)
@pytest.mark.parametrize("value", [[], {}, [["x"]], {"a": 1}, 7, True, None], ids=str)
def test_what_a_body_is_can_be_asked_whatever_it_says_where_a_name_is_expected(system: str, value: object) -> None:
    """Every field of every fixture in turn, beside the envelope's own; in a file anything may stand there."""
    connector = CONNECTORS[system]
    names = {"action", "event", "event_type", "type", "payload", "data", "hook", "event_name"}
    for (owner, name), body in BODIES.items():
        if owner != system or name.startswith("ping"):
            continue
        for field in names | set(body):
            odd = {**body, field: value}
            assert connector.is_webhook(odd) in (True, False)
            connector.record_type(odd)
            connector.is_ping(json.dumps(odd).encode())
            with suppress(InvalidPayload):  # and nothing else
                connector.normalise(headers(system, name), json.dumps(odd).encode(), STAGES)


def test_every_connector_is_in_the_table() -> None:
    assert {row.system for row in TABLE} == set(CONNECTORS)
