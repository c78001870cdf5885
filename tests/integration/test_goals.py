"""Signals of a month on SQLite, PostgreSQL and a real Kafka: what is said, when, how often; and the silences of sources."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaProducer
from sqlalchemy import Engine

from schemas.fact import Tick, Watermark
from schemas.outcome import Outcome, Progress, Side, Silence, Verdict
from streams import goals, ledger, silences
from streams.check import load_agreement
from streams.clock import SystemClock
from streams.ledger_writer import Writer
from streams.settings import ROOT
from tests.conftest import MakeTopics
from tests.ledger_samples import T0, an_obligation, deliver, outcome, ready, ticks
from tests.stories import agreement
from tests.tracked import Tracked
from tests.waiting import until

POLICY = load_agreement(ROOT / "deploy").policy
JUNE = datetime(2026, 5, 31, 22, tzinfo=UTC)  #: its beginning, and May's end, in Berlin


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    engine = ledger.open_ledger(url)
    ready(engine)
    yield engine
    engine.dispose()


def may(kept: int, broken: int) -> list[Outcome]:
    """So many reviews of a team, all due in May; and TA keeping its own."""
    reviews = [an_obligation(f"a{n}", Verdict.MET if n < kept else Verdict.MISSED) for n in range(kept + broken)]
    slates = [an_obligation(f"s{n}", Verdict.MET, side=Side.TALENT_ACQUISITION, commitment="first_slate") for n in range(5)]
    return [outcome(body, 5) for body in [*reviews, *slates]]


def said(engine: Engine) -> list[Outcome]:
    with ledger.snapshot(engine) as conn:
        return goals.changed(conn, POLICY)


def words(engine: Engine) -> dict[str, str]:
    with ledger.snapshot(engine) as conn:
        return {f"{row['commitment']} {row['period']}": row["signal"] for row in goals.told(conn)}


def test_a_month_is_judged_once_every_partition_has_passed_its_end(engine: Engine) -> None:
    deliver(engine, [*may(14, 6), *ticks(JUNE - timedelta(seconds=1), 100)])
    assert said(engine) == []
    deliver(engine, [outcome(Progress(tick_at=JUNE), 200, partition) for partition in range(3)])
    assert said(engine) == [], "one partition has not passed it"
    deliver(engine, ticks(JUNE, 300))
    missed, met = sorted(said(engine), key=lambda one: one.body.model_dump()["signal"])
    assert missed.learned_at == JUNE
    assert missed.body.model_dump() | {"p_value": round(missed.body.model_dump()["p_value"], 4)} == {
        "type": "signal",
        "signal_id": "platform:hiring_manager:review_candidate:2026-05",
        "team": "platform",
        "side": Side.HIRING_MANAGER,
        "commitment": "review_candidate",
        "period": "2026-05",
        "signal": "course_correct",
        "met": 14,
        "n": 20,
        "adherence": 0.7,
        "objective": 0.9,
        "minimum_n": 5,
        "p_value": 0.0113,  # P(X <= 14 | 20, 0.9) in any table of the binomial distribution
    }
    assert met.body.model_dump()["signal"] == "goal_met"


def test_a_signal_is_said_once_and_again_only_when_the_word_changes(engine: Engine) -> None:
    deliver(engine, [*may(14, 6), *ticks(JUNE, 300)])
    first = said(engine)
    assert [one.outcome_id for one in first] == [one.outcome_id for one in said(engine)], "the same place, the same id"
    assert deliver(engine, first) == {"applied": 2}
    assert words(engine) == {"review_candidate 2026-05": "course_correct", "first_slate 2026-05": "goal_met"}
    assert said(engine) == []
    late = [outcome(an_obligation("a14", Verdict.MET), 400)]  # learned late: 15 of 20 is still too few
    deliver(engine, late)
    assert said(engine) == []
    deliver(engine, [outcome(an_obligation(f"a{n}", Verdict.MET), 500) for n in (15, 16, 17)])
    (again,) = said(engine)
    assert again.body.model_dump()["signal"] == "goal_met"
    assert deliver(engine, [again]) == {"applied": 1}
    deliver(engine, [outcome(an_obligation("a17", Verdict.MISSED), 600)])
    (back,) = said(engine)
    deliver(engine, [back])
    assert words(engine)["review_candidate 2026-05"] == "none"
    # the log once more, from the beginning: nothing changes
    assert deliver(engine, [*first, again, back]) == {"stale": 4}
    assert words(engine)["review_candidate 2026-05"] == "none"


def test_under_the_minimum_n_nothing_is_said(engine: Engine) -> None:
    deliver(engine, [outcome(an_obligation(f"a{n}", Verdict.MISSED), 5) for n in range(4)] + ticks(JUNE, 300))
    assert said(engine) == []


@pytest.mark.kafka
def test_the_writer_says_signals_and_reads_them_back(topics: MakeTopics, engine: Engine) -> None:
    settings = topics()
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    topic = settings.topic("sla.outcomes")
    for one in may(14, 6):
        producer.send(topic, one.to_json(), partition=0)
    for partition in range(8):
        producer.send(topic, outcome(Progress(tick_at=JUNE), 300, partition).to_json(), partition=partition)
    producer.flush()
    announcer = goals.Announcer(engine, POLICY, goals.to_kafka(settings))
    stop = threading.Event()
    writer = threading.Thread(target=Writer(settings, SystemClock(), engine, announcer).run, args=(stop,))
    writer.start()
    try:
        until(lambda: len(words(engine)) == 2)
        assert announcer.look() == 0
        assert said(engine) == []
    finally:
        stop.set()
        writer.join()
        producer.close()


# -- silences --------------------------------------------------------------------------------------------------------


def mark(minutes: int, *kinds: str) -> Watermark:
    at = T0 + timedelta(minutes=minutes)
    return Watermark(account="acme", kinds=kinds, complete_until=at, received_at=at)


def test_a_live_webhook_never_vouches_for_a_dead_poll(engine: Engine) -> None:
    """Every ten minutes a webhook; the scorecard poll is dead from 09:10 to 14:00. One silence, of the poll's kind alone."""
    webhook, poll = "application.stage_changed", "scorecard.submitted"
    here = Tracked(agreement(), {"acme": frozenset((webhook, poll))})
    here.feed(mark(0, webhook, poll), mark(10, webhook, poll))
    for minutes in range(20, 300, 10):
        here.feed(mark(minutes, webhook), Tick(at=T0 + timedelta(minutes=minutes)))
    assert here.tracker.partitions
    partition = [one for one in here.outcomes if isinstance(one.body, Progress)]
    deliver(engine, partition)
    at = T0 + timedelta(minutes=290)
    with ledger.snapshot(engine) as conn:
        assert {row["kind"]: row["silent"] for row in silences.now(conn, at)} == {webhook: False, poll: True}
        assert silences.ended(conn) == []
    here.feed(mark(300, webhook, poll))
    deliver(engine, [one for one in here.outcomes if isinstance(one.body, Progress)][-1:])
    with ledger.snapshot(engine) as conn:
        (silence,) = silences.ended(conn, "acme")
        assert (silence["kind"], silence["start_at"], silence["end_at"]) == (
            poll,
            T0 + timedelta(minutes=10),
            T0 + timedelta(minutes=300),
        )
        assert not any(row["silent"] for row in silences.now(conn, T0 + timedelta(minutes=300)))
        assert silences.ended(conn, since=T0 + timedelta(minutes=300)) == []


