"""How long a Kafka node that starts is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import kafka_node, ports
from streams.kafka_node import KafkaNode


@pytest.mark.parametrize(
    ("answers_at", "logs_every", "waited"),
    [(200, 30, (True, 200)), (200, 1_000, (False, 60)), (1_000, 30, (False, 600))],
    ids=["who goes on logging is waited for", "not who is silent", "nor for ever"],
)
def test_a_node_that_starts_is_waited_for_while_its_log_grows(
    answers_at: int, logs_every: int, waited: tuple[bool, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, now = KafkaNode(tmp_path, start_timeout=60.0), 0
    node.log_path.parent.mkdir()

    def sleep(_: float) -> None:
        nonlocal now
        now += 1
        if now % logs_every == 0:
            with node.log_path.open("a") as log:
                log.write("Recovering unflushed segment\n")

    monkeypatch.setattr(kafka_node, "sleep", sleep)
    monkeypatch.setattr(kafka_node, "monotonic", lambda: float(now))
    monkeypatch.setattr(kafka_node, "reachable", lambda *_, **__: True)
    monkeypatch.setattr(ports, "answers", lambda _: now >= answers_at)
    monkeypatch.setattr(node, "alive", lambda: True)
    assert (node._wait_until_it_answers(), now) == waited
