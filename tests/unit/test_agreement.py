"""Which stanza of the policy judges when, and what of an application its requisition has to know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.policy import Policy
from streams.agreement import Agreement
from tests.stories import agreement, policy_file

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
REVIEW = "review_candidate"


def agreed(*stanzas: dict[str, Any], **more: Any) -> Agreement:
    """The demo company's agreement, each of `stanzas` a further one of its name, in that order."""
    raw, base = policy_file() | more, agreement()
    for changes in stanzas:
        raw["commitments"].append({**next(c for c in raw["commitments"] if c["name"] == changes["name"]), **changes})
    return Agreement(Policy.model_validate(raw), base.calendars, base.people)


def version(by: Agreement, at: datetime) -> str | None:
    found = by.in_force(REVIEW, at)
    return found.commitment.version if found else None


def test_a_stanza_judges_from_its_very_instant_on_in_whatever_order_they_stand() -> None:
    second, third = ({"name": REVIEW, "version": str(n), "effective_from": T0 + n * DAY} for n in (2, 3))
    for order in ((second, third), (third, second)):
        by = agreed(*order)
        told = [version(by, T0 + n * DAY - before) for n in (2, 3) for before in (INSTANT, timedelta())]
        assert told == ["1", "2", "2", "3"]
    assert agreed().in_force("nobody_promised", T0) is None


def test_what_is_switched_off_ends_at_that_very_instant_and_what_is_agreed_later_does_not() -> None:
    off = [{"name": REVIEW, "version": "x", "effective_from": T0 + n * DAY, "enabled": False} for n in (4, 2, 6)]
    on = {"name": REVIEW, "version": "2", "effective_from": T0 + 5 * DAY}
    by = agreed(*off, on)
    times = [T0 + 2 * DAY - INSTANT, T0 + 2 * DAY, T0 + 4 * DAY, T0 + 5 * DAY, T0 + 6 * DAY - INSTANT, T0 + 6 * DAY]
    assert [version(by, at) for at in times] == ["1", None, None, "2", "2", None]
    same = agreed({"name": REVIEW, "version": "2", "effective_from": T0}, {**off[0], "effective_from": T0})
    assert version(same, T0) == "2", "what was switched off in the same instant is not the one that begins then"


def test_a_promise_waits_for_another_only_where_that_one_is_agreed() -> None:
    ((_, groups),) = agreed().promises["send_offer"][0].waits_for
    assert len(groups) == 1
    raw = policy_file({"approve_offer": {"enabled": False}})
    base = agreement()
    alone = Agreement(Policy.model_validate(raw), base.calendars, base.people)
    assert alone.promises["send_offer"][0].waits_for == ()
    assert agreed().promises[REVIEW][0].waits_for == ()
    both = agreement({"send_offer": {"requires": [{"kind": "offer.accepted"}]}}).promises["send_offer"][0]
    ((_, groups),) = both.waits_for
    assert [conditions.kinds[0] for ((_, conditions),) in groups] == ["offer.accepted", "offer.approved"]


def test_only_a_start_with_a_delay_is_delayed() -> None:
    by = agreed()
    assert [by.promises[name][0].delays for name in ("first_slate", REVIEW)] == [True, False]


def test_a_requisition_has_to_know_of_applications_what_its_own_promises_look_for() -> None:
    by = agreement({"hold_intake": {"requires": [{"kind": "offer.sent"}], "cancel": [{"kind": "application.hired"}]}})
    of_applications = {kind for kind in by.digested if not kind.startswith(("requisition.", "recruiter."))}
    assert of_applications == {"application.stage_changed", "offer.sent"}
    wanted = by.digested["application.stage_changed"]
    assert [c.match("application.stage_changed", {"stage": "manager_review"}) for c in wanted] == [True]
    assert not any(c.match("application.stage_changed", {"stage": "screen"}) for c in wanted)


def test_a_verdict_is_of_one_policy_and_one_people_file() -> None:
    one, other = agreed(), agreed(version="2027.1")
    assert one.stamp == agreed().stamp != other.stamp
    assert one.stamp == f"{one.policy_version} {one.people.version}"


def test_the_same_conditions_are_one_object_so_that_they_are_looked_up_once() -> None:
    by = agreed()
    assert by.promises["submit_feedback"][0].stop is by.promises["validated_feedback"][0].stop
    assert by.promises["submit_feedback"][0].stop is not by.promises["submit_feedback"][0].cancel
