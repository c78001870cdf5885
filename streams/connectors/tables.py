"""What follows from a connector's tables alone: which reading a body gets, which kinds there are, the type of a record by shape.

A connector gives its tables (`webhooks`, `records`, `shapes`), says by which field a webhook names its event and in which it has
its content, and adds its signature. One whose envelope is another overrides `event` and `content_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams.connectors.payload import Node, Source, parse
from streams.errors import InvalidPayload
from streams.stages import StageMap

Reading = Callable[[Source, Node], list[Fact]]
#: Name of an event or a record type -> how it is read (None: it means nothing to a clock), and the fact kinds it can give.
Table = Mapping[str, tuple[Reading | None, tuple[str, ...]]]
#: A record's type by its shape: the first whose fields are all there.
Shapes = Iterable[tuple[str, tuple[str, ...]]]


def nothing(source: Source, node: Node) -> list[Fact]:
    """An object that is known and tells no fact, such as a user: people.yaml says who is who."""
    node.required_id("id")
    return []


def kinds_of(table: Table) -> frozenset[str]:
    return frozenset(kind for _, kinds in table.values() for kind in kinds)


class Tabled:
    """The common part of the connectors (streams.connectors.Connector)."""

    success_status = 200
    webhooks: Table
    records: Table
    shapes: Shapes = ()
    named_by: tuple[str, ...] = ("action",)  #: the fields that may name a webhook's event
    content: tuple[str, ...] = ()  #: the fields that may hold what its reading reads; none: the whole body
    webhook_kinds: frozenset[str]
    record_kinds: Mapping[str, frozenset[str]]

    def __init_subclass__(cls) -> None:
        cls.webhook_kinds = kinds_of(cls.webhooks)
        cls.record_kinds = MappingProxyType({name: kinds_of({name: entry}) for name, entry in cls.records.items()})

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        return None

    def is_ping(self, body: bytes) -> bool:
        """By the event's name, where the vendor has one for its test."""
        try:
            return "ping" in self.webhooks and parse(body).value.get(self.named_by[0]) == "ping"
        except InvalidPayload:
            return False

    def record_type(self, record: Mapping[str, object]) -> str | None:
        return next((name for name, names in self.shapes if all(n in record for n in names)), None)

    def normalise(self, raw: RawHeaders, body: bytes, stages: StageMap) -> list[Fact]:
        """One webhook body, or one record of `raw.record_type`, with what the poller put in (docs/connectors.md)."""
        source, node = Source(raw, stages), parse(body)
        if raw.channel == "record":
            entry = self.records.get(raw.record_type or "")
            if entry is None:
                raise InvalidPayload("unknown_record_type", "there are " + ", ".join(self.records))
            reading = entry[0]
        else:
            reading, node = self.webhook(raw, node)
        return reading(source, node) if reading else []

    def webhook(self, raw: RawHeaders, node: Node) -> tuple[Reading | None, Node]:
        """The reading of a webhook, and what it reads. Raises InvalidPayload, `unknown_action` for an event in no table."""
        event = self.event(raw, node)
        if event not in self.webhooks:
            raise InvalidPayload("unknown_action", " or ".join(self.named_by))
        reading = self.webhooks[event][0]
        return (reading, self.content_of(node)) if reading else (None, node)

    def event(self, raw: RawHeaders, node: Node) -> str:
        """The name of a webhook's event."""
        name = node.text(*self.named_by)
        if name is None:
            raise node.missing(*self.named_by)
        return name

    def content_of(self, node: Node) -> Node:
        return node.required_node(*self.content) if self.content else node
