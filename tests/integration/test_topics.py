"""Topics on a real broker: created as the file says, verified, mended where that is safe, refused where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from kafka.admin import ConfigResource

from streams import forget, topics
from streams.errors import InvalidConfiguration, Unreachable
from streams.settings import Settings
from tests.waiting import until

pytestmark = pytest.mark.kafka


def test_every_topic_of_the_file_is_created_as_it_says(kafka: str) -> None:
    settings = Settings(brokers=kafka, topic_prefix="created.")
    assert [row.done for row in topics.verify(settings)] == ["created"] * len(topics.load())
    for topic in topics.load():
        assert topics.partition_count(settings, topic.name) == topic.partitions
        with topics.admin(settings) as client:
            asked = ConfigResource("TOPIC", settings.topic(topic.name), dict.fromkeys(topic.config))
            has = client.describe_configs([asked], config_filter="All")["topic"][settings.topic(topic.name)]
        assert {key: has[key]["value"] for key in topic.config} == dict(topic.config)


def test_a_second_run_changes_nothing(topics_of_our_own: Settings) -> None:
    assert {row.done for row in topics.verify(topics_of_our_own)} == {"unchanged"}


def test_another_retention_is_set_and_reported(topics_of_our_own: Settings) -> None:
    shorter = replace(topics_of_our_own, raw_retention_days=7)
    done = {row.name: row.done for row in topics.verify(shorter)}
    assert done[shorter.topic("ats.raw")] == f"retention.ms: 34560000000 -> {7 * topics.DAY_MS}"
    assert {row.done for row in topics.verify(shorter)} == {"unchanged"}


def test_the_short_segments_of_a_forget_that_was_killed_are_mended(topics_of_our_own: Settings) -> None:
    name = topics_of_our_own.topic("ats.raw")
    with topics.admin(topics_of_our_own) as client:
        client.alter_configs([ConfigResource("TOPIC", name, {"segment.ms": str(forget.SEGMENT_MS)})])

    def done() -> str:
        return next(row.done for row in topics.verify(topics_of_our_own) if row.name == name)

    until(lambda: done() == "segment.ms: 100 -> 604800000")  # the broker takes ours from the controller's log


def test_a_partition_count_that_differs_is_refused_and_nothing_is_created(kafka: str) -> None:
    settings = Settings(brokers=kafka, topic_prefix="mismatch.")
    with topics.admin(settings) as client:
        client.create_topics({"mismatch.ats.facts": {"num_partitions": 3, "replication_factor": 1}}, wait_for_metadata=True)
    with pytest.raises(InvalidConfiguration, match=r"mismatch\.ats\.facts has 3 partitions, .* wants 8: set 3") as caught:
        topics.verify(settings)
    assert caught.value.exit_code == 78
    with topics.admin(settings) as client:
        assert [name for name in client.list_topics() if str(name).startswith("mismatch.")] == ["mismatch.ats.facts"]


def test_a_topic_that_is_not_there_is_named(kafka: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"no topic absent\.ats\.raw"):
        topics.partition_count(Settings(brokers=kafka, topic_prefix="absent."), "ats.raw")


def test_a_broker_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1") as caught:
        topics.verify(Settings(brokers="127.0.0.1:1"))
    assert caught.value.exit_code == 69


def test_topics_are_never_created_by_writing_to_them(kafka: str) -> None:
    with topics.admin(Settings(brokers=kafka)) as client:
        client.describe_topics(["a.misspelt.name"])
        assert "a.misspelt.name" not in client.list_topics()


def test_the_file_refuses_unequal_partition_counts(tmp_path: Path) -> None:
    text = topics.TOPICS_FILE.read_text().replace("partitions: 8", "partitions: 4", 1)
    (tmp_path / "topics.yaml").write_text(text)
    with pytest.raises(InvalidConfiguration, match="equal partition counts"):
        topics.load(tmp_path / "topics.yaml")


@pytest.mark.postgres
def test_the_postgres_fixture_is_a_real_server_with_an_empty_database(postgres: str) -> None:
    engine = sqlalchemy.create_engine(postgres)
    with engine.connect() as connection:
        assert str(connection.execute(sqlalchemy.text("select version()")).scalar()).startswith("PostgreSQL")
        assert sqlalchemy.inspect(connection).get_table_names() == []
    engine.dispose()


@pytest.fixture(name="topics_of_our_own")
def _topics_of_our_own(topics: Callable[..., Settings]) -> Settings:
    return topics()
