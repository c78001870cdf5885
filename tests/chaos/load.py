"""What is poured in while things break: facts with duplicates and disorder, and signed webhooks through the gateway.

Both know what they were promised: a fact counts once Kafka acknowledged it, a body once the gateway did.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from time import monotonic
from typing import Any

import httpx
from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams import kafka_security
from streams.connectors.greenhouse import GREENHOUSE
from tests.chaos.stage import WEBHOOKS, Stage
from tests.greenhouse import BODIES, STAGES
from tests.hiring import hiring

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CHUNK_SECONDS = 0.1
HELD_BACK = 0.02  #: share of the facts that come thousands of records late
AGAIN = 0.05  #: share that is sent again at once, beside those that hiring() tells twice


def history(events: int, seed: int) -> list[Fact]:
    """`events` facts, in order of receipt."""
    facts: list[Fact] = []
    requisitions = events // 35 + 1
    while len(facts) < events:
        facts = hiring(requisitions=requisitions, applications=11, start=START, seed=seed)
        requisitions += requisitions // 10 + 1
    return facts[:events]


def disordered(facts: list[Fact], dice: Random) -> Iterator[Fact]:
    """Each fact at least once: neighbours swapped, some far too late, some twice."""
    late: list[Fact] = []
    for at in range(0, len(facts), 50):
        block = facts[at : at + 50]
        dice.shuffle(block)
        for fact in block:
            if dice.random() < HELD_BACK:
                late.append(fact)
                continue
            yield fact
            if dice.random() < AGAIN:
                yield fact
        if len(late) > 100:
            yield from late[:50]
            del late[:50]
    yield from late


class FactLoad(threading.Thread):
    """All facts at `rate` a second into ats.facts, then facts that were there already, until `finish`."""

    def __init__(self, stage: Stage, facts: list[Fact], rate: float, seed: int) -> None:
        super().__init__(name="facts", daemon=True)
        self.records, self.facts = 0, facts  #: `records`: acknowledged by Kafka, copies included
        self._stage, self._rate, self._dice = stage, rate, Random(seed)
        self._end = threading.Event()
        self._failed: BaseException | None = None
        self._producer = KafkaProducer(
            **kafka_security.connection(stage.settings), linger_ms=20, acks="all", delivery_timeout_ms=300_000
        )

    def finish(self) -> None:
        """Send what is left of the first passage as fast as it goes, and return once Kafka has it all."""
        self._end.set()
        self.join()
        self._producer.close()
        if self._failed is not None:
            raise self._failed

    def run(self) -> None:
        try:
            self._pour()
        except BaseException as error:
            self._failed = error

    def _pour(self) -> None:
        stream, chunk = disordered(self.facts, self._dice), max(1, round(self._rate * CHUNK_SECONDS))
        due, over = monotonic(), False
        while not over:
            size = 2000 if self._end.is_set() else chunk
            block = [fact for _, fact in zip(range(size), stream, strict=False)]
            over = self._end.is_set() and len(block) < size
            if not block and not over:
                block = self._dice.sample(self.facts, chunk)
            self._deliver(block)
            if block:
                self._stage.clock.reach(max(fact.received_at for fact in block))
            due = max(due + CHUNK_SECONDS, monotonic() - 5)  # after an outage: catch up, within reason
            self._end.wait(max(0.0, due - monotonic()))

    def _deliver(self, facts: list[Fact]) -> None:
        """Until Kafka has them: what was perhaps delivered is delivered again."""
        topic = self._stage.settings.topic("ats.facts")
        while facts:
            waiting = []
            for fact in facts:
                with suppress(KafkaError):
                    waiting.append((fact, self._producer.send(topic, fact.to_json(), key=str(fact.requisition_id).encode())))
            kept = [fact.fact_id for fact, future in waiting if _acknowledged(future)]
            self.records += len(kept)
            done = set(kept)
            facts = [fact for fact in facts if fact.fact_id not in done]


def _acknowledged(future: Any) -> bool:
    try:
        future.get(timeout=300)
    except KafkaError:
        return False
    return True


class WebhookLoad(threading.Thread):
    """Signed bodies through the gateway, `rate` a second, each sent again until it is acknowledged, as a vendor would."""

    def __init__(self, stage: Stage, rate: float) -> None:
        super().__init__(name="webhooks", daemon=True)
        self.acknowledged: list[bytes] = []
        self.refused = 0  #: answers or silences that were no acknowledgement
        self._stage, self._pause = stage, 1 / rate
        self._secret = stage.secrets["GREENHOUSE_WEBHOOK_SECRET"].encode()
        self._end = threading.Event()

    def finish(self) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        address = f"http://127.0.0.1:{self._stage.settings.gateway_port}/webhooks/greenhouse"
        with httpx.Client(timeout=15, trust_env=False) as client:
            number = 0
            while not self._end.wait(self._pause):
                body = self._body(number)
                sign = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
                headers = {"Signature": f"sha256 {sign}", "Content-Type": "application/json"}
                try:
                    kept = client.post(address, content=body, headers=headers).status_code == 200
                except httpx.TransportError:
                    kept = False
                if kept:
                    self.acknowledged.append(body)
                    number += 1
                else:
                    self.refused += 1

    @staticmethod
    def _body(number: int) -> bytes:
        body = json.loads(json.dumps(BODIES["webhook.candidate_stage_change"]))
        application = body["payload"]["application"]
        application["id"] = 10_000_000 + number
        for job in application["jobs"]:
            job["id"] = 5_000_000 + number // 20
        return json.dumps(body).encode()

    def facts(self) -> set[str]:
        """Ids of the facts that the acknowledged bodies give."""
        found: set[str] = set()
        for body in self.acknowledged:
            told = RawHeaders(
                tenant="demo",
                account=WEBHOOKS,
                system="greenhouse",
                channel="webhook",
                received_at=START,
                request_id="r",
            )
            found |= {fact.fact_id for fact in GREENHOUSE.normalise(told, body, STAGES)}
        return found
