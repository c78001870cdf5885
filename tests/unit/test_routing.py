"""The link table: every fact finds its requisitions, in whatever order and however often the records come."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fact import Fact, Origin, fact_id
from streams.errors import InvalidPayload
from streams.routing import PARKED, Router
from streams.shelf import CHUNK, State
from tests.greenhouse import RECEIVED, facts

ROW_LIMIT = 512 * 1024


class Table:
    """The state of one partition, as the worker's table would hold it."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def route(self, found: list[Fact]) -> list[Fact]:
        router = Router(self.rows.get)
        routed = router.route(found)
        for key, value in router.changes.items():
            assert value, "a row is never deleted nor empty"
            assert len(value) < ROW_LIMIT
            self.rows[key] = value
        assert all(fact.requisition_id is not None for fact in routed)
        return routed

    @property
    def parked(self) -> int:
        return int(self.rows.get(PARKED, b"0"))


def made(kind: str, minute: int = 0, **fields: Any) -> Fact:
    at = RECEIVED + timedelta(minutes=minute)
    ids = {
        name: f"greenhouse/{fields.pop(name)}"
        for name in ("requisition_id", "application_id", "candidate_id", "interview_id")
        if name in fields
    }
    values: dict[str, Any] = {
        "fact_id": fact_id("acme", "greenhouse", kind, [*ids.values(), str(fields.get("attributes"))], at),
        "kind": kind,
        "tenant": "acme",
        "account": "greenhouse",
        "system": "greenhouse",
        "occurred_at": at,
        "occurred_at_source": Origin.OBJECT,
        "received_at": at,
    }
    return Fact(**(values | ids | fields))


CREATED = [made("application.created", application_id=1, candidate_id=7, requisition_id=10)]
INTERVIEW = [made("interview.scheduled", 1, application_id=1, interview_id=5, attributes={"scorecards": {"greenhouse/9": "81"}})]


def test_what_has_no_requisition_waits_counted_and_comes_in_the_order_of_receipt() -> None:
    table = Table()
    late = [
        made("scorecard.submitted", minute, application_id=1, attributes={"scorecard_id": str(minute)}) for minute in (3, 2, 9)
    ]
    for fact in late:
        assert table.route([fact]) == []
    assert table.parked == 3
    released = table.route(CREATED)
    assert [(f.kind, f.requisition_id) for f in released] == [
        ("scorecard.submitted", "greenhouse/10"),
        ("scorecard.submitted", "greenhouse/10"),
        ("scorecard.submitted", "greenhouse/10"),
        ("application.created", "greenhouse/10"),
    ]
    assert [f.received_at for f in released[:3]] == sorted(f.received_at for f in late)
    assert [f.fact_id for f in released[:3]] == [late[1].fact_id, late[0].fact_id, late[2].fact_id]
    assert table.parked == 0


def test_a_deleted_interview_finds_its_requisition_over_its_application() -> None:
    cancelled = [made("interview.cancelled", 2, interview_id=5)]
    for order in ([CREATED, INTERVIEW, cancelled], [cancelled, INTERVIEW, CREATED], [INTERVIEW, cancelled, CREATED]):
        table = Table()
        routed = [fact for found in order for fact in table.route(found)]
        [fact] = [f for f in routed if f.kind == "interview.cancelled"]
        assert (fact.requisition_id, fact.application_id) == ("greenhouse/10", "greenhouse/1")
        assert fact.fact_id == cancelled[0].fact_id
        assert table.parked == 0


def test_a_deleted_scorecard_is_found_by_the_interview_that_lists_it() -> None:
    table = Table()
    deleted = [made("scorecard.deleted", 3, candidate_id=7, attributes={"scorecard_id": "81"})]
    assert table.route(deleted) == []
    table.route(CREATED)
    [fact, _] = table.route(INTERVIEW)
    assert (fact.kind, fact.application_id, fact.requisition_id) == ("scorecard.deleted", "greenhouse/1", "greenhouse/10")


def test_an_approval_that_names_job_and_offer_gets_its_application() -> None:
    table = Table()
    assert table.route(facts("record.approvals")) == []
    released = table.route(facts("webhook.offer_created"))
    assert {(f.kind, f.application_id, f.requisition_id) for f in released} == {
        ("offer.approved", "greenhouse/900100", "greenhouse/88001"),
        ("offer.created", "greenhouse/900100", "greenhouse/88001"),
    }


