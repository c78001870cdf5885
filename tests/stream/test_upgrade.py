"""A release goes on with what the one before left behind: its table, its records, its ledger. What a newer one left is refused.

tests/fixtures/state_v1 was written by the program that kept rows of schema 1 (commit a911ced): facts.jsonl, fed line by line
into its `tests.tracked.Tracked`, gave the table of rows.jsonl and said outcomes.jsonl.
"""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, select, text

from schemas.base import SCHEMA as RECORDS
from schemas.fact import DERIVED_KINDS, FACT_KINDS, Fact, Origin, Tick, Watermark, facts_record
from schemas.outcome import Obligation, Outcome, Progress, Verdict, outcome_adapter
from streams import ledger, ledger_batch, migrations
from streams.errors import InvalidConfiguration
from streams.ledger_database import connect, open_ledger
from streams.ledger_tables import obligation, revision
from streams.normalise import Normaliser
from streams.routing import VERSION
from streams.stages import StageMap
from streams.tracker_rows import META, SCHEMA, UnknownRow
from tests.ledger_samples import deliver, ready
from tests.stories import ACCOUNT
from tests.stream.test_tracker import AGREEMENT, a_fact, agree, evaluated
from tests.tracked import PARTITION, Table, Tracked, subject_of

FIXTURES = Path(__file__).parents[1] / "fixtures/state_v1"
NOW = datetime(2026, 3, 9, 9, tzinfo=UTC)  #: when the old release was stopped
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REVIEW = "review_candidate:acme/r1:a2:1"


def lines(name: str) -> list[bytes]:
    return (FIXTURES / name).read_bytes().splitlines()


def old_records() -> list[Fact | Tick | Watermark]:
    found = [facts_record.validate_json(line) for line in lines("facts.jsonl")]
    return [one for one in found if isinstance(one, Fact | Tick | Watermark)]


def old_outcomes() -> list[Outcome]:
    return [outcome_adapter.validate_json(line) for line in lines("outcomes.jsonl")]


def old_facts() -> list[Fact]:
    return [one for one in old_records() if isinstance(one, Fact)]


def more_facts() -> list[Fact]:
    """One of each requisition, so that everything is judged anew, and the poll's word that a2 was never submitted."""
    (told,) = (f for f in old_facts() if f.application_id == f"{ACCOUNT}/a2" and f.attributes.get("stage") == "manager_review")
    screened = told.model_copy(
        update={"occurred_at_source": Origin.OBJECT, "attributes": {"stage": "screen"}, "received_at": NOW + HOUR}
    )
    second: dict[str, Any] = {"requisition_id": f"{ACCOUNT}/r2", "tenant": "test"}
    return [
        screened,
        a_fact("requisition.intake_held", NOW + HOUR, None, **second),
        a_fact("application.stage_changed", NOW + 2 * HOUR, "a1", tenant="test", attributes={"stage": "debrief"}),
        a_fact("requisition.held", NOW + 3 * HOUR, None, tenant="test"),
        a_fact("application.stage_changed", NOW + 4 * HOUR, "a3", attributes={"stage": "manager_review"}, **second),
    ]


@pytest.fixture
def upgraded() -> Tracked:
    """Today's tracker on the old table, which has heard what the old one said."""
    told = Tracked(AGREEMENT, {ACCOUNT: frozenset(FACT_KINDS) - frozenset(DERIVED_KINDS)})
    for line in lines("rows.jsonl"):
        row = {name: base64.b64decode(value) for name, value in orjson.loads(line).items()}
        told.table.rows[row["key"]] = row["value"]
    told.outcomes, told.next_offset = old_outcomes(), len(old_records())
    told.restart()
    return told


def test_the_old_table_is_one_of_schema_1_and_its_deadlines_are_found(upgraded: Tracked) -> None:
    assert orjson.loads(upgraded.table.rows[META])["schema"] == 1
    assert len(upgraded.table.rows) == 9
    due = upgraded.tracker.partitions[PARTITION].next_due()
    assert due is not None
    assert due > NOW, "what the old release waited for"


