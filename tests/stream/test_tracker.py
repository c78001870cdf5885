"""The tracker's step: stories, any order and any cut, replays, size, late facts, silence, poison and recovery. No Kafka."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fact import FACT_KINDS, Fact, Origin, Rejudge, Tick, Watermark, fact_id
from schemas.outcome import ApplicationState, Obligation, Progress, Verdict
from streams.delivery import partition_of
from streams.obligations import Evaluation, evaluate
from streams.recomputed import Partition
from streams.tracker import Limits
from streams.tracker_rows import META, PIECE_BYTES, Meta, Rows, UnknownRow, Warm, application_key, digest_key
from tests.property.test_core_properties import facts, marks
from tests.stories import ACCOUNT, REQUISITION, Story, agreement, compare, stories
from tests.tracked import PARTITION, TOPICS, Table, Told, Tracked

AGREEMENT = agreement()
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def a_fact(kind: str, at: datetime, application: str | None = "a1", received: datetime | None = None, **more: Any) -> Fact:
    values: dict[str, Any] = {
        "fact_id": fact_id("t", ACCOUNT, kind, [application or "", str(more)], at),
        "kind": kind,
        "tenant": "t",
        "account": ACCOUNT,
        "system": "greenhouse",
        "occurred_at": at,
        "occurred_at_source": Origin.OBJECT,
        "received_at": received or at,
        "requisition_id": REQUISITION,
        "application_id": f"{ACCOUNT}/{application}" if application else None,
        **more,
    }
    return Fact(**values)


def submitted(at: datetime, application: str = "a1") -> Fact:
    """A candidate is submitted to the manager: two business days to review."""
    people = {"hiring_manager": (f"{ACCOUNT}/mgr",)}
    return a_fact("application.stage_changed", at, application, people=people, attributes={"stage": "manager_review"})


def evaluated(facts: Iterable[Fact], as_of: datetime, watermarks: Iterable[Watermark] = ()) -> Evaluation:
    return evaluate(facts, AGREEMENT.policy, AGREEMENT.calendars, AGREEMENT.people, watermarks, as_of)


def agree(told: Tracked, pure: Evaluation) -> None:
    """What the outcomes say in the end is what the core says; what else was ever said is taken back."""
    obligations, applications = told.obligations(), told.applications()
    for o in pure.obligations:
        assert o.obligation_id in obligations, f"{o.obligation_id} is missing"
        assert obligations[o.obligation_id].digest == o.digest, f"{obligations[o.obligation_id]}\n is not\n{o}"
    assert {a: body.digest for a, body in applications.items()} == {a.application_id: a.digest for a in pure.applications}
    for extra in obligations.keys() - {o.obligation_id for o in pure.obligations}:
        said = obligations[extra]
        assert (said.verdict, said.reason) == (Verdict.CANCELLED, "no longer applies"), said


REVIEW = f"review_candidate:{REQUISITION}:a1:1"

# -- stories -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.name)
def test_the_tracker_tells_the_story(story: Story) -> None:
    told = Tracked(agreement(story.policy), {mark.account: frozenset(mark.kinds) for mark in story.watermarks})
    told.feed(*(mark.model_copy(update={"received_at": story.facts[0].received_at}) for mark in story.watermarks))
    left = sorted(story.facts, key=lambda fact: fact.received_at)
    for as_of in sorted({expectation.as_of for expectation in story.expectations}):
        if known := [fact for fact in left if fact.received_at <= as_of]:
            told.feed(*known)
        left = [fact for fact in left if fact.received_at > as_of]
        told.tick(as_of)
        for expectation in story.expectations:
            if expectation.as_of == as_of:
                found = {key: o for key, o in told.obligations().items() if o.reason != "no longer applies"}
                compare(story, expectation, found)


# -- any order, any copies, any cut, any crash ---------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(st.lists(facts(), min_size=3, max_size=25), marks, st.integers(0, 1 << 32), st.integers(1, 4))
def test_order_copies_cuts_and_crashes_do_not_matter(
    history: list[Fact], watermarks: list[Watermark], seed: int, limit: int
) -> None:
    rng, end = random.Random(seed), datetime(2026, 5, 1, tzinfo=UTC)
    ticks = [Tick(at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(40 * 24 * 60))) for _ in range(6)]
    log: list[Told] = [*history, *rng.sample(history, len(history) // 2), *watermarks, *ticks]
    rng.shuffle(log)
    declared = {ACCOUNT: frozenset(kind for mark in watermarks for kind in mark.kinds)}
    told = Tracked(AGREEMENT, declared, Limits(due=limit, pending=limit))
    records, at = told.records(log), 0
    while at < len(records):
        batch, fate = records[at : at + rng.randrange(1, 9)], rng.random()
        told.step(batch, applied=fate > 0.3)  # else the worker dies, or loses the partition, with its messages out
        at += len(batch) if fate > 0.3 else 0
        if fate < 0.4:
            told.restart(process=rng.random() < 0.5)
            at = max(0, at - rng.choice((0, 0, 3, 12)))  # the commit was behind
    told.tick(end)
    agree(told, evaluated(history, end, watermarks))


def test_a_step_that_was_not_applied_is_repeated_without_loss() -> None:
    told = Tracked(AGREEMENT)
    told.feed(submitted(MONDAY))
    due = told.tracker.partitions[PARTITION].next_due()
    assert due is not None
    late = told.records([Tick(at=MONDAY + 7 * DAY)])
    first = told.step(late, applied=False)
    again = told.step(late)
    assert again.messages == first.messages
    assert again.changes == first.changes
    assert told.obligations()[REVIEW].verdict == Verdict.OVERDUE
    assert not told.tracker.has_work(PARTITION, MONDAY + 8 * DAY)


def test_outcomes_carry_their_place_and_the_same_id_when_repeated() -> None:
    one, two = Tracked(AGREEMENT), Tracked(AGREEMENT)
    for told in (one, two):
        told.feed(submitted(MONDAY), a_fact("application.created", MONDAY - HOUR))
    assert [o.outcome_id for o in one.outcomes] == [o.outcome_id for o in two.outcomes]
    assert {(o.source_partition, o.source_offset, o.learned_at) for o in one.outcomes} == {(PARTITION, 1, MONDAY)}
    before = len(one.outcomes)
    one.feed(submitted(MONDAY), submitted(MONDAY))
    assert len(one.outcomes) == before, "a copy is no news"


# -- size --------------------------------------------------------------------------------------------------------------


def test_ten_thousand_applications_of_one_requisition() -> None:
    """A hold of the requisition concerns them all: bounded work a batch, no row that grows with them, all judged in the end."""
    count, longest, begun = 10_000, 0.0, time.perf_counter()
    told = Tracked(AGREEMENT)
    approved = a_fact("requisition.approved", MONDAY - DAY, None)
    told.feed(approved)
    applied = [submitted(MONDAY + number * timedelta(seconds=1), f"a{number}") for number in range(count)]
    for at in range(0, count, 1000):
        told.feed(*applied[at : at + 1000])
    stored = time.perf_counter() - begun
    held = a_fact("requisition.held", MONDAY + 4 * HOUR, None)
    told.feed(held)
    ticks = 1
    while told.tracker.has_work(PARTITION, MONDAY + 5 * HOUR):
        before = time.perf_counter()
        judged = len(told.outcomes)
        told.feed(Tick(at=MONDAY + 5 * HOUR))
        assert len(told.outcomes) - judged <= 4 * told.tracker.limits.pending + 2
        longest, ticks = max(longest, time.perf_counter() - before), ticks + 1
    seconds = time.perf_counter() - begun
    figures = f"stored in {stored:.1f} s, held after {seconds:.1f} s and {ticks} batches of at most {longest:.2f} s"
    print(f"{count} applications {figures}")  # noqa: T201
    reviews = [o for o in told.obligations().values() if o.commitment == "review_candidate"]
    assert len(reviews) == count
    assert {(o.verdict, o.deadline) for o in reviews} == {(Verdict.OPEN, None)}
    assert ticks == count // told.tracker.limits.pending
    some = random.Random(1).sample(applied, 40)
    pure = {
        o.obligation_id: o.digest for o in evaluated([approved, held, *some], MONDAY + 5 * HOUR).obligations if o.application_id
    }
    assert pure == {key: told.obligations()[key].digest for key in pure}


def test_one_application_with_more_facts_than_a_row_holds() -> None:
    told = Tracked(AGREEMENT)
    many = [a_fact("application.updated", MONDAY + number * timedelta(minutes=1)) for number in range(3000)]
    told.feed(submitted(MONDAY), *many)  # the table refuses a row of more than 512 KiB
    key = application_key(REQUISITION, f"{ACCOUNT}/a1")
    assert sum(k.startswith(b"c\0" + key) for k in told.table.rows) >= 3
    told.restart()
    told.tick(MONDAY + 9 * DAY)
    agree(told, evaluated([submitted(MONDAY), *many], MONDAY + 9 * DAY))


def test_pieces_come_and_go_with_the_size_of_the_row() -> None:
    table, changes = Table(), dict[bytes, bytes | None]()
    rows = Rows(table, changes)
    row = rows.load(b"a\0r\0a")
    row.facts = [a_fact("application.updated", MONDAY + number * timedelta(minutes=1)) for number in range(3000)]
    rows.save(row)
    pieces = [value for key, value in changes.items() if key.startswith(b"c\0") and value]
    assert len(pieces) == row.pieces > 2
    assert max(map(len, pieces)) == PIECE_BYTES
    table.write(changes)
    again = Rows(table, changes := {}).load(row.key)
    assert (again.facts, again.pieces) == (row.facts, row.pieces)
    again.facts = again.facts[:5]
    Rows(table, changes).save(again)
    table.write(changes)
    assert list(table.rows) == [row.key], "pieces that are no longer needed stay behind"
    assert Rows(table, {}).load(row.key).facts == row.facts[:5]


@settings(max_examples=50, deadline=None)
@given(st.lists(facts(), min_size=3, max_size=25), st.integers(1, 5))
def test_a_row_is_the_same_whether_it_is_remembered_or_read(history: list[Fact], size: int) -> None:
    told = Tracked(AGREEMENT)
    for at in range(0, len(history), size):
        told.feed(*history[at : at + size])
    told.tick(datetime(2026, 5, 1, tzinfo=UTC))
    for key in (key for key in told.table.rows if key[:1] in (b"a", b"r", b"d")):
        remembered, read = Rows(told.table, {}, told.tracker.warm).load(key), Rows(told.table, {}).load(key)
        assert remembered.facts is not read.facts
        for row in (remembered, read):  # pairs were tuples or lists
            row.published = {subject: tuple(told_of) for subject, told_of in row.published.items()}
        assert remembered == read


def test_what_is_remembered_is_bounded_and_the_eldest_goes_first() -> None:
    table, warm = Table(), Warm(limit=20_000)
    for number in range(100):
        changes: dict[bytes, bytes | None] = {}
        row = Rows(table, changes, warm).load(b"a\0r\0%d" % number)
        row.facts = [a_fact("application.updated", MONDAY + number * HOUR)]
        Rows(table, changes, warm).save(row)
        table.write(changes)
        Rows(table, {}, warm).load(b"a\0r\0" + b"0")  # used all the time
    kept = list(warm)
    assert sum(len(table.rows[key]) for key in kept) <= 20_000 + 100 * len(kept)
    assert kept[-1] == b"a\0r\0" + b"0"
    assert kept[:-1] == [b"a\0r\0%d" % number for number in range(100)][-len(kept) + 1 :]
    assert len(kept) > 10


def test_a_fact_written_with_line_breaks_is_kept_like_any_other() -> None:
    told, fact = Tracked(AGREEMENT), submitted(MONDAY)
    told.feed(json.dumps(json.loads(fact.to_json()), indent=1).encode())
    told.restart()
    assert Rows(told.table, {}).load(application_key(REQUISITION, f"{ACCOUNT}/a1")).facts == [fact]
    told.tick(MONDAY + 9 * DAY)
    agree(told, evaluated([fact], MONDAY + 9 * DAY))


# -- what time and late knowledge change -------------------------------------------------------------------------------


def test_a_late_fact_revises_a_verdict() -> None:
    told = Tracked(AGREEMENT)
    told.feed(submitted(MONDAY))
    told.tick(MONDAY + 7 * DAY)
    in_time = a_fact("application.rejected", MONDAY + 5 * HOUR, received=MONDAY + 8 * DAY)
    told.feed(in_time)
    said = [o.body.verdict for o in told.of(REVIEW) if isinstance(o.body, Obligation)]
    assert said == [Verdict.OPEN, Verdict.OVERDUE, Verdict.MET]
    assert told.of(REVIEW)[-1].learned_at == MONDAY + 8 * DAY
    agree(told, evaluated([submitted(MONDAY), in_time], MONDAY + 8 * DAY))


def test_an_obligation_that_no_longer_applies_is_cancelled_once() -> None:
    told = Tracked(AGREEMENT)
    started = submitted(MONDAY)
    told.feed(started.model_copy(update={"occurred_at_source": Origin.DELIVERY}))
    told.feed(started.model_copy(update={"attributes": {"stage": "screen"}, "received_at": MONDAY + HOUR}))
    for day in range(5):
        told.feed(a_fact("application.updated", MONDAY + day * DAY), Tick(at=MONDAY + day * DAY))
    told.restart()
    told.tick(MONDAY + 9 * DAY)
    said = [(o.body.verdict, o.body.reason) for o in told.of(REVIEW) if isinstance(o.body, Obligation)]
    assert said == [(Verdict.OPEN, "running"), (Verdict.CANCELLED, "no longer applies")]


def test_an_obligation_that_applies_again_is_told_again() -> None:
    told = Tracked(AGREEMENT)
    weak = submitted(MONDAY).model_copy(update={"occurred_at_source": Origin.DELIVERY})
    better = weak.model_copy(update={"attributes": {"stage": "screen"}, "occurred_at_source": Origin.REQUEST})
    best = weak.model_copy(update={"occurred_at_source": Origin.EVENT})
    for copy in (weak, better, best):
        told.feed(copy)
    said = [o.body.verdict for o in told.of(REVIEW) if isinstance(o.body, Obligation)]
    assert said == [Verdict.OPEN, Verdict.CANCELLED, Verdict.OPEN]


def test_unverified_settles_when_the_watermark_comes() -> None:
    """Each stop kind is declared and silent; the verdict waits for the last of them, without a tick."""
    stops = ("application.rejected", "application.stage_changed")
    told = Tracked(AGREEMENT, {ACCOUNT: frozenset(stops)})
    told.feed(submitted(MONDAY))
    told.tick(MONDAY + 7 * DAY)
    assert told.obligations()[REVIEW].verdict == Verdict.UNVERIFIED
    assert told.tracker.partitions[PARTITION].next_due() is None, "time alone changes nothing"
    told.restart()

    def mark(kind: str, until: datetime) -> Watermark:
        return Watermark(account=ACCOUNT, kinds=(kind,), complete_until=until, received_at=MONDAY + 7 * DAY)

    for kind, until in ((stops[0], MONDAY + HOUR), (stops[0], MONDAY + 6 * DAY), (stops[1], MONDAY + DAY)):
        told.feed(mark(kind, until))
        assert told.obligations()[REVIEW].verdict == Verdict.UNVERIFIED
    told.feed(mark(stops[1], MONDAY + 6 * DAY))
    assert told.obligations()[REVIEW].verdict == Verdict.OVERDUE
    assert len(told.of(REVIEW)) == 3


@pytest.mark.parametrize("done_in_time", [False, True])
def test_what_was_called_off_in_a_silence_settles_when_the_source_comes_back(done_in_time: bool) -> None:
    stops = frozenset({"application.rejected", "application.stage_changed"})
    told = Tracked(AGREEMENT, {ACCOUNT: stops})
    told.feed(submitted(MONDAY), a_fact("application.withdrawn", MONDAY + 4 * DAY))
    told.tick(MONDAY + 7 * DAY)
    assert told.obligations()[REVIEW].verdict == Verdict.UNVERIFIED
    told.restart()
    if done_in_time:
        stage = a_fact("application.stage_changed", MONDAY + DAY, received=MONDAY + 7 * DAY, attributes={"stage": "interview"})
        told.feed(stage)
        assert told.obligations()[REVIEW].verdict == Verdict.MET
    told.feed(
        *(Watermark(account=ACCOUNT, kinds=(k,), complete_until=MONDAY + 6 * DAY, received_at=MONDAY + 7 * DAY) for k in stops)
    )
    assert told.obligations()[REVIEW].verdict == (Verdict.MET if done_in_time else Verdict.MISSED)


def test_progress_tells_tick_watermarks_and_newest_facts() -> None:
    told = Tracked(AGREEMENT)
    told.feed(submitted(MONDAY))
    assert "progress" not in told.current()
    mark = Watermark(account=ACCOUNT, kinds=("offer.sent",), complete_until=MONDAY, received_at=MONDAY + HOUR)
    older = mark.model_copy(update={"complete_until": MONDAY - DAY})
    told.feed(Tick(at=MONDAY + DAY), mark, older, Tick(at=MONDAY))
    progress = told.current()["progress"]
    assert isinstance(progress, Progress)
    assert progress.tick_at == MONDAY + DAY
    assert progress.watermarks == {ACCOUNT: {"offer.sent": MONDAY}}
    assert progress.newest_fact == {ACCOUNT: MONDAY}
    assert told.of("progress")[-1].learned_at == MONDAY + DAY


# -- poison ------------------------------------------------------------------------------------------------------------

GOOD = submitted(MONDAY, "good")
NO_ZONE = {"starts_at": "2026-03-03T10:00:00", "ends_at": "2026-03-03T11:00:00", "interviewers": [f"{ACCOUNT}/ada"]}
NO_TIME = {"starts_at": "soon", "ends_at": "later", "interviewers": [f"{ACCOUNT}/ada"]}
POISON: dict[str, tuple[Told, str]] = {
    "no value": (None, "not_a_fact"),
    "not JSON": (b"{", "not_a_fact"),
    "not UTF-8": (b"\xff\xfe", "not_a_fact"),
    "no type": (b"{}", "not_a_fact"),
    "a fact without a time": (GOOD.to_json().replace(b'"occurred_at"', b'"occured_at"'), "not_a_fact"),
    "a fact of no requisition": (GOOD.model_copy(update={"requisition_id": None}), "no_requisition"),
    "a kind nobody knows": (GOOD.model_copy(update={"kind": "coffee.served", "fact_id": "c"}), "cannot_be_evaluated"),
    "a time without a zone": (
        a_fact("interview.scheduled", MONDAY, interview_id=f"{ACCOUNT}/i1", attributes=NO_ZONE),
        "cannot_be_evaluated",
    ),
    "a time that is none": (
        a_fact("interview.scheduled", MONDAY, interview_id=f"{ACCOUNT}/i1", attributes=NO_TIME),
        "cannot_be_evaluated",
    ),
    "an interview without a zone that is yet to be told": (
        a_fact("interview.scheduled", MONDAY + 3 * DAY, received=MONDAY, interview_id=f"{ACCOUNT}/i1", attributes=NO_ZONE),
        "cannot_be_evaluated",
    ),
    "an attribute of another shape": (
        a_fact("application.stage_changed", MONDAY, attributes={"stage": ["manager_review"]}),
        "cannot_be_evaluated",
    ),
    "a stage of another shape in a requisition": (
        a_fact("requisition.updated", MONDAY, None, attributes={"stage": {"name": "open"}}),
        "cannot_be_evaluated",
    ),
    "the first year there is": (
        a_fact("requisition.approved", datetime.min.replace(tzinfo=UTC), None, MONDAY),
        "cannot_be_evaluated",
    ),
    "an identifier with a zero byte": (submitted(MONDAY, "a\0b"), "not_a_fact"),
    "a tick of the last year there is": (b'{"type":"tick","at":"9999-12-31T23:59:59Z"}', "not_a_fact"),
    "received in the last year there is": (
        GOOD.to_json().replace(b'"received_at":"2026', b'"received_at":"9999'),
        "not_a_fact",
    ),
}


def test_a_fact_in_another_partition_than_its_requisitions_is_a_dead_letter_and_nothing_to_rebuild() -> None:
    """Judged alone there, it would be told in the place of what all facts of the requisition give."""
    names = {partition_of(name.encode(), 8): name for name in (f"{ACCOUNT}/r{number}" for number in range(100))}
    here, elsewhere = (GOOD.model_copy(update={"requisition_id": names[n]}) for n in (PARTITION, PARTITION + 1))
    told = Tracked(AGREEMENT, topics=replace(TOPICS, partitions=8))
    told.feed(here, elsewhere)
    assert [(letter.offset, letter.reason, letter.detail) for letter in told.letters] == [
        (1, "wrong_partition", f"it belongs to partition {PARTITION + 1}: the key of a fact is its requisition_id")
    ]
    assert {one.body.requisition_id for one in told.outcomes if isinstance(one.body, Obligation)} == {here.requisition_id}
    for key in (str(elsewhere.requisition_id).encode(), b"another key", None):
        part = Partition({}, PARTITION, 8)
        for fact, its_key in ((here, str(here.requisition_id).encode()), (elsewhere, key)):
            part.take(its_key, fact.to_json())
        assert [*part.requisitions] == [str(here.requisition_id).encode()]


@pytest.mark.parametrize("name", POISON)
def test_a_poison_record_is_a_dead_letter_and_the_rest_goes_on(name: str) -> None:
    poison, reason = POISON[name]
    before, after = submitted(MONDAY, "before"), submitted(MONDAY, "after")
    told = Tracked(AGREEMENT)
    told.feed(before, poison, GOOD, poison)
    told.feed(poison, after)
    told.tick(MONDAY + 9 * DAY)
    assert [(letter.offset, letter.reason) for letter in told.letters] == [(1, reason), (3, reason), (4, reason)]
    assert told.reasons == [reason] * 3
    assert "later" not in "".join(letter.model_dump_json() for letter in told.letters), "a dead letter quotes the record"
    agree(told, evaluated([before, GOOD, after], MONDAY + 9 * DAY))
    told.restart()
    told.tick(MONDAY + 20 * DAY)


# -- recovery ----------------------------------------------------------------------------------------------------------


def test_recovery_rebuilds_the_deadlines() -> None:
    told = Tracked(AGREEMENT, limits=Limits(pending=5))
    told.feed(a_fact("requisition.approved", MONDAY - DAY, None))
    told.feed(*(submitted(MONDAY + number * HOUR, f"a{number}") for number in range(20)))
    told.tick(MONDAY + DAY)
    before = told.tracker.partitions[PARTITION]
    told.restart()
    after = told.tracker.partitions[PARTITION]
    assert after is not before
    assert after.next_due() == before.next_due() is not None
    told.tick(MONDAY + DAY)
    due = after.next_due()
    assert due is not None and due > MONDAY + DAY
    assert not told.tracker.has_work(PARTITION, due - timedelta(microseconds=1))
    assert told.tracker.has_work(PARTITION, due)


def test_recovery_goes_on_with_what_was_pending() -> None:
    told = Tracked(AGREEMENT, limits=Limits(pending=5))
    told.feed(*(submitted(MONDAY, f"a{number}") for number in range(20)))
    held = a_fact("requisition.held", MONDAY + HOUR, None)
    told.feed(held)
    told.restart()
    assert told.tracker.has_work(PARTITION, MONDAY + HOUR)
    told.tick(MONDAY + 9 * DAY)
    agree(told, evaluated([held, *(submitted(MONDAY, f"a{number}") for number in range(20))], MONDAY + 9 * DAY))


def test_a_table_lost_and_read_again_from_the_log_says_the_same() -> None:
    log: list[Told] = [submitted(MONDAY + n * HOUR, f"a{n % 7}") for n in range(40)]
    log += [Tick(at=MONDAY + 5 * DAY), a_fact("application.rejected", MONDAY + DAY, "a3"), Tick(at=MONDAY + 6 * DAY)]
    one, two = Tracked(AGREEMENT), Tracked(AGREEMENT)
    for at in range(0, len(log), 4):
        one.feed(*log[at : at + 4])
    two.feed(*log)
    assert {key: o.digest for key, o in one.obligations().items()} == {key: o.digest for key, o in two.obligations().items()}
    facts_of = [[Rows(told.table, {}).load(key).facts for key in told.table.rows if key != META] for told in (one, two)]
    assert facts_of[0] == facts_of[1]


def test_a_row_is_judged_again_when_asked_and_says_only_what_is_new() -> None:
    told = Tracked(AGREEMENT)
    told.feed(submitted(MONDAY), Tick(at=MONDAY + DAY))
    again = Rejudge(requisition_id=REQUISITION, application_id=f"{ACCOUNT}/a1")
    heard = len(told.outcomes)
    told.feed(again, Rejudge(requisition_id=REQUISITION), Rejudge(requisition_id=f"{ACCOUNT}/nobody"))
    assert len(told.outcomes) == heard, "everything was said already"
    rows = Rows(told.table, {})
    row = rows.load(application_key(REQUISITION, f"{ACCOUNT}/a1"))
    row.published[REVIEW] = ("another digest", row.published[REVIEW][1])
    changes: dict[bytes, bytes | None] = {}
    Rows(told.table, changes).save(row)
    told.table.write(changes)
    told.table.rows.pop(digest_key(REQUISITION, f"{ACCOUNT}/a1"))
    told.feed(again)
    assert [o.body.verdict for o in told.of(REVIEW) if isinstance(o.body, Obligation)] == [Verdict.OPEN] * 2
    assert digest_key(REQUISITION, f"{ACCOUNT}/a1") in told.table.rows, "what the requisition has to know is there again"
    agree(told, evaluated([submitted(MONDAY)], MONDAY + DAY))


def test_rows_of_another_schema_are_refused() -> None:
    told = Tracked(AGREEMENT)
    told.feed(submitted(MONDAY))
    key = application_key(REQUISITION, f"{ACCOUNT}/a1")
    stored = told.table.rows[key]
    told.table.rows[key] = stored.replace(b"[2,", b"[3,", 1)
    with pytest.raises(UnknownRow, match="schema 3"):
        told.restart()
    with pytest.raises(UnknownRow, match="schema 3"):
        told.feed(a_fact("application.updated", MONDAY))
    assert UnknownRow.exit_code == 78
    told.table.rows[META] = Meta().encode().replace(b'"schema":2', b'"schema":3')
    with pytest.raises(UnknownRow, match="schema 3"):
        told.feed(Tick(at=MONDAY))


def test_every_kind_of_fact_can_be_folded() -> None:
    told = Tracked(AGREEMENT)
    of_application = ("application", "candidate", "availability", "interview", "scorecard", "offer")
    facts_of_all = [
        a_fact(kind, MONDAY + n * HOUR, "a1" if kind.startswith(of_application) else None) for n, kind in enumerate(FACT_KINDS)
    ]
    told.feed(*facts_of_all)
    told.tick(MONDAY + 30 * DAY)
    assert told.letters == []
    assert [type(body) for body in told.applications().values()] == [ApplicationState]
    agree(told, evaluated(facts_of_all, MONDAY + 30 * DAY))