def test_a_candidates_fact_goes_to_each_of_their_applications_under_an_id_of_its_own() -> None:
    deleted = [made("candidate.deleted", 5, candidate_id=7)]
    other = [made("application.created", 1, application_id=2, candidate_id=7, requisition_id=20)]
    seen = []
    for order in ([CREATED, other, deleted], [deleted, other, CREATED]):
        table = Table()
        seen.append(
            {
                (f.fact_id, f.application_id, f.requisition_id)
                for found in order
                for f in table.route(found)
                if f.kind == "candidate.deleted"
            }
        )
    assert seen[0] == seen[1]
    assert {pair[1:] for pair in seen[0]} == {("greenhouse/1", "greenhouse/10"), ("greenhouse/2", "greenhouse/20")}
    assert len({pair[0] for pair in seen[0]}) == 2


def test_whoever_a_candidate_was_merged_into_still_answers_for_the_applications_brought_along() -> None:
    table = Table()
    table.route(CREATED)
    merged = table.route([made("candidate.merged", 2, candidate_id=7, attributes={"into_candidate_id": "greenhouse/8"})])
    assert [(f.kind, f.application_id) for f in merged] == [("candidate.merged", "greenhouse/1")]
    deleted = table.route([made("candidate.deleted", 3, candidate_id=8)])
    assert [(f.kind, f.application_id, f.requisition_id) for f in deleted] == [
        ("candidate.deleted", "greenhouse/1", "greenhouse/10")
    ]
    # A merge in a circle is nonsense, but must end.
    table.route([made("candidate.merged", 4, candidate_id=8, attributes={"into_candidate_id": "greenhouse/7"})])


def test_a_moved_application_is_followed_and_the_first_requisition_is_told() -> None:
    before = made("application.stage_changed", 1, application_id=1, requisition_id=10, attributes={"stage": "interview"})
    after = made("application.stage_changed", 9, application_id=1, requisition_id=20, attributes={"stage": "interview"})
    table = Table()
    assert [f.requisition_id for f in table.route([before])] == ["greenhouse/10"]
    assert [f.requisition_id for f in table.route(INTERVIEW)] == ["greenhouse/10"]
    routed = table.route([after])
    moved = [f for f in routed if f.kind == "application.moved"]
    assert {(f.requisition_id, f.attributes["to_requisition_id"], f.occurred_at) for f in moved} == {
        ("greenhouse/10", "greenhouse/20", after.occurred_at),
        ("greenhouse/20", "greenhouse/10", before.occurred_at),  # there it was somewhere else before
    }
    assert [(f.kind, f.requisition_id) for f in routed if f not in moved] == [
        ("interview.scheduled", "greenhouse/20"),  # names no requisition: it goes to both
        ("application.stage_changed", "greenhouse/20"),
    ]


def test_a_prospect_of_two_jobs_has_not_moved() -> None:
    created = [made("application.updated", application_id=1, requisition_id=job, fact_id="same") for job in (10, 20)]
    assert [(f.kind, f.requisition_id) for f in Table().route(created)] == [
        ("application.updated", "greenhouse/10"),
        ("application.updated", "greenhouse/20"),
    ]


def test_a_prospect_without_a_job_waits_for_nobody() -> None:
    table = Table()
    assert table.route(facts("webhook.new_prospect_application")) == []
    assert table.parked == 0
    routed = table.route([made("application.stage_changed", application_id=900101, requisition_id=10)])
    assert {f.kind for f in routed} == {"application.created", "application.updated", "application.stage_changed"}
    assert table.parked == 0


def test_an_unchanged_copy_gives_nothing_and_a_changed_one_does() -> None:
    table = Table()
    table.route(CREATED)
    assert len(table.route(INTERVIEW)) == 1
    again = [fact.model_copy(update={"received_at": fact.received_at + timedelta(hours=1)}) for fact in INTERVIEW]
    assert table.route(again) == []
    changed = [fact.model_copy(update={"attributes": {"status": "complete"}}) for fact in INTERVIEW]
    assert len(table.route(changed)) == 1
    earlier = [fact.model_copy(update={"received_at": fact.received_at - timedelta(hours=1)}) for fact in INTERVIEW]
    assert len(table.route(earlier)) == 1


def test_history_that_comes_live_later_is_no_backfill_any_more() -> None:
    table = Table()
    table.route(CREATED)
    table.route([fact.model_copy(update={"backfill": True}) for fact in INTERVIEW])
    [live] = table.route([fact.model_copy(update={"received_at": fact.received_at + timedelta(hours=1)}) for fact in INTERVIEW])
    assert not live.backfill
    assert live.received_at == INTERVIEW[0].received_at


