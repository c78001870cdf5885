"""Real roles as real processes on a real Kafka: start, kill, feed and read them. For tests of what Kafka itself may do to us."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.fact import Fact
from schemas.outcome import ApplicationState, Obligation, Outcome, Progress, outcome_adapter
from streams.process import Process
from streams.settings import ROOT, Settings
from tests.stories import policy_file

HERE = Path(__file__).parent
PARTITIONS = 8


def deploy_folder(folder: Path, accounts: Iterable[str], policy: Mapping[str, Any] | None = None) -> Path:
    """The demo company's policy (`policy` laid over) for the people of the stories, who have an identity in each account."""
    folder.mkdir()
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy_file(policy), sort_keys=False))
    shutil.copy(HERE / "company/calendars.yaml", folder)
    people = yaml.safe_load((HERE / "company/people.yaml").read_text())
    for person in people["people"]:
        for native in [*person.pop("identities", {}).values()]:
            person["identities"] = dict.fromkeys(accounts, native)
    (folder / "people.yaml").write_text(yaml.safe_dump(people))
    sources = yaml.safe_load((ROOT / "deploy/sources.yaml").read_text())
    (one,) = sources["accounts"]
    sources["accounts"] = [{**one, "account": account} for account in accounts]
    (folder / "sources.yaml").write_text(yaml.safe_dump(sources))
    return folder


def start(settings: Settings, *role: str, clock: Path | None = None, environment: Mapping[str, str] | None = None) -> Process:
    """Start `python -m streams ROLE…`; ends with the test at the latest."""
    environment = {**os.environ, **settings.environment(), **(environment or {})}
    if clock is not None:
        environment["MUTUAL_SLA_CLOCK_FILE"] = str(clock)
    name = "-".join(role) + f"-{settings.worker_id}"
    command = [sys.executable, "-m", "streams", *role]
    return Process.spawn(name, command, log=settings.state_dir / "logs" / f"{name}.log", environment=environment)


@contextmanager
def running(
    settings: Settings, *role: str, clock: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    process = start(settings, *role, clock=clock, environment=environment)
    try:
        yield process
    finally:
        process.stop()


class Feeder:
    """Facts, watermarks and ticks into ats.facts, as the normalise worker sends them."""

    def __init__(self, settings: Settings, **producer: Any) -> None:
        self.topic = settings.topic("ats.facts")
        self._producer = KafkaProducer(bootstrap_servers=settings.brokers, linger_ms=20, **producer)

    def facts(self, facts: Iterable[Fact]) -> None:
        sent = [self._producer.send(self.topic, f.to_json(), key=str(f.requisition_id).encode()) for f in facts]
        self._wait(sent)

    def everywhere(self, value: bytes) -> None:
        """To each partition."""
        self._wait([self._producer.send(self.topic, value, partition=p) for p in range(PARTITIONS)])

    def _wait(self, sent: list[Any]) -> None:
        self._producer.flush()
        for one in sent:
            one.get(timeout=30)

    def close(self) -> None:
        self._producer.close()


@dataclass
class Heard:
    """All outcomes of sla.outcomes so far, in order of each partition."""

    settings: Settings
    outcomes: list[Outcome] = field(default_factory=list)
    progress: dict[int, Progress] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=self.settings.brokers, group_id=None)
        topic = self.settings.topic("sla.outcomes")
        self._consumer.assign([TopicPartition(topic, p) for p in range(PARTITIONS)])
        self._consumer.seek_to_beginning()

    def listen(self) -> Heard:
        for records in self._consumer.poll(timeout_ms=100).values():
            for record in records:
                outcome = outcome_adapter.validate_json(record.value)
                assert record.partition == outcome.source_partition
                if isinstance(outcome.body, Progress):
                    self.progress[record.partition] = outcome.body
                else:
                    self.outcomes.append(outcome)
        return self

    def ticked(self, at: Any) -> bool:
        """Whether every partition has been told that it is `at`."""
        self.listen()
        ticks = [p.tick_at for p in self.progress.values()]
        return len(ticks) == PARTITIONS and all(tick is not None and tick >= at for tick in ticks)

    def obligations(self, by: Any = None) -> dict[str, Obligation]:
        """What a reader holds who learned nothing after `by`: of each the outcome with the highest offset."""
        found: dict[str, Outcome] = {}
        for outcome in self.outcomes:
            if isinstance(outcome.body, Obligation) and (by is None or outcome.learned_at <= by):
                held = found.get(outcome.body.obligation_id)
                if held is None or held.source_offset < outcome.source_offset:
                    found[outcome.body.obligation_id] = outcome
        return {key: o.body for key, o in found.items() if isinstance(o.body, Obligation)}

    def repeated(self) -> list[str]:
        """Subjects of which the same was said twice in a row."""
        last: dict[str, str] = {}
        found = []
        for outcome in self.outcomes:
            body = outcome.body
            assert isinstance(body, Obligation | ApplicationState)
            key = body.obligation_id if isinstance(body, Obligation) else body.application_id
            if last.get(key) == body.digest:
                found.append(key)
            last[key] = body.digest
        return found

    def close(self) -> None:
        self._consumer.close()