def test_what_follows_on_old_rows_is_what_all_the_facts_say(upgraded: Tracked) -> None:
    upgraded.feed(*more_facts())
    upgraded.tick(NOW + 20 * DAY)
    marks = [one for one in old_records() if isinstance(one, Watermark)]
    agree(upgraded, evaluated([*old_facts(), *more_facts()], NOW + 20 * DAY, marks))
    verdicts = {o.verdict for o in upgraded.obligations().values()}
    assert {Verdict.MET, Verdict.OVERDUE, Verdict.CANCELLED} <= verdicts
    assert upgraded.obligations()["review_candidate:acme/r2:a3:1"].reason != "no longer applies", "it applies again"


def test_an_obligation_is_cancelled_from_what_schema_1_kept_of_it(upgraded: Tracked) -> None:
    before = upgraded.obligations()[REVIEW]
    assert before.verdict == Verdict.OVERDUE
    upgraded.feed(*more_facts())
    after = upgraded.obligations()[REVIEW]
    assert (after.verdict, after.reason) == (Verdict.CANCELLED, "no longer applies")
    for name in ("owner", "team", "requisition_id", "application_id", "started_at", "deadline"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.receipt.policy_version == before.receipt.policy_version


def test_rows_are_written_again_as_of_today(upgraded: Tracked) -> None:
    upgraded.feed(*more_facts())
    applications = [value for key, value in upgraded.table.rows.items() if key.startswith((b"a\0", b"r\0"))]
    assert len(applications) == 5
    assert {orjson.loads(value.split(b"\n")[0])[0] for value in applications} == {SCHEMA}
    assert orjson.loads(upgraded.table.rows[META])["schema"] == SCHEMA
    upgraded.restart()
    said = len(upgraded.outcomes)
    upgraded.feed(*more_facts())  # read again after a crash: nothing is said twice
    news = [subject_of(one) for one in upgraded.outcomes[said:] if isinstance(one.body, Obligation)]
    assert not news


def test_old_facts_and_outcomes_are_read(tmp_path: Path) -> None:
    assert len(old_records()) == len(lines("facts.jsonl")), "every line is a record of today"
    engine = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ready(engine)
    tally = deliver(engine, old_outcomes(), PARTITION)
    superseded = sum(isinstance(one.body, Progress) for one in old_outcomes()) - 1  # of one batch the last counts
    assert tally == {"applied": len(old_outcomes()) - superseded}
    told = {subject_of(o): o.body for o in old_outcomes() if isinstance(o.body, Obligation)}
    assert current(engine) == {key: (body.verdict.value, body.digest) for key, body in told.items()}
    engine.dispose()


def test_the_ledger_goes_on_from_the_old_outcomes_to_the_new(upgraded: Tracked, tmp_path: Path) -> None:
    engine = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ready(engine)
    upgraded.feed(*more_facts())
    upgraded.tick(NOW + 20 * DAY)
    tally = deliver(engine, upgraded.outcomes, PARTITION)
    assert set(tally) <= {"applied", "unchanged"}, tally
    assert current(engine) == {key: (o.verdict.value, o.digest) for key, o in upgraded.obligations().items()}
    engine.dispose()


def current(engine: Engine) -> dict[str, tuple[str, str]]:
    with ledger.snapshot(engine) as conn:
        rows = conn.execute(select(obligation.c.obligation_id, obligation.c.verdict, obligation.c.digest))
        return {key: (verdict, digest) for key, verdict, digest in rows}


# -- the ledger's tables -----------------------------------------------------------------------------------------------


@pytest.fixture
def old_ledger(tmp_path: Path) -> str:
    """A ledger of revision 0001 with the first outcome of one obligation in it, as its writer left it."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = connect(url)
    migrations.upgrade(engine, "0001")
    first = next(one for one in old_outcomes() if subject_of(one) == REVIEW)
    assert isinstance(first.body, Obligation)
    body = first.body.model_dump(mode="json", exclude={"type"})
    row = {name: _stored(value) for name, value in body.items()}
    row |= {"learned_at": _stored(first.learned_at.isoformat()), "source_partition": PARTITION, "digest": first.body.digest}
    row |= {"source_offset": first.source_offset, "revision_no": 1}
    with engine.begin() as conn:
        for table in ("obligation", "revision"):
            columns = [name for (_, name, *_) in conn.execute(text(f"PRAGMA table_info({table})")) if name in row]
            values = ", ".join(f":{name}" for name in columns)
            conn.execute(text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"), row)
        positions = [{"p": number, "n": 7 if number == PARTITION else 0} for number in range(4)]
        conn.execute(text("INSERT INTO consumer_position VALUES ('sla.outcomes', :p, :n, 'topic-id')"), positions)
        conn.execute(text("INSERT INTO statement VALUES ('2026-02', 'abc', '2026-03-01T00:00:00.000000+00:00', '{}')"))
    engine.dispose()
    return url


def _stored(value: object) -> object:
    """As SQLite keeps it: instants as text in UTC with microseconds, objects as JSON."""
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":
        return datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="microseconds")
    return value


def test_an_old_ledger_is_brought_up_to_date_with_its_rows(old_ledger: str) -> None:
    engine = open_ledger(old_ledger)
    with ledger.snapshot(engine) as conn:
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == migrations.head()
        row = ledger.find_obligation(conn, REVIEW)
        assert ledger.positions(conn)["sla.outcomes", PARTITION] == 7
        assert conn.execute(text("SELECT period FROM statement")).scalars().all() == ["2026-02"]
    first = next(one for one in old_outcomes() if subject_of(one) == REVIEW)
    assert isinstance(first.body, Obligation)
    assert row is not None
    assert (row["verdict"], row["deadline"], row["learned_at"]) == ("open", first.body.deadline, first.learned_at)
    last = [one for one in old_outcomes() if subject_of(one) == REVIEW][-1]
    assert deliver(engine, [first, last], PARTITION) == {"stale": 1, "applied": 1}, "the writer goes on behind what is there"
    with ledger.snapshot(engine) as conn:
        numbers = conn.execute(select(revision.c.revision_no, revision.c.verdict).order_by(revision.c.revision_no)).all()
    assert [tuple(row) for row in numbers] == [(1, "open"), (2, "overdue")]
    engine.dispose()


# -- what a newer release left -------------------------------------------------------------------------------------------


def test_a_ledger_of_a_newer_release_is_refused_and_left_alone(old_ledger: str) -> None:
    engine = connect(old_ledger)
    with engine.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidConfiguration, match=r"9999.*none after 0003.*install the release that wrote it"):
        open_ledger(old_ledger)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()


def test_a_newer_row_is_refused_whatever_its_header_looks_like(upgraded: Tracked) -> None:
    key = next(key for key in upgraded.table.rows if key.startswith(b"a\0"))
    upgraded.table.rows[key] = orjson.dumps([SCHEMA + 1, {"of": "another shape"}]) + b"\nrest"
    with pytest.raises(UnknownRow, match=rf"schema {SCHEMA + 1}.*install the release that wrote it"):
        upgraded.restart()
    with pytest.raises(UnknownRow, match="install the release that wrote it"):
        upgraded.feed(*more_facts())


def test_links_of_a_newer_release_are_refused() -> None:
    normaliser, table = Normaliser(StageMap(), "ats.facts", "ats.rejected", 4), Table()
    table.rows[b"parked"] = b"3"
    asyncio.run(normaliser.recovered(0, table))
    table.rows[VERSION] = b"2"
    with pytest.raises(UnknownRow, match=r"schema 2.*install the release that wrote it"):
        asyncio.run(normaliser.recovered(0, table))


def test_a_fact_of_a_newer_schema_stops_the_tracker_and_is_no_dead_letter() -> None:
    newer = orjson.dumps({"type": f"fact/{RECORDS + 1}", "requisition_id": f"{ACCOUNT}/r1", "anything": "new"})
    told = Tracked(AGREEMENT)
    with pytest.raises(UnknownRow, match=rf"a record of \S*ats.facts is of schema {RECORDS + 1}; .*that wrote it"):
        told.feed(newer)
    assert not told.reasons


def test_an_outcome_of_a_newer_schema_stops_the_ledger_writer_and_is_no_dead_letter() -> None:
    newer = orjson.dumps({"outcome_id": "x", "body": {"type": f"obligation/{RECORDS + 1}"}})
    with pytest.raises(UnknownRow, match=rf"a record of sla.outcomes is of schema {RECORDS + 1}"):
        ledger_batch.decode([ledger_batch.Record("sla.outcomes", 0, 0, 0, newer)], {("sla.outcomes", 0): 0})
