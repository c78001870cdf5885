"""`mutual-sla up` with an account at every vendor, polled and told by webhook, through one week of hiring.

Real gateway, poller, normalise, track and ledger as `up` starts them, on a real Kafka; the vendors' APIs are honest fakes behind
real HTTP. One clock file moves all processes through the week.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import select

from schemas.fact import Fact, facts_record
from streams import run_state, supervisor, topics
from streams.clock import FileClock
from streams.ledger_database import open_ledger
from streams.ledger_tables import consumer_position, obligation
from streams.settings import ROOT, Settings
from tests.fake_harvest import serving
from tests.waiting import until
from tests.weeks import WEEKS
from tests.weeks.week import END, MINUTE, MOMENTS, Handler, Week
from tests.whole_topics import whole
from tests.workers import deploy_folder

NAMES = [f"{week.__name__.lower()}" for week in WEEKS]
SUCCESS = re.compile(r'^mutual_sla_poll_last_success_timestamp_seconds\{account="([^"]+)",record_type="([^"]+)"\} (\S+)$', re.M)


@dataclass
class Pipeline:
    """The run, its weeks by account, and the clock of it all."""

    settings: Settings
    environment: dict[str, str]
    weeks: dict[str, Week]
    clock: FileClock
    still: threading.Lock  #: held while a vendor answers

    def command(self, *arguments: str) -> str:
        """`mutual-sla …` as its user runs it; its output, errors included."""
        words = [sys.executable, "-m", "streams", *arguments, "--state-dir", str(self.settings.state_dir)]
        done = subprocess.run(words, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def poller_metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.settings.poller_metrics_port}/metrics", trust_env=False).text

    def polled(self) -> dict[tuple[str, str], float]:
        """(account, record type) -> when its last good poll began."""
        return {(account, kind): float(value) for account, kind, value in SUCCESS.findall(self.poller_metrics())}

    def until_polled(self, since: datetime) -> None:
        wanted = {(week.account, kind) for week in self.weeks.values() for kind in week.polled}

        def done() -> bool:
            found = self.polled()
            return all(found.get(one, 0.0) >= since.timestamp() for one in wanted)

        until(done, why=lambda: str({one for one in wanted if self.polled().get(one, 0.0) < since.timestamp()}))

    def happen(self, moment: str) -> None:
        """It happens everywhere a minute before it is `clock`'s time again: in the vendors' APIs, then by their webhooks."""
        with self.still:  # no poll sees half of it, or sees it before its time
            told = [(week, signed) for week in self.weeks.values() for signed in week.tell(moment)]
            self.clock.set(MOMENTS[moment] + MINUTE)
        for week, (headers, body) in told:
            url = f"http://127.0.0.1:{self.settings.gateway_port}/webhooks/{week.system}/{week.account}"
            answer = httpx.post(url, content=body, headers={**headers, "content-type": "application/json"}, trust_env=False)
            assert answer.is_success, (week.account, moment, answer.text)

    def records(self, topic: str) -> list[Any]:
        """Everything in a topic."""
        return whole(self.settings, topic)

    def facts(self) -> list[Fact]:
        told = [facts_record.validate_json(record.value) for record in self.records(self.settings.topic("ats.facts"))]
        return [one for one in told if isinstance(one, Fact)]

    def settle(self) -> None:
        """Wait until what is in the log now has come to its end: the pollers go on writing marks, and time goes on."""
        for role, topic in (("normalise", "ats.raw"), ("track", "ats.facts"), ("ledger", "sla.outcomes")):
            ends = self._ends(topic)
            until(lambda ends=ends, role=role: all(self._read(role).get(p, 0) >= end for p, end in ends.items()))  # type: ignore[misc]

    def _ends(self, topic: str) -> dict[TopicPartition, int]:
        consumer = KafkaConsumer(bootstrap_servers=self.settings.brokers, group_id=None)
        places = [
            TopicPartition(self.settings.topic(topic), n) for n in consumer.partitions_for_topic(self.settings.topic(topic))
        ]
        ends: dict[TopicPartition, int] = consumer.end_offsets(places)
        consumer.close()
        return ends

    def _read(self, role: str) -> dict[TopicPartition, int]:
        """How far a role has come."""
        if role == "ledger":
            places = self.ledger(consumer_position).values()
            return {TopicPartition(row.topic, row.partition): row.next_offset for row in places}
        with topics.admin(self.settings) as client:
            group = f"{self.settings.app_id}-{role}"
            return {place: found.offset for place, found in client.list_group_offsets([group]).get(group, {}).items()}

    def ledger(self, table: Any = obligation) -> dict[Any, Any]:
        """Rows by primary key."""
        engine = open_ledger(self.settings.ledger)
        try:
            with engine.connect() as connection:
                return {tuple(row._mapping[c.name] for c in table.primary_key): row for row in connection.execute(select(table))}
        finally:
            engine.dispose()


def deploy(folder: Path, weeks: dict[str, Week], origins: dict[str, str]) -> Path:
    """The demo's agreement, the stories' people, and these accounts."""
    deploy_folder(folder, list(weeks))
    shutil.copy(ROOT / "deploy/stages.yaml", folder)
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(ROOT / "deploy" / name, folder / name)
    sources = yaml.safe_load((folder / "sources.yaml").read_text())
    sources["accounts"] = [week.source(origins.get(week.account, "")) for week in weeks.values()]
    (folder / "sources.yaml").write_text(yaml.safe_dump(sources))
    return folder


@contextmanager
def lived_week(kafka: str, folder: Path) -> Iterator[Pipeline]:
    """Everything up on the Kafka node, with the week told to its end and in the ledger."""
    clock = FileClock(folder / "clock")
    clock.set(MOMENTS["opened"] - timedelta(hours=1))
    weeks, still = {name: week(name) for name, week in zip(NAMES, WEEKS, strict=True)}, threading.Lock()
    with ExitStack() as stack:
        origins = {}
        for week in weeks.values():
            if (handler := week.handler()) is not None:
                origins[week.account] = stack.enter_context(serving(_one_at_a_time(handler, still)))
                week.moved_to(origins[week.account])
        own = f"w{uuid.uuid4().hex[:8]}"
        settings = Settings(
            brokers=kafka,
            topic_prefix=f"{own}.",
            app_id=own,
            state_dir=folder / "state",
            deploy_dir=deploy(folder / "deploy", weeks, origins),
            tick_seconds=1.0,
        )
        secrets = {"WEEK_TOKEN": "token-of-the-week", "WEEK_CLIENT": "client"}
        secrets |= {week.source("")["webhook_secrets"][0]["env"]: week.secret.decode() for week in weeks.values()}
        tokens = yaml.safe_load((settings.deploy_dir / "sources.yaml").read_text())["tokens"]
        secrets |= {token["token"]["env"]: f"{token['identity']}-token-of-the-week" for token in tokens}
        environment = {**os.environ, **settings.environment(), **secrets, "MUTUAL_SLA_CLOCK_FILE": str(clock.path)}
        made = Pipeline(settings, environment, weeks, clock, still)
        stack.callback(supervisor.stop, settings)
        made.command("up", "--detach")
        state = run_state.read(settings.state_dir)
        assert state is not None
        made.settings = replace(settings, **state.ports)  # type: ignore[arg-type]
        _live_the_week(made)
        yield made


def _one_at_a_time(handler: Handler, lock: threading.Lock) -> Handler:
    def answer(request: httpx.Request) -> httpx.Response:
        with lock:
            return handler(request)

    return answer


def _live_the_week(pipeline: Pipeline) -> None:
    for moment, when in MOMENTS.items():
        pipeline.clock.set(when - MINUTE)  # a last look before it happens
        pipeline.until_polled(when - MINUTE)
        pipeline.happen(moment)
        pipeline.until_polled(when + MINUTE)
    pipeline.clock.set(END)
    pipeline.until_polled(END)
    expected = [one for week in pipeline.weeks.values() for one in week.obligations().values()]

    def met() -> bool:
        rows = pipeline.ledger()
        return all((one,) in rows and rows[one,].verdict == "met" for one in expected)

    def missing() -> str:
        rows = pipeline.ledger()
        return str({one: rows[one,].verdict if (one,) in rows else sorted(rows) for one in expected})

    until(met, why=missing)
