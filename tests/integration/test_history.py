"""History into a real Kafka and out of it: import, renormalise, forget, each followed by the real step over what is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from schemas.fact import Fact, Tick
from schemas.raw import RawHeaders, Rejected
from streams import forget, imports, rejected, renormalise
from streams import topics as topics_module
from streams.agreement import Agreement
from streams.check import load_agreement
from streams.clock import SystemClock
from streams.connectors.greenhouse import GREENHOUSE
from streams.errors import Unreachable
from streams.normalise import Normaliser
from streams.raw_copies import pointer
from streams.settings import ROOT, Settings
from tests.greenhouse import BODIES, RECEIVED, STAGES, headers
from tests.tracked import Tracked
from tests.whole_topics import whole

pytestmark = pytest.mark.kafka

NOW = datetime(2026, 6, 2, 8, tzinfo=UTC)


class At:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def settings(topics: Callable[..., Settings], tmp_path: Path) -> Settings:
    """A corner of the cluster, with one account and no other in its sources."""
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    (deploy / "stages.yaml").write_text((ROOT / "deploy/stages.yaml").read_text())
    (deploy / "sources.yaml").write_text("tenant: acme\naccounts: [{account: greenhouse, system: greenhouse, polled: [jobs]}]\n")
    return topics(deploy_dir=deploy)


def put(settings: Settings, bodies: list[tuple[bytes, RawHeaders]]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for body, raw in bodies:
        at = int(raw.received_at.timestamp() * 1000)
        key = raw.account.encode()
        producer.send(settings.topic("ats.raw"), key=key, value=body, headers=raw.to_kafka(), timestamp_ms=at)
    producer.close()


class Normalised:
    """The normalise worker's step over `ats.raw`, once for each record however often `read` is called."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: dict[bytes, bytes] = {}
        self.read_until: dict[int, int] = {}
        self.letters: list[Rejected] = []

    def __call__(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Any:
        yield from sorted((k, v) for k, v in self.rows.items() if k.startswith(prefix) and k >= start)

    def read(self, connector: Any = GREENHOUSE) -> list[Fact]:
        """Facts of what came since the last call; watermarks and dead letters are kept apart. Commits as the worker does."""
        step = Normaliser(STAGES, "ats.facts", "ats.rejected", 1, {"greenhouse": connector})
        everything = whole(self.settings, self.settings.topic("ats.raw"))
        records = [record for record in everything if record.offset >= self.read_until.get(record.partition, 0)]
        found = step(0, records, self)
        for key, value in found.changes.items():
            assert value is not None
            self.rows[key] = value
        for record in records:
            self.read_until[record.partition] = record.offset + 1
        self._commit()
        self.letters += [Rejected.model_validate_json(m.value or b"") for m in found.messages if m.topic == "ats.rejected"]
        said = [json.loads(m.value or b"") for m in found.messages if m.topic == "ats.facts"]
        self.watermarks = [one for one in said if one["type"] == "watermark"]
        return [Fact.model_validate(one) for one in said if one["type"] == "fact"]

    def _commit(self) -> None:
        topic = self.settings.topic("ats.raw")
        consumer = KafkaConsumer(bootstrap_servers=self.settings.brokers, group_id=f"{self.settings.app_id}-normalise")
        places = {TopicPartition(topic, number): OffsetAndMetadata(end, "", -1) for number, end in self.read_until.items()}
        consumer.assign(list(places))
        consumer.commit(places)
        consumer.close()


class Deaf:
    """Greenhouse before it was mended: it cannot read scorecards."""

    def __getattr__(self, name: str) -> Any:
        return getattr(GREENHOUSE, name)

    def normalise(self, raw: RawHeaders, body: bytes, mapping: Any) -> list[Fact]:
        return [] if raw.record_type == "scorecards" else GREENHOUSE.normalise(raw, body, mapping)


# -- import --------------------------------------------------------------------------------------------------------------


def history(path: Path, count: int) -> Path:
    line = {"kind": "application.created", "occurred_at": "2026-03-02T09:00:00Z", "requisition_id": "greenhouse/1"}
    path.write_text("".join(json.dumps({**line, "application_id": f"greenhouse/{n}"}) + "\n" for n in range(count)))
    return path


def test_an_import_broken_off_goes_on_and_nothing_is_there_twice(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = history(tmp_path / "history.jsonl", 250)
    monkeypatch.setattr(imports, "TOGETHER", 100)
    note = imports._Position.note

    def breaks(self: Any, sent: int, last: Any) -> None:
        if sent == 200:
            raise KeyboardInterrupt  # 200 are acknowledged, 100 are noted
        note(self, sent, last)

    monkeypatch.setattr(imports._Position, "note", breaks)
    with pytest.raises(KeyboardInterrupt):
        imports.run(settings, [path], At(), mapping=None, account=None)
    monkeypatch.setattr(imports._Position, "note", note)
    [done] = imports.run(settings, [path], At(), mapping=None, account=None)
    assert (done.facts, done.sent) == (250, 150)
    normalised = Normalised(settings)
    facts = normalised.read()
    assert len(whole(settings, settings.topic("ats.raw"))) == 350
    assert sorted(fact.application_id or "" for fact in facts) == sorted(f"greenhouse/{n}" for n in range(250))
    assert all(fact.backfill and fact.received_at == NOW for fact in facts)
    assert normalised.letters == []
    [again] = imports.run(settings, [path], At(), mapping=None, account=None)
    assert again.sent == 0
    assert normalised.read() == []


def test_topics_that_were_made_anew_are_given_everything_again(
    settings: Settings, topics: Callable[..., Settings], tmp_path: Path
) -> None:
    """How one begins again from the ledger alone (docs/operations.md): the same files and state directory, another Kafka."""
    path = history(tmp_path / "history.jsonl", 30)
    imports.run(settings, [path], At(), mapping=None, account=None)
    anew = replace(topics(deploy_dir=settings.deploy_dir), state_dir=settings.state_dir)
    [done] = imports.run(anew, [path], At(), mapping=None, account=None)
    assert done.sent == 30
    assert Normalised(anew).read() == Normalised(settings).read()


def test_what_an_older_copy_of_kafka_has_lost_is_sent_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = history(tmp_path / "history.jsonl", 30)
    [done] = imports.run(settings, [path], At(), mapping=None, account=None)
    [again] = imports.run(settings, [path], At(), mapping=None, account=None)
    assert (done.sent, again.sent) == (30, 0)
    with monkeypatch.context() as restored:
        restored.setattr(imports, "_end_of", lambda *_: 29)
        [after] = imports.run(settings, [path], At(), mapping=None, account=None)
    assert after.sent == 30
    assert len(Normalised(settings).read()) == 30


def test_an_import_on_a_machine_whose_clock_is_ahead_says_so_and_goes_on_once_it_is_right(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = history(tmp_path / "history.jsonl", 30)
    with monkeypatch.context() as wrong:
        wrong.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(hours=2))
        with pytest.raises(Unreachable, match="this machine's clock is an hour ahead"):
            imports.run(settings, [path], SystemClock(), mapping=None, account=None)
    [done] = imports.run(settings, [path], SystemClock(), mapping=None, account=None)
    assert done.sent == 30


def test_a_file_with_one_bad_line_is_not_imported_at_all(settings: Settings, tmp_path: Path) -> None:
    path = history(tmp_path / "history.jsonl", 30)
    with path.open("a") as file:
        file.write('{"kind": "application.hired", "occurred_at": "05/04/2026", "application_id": "greenhouse/1"}\n' * 25)
    with pytest.raises(imports.InvalidFile) as caught:
        imports.run(settings, [path], At(), mapping=None, account=None)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}:31: ambiguous_date: occurred_at: is the month or the day first?")
    assert lines[-2:] == ["and 5 more", f"nothing of {path} was imported"]
    assert caught.value.exit_code == 65
    assert whole(settings, settings.topic("ats.raw")) == []


# -- renormalise -----------------------------------------------------------------------------------------------------------


def everything() -> list[tuple[bytes, RawHeaders]]:
    names = [f"webhook.{name}" for name in ("new_candidate_application", "candidate_stage_change")]
    names += ["record.scheduled_interviews", "record.scorecards"]
    bodies = [(json.dumps(BODIES[name]).encode(), headers(name, request_id=name)) for name in names]
    mark = json.dumps({"record_type": "scorecards", "complete_until": RECEIVED.isoformat()}).encode()
    return [*bodies, (b"{", headers("webhook.x")), (mark, headers("record.scorecards", channel="watermark"))]


def tracked(facts: list[Fact], more: list[Fact]) -> Tracked:
    """The tracker after `facts`, a tick, and then `more`."""
    agreement: Agreement = load_agreement(ROOT / "deploy")
    state = Tracked(agreement)
    state.feed(*facts)
    state.tick(NOW)
    state.feed(*more, Tick(at=NOW))
    return state


def test_after_a_connector_was_mended_new_facts_appear_and_nothing_doubles(settings: Settings) -> None:
    put(settings, everything())
    normalised = Normalised(settings)
    before = normalised.read(Deaf())
    assert "scorecard.submitted" not in {fact.kind for fact in before}
    [letter] = normalised.letters
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    producer.send(settings.topic("ats.rejected"), key=letter.pointer.encode(), value=letter.model_dump_json().encode())
    producer.close()

    assert renormalise.run(settings, RECEIVED, At()) == 5
    after = normalised.read()
    assert [fact.kind for fact in after] == ["scorecard.submitted"]
    assert after[0].backfill and after[0].received_at == RECEIVED
    assert normalised.watermarks == []
    assert [one.retried_at for one in rejected.read(settings)] == [NOW]

    fresh = Normalised(settings)
    fresh.read_until = {}
    direct = {fact.fact_id for fact in fresh.read()}
    assert direct == {fact.fact_id for fact in [*before, *after]}  # the ids they would always have had
    once, twice = tracked(before, after), tracked(before, [*after, *before, *after])
    assert once.current() == twice.current()

    assert renormalise.run(settings, RECEIVED, At()) == 5  # copies of copies are told
    assert normalised.read() == []
    assert renormalise.run(settings, NOW, At()) == 0
    assert renormalise.run(settings, RECEIVED, At(), account="another") == 0


def test_a_body_that_nothing_mends_is_one_dead_letter_however_often_it_is_renormalised(settings: Settings) -> None:
    """Run again after a kill as well: what the first run copied is a dead letter of its own by then."""
    put(settings, [(b"{", headers("webhook.x"))])
    normalised = Normalised(settings)
    for _ in range(3):
        normalised.read()
        tell_letters(normalised)
        renormalise.run(settings, RECEIVED, At())
    normalised.read()
    tell_letters(normalised)
    assert len(normalised.letters) == 4
    assert [one.retried_at for one in rejected.read(settings)] == [NOW, NOW, NOW, None]


def tell_letters(normalised: Normalised) -> None:
    """To ats.rejected, as the worker does."""
    settings = normalised.settings
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for letter in normalised.letters:
        producer.send(settings.topic("ats.rejected"), key=letter.pointer.encode(), value=letter.model_dump_json().encode())
    producer.close()


# -- forget ----------------------------------------------------------------------------------------------------------------

NAME = b"Zuleika"


def with_name(name: str, first_name: bytes = NAME) -> tuple[bytes, RawHeaders]:
    body = json.dumps(BODIES[name] | {"seen_by": f"{first_name.decode()} Ombrage"})
    return body.encode(), headers(name, request_id=name)


def candidate() -> str:
    body = BODIES["webhook.new_candidate_application"]["payload"]["application"]
    return str(body["candidate"]["id"])


def test_forget_leaves_no_byte_of_them_and_the_others_as_they_were(settings: Settings) -> None:
    names = ("webhook.new_candidate_application", "record.scorecards", "record.scheduled_interviews")
    theirs = [with_name(name) for name in names]
    theirs.append((b'{"broken": "%s", "candidate": {"id": %s' % (NAME, candidate().encode()), headers("webhook.x")))
    unknown = {"action": "x", "payload": {"person_id": candidate(), "n": NAME.decode()}}
    theirs.append((json.dumps(unknown).encode(), headers("webhook.x")))
    others = [with_name("record.jobs", b"Job"), (b"{", headers("webhook.x")), everything()[-1]]
    other = json.dumps(BODIES["webhook.new_candidate_application"])
    for old, new in ((candidate(), "990001"), (str(application()), "990002"), (NAME.decode(), "Berenice")):
        other = other.replace(old, new)
    others.append((other.encode(), headers("webhook.new_candidate_application")))
    put(settings, [theirs[0], others[0], *theirs[1:3], *others[1:], *theirs[3:]])
    normalised = Normalised(settings)
    facts = normalised.read()
    before = {r.value: list(r.headers) for r in whole(settings, settings.topic("ats.raw"))}

    assert forget.run(settings, f"greenhouse/{candidate()}", At()) == 5
    left = whole(settings, settings.topic("ats.raw"))
    assert all(NAME not in (record.value or b"") for record in left)
    kept = [record for record in left if record.value in before]
    assert [record.value for record in kept] == [body for body, _ in others]  # in their order, to the byte
    assert all(list(record.headers) == before[record.value] for record in kept)
    assert len(left) == len(others) + 1  # and the erasure, by opaque id
    assert normalised.read() == []
    assert normalised.watermarks == []
    assert tracked(facts, []).current() == tracked(facts, facts).current()
    with closing(KafkaConsumer(bootstrap_servers=settings.brokers)) as consumer:
        every = consumer.topics()
    for topic in every:
        if topic.startswith(settings.topic_prefix):
            assert not [r for r in whole(settings, topic) if NAME in (r.value or b"") + (r.key or b"") + repr(r.headers).encode()]

    assert forget.run(settings, f"greenhouse/{candidate()}", At()) == 0
    assert len(whole(settings, settings.topic("ats.raw"))) == len(left)


def test_forget_killed_while_it_deletes_is_finished_by_the_next_and_leaves_no_dead_letter_of_a_body_that_is_gone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, [with_name("webhook.new_candidate_application"), (b"{", headers("webhook.x"))])
    normalised = Normalised(settings)

    class Killed(BaseException):
        pass

    class Dies:
        """The admin client of a process that is killed just after the broker has deleted."""

        def __init__(self, client: Any) -> None:
            self.client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self.client, name)

        def delete_records(self, *arguments: Any) -> None:
            self.client.delete_records(*arguments)
            raise Killed

    @contextmanager
    def dies(settings: Settings) -> Iterator[Any]:
        with admin(settings) as client:
            yield Dies(client)

    admin = topics_module.admin
    normalised.read()
    tell_letters(normalised)
    with monkeypatch.context() as death:
        death.setattr(topics_module, "admin", dies)
        with pytest.raises(Killed):
            forget.run(settings, f"greenhouse/{candidate()}", At())
    normalised.read()
    tell_letters(normalised)
    assert forget.run(settings, f"greenhouse/{candidate()}", At()) == 0
    [waits] = [one for one in rejected.read(settings) if one.retried_at is None]
    assert waits.pointer in {pointer(record) for record in whole(settings, settings.topic("ats.raw"))}


def application() -> int:
    return int(BODIES["webhook.new_candidate_application"]["payload"]["application"]["id"])


def test_what_normalise_has_not_read_is_not_erased(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    put(settings, everything())
    monkeypatch.setattr(forget, "WAIT_SECONDS", 1.0)
    with pytest.raises(Unreachable, match="normalise has 6 bodies"):
        forget.run(settings, f"greenhouse/{candidate()}", At())
    assert len(whole(settings, settings.topic("ats.raw"))) == 6


def test_a_candidate_of_no_account_is_refused(settings: Settings) -> None:
    for wrong in ("57683957", "lever/57683957", "greenhouse/"):
        with pytest.raises(Exception, match="account/native-id"):
            forget.run(replace(settings), wrong, At())
