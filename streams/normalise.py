"""The normalise worker: `ats.raw` in, `ats.facts` and `ats.rejected` out.

Each record becomes facts by its connector (or by `reported`, or is a watermark); the link table of `routing` finds their
requisitions. What cannot be used is noted in `ats.rejected`, record by record, as pointer, hash and reason. `Normaliser` is the
pure step, without Faust; `run` puts it into a micro-batch worker. Replays give the same facts, because ids hang on what
happened, and the same links, because links are sets.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from schemas.fact import Fact, Watermark
from schemas.raw import RawHeaders, Rejected
from streams import imported, liveness, metrics, microbatch, reported, routing, stages, topics, waiting
from streams.clock import Clock
from streams.connectors import CONNECTORS, Connector
from streams.connectors.payload import parse
from streams.errors import InvalidPayload
from streams.routing import Router
from streams.settings import Settings
from streams.stages import UNMAPPED, StageMap
from streams.step import Message, Read, Step

ROLE = "normalise"
VOUCH_EVERY = timedelta(seconds=30)  #: between two watermarks that an account's webhooks give
MAX_FACT_BYTES = 256 << 10  #: a state row holds at least one fact and must stay below 512 KiB
LARGE_BODY_BYTES = 16 << 10  #: no fact of a body below comes near the limit: it holds the body's ids and little else
UNKNOWN = "unknown"

log = structlog.get_logger()

FACTS = metrics.NORMALISED_FACTS.counter()
REJECTED = microbatch.REJECTED
PARKED = metrics.PARKED_FACTS.gauge()
UNMAPPED_STAGES = metrics.UNMAPPED_STAGES.counter()


@dataclass(slots=True)
class _Batch:
    """What one step has gathered so far."""

    read: Read
    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    facts: Counter[tuple[str, str]] = field(default_factory=Counter)  #: (account, kind)
    rejected: Counter[str] = field(default_factory=Counter)  #: reason
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)  #: (account, stage name)

    def get(self, key: bytes) -> bytes | None:
        return self.changes[key] if key in self.changes else self.read(key)


class Normaliser:
    """The step function of the worker. Metrics and logs are written when a batch is safe, never for one that is read again."""

    def __init__(
        self,
        mapping: StageMap,
        facts_topic: str,
        rejected_topic: str,
        fact_partitions: int,
        connectors: Mapping[str, Connector] = CONNECTORS,
    ) -> None:
        self.owned: Callable[[], Iterable[int]] = lambda: self._parked
        self._stages = mapping
        self._facts_topic = facts_topic
        self._rejected_topic = rejected_topic
        self._fact_partitions = range(fact_partitions)
        self._connectors = connectors
        self._parked: dict[int, int] = {}
        self._named: set[tuple[str, str]] = set()

    def __call__(self, partition: int, records: list[Any], read: Read) -> Step:
        batch = _Batch(read)
        for record in records:
            self._take(batch, record)
        if records:
            batch.changes.update(waiting.overlooked(read, batch.get, records[0].topic, partition))
        return Step(batch.changes, batch.messages, lambda: self._applied(partition, batch))

    async def recovered(self, partition: int, read: Read) -> None:
        """The gauge of parked facts, right from the start. Raises UnknownRow if a newer program wrote the rows."""
        Router(read).check()
        self._parked[partition] = int(read(routing.PARKED) or b"0")
        self._show_parked()

    def _take(self, batch: _Batch, record: Any) -> None:
        """One record; nothing that is wrong with it may stop the others."""
        raw: RawHeaders | None = None
        try:
            raw = _headers(record)
            self._fold(batch, raw, record)
        except InvalidPayload as error:
            self._reject(batch, record, raw, error.reason, error.detail)
        except Exception as error:
            # The place, not the message: a message may quote the body.
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            line = f"{where.tb_frame.f_code.co_filename.rpartition('/')[2]}:{where.tb_lineno}" if where else ""
            log.error("connector_error", error=type(error).__name__, at=line, offset=record.offset, partition=record.partition)
            self._reject(batch, record, raw, f"connector_error:{type(error).__name__}", line)

    def _fold(self, batch: _Batch, raw: RawHeaders, record: Any) -> None:
        body = record.value or b""
        if raw.channel == "erasure":
            return
        if raw.channel == "watermark":
            self._watermark(batch, raw, body)
            return
        facts = self._facts(raw, body)
        if len(body) > LARGE_BODY_BYTES and any(len(fact.to_json()) > MAX_FACT_BYTES for fact in facts):
            raise InvalidPayload("fact_too_large", f"over {MAX_FACT_BYTES} bytes")
        router = Router(batch.get)
        routed = router.route(facts)
        batch.changes.update(router.changes)
        if router.waits:
            batch.changes.update(waiting.rows(router.waits, _pointer(record, raw.model_dump())))
        for fact in facts:
            if fact.attributes.get("stage") == UNMAPPED:
                batch.unmapped[fact.account, str(fact.attributes.get("stage_name"))] += 1
        for fact in routed:
            batch.facts[fact.account, fact.kind] += 1
            batch.messages.append(Message(self._facts_topic, None, str(fact.requisition_id).encode(), fact.to_json()))
        if raw.channel == "webhook":
            self._vouch(batch, raw)

    def _facts(self, raw: RawHeaders, body: bytes) -> list[Fact]:
        if raw.channel == "fact":
            return [reported.read(raw, body)]
        if raw.channel == "import":
            return [imported.read(raw, body, self._stages)]
        return self._connector(raw).normalise(raw, body, self._stages)

    def _connector(self, raw: RawHeaders) -> Connector:
        connector = self._connectors.get(raw.system)
        if connector is None:
            raise InvalidPayload("unknown_system", "header system")
        return connector

    def _watermark(self, batch: _Batch, raw: RawHeaders, body: bytes) -> None:
        """A finished poll vouches for the kinds of its record type, in every partition, behind the facts before it."""
        mark = parse(body)
        kinds = self._connector(raw).record_kinds.get(mark.text("record_type") or "")
        if kinds is None:
            raise InvalidPayload("unknown_record_type", "record_type")
        until = min(mark.required_instant("complete_until"), raw.received_at)
        # A copy, or one that says less than an earlier one, is not told again in every partition.
        key, before = f"marked|{raw.account}|{mark.text('record_type')}".encode(), None
        if (known := batch.get(key)) is not None:
            before = [datetime.fromisoformat(text) for text in known.decode().split()]
        if before is not None and until <= before[0] and raw.received_at <= before[1]:
            return
        batch.changes[key] = f"{until.isoformat()} {raw.received_at.isoformat()}".encode()
        self._announce(batch, raw, kinds, until)

    def _vouch(self, batch: _Batch, raw: RawHeaders) -> None:
        """A live webhook vouches for what comes by webhook; never for what is only polled, and history vouches for nothing."""
        key = f"vouched|{raw.account}".encode()
        before = batch.get(key)
        if raw.backfill or (before is not None and raw.received_at - datetime.fromisoformat(before.decode()) < VOUCH_EVERY):
            return
        batch.changes[key] = raw.received_at.isoformat().encode()
        connector = self._connector(raw)
        self._announce(batch, raw, getattr(connector, "vouched_kinds", connector.webhook_kinds), raw.received_at)

    def _announce(self, batch: _Batch, raw: RawHeaders, kinds: Iterable[str], until: datetime) -> None:
        mark = Watermark(account=raw.account, kinds=tuple(sorted(kinds)), complete_until=until, received_at=raw.received_at)
        value = mark.model_dump_json().encode()
        batch.messages.extend(Message(self._facts_topic, partition, None, value) for partition in self._fact_partitions)
        self._let_go(batch, raw)

    def _let_go(self, batch: _Batch, raw: RawHeaders) -> None:
        """Tell of the account's facts that waited too long for a way to their requisition, as of this sign of life."""
        for one in waiting.due(batch.read, raw.account, raw.received_at):
            if one.key in batch.changes:
                continue  # in this batch already
            batch.changes[one.key] = None
            router = Router(batch.get)
            fact = router.let_go(one.node, one.digest)
            batch.changes.update(router.changes)
            if fact is not None:
                detail = f"{fact.kind}: in {waiting.LONGEST.days} days nothing told which requisition it belongs to"
                self._tell(batch, Rejected(**one.origin, reason=waiting.REASON, detail=detail, rejected_at=raw.received_at))

    def _reject(self, batch: _Batch, record: Any, raw: RawHeaders | None, reason: str, detail: str) -> None:
        known = raw.model_dump() if raw is not None else _readable(record)
        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        self._tell(batch, Rejected(**_pointer(record, known), reason=reason, detail=detail, rejected_at=at))

    def _tell(self, batch: _Batch, letter: Rejected) -> None:
        batch.rejected[letter.reason] += 1
        batch.messages.append(Message(self._rejected_topic, None, letter.pointer.encode(), letter.model_dump_json().encode()))

    def _applied(self, partition: int, batch: _Batch) -> None:
        for (account, kind), count in batch.facts.items():
            FACTS.labels(account, kind).inc(count)
        for reason, count in batch.rejected.items():
            REJECTED.labels(ROLE, reason).inc(count)
        for (account, name), count in batch.unmapped.items():
            UNMAPPED_STAGES.labels(account).inc(count)
            if (account, name) not in self._named and len(self._named) < 10_000:
                self._named.add((account, name))
                log.warning("unmapped_stage", account=account, stage_name=name, mend="add it to stages.yaml")
        self._parked[partition] = int(batch.get(routing.PARKED) or b"0")
        self._show_parked()

    def _show_parked(self) -> None:
        PARKED.labels(ROLE).set(sum(self._parked.get(partition, 0) for partition in self.owned()))


