"""Every system's week through everything that runs: eight accounts side by side in one installation, to verdicts in the ledger.

What is asked of the ledger is what the core's own stories say. Then the same pipeline is asked to read everything again, and to
forget a candidate, by the commands a user has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer

from schemas.raw import RawHeaders
from streams.ledger_tables import revision
from tests.pipeline import NAMES, Pipeline, lived_week
from tests.weeks.ashby import Ashby
from tests.weeks.greenhouse import Greenhouse
from tests.weeks.week import CARD, ENDS, MINUTE, SUBMITTED, TAKEN

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def pipeline(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with lived_week(kafka, tmp_path_factory.mktemp("weeks")) as one:
        yield one


@pytest.mark.parametrize("account", NAMES)
def test_webhook_and_poll_become_verdicts(pipeline: Pipeline, account: str) -> None:
    week, rows = pipeline.weeks[account], pipeline.ledger()
    ids = week.obligations()
    assert set(ids) == set(week.kept)
    assert {name: rows[one,].verdict for name, one in ids.items()} == dict.fromkeys(ids, "met")
    review = rows[ids["review_candidate"],]
    assert abs(review.started_at - SUBMITTED) <= 2 * MINUTE
    assert abs(review.ended_at - TAKEN) <= 2 * MINUTE
    if "submit_feedback" in ids:
        card = rows[ids["submit_feedback"],]
        assert (card.owner, card.started_at, card.ended_at) == ("p-manager", ENDS, CARD)
    own = [key for (key,) in rows if f":{account}/" in key]
    again = [one for one in own if one.startswith(("review_candidate:", "schedule_interview:")) and not one.endswith(":1")]
    assert again == [], "a change told twice is one change"


@pytest.mark.parametrize("account", NAMES)
def test_both_ways_were_used_and_nothing_was_refused(pipeline: Pipeline, account: str) -> None:
    raw = [RawHeaders.from_kafka(one.headers) for one in pipeline.records(pipeline.settings.topic("ats.raw"))]
    ways = {one.channel for one in raw if one.account == account}
    assert ways == ({"webhook", "record", "watermark"} if pipeline.weeks[account].polled else {"webhook"})
    assert pipeline.records(pipeline.settings.topic("ats.rejected")) == []


def test_no_account_s_facts_are_another_s(pipeline: Pipeline) -> None:
    for fact in pipeline.facts():
        assert (fact.requisition_id or "").startswith(f"{fact.account}/")


def test_the_vendors_had_their_bad_days(pipeline: Pipeline) -> None:
    """Tokens expired, limits were reached and Ashby failed with HTTP 200, or the week would prove little."""
    told = pipeline.poller_metrics()
    harvest, ashby = pipeline.weeks["greenhouse"], pipeline.weeks["ashby"]
    assert isinstance(harvest, Greenhouse) and isinstance(ashby, Ashby)
    assert harvest.harvest.tokens >= 2
    assert ashby.failures == 0
    assert 'mutual_sla_polls_total{account="ashby",record_type="application_feedback",result="failed"} 2.0' in told
    for account in ("ashby", "lever", "merge", "smartrecruiters", "workable"):
        assert f'mutual_sla_poll_requests_total{{account="{account}",status="429"}}' in told


# -- the same pipeline, asked by its user ------------------------------------------------------------------------------


def figures(pipeline: Pipeline) -> tuple[dict[Any, str], int]:
    """What the ledger says of each obligation, and how often it ever said something else."""
    return {key: row.digest for key, row in pipeline.ledger().items()}, len(pipeline.ledger(revision))


def test_reading_everything_again_changes_nothing(pipeline: Pipeline) -> None:
    before, ids = figures(pipeline), {fact.fact_id for fact in pipeline.facts()}
    assert "polled" in pipeline.command("poll", "--since", "2026-03-01")
    assert "bodies once more" in pipeline.command("renormalise", "--since", "2026-03-01")
    pipeline.settle()
    assert [fact for fact in pipeline.facts() if fact.fact_id not in ids] == []
    assert figures(pipeline) == before
    assert pipeline.records(pipeline.settings.topic("ats.rejected")) == []


def holding(pipeline: Pipeline, text: bytes) -> set[str]:
    """The topics, changelogs included, and the files of the state directory that hold it."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.settings.brokers)
    own = [topic for topic in consumer.topics() if topic.startswith(pipeline.settings.app_id)]
    consumer.close()
    assert any("changelog" in topic for topic in own), own
    found = set()
    for topic in own:
        for record in pipeline.records(topic):
            if text in (record.key or b"") + (record.value or b"") + repr(record.headers).encode():
                found.add(topic.removeprefix(pipeline.settings.topic_prefix))
    files = [path for path in pipeline.settings.state_dir.rglob("*") if path.is_file()]
    return found | {path.name for path in files if text in path.read_bytes()}


def test_a_forgotten_candidate_is_nowhere_and_the_figures_stay(pipeline: Pipeline) -> None:
    week, before = pipeline.weeks["greenhouse"], figures(pipeline)
    name, other = (pipeline.weeks[account].person.encode() for account in ("greenhouse", "lever"))
    assert holding(pipeline, name) == holding(pipeline, other) == {"ats.raw"}  # and never was anywhere else
    week.gone()
    assert "erased" in pipeline.command("forget", "greenhouse/501")
    assert holding(pipeline, name) == set()
    assert holding(pipeline, other) == {"ats.raw"}
    pipeline.command("poll", "--since", "2026-03-01", "--account", "greenhouse")
    pipeline.command("renormalise", "--since", "2026-03-01")
    pipeline.settle()
    assert holding(pipeline, name) == set()
    assert figures(pipeline) == before
