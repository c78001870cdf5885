"""`rebuild` on a real Kafka with a real track worker and ledger writer: nothing differs, until somebody does damage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from kafka import KafkaProducer
from rich.progress import Progress
from sqlalchemy import Engine, delete, insert, select, update

from schemas.fact import Fact, Tick, Watermark
from streams import ledger, ports, rebuild, rebuild_partition
from streams.check import load_agreement, load_sources
from streams.clock import FileClock
from streams.connectors import declared_kinds
from streams.difference import GONE
from streams.errors import InvalidConfiguration, Unreachable
from streams.ledger_database import writing
from streams.ledger_rows import SAID
from streams.ledger_tables import application, consumer_position, holding, obligation, rebuilt
from streams.rebuild import Summary
from streams.receipt import Held, Said
from streams.recomputed import Partition, judge
from streams.settings import ROOT, Settings
from streams.tracker_rows import Rows
from streams.tracker_state import TrackerState
from streams.whole_topic import end_of, one_partition, reader
from tests.altered import Altered
from tests.background import writing_in_background
from tests.conftest import MakeTopics
from tests.hiring import hiring
from tests.stories import ACCOUNT
from tests.waiting import until
from tests.workers import PARTITIONS, Feeder, deploy_folder, running

pytestmark = pytest.mark.kafka

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
MOVED = f"{ACCOUNT}/moved"


def told() -> list[Fact]:
    """A company's spring; one application moved to another requisition, and one fact is of impossible content."""
    facts = hiring(requisitions=16, applications=8, start=MONDAY, seed=5)
    of = [fact for fact in facts if fact.application_id and fact.requisition_id == f"{ACCOUNT}/r1"]
    one = [f for f in of if f.application_id == of[0].application_id]
    here = [f.model_copy(update={"fact_id": f"{f.fact_id}h", "application_id": MOVED}) for f in one]
    there = [f.model_copy(update={"fact_id": f"{f.fact_id}t", "requisition_id": f"{ACCOUNT}/r2"}) for f in here]
    bad = of[1].model_copy(
        update={
            "fact_id": "bad",
            "kind": "interview.scheduled",
            "interview_id": f"{ACCOUNT}/i1",
            "attributes": {"starts_at": "2026-03-05T10:00:00", "ends_at": "2026-03-05T11:00:00"},
        }
    )
    return [*facts, *here, *there, bad]


class Running:
    """Everything between ats.facts and the ledger, and a clock."""

    def __init__(self, settings: Settings, clock: FileClock) -> None:
        self.settings, self.clock = settings, clock
        self.engine = ledger.open_ledger(settings.ledger)

    def feed(self, facts: list[Fact], end: datetime) -> None:
        feeder = Feeder(self.settings)
        kinds = declared(self.settings)[ACCOUNT]
        mark = Watermark(account=ACCOUNT, kinds=tuple(sorted(kinds)), complete_until=end - 20 * DAY, received_at=MONDAY)
        feeder.facts(facts)
        feeder.everywhere(mark.model_dump_json().encode())
        feeder.everywhere(b"not a fact")
        feeder.everywhere(Tick(at=end).model_dump_json().encode())
        feeder.close()

    @contextmanager
    def tracker(self) -> Iterator[None]:
        with running(self.settings, "worker", "track", clock=self.clock.path) as worker:
            yield
            assert worker.alive()

    @contextmanager
    def writer(self) -> Iterator[None]:
        with writing_in_background(self.settings, self.engine, self.clock):
            yield

    def rebuild(self, folder: Path) -> Summary:
        folder.mkdir(exist_ok=True)
        with Progress(disable=True) as progress:
            return rebuild.rebuild(self.settings, folder, progress, workers=1)

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """What the ledger says of every obligation, but for running totals; and of every application that did not move.

        (Of one that moved it has what either requisition tells, the one that came last.)
        """
        running_totals = ("elapsed_us", "business_us")
        with self.engine.connect() as conn:
            found = {
                row["obligation_id"]: tuple(row[n] for n in SAID if row["ended_at"] or n not in running_totals)
                for row in conn.execute(select(obligation)).mappings()
            }
            a, h = application.c, holding.c
            states = conn.execute(select(a.application_id, a.state, a.ended_at).where(a.application_id != MOVED)).all()
            held = conn.execute(select(holding).where(h.application_id != MOVED).order_by(h.application_id, h.seq)).all()
        return found | {f"state {row[0]}": tuple(row) for row in states} | {"held": tuple(map(tuple, held))}