def _pointer(record: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Where a body is and what it hashes to, as a dead letter says it."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "sha256": hashlib.sha256(record.value or b"").hexdigest(),
        **{name: known.get(name) or UNKNOWN for name in ("tenant", "account", "system", "channel")},
    }


def _readable(record: Any) -> dict[str, str]:
    """What of incomplete headers can be read, for whoever has to mend them."""
    return {name: value.decode(errors="replace") for name, value in record.headers or () if isinstance(value, bytes)}


def _headers(record: Any) -> RawHeaders:
    try:
        return RawHeaders.from_kafka(record.headers or ())
    except ValidationError as error:
        raise InvalidPayload(
            "invalid_headers", ", ".join(sorted({str(e["loc"][0]) for e in error.errors() if e["loc"]}))
        ) from None
    except (UnicodeDecodeError, AttributeError):
        raise InvalidPayload("invalid_headers", "not text") from None


def run(settings: Settings, clock: Clock) -> None:
    """Run the worker until SIGTERM or SIGINT. `clock` is not read: times come with the records.

    Raises InvalidConfiguration (stages.yaml, topics), Unreachable and AnotherWorker before anything is consumed.
    """
    facts, rejected = settings.topic("ats.facts"), settings.topic("ats.rejected")
    mapping = stages.load(settings.deploy_dir / "stages.yaml")
    normaliser = Normaliser(mapping, facts, rejected, topics.partition_count(settings, "ats.facts"))
    with microbatch.alone(settings, ROLE):
        app = microbatch.build(
            settings, ROLE, settings.topic("ats.raw"), normaliser, outputs=[facts, rejected], recovered=normaliser.recovered
        )
        normaliser.owned = app.owned
        with liveness.serve(settings.host, settings.normalise_metrics_port, lambda: app.ready, app.watchdog.stuck):
            microbatch.run_worker(app)
