"""Closing a month on SQLite and PostgreSQL: what is refused, what stays, and what is adjusted."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from sqlalchemy import Engine, insert

from schemas.outcome import Outcome, Side, Verdict
from streams import close, ledger, ports, statement, statement_files
from streams.close import NotClosable, NotClosed
from streams.errors import PeriodClosed
from streams.ledger_database import writing
from streams.ledger_tables import consumer_position
from streams.settings import ROOT, Settings
from tests.conftest import MakeTopics
from tests.ledger_samples import PARTITIONS, T0, a_receipt, an_obligation, deliver, outcome, ready, ticks

MAY_END = datetime(2026, 5, 31, 22, tzinfo=UTC)
JUNE = MAY_END + timedelta(hours=1)
FILES = ("statement.csv", "obligations.csv", "index.csv", "statement.parquet", "statement.xlsx", "manifest.json")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres")
    return Settings(state_dir=tmp_path, deploy_dir=ROOT / "deploy", ledger_url=url, brokers=f"127.0.0.1:{ports.free()}")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = ledger.open_ledger(settings.ledger)
    ready(engine)
    yield engine
    engine.dispose()


def a_month() -> list[Outcome]:
    """Twelve obligations of either side, of six people each, all decided."""
    said = []
    for number in range(12):
        verdict = Verdict.MISSED if number % 4 == 0 else Verdict.MET
        said.append(an_obligation(f"a{number}", verdict, owner=f"p-{number % 6:03}"))
        recruiter = {"side": Side.TALENT_ACQUISITION, "commitment": "first_slate", "owner": f"p-{100 + number % 6}"}
        said.append(an_obligation(f"r{number}", Verdict.MET, obligation_id=f"first_slate:r{number}", **recruiter))
    return [outcome(body, 10) for body in said]


def fill(engine: Engine, *more: Outcome, until: datetime = JUNE) -> None:
    deliver(engine, [*a_month(), *more, *ticks(until, 1000)])


def run(settings: Settings, **options: object) -> dict[str, bytes]:
    close.run(settings, "2026-05", None, JUNE, **options)  # type: ignore[arg-type]
    folder = settings.state_dir / "statements" / "2026-05"
    return {name: (folder / name).read_bytes() for name in FILES}


def report(settings: Settings, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    close.report(settings, "2026-05", as_json=True)
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_month_is_closed_into_files_that_reconcile(engine: Engine, settings: Settings) -> None:
    fill(engine)
    files = run(settings)
    manifest = json.loads(files["manifest.json"])
    assert manifest["control_totals"]["obligations"] == 24
    assert manifest["control_totals"]["verdicts"]["met"] == 21
    assert manifest["closed_at"] == JUNE.isoformat()
    assert manifest["versions"]["judged_by"] == {"policy": ["p1"], "calendar": ["c1"], "people": ["d1"]}
    assert manifest["ledger_position"]["sla.outcomes:0"] == 24 + PARTITIONS
    rows = files["statement.csv"].decode().splitlines()
    assert rows[1].startswith("2026-05,Engineering,hiring_manager,review_candidate,,9,3,0,")
    assert rows[2].startswith("2026-05,Engineering,talent_acquisition,first_slate,,12,0,0,")
    assert "2026-05,Engineering,1.0000,0.7500,0.8571" in files["index.csv"].decode()


def test_closing_again_with_the_same_figures_changes_nothing(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(engine)
    first = run(settings)
    deliver(engine, ticks(JUNE + timedelta(days=3), 2000))  # the ledger has gone on, the month has not changed
    (settings.state_dir / "statements" / "2026-05" / "statement.csv").write_text("lost")
    assert run(settings) == first
    assert "already closed" in capsys.readouterr().out


def test_two_ledgers_of_the_same_content_give_the_same_bytes(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    fill(engine)
    other = Settings(state_dir=tmp_path / "other", deploy_dir=settings.deploy_dir)
    second = ledger.open_ledger(other.ledger)
    ready(second)
    deliver(second, [*reversed(a_month()), *ticks(JUNE, 1000)])
    second.dispose()
    assert run(settings) == run(other)


def test_a_second_close_with_other_figures_is_refused(engine: Engine, settings: Settings) -> None:
    fill(engine)
    before = run(settings)
    deliver(engine, [outcome(an_obligation("a1", Verdict.MISSED), 5000)])
    with pytest.raises(PeriodClosed, match="mutual-sla report 2026-05") as refused:
        run(settings)
    assert refused.value.exit_code == 65
    folder = settings.state_dir / "statements" / "2026-05"
    assert {name: (folder / name).read_bytes() for name in FILES} == before


def test_files_of_another_close_are_not_written_over_and_the_month_stays_open_until_they_are_elsewhere(
    engine: Engine, settings: Settings
) -> None:
    """The ledger was lost, or is an older copy: it closes other figures, and these files may be all that is left of the first."""
    fill(engine)
    folder = settings.state_dir / "statements" / "2026-05"
    other = Settings(
        state_dir=settings.state_dir, deploy_dir=settings.deploy_dir, ledger_url=f"sqlite:///{settings.state_dir}/a.db"
    )
    first = ledger.open_ledger(other.ledger)
    ready(first)
    fill(first, outcome(an_obligation("more", Verdict.MET), 11))
    first.dispose()
    files = run(other)
    with pytest.raises(NotClosable, match=f"{folder} has the files of another close .* --out"):
        run(settings)
    assert {name: (folder / name).read_bytes() for name in FILES} == files
    folder.rename(settings.state_dir / "kept")
    assert run(settings) != files


def test_a_close_of_the_same_lines_from_which_other_figures_are_made_says_so(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)
    run(settings)
    monkeypatch.setattr(statement, "content_hash", lambda *_: "of a later release")
    with pytest.raises(PeriodClosed, match="every line is as it was"):
        run(settings)


def test_a_close_that_died_before_its_files_gets_them_from_the_next_whatever_was_learned_meanwhile(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(path: Path, _body: bytes) -> None:
        if path.name == "index.csv":  # others are there already
            raise Killed

    fill(engine)
    with monkeypatch.context() as death:
        death.setattr(statement_files, "_replace", dies)
        with pytest.raises(Killed):
            run(settings)
    deliver(engine, [outcome(an_obligation("a1", Verdict.MISSED), 5000)])
    with pytest.raises(PeriodClosed, match="mutual-sla report 2026-05"):
        run(settings)
    folder = settings.state_dir / "statements" / "2026-05"
    files = {name: (folder / name).read_bytes() for name in FILES}
    manifest = json.loads(files["manifest.json"])
    assert manifest["control_totals"]["verdicts"]["met"] == 21  # as it was closed
    assert {name: hashlib.sha256(files[name]).hexdigest() for name in FILES[:-1]} == {
        name: said["sha256"] for name, said in manifest["files"].items()
    }
    (folder / "index.csv").write_text("mine")
    with pytest.raises(PeriodClosed):
        run(settings)
    assert (folder / "index.csv").read_text() == "mine"  # they are there: nothing is touched


def test_what_is_learned_later_becomes_adjustments(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(engine)
    run(settings)
    said = report(settings, capsys)
    assert said["adjustments"] == []
    deliver(
        engine,
        [
            outcome(an_obligation("a1", Verdict.MISSED, owner="p-001"), 50_000),
            outcome(an_obligation("a2", Verdict.MET, deadline=MAY_END, owner="p-002"), 50_001),
            outcome(an_obligation("late", Verdict.MET, owner="p-003"), 50_002),
            outcome(an_obligation("a3", Verdict.EXCUSED, owner="p-003", receipt=a_receipt("start", policy_version="p1")), 50_003),
        ],
    )
    now = report(settings, capsys)
    assert now["statement"] == said["statement"]
    changes = now["adjustments"]
    assert isinstance(changes, list)
    assert sorted((one["sign"], one["verdict"], one["cause"]) for one in changes) == [
        (-1, "met", "deadline moved out of the period"),
        (-1, "met", "exception approved"),
        (-1, "met", "late fact"),
        (1, "excused", "exception approved"),
        (1, "met", "late fact: the obligation was not known at the close"),
        (1, "missed", "late fact"),
    ]
    totals = now["adjusted"]
    assert isinstance(totals, list)
    managers = next(one for one in totals if one["cell"]["side"] == "hiring_manager")
    assert (managers["met"], managers["missed"], managers["excused"]) == (9 - 3 + 1, 4, 1)
    assert not {"p-001", "greenhouse", "platform"} & set(json.dumps(now).replace('"', " ").split())


@pytest.mark.kafka
def test_what_is_on_its_way_keeps_a_month_open(topics: MakeTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an import the ticks come before its facts: the month would be closed without them, for good."""
    monkeypatch.setattr(close, "DRAIN_SECONDS", 1.0)
    settings = topics(deploy_dir=ROOT / "deploy")
    engine = ledger.open_ledger(settings.ledger)
    ready(engine)
    fill(engine)
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for name, group, hop in (
        ("ats.raw", "normalise", "the normalise worker on ats.raw is still behind"),
        ("ats.facts", "track", "the track worker on ats.facts is still behind"),
    ):
        producer.send(settings.topic(name), b"{}", partition=2).get(timeout=30)
        with pytest.raises(NotClosable, match=hop):
            run(settings)
        reader = KafkaConsumer(bootstrap_servers=settings.brokers, group_id=f"{settings.app_id}-{group}")
        reader.commit({TopicPartition(settings.topic(name), 2): OffsetAndMetadata(1, "", -1)})
        reader.close()
    producer.send(settings.topic("sla.outcomes"), b"{}", partition=2).get(timeout=30)
    with pytest.raises(NotClosable, match="the ledger writer is still behind"):
        run(settings)
    with writing(engine) as conn:
        conn.execute(insert(consumer_position), [{"topic": settings.topic("sla.outcomes"), "partition": 2, "next_offset": 1}])
    closed = run(settings)
    producer.send(settings.topic("ats.raw"), b"{}", partition=3).get(timeout=30)
    assert run(settings) == closed  # what is closed is only written again
    producer.close()
    engine.dispose()