@pytest.fixture
def here(topics: MakeTopics, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    url = request.getfixturevalue("postgres") if getattr(request, "param", "") == "postgresql" else ""
    deploy = deploy_folder(tmp_path / "deploy", [ACCOUNT])
    settings = topics(
        deploy_dir=deploy,
        ledger_url=url,
        ledger_metrics_port=ports.free(),
        track_metrics_port=ports.free(),
        tick_seconds=3600.0,
    )
    one = Running(settings, FileClock(tmp_path / "clock"))
    facts = told()
    end = max(fact.received_at for fact in facts) + 30 * DAY
    one.clock.set(end)
    one.feed(facts, end)
    yield one
    one.engine.dispose()


def declared(settings: Settings) -> Mapping[str, frozenset[str]]:
    return declared_kinds(load_sources(settings.deploy_dir))


def found(summary: Summary) -> dict[str, str]:
    return {line["subject"]: line["cause"] for line in summary.lines()}


def damage(engine: Engine) -> dict[str, str]:
    """Harm the ledger in every way a row can be harmed; returns what a rebuild has to say of it."""
    o = obligation.c
    with writing(engine) as conn:
        ended = conn.execute(select(o.obligation_id).where(o.ended_at.is_not(None)).order_by(o.obligation_id)).scalars().all()
        late = conn.execute(select(o.obligation_id).where(o.verdict == "overdue").order_by(o.obligation_id)).scalars().all()
        states = conn.execute(select(application.c.application_id).order_by(application.c.application_id)).scalars().all()
        assert states[0] == MOVED
        lost, verdict, receipt, elsewhere, bare = ended[0], late[0], ended[1], ended[2], late[1]
        conn.execute(delete(obligation).where(o.obligation_id == lost))
        conn.execute(update(obligation).where(o.obligation_id == verdict).values(verdict="met", reason="because I say so"))
        conn.execute(update(obligation).where(o.obligation_id == receipt).values(receipt={}))
        conn.execute(update(obligation).where(o.obligation_id == elsewhere).values(requisition_id=f"{ACCOUNT}/r999"))
        conn.execute(update(obligation).where(o.obligation_id == bare).values(deadline=MONDAY))
        row = dict(conn.execute(select(obligation).where(o.obligation_id == ended[3])).mappings().one())
        invented = f"review_candidate:{ACCOUNT}/r777:a1:1"
        conn.execute(insert(obligation), [{**row, "obligation_id": invented, "requisition_id": f"{ACCOUNT}/r777"}])
        stands = dict(conn.execute(select(application).where(application.c.application_id == states[2])).mappings().one())
        conn.execute(insert(application), [{**stands, "application_id": f"{ACCOUNT}/nobody"}])
        ball = dict(conn.execute(select(holding).where(holding.c.application_id == states[2])).mappings().first() or {})
        conn.execute(insert(holding), [{**ball, "application_id": f"{ACCOUNT}/nobody"}])
        conn.execute(delete(application).where(application.c.application_id == states[0]))
        conn.execute(update(holding).where(holding.c.application_id == states[1]).values(holder="candidate"))
    altered = dict.fromkeys((verdict, receipt, elsewhere, bare, states[1]), "altered")
    invented_too = dict.fromkeys((invented, f"{ACCOUNT}/nobody"), "not_from_facts")
    return {**altered, **invented_too, lost: "missing", states[0]: "missing"}


def test_nothing_differs_until_the_ledger_is_damaged_and_then_exactly_that_is_mended(
    here: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with here.tracker(), here.writer():
        undisturbed = here.rebuild(tmp_path / "first")
        assert undisturbed.differences == 0, found(undisturbed)
        assert undisturbed.subjects > 140
        for name in ("3.result", "3.jsonl"):  # as if it had been broken off: only what is left is done again
            (tmp_path / "first" / name).unlink()
        again = here.rebuild(tmp_path / "first")
        assert 0 < again.read < again.records == undisturbed.records
        assert again.differences == 0
        before = here.rows()
        harm = damage(here.engine)
        capsys.readouterr()
        assert rebuild.run(here.settings, apply=False, as_json=True, workers=1) == 65
        listed = json.loads(capsys.readouterr().out)["differences"]
        assert {d["subject"]: d["cause"] for d in listed} == harm
        assert len(listed) == len(harm) + 1, "the application that moved is told by both of its requisitions"
        assert rebuild.run(here.settings, apply=True, as_json=True, workers=1) == 0
        assert json.loads(capsys.readouterr().out)["mended"] == len(listed)
        assert found(here.rebuild(tmp_path / "second")) == {}
        assert rebuild.run(here.settings, apply=True, as_json=False, workers=1) == 0
        assert "the ledger is what the facts give" in capsys.readouterr().out
    after = here.rows()
    invented = next(key for key, cause in harm.items() if cause == "not_from_facts" and ":" in key)
    ended = after.pop(invented)
    assert ended[SAID.index("verdict")] == "cancelled"
    assert after == before
    with here.engine.connect() as conn:
        causes = {row.obligation_id: row.cause for row in conn.execute(select(rebuilt))}
        current = {row.obligation_id: row.revision_no for row in conn.execute(select(obligation))}
        silent = {row.obligation_id: row.revision_no for row in conn.execute(select(rebuilt))}
    assert causes == {key: cause for key, cause in harm.items() if ":" in key}
    assert silent == {key: current[key] for key in silent}, "what was mended is a revision that pages nobody"


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_whatever_is_altered_is_listed_with_its_cause_and_mended_by_one_silent_revision(
    here: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each column alone and with an offset that is too high; rows moved, swapped, lost, invented: 190 of them, one a row."""
    with here.tracker(), here.writer():
        assert here.rebuild(tmp_path / "first").differences == 0
        before = here.rows()
        with writing(here.engine) as conn:
            altered = Altered(conn)
            altered.everything()
        capsys.readouterr()
        assert rebuild.run(here.settings, apply=True, as_json=True, workers=1) == 0
        told = json.loads(capsys.readouterr().out)
        listed = Counter((line["subject"], line["cause"]) for line in told["differences"])
        wanted = Counter(altered.causes.items())
        assert listed == wanted, {altered.deeds.get(subject, subject) for subject, _ in (listed - wanted) + (wanted - listed)}
        assert told["mended"] == len(wanted) > 180
        assert found(here.rebuild(tmp_path / "second")) == {}
        with pytest.raises(InvalidConfiguration, match="was made anew since the ledger read it"):
            of_another_kafka(here, tmp_path / "third")
    after = here.rows()
    assert {key: row for key, row in after.items() if key in before} == before
    assert {after[key][SAID.index("verdict")] for key in after.keys() - before.keys()} == {"cancelled"}
    with here.engine.connect() as conn:
        mended = Counter(conn.execute(select(rebuilt.c.obligation_id)).scalars())
        known = conn.execute(select(obligation.c.obligation_id)).scalars().all()
    assert mended == Counter(key for key in altered.causes if key in known), "each is one revision"
    as_the_facts_give(here)


def test_beside_live_traffic_only_what_was_harmed_is_listed_and_mended(
    here: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with here.tracker(), here.writer():
        assert here.rebuild(tmp_path / "quiet").differences == 0
        with traffic(here):
            for number in range(2):
                summary = here.rebuild(tmp_path / f"busy{number}")
                assert found(summary) == {}
            harm = damage(here.engine)
            capsys.readouterr()
            assert rebuild.run(here.settings, apply=True, as_json=True, workers=1) == 0
            listed = {line["subject"]: line["cause"] for line in json.loads(capsys.readouterr().out)["differences"]}
        assert listed.items() <= harm.items(), "what traffic has said anew meanwhile need not be there any more"
        assert rebuild.run(here.settings, apply=True, as_json=False, workers=1) == 0
        assert found(here.rebuild(tmp_path / "end")) == {}
    as_the_facts_give(here)


@contextmanager
def traffic(here: Running) -> Iterator[None]:
    """Facts of new and of known requisitions, and ticks that end promises, until it is left."""
    later = 60 * DAY
    facts = [
        fact.model_copy(
            update={"fact_id": f"{fact.fact_id}later{other}", "requisition_id": f"{fact.requisition_id}{other}", **times}
        )
        for other in ("", "new")
        for fact in hiring(requisitions=16, applications=4, start=MONDAY, seed=5)
        for times in [{name: getattr(fact, name) + later for name in ("occurred_at", "received_at")}]
    ]
    over = threading.Event()

    def talk() -> None:
        feeder, at = Feeder(here.settings), max(fact.received_at for fact in told()) + 30 * DAY
        waiting = sorted(facts, key=lambda fact: fact.received_at)
        while not over.is_set():
            feeder.facts(waiting[:10])
            del waiting[:10]
            at += DAY / 4
            feeder.everywhere(Tick(at=at).model_dump_json().encode())
            sleep(0.05)
        feeder.close()

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join()


def of_another_kafka(here: Running, folder: Path) -> None:
    """A rebuild with the ledger that another Kafka filled; else it would cancel all that there is."""
    with writing(here.engine) as conn:
        conn.execute(update(consumer_position).values(topic_id="of-another"))
    here.rebuild(folder)


@pytest.mark.parametrize("here", ["postgresql"], indirect=True)
def test_an_empty_ledger_is_filled_from_the_facts_alone(here: Running, tmp_path: Path) -> None:
    with here.tracker():
        with here.writer():
            assert here.rebuild(tmp_path / "first").differences == 0
        whole = here.rows()
        lost = Running(replace(here.settings, ledger_url=f"sqlite:///{tmp_path / 'empty.db'}"), here.clock)
        with writing(lost.engine) as conn, here.engine.connect() as old:  # as if the outcomes so far were gone as well
            positions = [dict(row) for row in old.execute(select(consumer_position)).mappings()]
            conn.execute(insert(consumer_position), positions)
        with lost.writer():
            assert rebuild.run(lost.settings, apply=True, as_json=False, workers=1) == 0
            assert lost.rebuild(tmp_path / "second").differences == 0
    given = {key: row for key, row in whole.items() if key == "held" or "no longer applies" not in row}
    assert lost.rows() == given
    with lost.engine.connect() as conn:
        assert set(conn.execute(select(rebuilt.c.cause)).scalars()) == {"missing"}
    lost.engine.dispose()


def test_a_rebuild_that_is_killed_goes_on_and_mends_ledger_and_trackers_once(here: Running, tmp_path: Path) -> None:
    """Harmed are the ledger and the trackers: a zombie's older row, a lost row, an older requisition, back from the changelog.

    One run is killed at four places, each time gone on with; in the end each tracker knows again what it has said.
    """
    with here.tracker(), here.writer():
        assert here.rebuild(tmp_path / "first").differences == 0
    before, harm = here.rows(), damage(here.engine)
    wanted = {*harm.items(), *((one, "tracker") for one in forget(here.settings))}
    shutil.rmtree(here.settings.state_dir / "workers")
    folder = here.settings.state_dir / "rebuild"
    with here.tracker(), here.writer():
        killed(here.settings, "reading", workers=2)
        assert not list(folder.glob("*.result"))
        assert "run it again" in killed(here.settings, "judging", workers=2, exit_code=70)
        kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.result")}
        assert kept, "some partitions need not be read again"
        for point in ("sent", "mended"):
            killed(here.settings, point, workers=2)
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        done = subprocess.run(command(here.settings, "streams", workers=2), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary["mended"] == len(summary["differences"])
        # what no partition alone can tell is looked for anew by each run, and was mended by the one before
        left = {(subject, cause) for subject, cause in wanted if cause != "not_from_facts"}
        assert {(d["subject"], d["cause"]) for d in summary["differences"]} == left
        assert here.rebuild(tmp_path / "again").differences == 0
    after = here.rows()
    assert {key: row for key, row in after.items() if key in before} == before
    with here.engine.connect() as conn:
        mended = Counter(conn.execute(select(rebuilt.c.obligation_id)).scalars())
    assert mended == Counter(key for key in harm if ":" in key), "each is one revision, however often it was sent"
    as_the_facts_give(here)


def as_the_facts_give(here: Running) -> None:
    """Each tracker believes to have said what the facts give."""
    agreement, checked = load_agreement(here.settings.deploy_dir), 0
    with reader(here.settings) as consumer:
        for number in range(PARTITIONS):
            state = TrackerState(consumer, here.settings, number)
            part = Partition(declared(here.settings), number, PARTITIONS)
            state.catch_up()
            topic = here.settings.topic("ats.facts")
            for records in one_partition(here.settings, topic, number, end_of(consumer, topic, number)):
                for record in records:
                    part.take(record.key, record.value)
            for values in part.requisitions.values():
                for subject in judge(values, agreement, part.completeness, part.as_of()):
                    told = {key: mark for key, (mark, _) in state.row(subject.key).published.items() if mark != GONE}
                    given: list[Said | Held] = [*subject.evaluation.said, *subject.evaluation.held]
                    assert told == {one.subject: one.fingerprint for one in given}
                    checked += len(told)
    assert checked > 300, "the tracker believes to have said what the facts give, and the ledger has it"


def command(settings: Settings, module: str, *point: str, workers: int) -> list[str]:
    given = [f"{name}={value}" for name, value in settings.environment().items()]
    words = [sys.executable, "-m", module, *point, "rebuild", "--apply", "--json", "--workers", str(workers)]
    return ["/usr/bin/env", *given, *words]


def killed(settings: Settings, point: str, *, workers: int, exit_code: int = -signal.SIGKILL) -> str:
    """Run it until it is killed there; what it said. None of its processes is left."""
    words = command(settings, "tests.integration.killed_rebuild", point, workers=workers)
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _, said = process.communicate(timeout=60)
    assert process.returncode == exit_code, said
    until(lambda: not alive(process.pid))
    return said


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_tracker_or_a_ledger_that_lags_is_named(here: Running, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with Progress(disable=True) as progress:
        with here.tracker():
            until(lambda: folded(here.settings))
            with pytest.raises(rebuild_partition.Behind, match=r"the ledger has read .*sla.outcomes:\d up to offset 0"):
                rebuild.rebuild(here.settings, folder, progress, workers=1, patience=0)
        here.feed([], MONDAY + 300 * DAY)
        with pytest.raises(rebuild_partition.Behind, match=r"the track worker has folded .*ats.facts:\d up to offset"):
            rebuild.rebuild(here.settings, folder, progress, workers=1, patience=0)


def folded(settings: Settings) -> bool:
    with reader(settings) as consumer:
        ends = [end_of(consumer, settings.topic("ats.facts"), number) for number in range(PARTITIONS)]
        try:
            return [TrackerState(consumer, settings, n).catch_up().offset + 1 for n in range(PARTITIONS)] == ends
        except Unreachable:
            return False


def forget(settings: Settings) -> tuple[str, str, str]:
    """Write into the changelog: a row as it was one fact ago, the end of another, an older requisition; whose they are."""
    changes: dict[bytes, bytes | None] = {}
    with reader(settings) as consumer:
        for number in range(PARTITIONS):
            state = TrackerState(consumer, settings, number)
            state.catch_up()
            rows = [key for key, _ in state.items(b"a\0") if len(state.row(key).facts) > 2]
            own = [key for key, _ in state.items(b"r\0") if len(state.row(key).facts) > 2]
            if len(rows) < 2 or not own:
                continue
            for key in (rows[0], own[0]):
                row = state.row(key)
                row.facts = row.facts[:-1]
                row.published = {}
                Rows(state, changes).save(row)
            changes[rows[1]] = None
            producer = KafkaProducer(bootstrap_servers=settings.brokers)
            for key, value in changes.items():
                producer.send(f"{settings.app_id}-track-state-changelog", value, key=key, partition=number).get(30)
            producer.close()
            return rows[0].split(b"\0")[2].decode(), rows[1].split(b"\0")[2].decode(), own[0].split(b"\0")[1].decode()
    raise AssertionError("no partition has enough rows")
