"""Dead letters on a real Kafka: listed, put back byte for byte, settled by a marker, and honest about what is gone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from schemas.raw import RawHeaders, Rejected
from streams import rejected
from streams.errors import Unreachable
from streams.rejected import Gone
from streams.settings import Settings
from tests.whole_topics import whole

pytestmark = pytest.mark.kafka

RECEIVED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)
BODY = b'{"action": "unheard_of", "text": "\\u003cb\\u003e", "n": 1.50}\r\n\xff'


class At:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture
def settings(topics: Callable[..., Settings]) -> Settings:
    return topics()


@pytest.fixture
def producer(settings: Settings) -> Iterator[Any]:
    one = KafkaProducer(bootstrap_servers=settings.brokers)
    yield one
    one.close()


def records_of(settings: Settings, name: str) -> list[Any]:
    return whole(settings, settings.topic(name))


def append_raw(producer: Any, settings: Settings, body: bytes) -> Rejected:
    """One raw body and what the normalise processor would say about it (not yet in ats.rejected)."""
    headers = RawHeaders(
        tenant="acme", account="greenhouse", system="greenhouse", channel="webhook", received_at=RECEIVED, request_id="r-1"
    )
    sent = producer.send(
        settings.topic("ats.raw"),
        body,
        b"greenhouse",
        headers=headers.to_kafka(),
        timestamp_ms=int(RECEIVED.timestamp() * 1000),
    ).get(timeout=10)
    return Rejected(
        topic=settings.topic("ats.raw"),
        partition=sent.partition,
        offset=sent.offset,
        sha256=hashlib.sha256(body).hexdigest(),
        reason="unknown_action",
        detail="action",
        tenant="acme",
        account="greenhouse",
        system="greenhouse",
        channel="webhook",
        rejected_at=RECEIVED + timedelta(seconds=1),
    )


def reject(producer: Any, settings: Settings, *letters: Rejected) -> None:
    for letter in letters:
        producer.send(settings.topic("ats.rejected"), letter.model_dump_json().encode()).get(timeout=10)


def test_nothing_rejected_is_an_empty_list(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    rejected.list_all(settings, as_json=True)
    assert capsys.readouterr().out == ""
    rejected.list_all(settings, as_json=False)
    assert "no dead letters" in capsys.readouterr().out


def test_a_retry_round_trip(settings: Settings, producer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    letter = append_raw(producer, settings, BODY)
    reject(producer, settings, letter, letter)  # a replayed batch says it twice
    [before] = rejected.read(settings)
    assert (before.rejected, before.retried_at) == (letter, None)

    assert rejected.retry(settings, None, At()) == 1

    original, again = records_of(settings, "ats.raw")
    assert again.value == original.value == BODY
    assert (again.key, again.partition) == (original.key, original.partition)
    assert again.timestamp == int(NOW.timestamp() * 1000)
    assert RawHeaders.from_kafka(again.headers) == RawHeaders.from_kafka(original.headers).model_copy(
        update={"retry_of": letter.pointer}
    )
    assert RawHeaders.from_kafka(again.headers).received_at == RECEIVED
    [after] = rejected.read(settings)
    assert (after.rejected, after.retried_at) == (letter, NOW)
    rejected.list_all(settings, as_json=True)
    row = orjson.loads(capsys.readouterr().out.splitlines()[-1])
    assert (row["pointer"], row["reason"], row["retried_at"]) == (letter.pointer, "unknown_action", NOW.isoformat())


def test_a_retry_in_a_simulated_future_is_taken_by_the_broker(settings: Settings, producer: Any) -> None:
    reject(producer, settings, append_raw(producer, settings, BODY))

    class Future:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=30)

    assert rejected.retry(settings, None, Future()) == 1
    assert [record.value for record in records_of(settings, "ats.raw")] == [BODY, BODY]


def test_what_was_put_back_is_not_put_back_by_the_next_retry_of_all(settings: Settings, producer: Any) -> None:
    reject(producer, settings, append_raw(producer, settings, BODY))
    rejected.retry(settings, None, At())
    assert rejected.retry(settings, None, At()) == 0
    assert len(records_of(settings, "ats.raw")) == 2


def test_a_body_that_fails_again_waits_under_its_new_pointer(settings: Settings, producer: Any) -> None:
    first = append_raw(producer, settings, BODY)
    reject(producer, settings, first)
    rejected.retry(settings, None, At())
    second = first.model_copy(update={"offset": records_of(settings, "ats.raw")[-1].offset})
    reject(producer, settings, second)
    assert [letter.pointer for letter in rejected.read(settings) if letter.retried_at is None] == [second.pointer]
    rejected.retry(settings, None, At())
    third = records_of(settings, "ats.raw")[-1]
    assert [value for key, value in third.headers if key == "retry_of"] == [second.pointer.encode()]


def test_only_the_pointers_asked_for_go_back(settings: Settings, producer: Any) -> None:
    letters = [append_raw(producer, settings, body) for body in (b"one", b"two", b"three")]
    reject(producer, settings, *letters)
    assert rejected.retry(settings, [letters[1].pointer], At()) == 1
    assert records_of(settings, "ats.raw")[-1].value == b"two"


def test_more_than_fit_in_memory_at_once_all_go_back(settings: Settings, producer: Any) -> None:
    count = rejected.TOGETHER * 2 + 1
    letters = [append_raw(producer, settings, b"body %d" % number) for number in range(count)]
    reject(producer, settings, *letters)
    assert rejected.retry(settings, None, At()) == count
    values = [record.value for record in records_of(settings, "ats.raw")]
    assert values[:count] == values[count:]


def test_a_body_past_retention_is_named_and_the_others_go_back(settings: Settings, producer: Any) -> None:
    old, young = append_raw(producer, settings, b"old"), append_raw(producer, settings, b"young")
    reject(producer, settings, old, young)
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    admin.delete_records({TopicPartition(old.topic, old.partition): young.offset})
    admin.close()

    with pytest.raises(Gone, match="retention") as caught:
        rejected.retry(settings, None, At())

    assert old.pointer in str(caught.value)
    assert young.pointer not in str(caught.value)
    assert caught.value.exit_code == 65
    assert [record.value for record in records_of(settings, "ats.raw")] == [b"young", b"young"]
    assert [letter.retried_at for letter in rejected.read(settings)] == [None, NOW]


def test_a_pointer_to_another_body_than_the_one_rejected_is_gone(settings: Settings, producer: Any) -> None:
    letter = append_raw(producer, settings, BODY).model_copy(update={"sha256": hashlib.sha256(b"other").hexdigest()})
    reject(producer, settings, letter)
    with pytest.raises(Gone, match=letter.pointer):
        rejected.retry(settings, None, At())
    assert len(records_of(settings, "ats.raw")) == 1


def test_a_pointer_nobody_rejected_is_refused(settings: Settings, producer: Any) -> None:
    letter = append_raw(producer, settings, BODY)
    with pytest.raises(Gone, match="no dead letter"):
        rejected.retry(settings, [letter.pointer], At())
    assert len(records_of(settings, "ats.raw")) == 1


def test_an_unreadable_dead_letter_hides_no_other(settings: Settings, producer: Any) -> None:
    letter = append_raw(producer, settings, BODY)
    producer.send(settings.topic("ats.rejected"), b"not json").get(timeout=10)
    reject(producer, settings, letter)
    assert [one.pointer for one in rejected.read(settings)] == [letter.pointer]


def test_a_missing_topic_says_what_to_do(settings: Settings) -> None:
    elsewhere = Settings(brokers=settings.brokers, topic_prefix="nowhere.")
    with pytest.raises(Unreachable, match="mutual-sla topics"):
        rejected.read(elsewhere)
