"""The track worker as a real process on a real Kafka: all stories, deadlines by its own ticks, a second worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from schemas.fact import Fact, Watermark
from schemas.outcome import Obligation, Verdict
from streams import ports
from streams.check import load_agreement
from streams.clock import FileClock
from streams.obligations import evaluate
from streams.settings import Settings
from tests.conftest import MakeTopics
from tests.hiring import hiring
from tests.stories import ACCOUNT, Story, compare, stories
from tests.waiting import until
from tests.workers import Feeder, Heard, deploy_folder, running, start

pytestmark = pytest.mark.kafka

CODECS = ("lz4", "zstd", "snappy", "gzip")
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def make(
    topics: MakeTopics, tmp_path: Path, accounts: Iterable[str], policy: Mapping[str, Any] | None = None, **more: object
) -> tuple[Settings, FileClock]:
    folder = deploy_folder(tmp_path / "deploy", list(accounts), policy)
    settings = topics(deploy_dir=folder, track_metrics_port=ports.free(), tick_seconds=1.0, **more)
    return settings, FileClock(tmp_path / "clock")


class Retold:
    """A story in an account of its own, so that all of them run side by side."""

    def __init__(self, story: Story, number: int) -> None:
        self.story, self.account = story, f"story{number:02}"
        self.left = [
            Fact.model_validate_json(fact.to_json().replace(b'"%s' % ACCOUNT.encode(), b'"%s' % self.account.encode()))
            for fact in story.facts
        ]
        self.watermarks = [
            mark.model_copy(update={"account": self.account, "received_at": min(f.received_at for f in story.facts)})
            for mark in story.watermarks
        ]

    def known(self, by: datetime) -> list[Fact]:
        """Facts received by then that were not asked for yet."""
        found = [fact for fact in self.left if fact.received_at <= by]
        self.left = [fact for fact in self.left if fact.received_at > by]
        return found

    def check(self, heard: Heard) -> int:
        for expectation in self.story.expectations:
            said = {
                key.replace(f":{self.account}/", f":{ACCOUNT}/"): o
                for key, o in heard.obligations(expectation.as_of).items()
                if o.requisition_id.startswith(f"{self.account}/") and o.reason != "no longer applies"
            }
            compare(self.story, expectation, said)
        return len(self.story.expectations)


def groups() -> Iterator[Any]:
    """Stories that one policy can be laid over: all but those that change an enabled stanza in different ways."""
    found: dict[str, list[Story]] = {}
    for story in stories():
        changed = {name: changes for name, changes in story.policy.items() if not changes.get("enabled")}
        found.setdefault(str(changed or ""), []).append(story)
    for together in found.values():
        yield pytest.param(together, id=f"{len(together)}-{together[0].name}")


@pytest.mark.parametrize("together", list(groups()))
def test_every_story_through_real_kafka_in_every_compression(together: list[Story], topics: MakeTopics, tmp_path: Path) -> None:
    retold = [Retold(story, number) for number, story in enumerate(together)]
    policy = {name: changes for story in together for name, changes in story.policy.items()}
    settings, clock = make(topics, tmp_path, [one.account for one in retold], policy)
    feeders = [Feeder(settings, compression_type=codec) for codec in CODECS]
    instants = sorted({e.as_of for one in retold for e in one.story.expectations})
    clock.set(min(fact.received_at for one in retold for fact in one.left) - DAY)
    heard = Heard(settings)
    for mark in (mark for one in retold for mark in one.watermarks):
        feeders[0].everywhere(mark.model_copy(update={"received_at": clock.now()}).model_dump_json().encode())
    with running(settings, "worker", "track", clock=clock.path) as worker:
        for number, as_of in enumerate(instants):
            feeders[number % len(feeders)].facts(fact for one in retold for fact in one.known(as_of))
            clock.set(as_of)
            until(lambda as_of=as_of: heard.ticked(as_of), worker)  # type: ignore[misc]
    assert worker.exit_code == 0
    assert sum(one.check(heard) for one in retold) >= len(instants)
    assert heard.repeated() == []
    heard.close()
    for feeder in feeders:
        feeder.close()


def test_a_deadline_passes_by_the_workers_own_ticks(topics: MakeTopics, tmp_path: Path) -> None:
    settings, clock = make(topics, tmp_path, [ACCOUNT])
    facts = hiring(requisitions=1, applications=9, start=MONDAY, seed=1)
    submitted = next(at for at, fact in enumerate(facts) if fact.attributes.get("stage") == "manager_review")
    facts = facts[: submitted + 1]
    clock.set(facts[-1].received_at)
    feeder, heard = Feeder(settings), Heard(settings)
    mark = Watermark(
        account=ACCOUNT,
        kinds=("application.rejected", "application.stage_changed"),
        complete_until=MONDAY + 90 * DAY,
        received_at=MONDAY,
    )
    feeder.everywhere(mark.model_dump_json().encode())
    feeder.facts(facts)
    with running(settings, "worker", "track", clock=clock.path) as worker:
        until(lambda: heard.listen().obligations(), worker)
        due = [o for o in heard.obligations().values() if o.commitment == "review_candidate" and o.verdict == Verdict.OPEN]
        assert due
        deadline = max(o.deadline for o in due if o.deadline)
        clock.set(deadline + timedelta(seconds=1))
        until(lambda: heard.ticked(deadline), worker)
        until(lambda: heard.listen().obligations()[due[0].obligation_id].verdict == Verdict.OVERDUE, worker)
    heard.close()
    feeder.close()


def test_two_workers_share_and_the_one_that_stays_takes_over(topics: MakeTopics, tmp_path: Path) -> None:
    settings, clock = make(topics, tmp_path, [ACCOUNT], session_timeout=6.0, lease_seconds=3.0)
    other = make_other(settings)
    facts = hiring(requisitions=40, applications=6, start=MONDAY, seed=2)
    clock.set(min(fact.received_at for fact in facts) - DAY)
    end = max(fact.received_at for fact in facts) + 60 * DAY
    third = len(facts) // 3
    feeder, heard = Feeder(settings), Heard(settings)
    with running(settings, "worker", "track", clock=clock.path) as stays:
        leaves = start(other, "worker", "track", clock=clock.path)
        try:
            feeder.facts(facts[:third])
            until(lambda: owned(settings) and owned(other), stays)
            feeder.facts(facts[third : 2 * third])
        finally:
            leaves.stop(20)
        assert leaves.exit_code == 0
        feeder.facts(facts[2 * third :])
        clock.set(end)
        until(lambda: heard.ticked(end), stays)
        pure = judged(settings, facts, end)
        until(lambda: differing(heard.listen().obligations(), pure) == [], stays)
    assert heard.repeated() == []
    heard.close()
    feeder.close()


def test_a_second_worker_in_the_folder_of_the_first_is_refused_and_the_first_goes_on(topics: MakeTopics, tmp_path: Path) -> None:
    settings, clock = make(topics, tmp_path, [ACCOUNT])
    facts = hiring(requisitions=1, applications=1, start=MONDAY, seed=3)
    clock.set(max(fact.received_at for fact in facts))
    feeder = Feeder(settings)
    with running(settings, "worker", "track", clock=clock.path) as first:
        feeder.facts(facts)
        until(lambda: owned(settings), first)
        second = replace(settings, track_metrics_port=ports.free())
        words = [sys.executable, "-m", "streams", "worker", "track"]
        done = subprocess.run(words, env={**os.environ, **second.environment()}, capture_output=True, text=True, timeout=60)
        assert (done.returncode, "give each worker its own MUTUAL_SLA_WORKER_ID" in done.stderr) == (69, True), done.stderr
        assert first.alive()
        assert owned(settings)
    feeder.close()


def make_other(settings: Settings) -> Settings:
    return replace(settings, worker_id="1", track_metrics_port=ports.free())


def owned(settings: Settings) -> list[str]:
    """Partitions of which the worker has folded something, from its own metrics."""
    try:
        with urlopen(f"http://{settings.host}:{settings.track_metrics_port}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith("mutual_sla_worker_position") and 'app="track"' in line]


def judged(settings: Settings, facts: list[Fact], as_of: datetime) -> dict[str, Obligation]:
    agreement = load_agreement(settings.deploy_dir)
    kinds = declared(settings)
    never = [
        Watermark(account=a, kinds=tuple(k), complete_until=datetime.min.replace(tzinfo=UTC), received_at=MONDAY)
        for a, k in kinds
    ]
    found = evaluate(facts, agreement.policy, agreement.calendars, agreement.people, never, as_of)
    return {o.obligation_id: o for o in found.obligations}


def declared(settings: Settings) -> list[tuple[str, frozenset[str]]]:
    from streams.check import load_sources
    from streams.connectors import declared_kinds

    return list(declared_kinds(load_sources(settings.deploy_dir)).items())


def differing(said: dict[str, Obligation], pure: dict[str, Obligation]) -> list[str]:
    """Ids that are missing, other, or said without being so."""
    wrong = [key for key, o in pure.items() if key not in said or said[key].digest != o.digest]
    return wrong + [key for key in said.keys() - pure.keys() if said[key].reason != "no longer applies"]
