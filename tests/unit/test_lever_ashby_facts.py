"""What Lever's and Ashby's webhooks say: the time of the event, one hire of three deliveries, and nothing that is not said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.fact import Fact, Origin
from streams import stages
from streams.connectors import CONNECTORS
from streams.errors import InvalidConfiguration, InvalidPayload
from streams.stages import StageMap
from tests.every_fixture import BODIES
from tests.vendors import STAGES, headers


def read(system: str, name: str, mapping: StageMap = STAGES, **data: Any) -> list[Fact]:
    body = BODIES[system, name]
    body = {**body, "data": {**body["data"], **data}} if name.startswith("webhook.") else {**body, **data}
    return CONNECTORS[system].normalise(headers(system, name), orjson.dumps(body), mapping)


def told(found: list[Fact]) -> list[tuple[str, str, Origin]]:
    return [(f.kind, f.occurred_at.isoformat(timespec="milliseconds")[:-6], f.occurred_at_source) for f in found]


EXPECTED: dict[str, list[tuple[str, str, Origin]]] = {
    "applicationCreated": [("application.created", "2026-03-02T09:00:05.072", Origin.EVENT)],
    "candidateStageChange": [("application.stage_changed", "2026-03-04T10:15:30.072", Origin.EVENT)],
    "candidateArchiveChange": [("application.updated", "2026-03-12T08:00:00.072", Origin.EVENT)],  # a reason nobody mapped
    "candidateHired": [("application.hired", "2026-03-18T16:05:00.072", Origin.EVENT)],
    "candidateDeleted": [("application.deleted", "2026-04-01T12:00:00.072", Origin.EVENT)],
    "interviewCreated": [],
    "interviewUpdated": [],
    "interviewDeleted": [("interview.cancelled", "2026-03-07T09:30:00.072", Origin.EVENT)],
    "contactUpdated": [],
}


@pytest.mark.parametrize("event", sorted(EXPECTED))
def test_lever_tells_when_it_happened(event: str) -> None:
    assert told(read("lever", f"webhook.{event}")) == EXPECTED[event]


def test_a_stage_whose_id_is_mapped_by_account_is_a_stage_and_another_is_reported_and_left_to_the_poll() -> None:
    own = StageMap(by_account={"lever": (("5a9e6e0c*", "interview"),)})
    [staged] = read("lever", "webhook.candidateStageChange", own, toStageId="5a9e6e0c-1")
    assert (staged.kind, staged.attributes["stage"]) == ("application.stage_changed", "interview")
    [reported] = read("lever", "webhook.candidateStageChange", own, toStageId="elsewhere")
    assert (reported.kind, reported.attributes["stage"]) == ("application.updated", "unmapped")


@pytest.mark.parametrize(("meaning", "kind"), [("withdrawn", "application.withdrawn"), ("rejected", "application.rejected")])
def test_an_archive_reason_means_what_stages_yaml_says_of_its_id(meaning: str, kind: str) -> None:
    mapping = StageMap(reasons=(("9d1f7b7a-*", meaning),))
    [fact] = read("lever", "webhook.candidateArchiveChange", mapping)
    assert fact.kind == kind
    polled = read("lever", "record.opportunities", mapping)
    assert fact.fact_id in {f.fact_id for f in polled}


def test_taken_out_of_the_archive() -> None:
    archived = {"reason": "x", "archivedAt": 1}
    found = read("lever", "webhook.candidateArchiveChange", fromArchived=archived, toArchived=None)
    assert [f.kind for f in found] == ["application.unrejected"]


def test_reasons_are_checked_like_stages(tmp_path: Path) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text("reasons:\n  withdrawn: ['*left*']\n")
    assert stages.load(path).reason("Left us") == "withdrawn"
    assert stages.load(path).reason(None, "fired") is None
    path.write_text("reasons:\n  gone: ['x']\n")
    with pytest.raises(InvalidConfiguration, match=r"stages.yaml:2: 'gone' is no meaning of a reason"):
        stages.load(path)


@pytest.mark.parametrize("time", [None, "2026-03-01", 1.5, True, -1, 10**18])
def test_without_a_time_there_is_no_fact(time: Any) -> None:
    body = {**BODIES["lever", "webhook.candidateHired"], "triggeredAt": time}
    with pytest.raises(InvalidPayload):
        CONNECTORS["lever"].normalise(headers("lever", "webhook.candidateHired"), orjson.dumps(body), STAGES)


def test_ashby_s_one_hire_of_three_deliveries_is_one_hire() -> None:
    app = BODIES["ashby", "webhook.candidateHire"]["data"]["application"]
    deliveries = [
        read("ashby", f"webhook.{action}", application=app)
        for action in ("candidateHire", "candidateStageChange", "applicationUpdate", "candidateHire")
    ]
    ids: dict[str, set[str]] = {}
    for fact in (fact for found in deliveries for fact in found):
        ids.setdefault(fact.kind, set()).add(fact.fact_id)
    assert {kind: len(found) for kind, found in ids.items()} == {
        "application.hired": 1,
        "application.stage_changed": 1,
        "application.updated": 1,
    }


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("RejectedByOrg", "application.rejected"),
        ("RejectedByCandidate", "application.withdrawn"),
        ("Other", "application.rejected"),
    ],
)
def test_ashby_says_whose_no_it_was(reason: str, kind: str) -> None:
    app = BODIES["ashby", "webhook.applicationUpdate"]["data"]["application"]
    changed = {**app, "archiveReason": {**app["archiveReason"], "reasonType": reason}}
    found = read("ashby", "webhook.applicationUpdate", application=changed)
    assert [f.kind for f in found] == [kind, "application.updated"]
    later = read("ashby", "webhook.applicationUpdate", application={**changed, "updatedAt": "2026-03-20T08:00:00Z"})
    assert later[0].fact_id == found[0].fact_id  # changed again afterwards, archived once


def test_a_created_schedule_and_its_update_are_one_version_and_no_feedback() -> None:
    schedule = BODIES["ashby", "webhook.interviewScheduleCreate"]["data"]["interviewSchedule"]
    event = {**schedule["interviewEvents"][0], "hasSubmittedFeedback": True}
    [one] = read("ashby", "webhook.interviewScheduleCreate")
    [other] = read("ashby", "webhook.interviewScheduleUpdate", interviewSchedule={**schedule, "interviewEvents": [event]})
    assert one.fact_id == other.fact_id and one.kind == "interview.scheduled"
    assert [f.kind for f in read("ashby", "webhook.interviewScheduleUpdate")] == ["interview.cancelled"]


def test_a_polled_history_row_is_the_webhook_s_stage_change() -> None:
    [row] = read("ashby", "record.application_history")
    [staged] = [f for f in read("ashby", "webhook.candidateStageChange") if f.kind == "application.stage_changed"]
    assert (row.fact_id, row.occurred_at_source, staged.occurred_at_source) == (staged.fact_id, Origin.EVENT, Origin.OBJECT)
    assert row.actor is not None


def test_the_team_is_of_the_roles_we_know() -> None:
    [created] = [f for f in read("ashby", "webhook.jobUpdate") if f.kind == "requisition.updated"]
    assert set(created.people) == {"recruiter", "hiring_manager"}


def test_lever_s_live_webhook_does_not_vouch_for_what_only_the_poll_may_know() -> None:
    lever = CONNECTORS["lever"]
    vouched = vars(type(lever))["vouched_kinds"]
    assert lever.webhook_kinds - vouched == {
        "application.stage_changed",
        "application.rejected",
        "application.withdrawn",
        "application.updated",
    }