def test_what_is_polled_again_and_again_passes_once() -> None:
    table = Table()
    for name in ("record.jobs", "record.applications"):
        found = facts(name)
        assert table.route(found) == found
        later = [fact.model_copy(update={"received_at": fact.received_at + timedelta(hours=4)}) for fact in found]
        assert table.route(later) == []


def test_a_fact_about_nothing_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="no_subject"):
        Table().route([made("candidate.informed")])


def test_ten_thousand_facts_wait_for_one_application_in_small_rows() -> None:
    table = Table()
    many = [
        made("scorecard.submitted", number, application_id=1, attributes={"scorecard_id": str(number), "note": "x" * 200})
        for number in range(10_000)
    ]
    assert table.route(many) == []
    assert table.parked == 10_000
    assert max(map(len, table.rows.values())) < 2 * CHUNK
    released = table.route(CREATED)
    assert len(released) == 10_001
    assert [f.fact_id for f in released[:-1]] == [f.fact_id for f in many]
    assert table.parked == 0


def test_a_candidate_with_very_many_applications_still_has_small_rows() -> None:
    table = Table()
    for number in range(5_000):
        table.route([made("application.created", application_id=number, candidate_id=7, requisition_id=number % 50)])
    assert max(map(len, table.rows.values())) < 2 * CHUNK
    assert len(table.route([made("candidate.deleted", 1, candidate_id=7)])) == 5_000


def test_a_shelf_gives_back_what_was_put_on_it() -> None:
    state = State({}.get)
    wanted = {f"{number * 2654435761 % 2**64:016x}": ["x" * 500, number] for number in range(3_000)}
    for digest, item in wanted.items():
        state.put("s", digest, item)
    assert dict(state.items("s")) == wanted
    assert all(state.find("s", digest) == item for digest, item in wanted.items())
    assert state.find("s", "f" * 16) is None


# -- any order, any repetition -----------------------------------------------------------------------------------------


def _batches() -> list[list[Fact]]:
    """The facts of one candidate's life in two requisitions, record by record, from real bodies."""

    def second(payload: Any) -> None:
        payload["application"].update(id=900100, last_activity_at="2026-03-25T08:00:00Z")
        payload["application"]["jobs"] = [{"id": 88002, "name": "Bosun"}]

    names = [
        "webhook.new_candidate_application", "webhook.candidate_stage_change", "record.scheduled_interviews", "record.scorecards",
        "webhook.interview_deleted", "webhook.scorecard_deleted", "webhook.reject_candidate", "record.applications",
        "webhook.merge_candidate", "webhook.candidate_anonymized", "webhook.update_candidate", "record.approvals",
        "webhook.offer_created", "record.offers", "record.jobs", "webhook.new_prospect_application", "webhook.delete_candidate",
    ]  # fmt: skip
    found = [facts(name) for name in names]
    found.append(facts("webhook.candidate_stage_change", second))
    return found


BATCHES = _batches()


def effect(order: list[list[Fact]]) -> dict[str, tuple[datetime, bool]]:
    """What was routed, as the set it is downstream: of equal copies the earliest receipt, backfill only if all are."""
    table, routed = Table(), {}
    for found in order:
        for fact in table.route(found):
            key = json.dumps(fact.model_dump(mode="json", exclude={"received_at", "backfill"}), sort_keys=True)
            known = routed.get(key, (fact.received_at, fact.backfill))
            routed[key] = (min(known[0], fact.received_at), known[1] and fact.backfill)
    return routed


EFFECT = effect(BATCHES)


NUMBERS = range(len(BATCHES))


@settings(max_examples=150, deadline=None)
@given(st.permutations(NUMBERS), st.lists(st.sampled_from(NUMBERS), max_size=5), st.integers(0, 10))
def test_any_order_and_repetition_of_the_records_routes_the_same_set(order: list[int], again: list[int], hours: int) -> None:
    changes = {"received_at": RECEIVED + timedelta(hours=hours), "backfill": True}
    repeats = [[fact.model_copy(update=changes) for fact in BATCHES[number]] for number in again]
    found = [BATCHES[number] for number in order]
    middle = len(found) // 2
    assert effect([*found[:middle], *repeats, *found[middle:]]) == EFFECT


def test_the_story_of_the_property_test_covers_every_way() -> None:
    kinds = {json.loads(key)["kind"] for key in EFFECT}
    assert {"application.moved", "candidate.deleted", "interview.cancelled", "scorecard.deleted", "offer.approved"} <= kinds
    assert len({json.loads(key)["requisition_id"] for key in EFFECT}) == 2