def test_a_backlog_read_in_one_batch_makes_no_silence_that_was_not_there() -> None:
    here = Tracked(agreement(), {"acme": frozenset(("scorecard.submitted",))})
    here.feed(*(mark(minutes, "scorecard.submitted") for minutes in (0, 50, 100, 150, 140)))
    (told,) = [one.body for one in here.outcomes if isinstance(one.body, Progress)]
    assert isinstance(told, Progress)
    assert told.silences == ()
    here.feed(*(mark(minutes, "scorecard.submitted") for minutes in (210, 220)))
    last = here.outcomes[-1].body
    assert isinstance(last, Progress)
    assert [(s.start, s.end) for s in last.silences] == [(T0 + timedelta(minutes=150), T0 + timedelta(minutes=210))]


def test_every_partition_tells_of_a_silence_and_it_is_kept_once(engine: Engine) -> None:
    one = Silence(account="acme", kind="offer.sent", start=T0, end=T0 + timedelta(hours=2))
    progress = Progress(tick_at=JUNE, silences=(one,))
    deliver(engine, [outcome(progress, 9, partition) for partition in range(4)])
    deliver(engine, [outcome(progress, 9, 0), outcome(Progress(tick_at=JUNE), 10, 0)])
    with ledger.snapshot(engine) as conn:
        assert len(silences.ended(conn)) == 1
