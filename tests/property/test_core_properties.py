"""What must hold for any history: order and copies do not matter, halves make the whole, holders share out time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fact import FACT_KINDS, STAGES, Fact, Origin, Watermark, fact_id
from schemas.outcome import Verdict
from streams.agreement import Agreement
from streams.completeness import from_watermarks
from streams.obligations import Evaluation, apart, digest, evaluate, evaluate_application, evaluate_requisition
from streams.timeline import merge
from tests.random_policies import drawn_policy
from tests.stories import ACCOUNT, REQUISITION, agreement

AGREEMENT = agreement()
#: And some under which every key of the policy language decides something.
AGREEMENTS = [AGREEMENT, *(agreement(drawn_policy(Random(seed), datetime(2026, 3, 6, tzinfo=UTC))) for seed in range(8))]
QUALITY = {c.name for c in AGREEMENT.policy.commitments if c.quality is not None}
START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=40)
#: Every kind there is, and more often those that start, stop and move clocks, so that most histories have obligations.
OF_BOTH = sorted(k for k in FACT_KINDS if k.startswith(("request.", "exception.")))
OF_REQUISITION = sorted(k for k in FACT_KINDS if k.startswith("requisition.")) + OF_BOTH + ["requisition.approved"] * 6
OF_APPLICATION = (
    sorted(k for k in FACT_KINDS if not k.startswith("requisition."))
    + ["application.stage_changed"] * 25
    + ["interview.scheduled"] * 15
    + ["scorecard.submitted"] * 15
    + ["application.rejected", "interview.cancelled"] * 2
)
INTERVIEWERS = ("ada", "bob", "leo")
PEOPLE = ("mgr", "mgr2", "rec", "ada", "bob", "leo", "stranger")

minutes = st.integers(0, 40 * 24 * 60)


@st.composite
def facts(draw: st.DrawFn, of_kind: str | None = None) -> Fact:
    of_application = draw(st.integers(0, 3)) > 0
    kind = draw(st.sampled_from(OF_APPLICATION if of_application else OF_REQUISITION))
    if of_kind is not None:
        kind, of_application = of_kind, of_kind not in OF_REQUISITION or (of_kind in OF_BOTH and of_application)
    at = START + timedelta(minutes=draw(minutes))
    attributes: dict[str, Any] = {}
    ids: dict[str, str] = {}
    if of_application:
        ids["application_id"] = f"{ACCOUNT}/a{draw(st.sampled_from([1, 1, 1, 2, 3]))}"
    if kind == "application.stage_changed":
        attributes["stage"] = draw(st.sampled_from([*STAGES, "unmapped", "manager_review", "manager_review", "interview"]))
    if kind.startswith("interview."):
        ids["interview_id"] = f"{ids['application_id']}-i{draw(st.integers(1, 2))}"
    if kind == "interview.scheduled":
        starts = at + timedelta(minutes=draw(st.integers(-2000, 8000)))
        attributes["starts_at"] = starts.isoformat()
        attributes["ends_at"] = (starts + timedelta(hours=1)).isoformat()
        attributes["interviewers"] = [
            f"{ACCOUNT}/{p}" for p in draw(st.lists(st.sampled_from(INTERVIEWERS), max_size=2, unique=True))
        ]
        attributes |= {"interview_step_id": 1} if draw(st.booleans()) else {}
    if kind.startswith("requisition."):
        attributes |= draw(st.dictionaries(st.sampled_from(["priority", "location"]), st.sampled_from(["low", "high", "nyc"])))
        attributes |= draw(st.sampled_from([{}, {"jurisdiction": "CA-ON", "posted_publicly": True}]))
    if kind == "onboarding.start_set":
        attributes["starts_on"] = f"{at + timedelta(days=draw(st.integers(-2, 9))):%Y-%m-%d}"
    if kind.startswith("scorecard."):
        attributes["scorecard_id"] = f"s{draw(st.integers(1, 4))}"
        attributes |= draw(st.dictionaries(st.sampled_from(["complete", "rated", "reasoned"]), st.booleans()))
        attributes |= {"interview_step_id": 1} if draw(st.booleans()) else {}
        if draw(st.booleans()):
            ids["interview_id"] = f"{ids['application_id']}-i{draw(st.integers(1, 2))}"
    if kind.startswith("exception."):
        attributes |= {"exception_id": draw(st.sampled_from(["e1", "e2"])), "from": START.isoformat(), "until": AS_OF.isoformat()}
    if kind == "request.declined" and draw(st.booleans()):
        attributes["commitment"] = "review_candidate"
    people = {"hiring_manager": (f"{ACCOUNT}/{draw(st.sampled_from(PEOPLE))}",)} if draw(st.booleans()) else {}
    origin = draw(st.sampled_from(list(Origin)))
    return Fact(
        fact_id=fact_id("t", ACCOUNT, kind, [*ids.values(), str(attributes)], at if draw(st.integers(0, 9)) else "same"),
        kind=kind,
        tenant="t",
        account=ACCOUNT,
        system="greenhouse",
        occurred_at=at,
        occurred_at_source=origin,
        occurred_not_before=at - timedelta(hours=draw(st.integers(1, 30))) if origin == Origin.POLL else None,
        received_at=at + timedelta(minutes=draw(st.integers(0, 5000))),
        requisition_id=REQUISITION,
        person=f"{ACCOUNT}/{draw(st.sampled_from(INTERVIEWERS))}" if kind.startswith("scorecard.") else None,
        actor=f"{ACCOUNT}/{draw(st.sampled_from(PEOPLE))}" if draw(st.booleans()) else None,
        people=people,
        attributes=attributes,
        backfill=draw(st.booleans()),
        **ids,
    )


histories = st.lists(facts(), min_size=8, max_size=35)
marks = st.lists(
    st.builds(
        lambda kinds, reached, learned: Watermark(
            account=ACCOUNT,
            kinds=tuple(kinds),
            complete_until=START + timedelta(minutes=reached),
            received_at=START + timedelta(minutes=learned),
        ),
        st.lists(st.sampled_from(sorted(FACT_KINDS)), min_size=1, max_size=5),
        minutes,
        minutes,
    ),
    max_size=4,
)


def judged(
    history: list[Fact],
    watermarks: list[Watermark],
    as_of: datetime = AS_OF,
    known_at: datetime | None = None,
    by: Agreement = AGREEMENT,
) -> Evaluation:
    return evaluate(history, by.policy, by.calendars, by.people, watermarks, as_of, known_at)


def said(evaluation: Evaluation) -> bytes:
    return b"\n".join(o.model_dump_json().encode() for o in (*evaluation.obligations, *evaluation.applications))


@settings(max_examples=150, deadline=None)
@given(histories, marks, st.sampled_from(AGREEMENTS), st.randoms(use_true_random=False))
def test_order_and_copies_of_facts_and_watermarks_do_not_matter(
    history: list[Fact], watermarks: list[Watermark], by: Agreement, rng: Any
) -> None:
    copies = history + rng.sample(history, len(history) // 2)
    rng.shuffle(copies)
    shuffled = [*watermarks, *watermarks]
    rng.shuffle(shuffled)
    assert said(judged(copies, shuffled, by=by)) == said(judged(history, watermarks, by=by))


@settings(max_examples=20, deadline=None)
@given(st.tuples(*(facts(kind) for kind in FACT_KINDS)), st.sampled_from(AGREEMENTS), st.randoms(use_true_random=False))
def test_nor_do_they_with_a_fact_of_every_kind(one_of_each: tuple[Fact, ...], by: Agreement, rng: Any) -> None:
    assert {fact.kind for fact in one_of_each} == set(FACT_KINDS)
    copies = [*one_of_each, *rng.sample(one_of_each, len(one_of_each) // 2)]
    rng.shuffle(copies)
    assert said(judged(copies, [], by=by)) == said(judged([*one_of_each], [], by=by))


@settings(max_examples=100, deadline=None)
@given(histories, marks, st.sampled_from(AGREEMENTS))
def test_application_and_requisition_halves_make_the_whole(
    history: list[Fact], watermarks: list[Watermark], by: Agreement
) -> None:
    own, of_applications = apart(merge(history))
    complete = from_watermarks(watermarks)
    digests = [d for them in of_applications.values() for f in them if (d := digest(f, by)) is not None]
    halves = evaluate_requisition(own, digests, by, complete, AS_OF)
    for _, them in sorted(of_applications.items()):
        halves += evaluate_application(own, them, by, complete, AS_OF)
    assert said(halves) == said(judged(history, watermarks, by=by))


@settings(max_examples=150, deadline=None)
@given(histories, marks)
def test_every_instant_of_an_application_is_held_by_exactly_one(history: list[Fact], watermarks: list[Watermark]) -> None:
    for application in judged(history, watermarks).applications:
        last = application.ended_at or AS_OF
        edges = [h.start for h in application.holdings] + [last]
        assert edges == sorted(edges)
        assert edges[0] == application.created_at
        assert all(h.end == following for h, following in zip(application.holdings[:-1], edges[1:-1], strict=True))
        lengths = [min(h.end or last, last) - h.start for h in application.holdings]
        assert sum(lengths, timedelta()) == last - application.created_at


@settings(max_examples=150, deadline=None)
@given(histories, marks, st.sampled_from(AGREEMENTS))
def test_a_verdict_is_what_its_own_deadline_says(history: list[Fact], watermarks: list[Watermark], by: Agreement) -> None:
    seen = set()
    for o in judged(history, watermarks, by=by).obligations:
        assert o.obligation_id not in seen
        seen.add(o.obligation_id)
        assert sum(i.business_us for i in o.receipt.intervals if i.state == "running") == o.business_us
        lengths = [(i.end or o.ended_at or AS_OF) - i.start for i in o.receipt.intervals]
        assert sum(lengths, timedelta()) == timedelta(microseconds=o.elapsed_us)
        if o.commitment in QUALITY:  # no clock of their own: the deadline only says in which month they count
            continue
        if o.verdict == Verdict.MET and o.deadline and o.ended_at:
            assert o.ended_at <= max(o.deadline, o.started_at) or o.uncertain
        if o.verdict in (Verdict.MISSED, Verdict.OVERDUE, Verdict.UNVERIFIED):
            assert o.deadline is not None
            assert (o.ended_at or AS_OF) >= o.deadline
        if o.verdict == Verdict.CANCELLED and not o.reason.startswith("request declined"):  # a cancel erases no breach
            assert o.ended_at is not None
            stood = bool(o.receipt.intervals) and o.receipt.intervals[-1].state != "running"  # and then nothing is due
            if o.deadline is not None and not o.uncertain and not (stood and o.ended_at == o.deadline):
                assert o.ended_at < max(o.deadline, o.started_at + timedelta(microseconds=1))
        if o.verdict == Verdict.OPEN:
            assert o.deadline is None or o.deadline >= AS_OF


@settings(max_examples=100, deadline=None)
@given(histories, marks, minutes, minutes, st.sampled_from(AGREEMENTS))
def test_what_was_known_then_does_not_change_when_more_is_learned(
    history: list[Fact], watermarks: list[Watermark], minute: int, other: int, by: Agreement
) -> None:
    known_at, as_of = START + timedelta(minutes=minute), START + timedelta(minutes=other)
    earlier = [f for f in history if f.received_at <= known_at]
    then = said(judged(earlier, watermarks, as_of, known_at, by))
    assert said(judged(history, watermarks, as_of, known_at, by)) == then
    # what the same source read meanwhile vouches for nothing then
    later = [m.model_copy(update={"complete_until": AS_OF, "received_at": known_at + timedelta(minutes=1)}) for m in watermarks]
    assert said(judged(history, [*watermarks, *later], as_of, known_at, by)) == then


@settings(max_examples=100, deadline=None)
@given(histories, marks, minutes, st.sampled_from(AGREEMENTS))
def test_nothing_changes_before_the_next_due_instant(
    history: list[Fact], watermarks: list[Watermark], minute: int, by: Agreement
) -> None:
    as_of = START + timedelta(minutes=minute)
    now = judged(history, watermarks, as_of, by=by)
    before_due = min(now.next_due - timedelta(microseconds=1), AS_OF) if now.next_due else AS_OF
    if before_due <= as_of:
        return
    later = judged(history, watermarks, before_due, by=by)
    assert {o.obligation_id: o.digest for o in later.obligations} == {o.obligation_id: o.digest for o in now.obligations}