def test_without_kafka_the_ledgers_word_is_closed_and_that_is_said(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(engine)
    run(settings)
    assert "without asking whether more is on its way: no Kafka broker answers at" in capsys.readouterr().out


def test_every_reason_not_to_close_is_listed_at_once(engine: Engine, settings: Settings) -> None:
    half = [outcome(an_obligation("o", Verdict.OPEN), 20), outcome(an_obligation("u", Verdict.UNVERIFIED), 20)]
    deliver(engine, [*a_month(), *half, *ticks(MAY_END - timedelta(microseconds=1), 1000)[:-1]])
    with pytest.raises(NotClosable) as refused:
        close.run(settings, "2026-05", None, MAY_END - timedelta(days=1))
    text = str(refused.value)
    for part in (
        "the month ends 2026-05-31T22:00:00+00:00",
        "partition 0 has come only to 2026-05-31T21:59:59.999999+00:00",
        f"partition {PARTITIONS - 1} has not reported its time yet",
        "1 obligations due in the month are still open",
        "review_candidate:o:1, due 2026-05-06T09:00:00+00:00",
        "1 obligations due in the month are unverified",
        "--accept-unverified",
    ):
        assert part in text
    assert not (settings.state_dir / "statements").exists()
    with pytest.raises(NotClosed):
        close.report(settings, "2026-05", as_json=True)


def test_an_empty_ledger_is_not_closed_as_a_month_without_promises(engine: Engine, settings: Settings) -> None:
    with pytest.raises(NotClosable, match="has not reported its time"):
        run(settings)


def test_unverified_ones_can_be_accepted_and_then_count_for_nobody(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(engine, outcome(an_obligation("u", Verdict.UNVERIFIED, owner="p-001"), 20))
    with pytest.raises(NotClosable, match="unverified"):
        run(settings)
    files = run(settings, accept_unverified=True)
    assert "1 unverified obligations were accepted" in capsys.readouterr().out
    assert json.loads(files["manifest.json"])["control_totals"]["verdicts"]["unverified"] == 1
    assert ",unverified," in files["obligations.csv"].decode()
    rows = files["statement.csv"].decode().splitlines()
    assert rows[1].split(",")[12:14] == ["12", "0.7500"]


def test_missed_for_want_of_a_requisition_is_no_turnaround_and_no_deadline_is_no_month(
    engine: Engine, settings: Settings
) -> None:
    closed = an_obligation("gone", Verdict.MISSED, owner="p-001", receipt=a_receipt("start", "cancel"))
    still = an_obligation("still", Verdict.CANCELLED, deadline=None, due_soon_at=None)
    fill(engine, outcome(closed, 20), outcome(still, 20))
    totals = json.loads(run(settings)["manifest.json"])["control_totals"]
    assert (totals["obligations"], totals["turnarounds"], totals["without_deadline"]) == (25, 24, 1)


def test_a_month_looks_on_an_earlier_day_as_it_did_then(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    deadline = T0 + timedelta(minutes=30)
    people = [f"p-{n:03}" for n in range(6)]
    then = [outcome(an_obligation(f"x{n}", Verdict.OVERDUE, deadline=deadline, owner=p), 40) for n, p in enumerate(people)]
    now = [outcome(an_obligation(f"x{n}", Verdict.MET, deadline=deadline, owner=p), 5000) for n, p in enumerate(people)]
    deliver(engine, [*then, *now])

    def known(minutes: int) -> list[tuple[int, int]]:
        capsys.readouterr()
        close.as_of(settings, T0 + timedelta(minutes=minutes), None, as_json=True)
        rows = json.loads(capsys.readouterr().out)["statement"]["rows"]
        return [(row["met"], row["overdue"]) for row in rows]

    assert known(39) == []
    assert known(60) == [(0, 6)]
    assert known(5000) == [(6, 0)]


def test_figures_can_be_read_on_a_terminal(engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    fill(engine)
    run(settings)
    deliver(engine, [outcome(an_obligation("a1", Verdict.MISSED, owner="p-001"), 50_000)])
    capsys.readouterr()
    close.report(settings, "2026-05", as_json=False)
    close.as_of(settings, JUNE, "2026-05", as_json=False)
    text = capsys.readouterr().out
    assert "Adjustments" in text
    assert "2026-05 as known at" in text


def test_of_two_who_close_at_once_one_finds_it_closed(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)
    both = threading.Barrier(2, timeout=2)
    build = close.build

    def build_together(*arguments: Any) -> Any:
        with suppress(threading.BrokenBarrierError):  # SQLite lets one at a time come here
            both.wait()
        return build(*arguments)

    monkeypatch.setattr(close, "build", build_together)
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(run, settings) for _ in range(2)]
        assert done[0].result() == done[1].result()
    assert capsys.readouterr().out.count("already closed") == 1


def test_a_role_that_only_reads_does_not_wait_for_the_writer(engine: Engine, settings: Settings) -> None:
    with writing(engine):
        ledger.open_ledger(settings.ledger).dispose()
