"""The rows of the tracker's table: their keys, and their bytes.

    a 0 requisition 0 application   the application's facts, what was published of it
    r 0 requisition                 the requisition's own facts, what was published of it
    d 0 requisition 0 application   the digest of that application's facts for the requisition's commitments
    m                               the partition: as_of, last tick, watermarks, newest facts, pending work
    c 0 key 0 number                a piece of a row that is too large for one value

(0 is a zero byte, which no id holds.) One row an application: an event rewrites what belongs to its application and never
anything that grows with the requisition. Applications of a requisition are found by their common prefix, so there is no
list of them to rewrite either.

A value is a header line, a line of facts and a line of what was published; the header alone tells what the row waits for, so
a recovery reads a million rows without decoding a fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter

from schemas.fact import Fact
from streams.deadlines import Wait
from streams.difference import Published
from streams.errors import MutualSLAError
from streams.step import Read
from streams.wall_clock import micros

SCHEMA = 2
READABLE = (1, 2)  #: 1 kept of each obligation its whole body as text
PIECE_BYTES = 256 << 10
WARM_BYTES = 32 << 20
META = b"m"

facts_adapter: TypeAdapter[tuple[Fact, ...]] = TypeAdapter(tuple[Fact, ...])


class UnknownRow(MutualSLAError):
    """A row written by a newer schema: this program must not touch it."""

    exit_code = 78

    def __init__(self, what: str, version: object, known: int) -> None:
        super().__init__(
            f"{what} is of schema {version}; this program knows {known}: "
            "install the release that wrote it or a newer one, see Upgrades in docs/operations.md"
        )


def application_key(requisition_id: str, application_id: str) -> bytes:
    return b"a\0%s\0%s" % (requisition_id.encode(), application_id.encode())


def requisition_key(requisition_id: str) -> bytes:
    return b"r\0%s" % requisition_id.encode()


def subject_key(requisition_id: str, application_id: str | None) -> bytes:
    """The row of the application, or of the requisition itself."""
    return requisition_key(requisition_id) if application_id is None else application_key(requisition_id, application_id)


def digest_key(requisition_id: str, application_id: str) -> bytes:
    return b"d\0%s\0%s" % (requisition_id.encode(), application_id.encode())


def requisition_of(key: bytes) -> str:
    """The requisition of an `a`, `r` or `d` key."""
    return key.split(b"\0")[1].decode()


NOTHING: Mapping[int, bytes] = {}


@dataclass(slots=True)
class Row:
    """One subject: its facts as a merged set, and what the world was told of it.

    `published`: subject id -> (fingerprint, what `difference` keeps of an obligation so that its end can be told).
    """

    key: bytes
    facts: list[Fact] = field(default_factory=list)
    published: Published = field(default_factory=dict)
    due: int | None = None
    waits: tuple[Wait, ...] = ()
    pieces: int = 0
    stored: tuple[tuple[Fact, ...], bytes] = ((), b"[]\n")  #: facts whose bytes are at hand: with them a body begins


def header(value: bytes) -> tuple[int | None, tuple[Wait, ...]]:
    """What a stored row waits for: its next deadline in microseconds, and watermarks."""
    _, due, waits, _ = _known("a row", value[: value.index(b"\n")])
    return due, tuple((account, kind, deadline) for account, kind, deadline in waits)


class Overlay:
    """What will be read once `changes` are written."""

    def __init__(self, read: Read, changes: Mapping[bytes, bytes | None]) -> None:
        self._read = read
        self._changes = changes

    def __call__(self, key: bytes) -> bytes | None:
        return self._changes[key] if key in self._changes else self._read(key)

    def items(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        added = sorted(k for k in self._changes if k.startswith(prefix) and k >= start)
        for key in _merged((key for key, _ in self._read.items(prefix, start)), added):
            value = self(key)
            if value is not None:
                yield key, value


class Warm:
    """Rows that were read or written lately, decoded: most of what happens, happens to what something just happened to.

    Looked up by key and believed only if the bytes are the same, so it may remember what was never applied. What it takes
    is some four times `limit`, in bytes of bodies.
    """

    def __init__(self, limit: int = WARM_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._rows: dict[bytes, tuple[bytes, tuple[Fact, ...], Published]] = {}  #: the one used last is last

    def __iter__(self) -> Iterator[bytes]:
        """Keys, the one used last at the end."""
        return iter(self._rows)

    def decoded(self, key: bytes, body: bytes) -> tuple[tuple[Fact, ...], Published]:
        """The facts, and the caller's own copy of what was published."""
        found = self._rows.get(key)
        if found is not None and found[0] == body:
            self._rows[key] = self._rows.pop(key)
            return found[1], dict(found[2])
        block, _, published = body.partition(b"\n")
        facts, told = facts_adapter.validate_json(block), orjson.loads(published)
        self.keep(key, body, facts, told)
        return facts, dict(told)

    def keep(self, key: bytes, body: bytes, facts: tuple[Fact, ...], published: Published) -> None:
        """`published` must not be changed afterwards."""
        before = self._rows.pop(key, None)
        self._bytes += len(body) - (0 if before is None else len(before[0]))
        self._rows[key] = body, facts, published
        while self._bytes > self._limit:
            eldest = next(iter(self._rows))
            self._bytes -= len(self._rows.pop(eldest)[0])


class Rows:
    """Rows read from the table, with the changes of one step on top."""

    def __init__(self, read: Read, changes: dict[bytes, bytes | None], warm: Warm | None = None) -> None:
        self._read = read
        self._changes = changes
        self._warm = Warm() if warm is None else warm

    def raw(self, key: bytes) -> bytes | None:
        return self._changes[key] if key in self._changes else self._read(key)

    def load(self, key: bytes) -> Row:
        """The row, empty if there is none."""
        value = self.raw(key)
        return Row(key) if value is None else self._decode(key, value)

    def save(self, row: Row, told: Mapping[int, bytes] = NOTHING) -> None:
        """`told`: by id of a fact object, its record's bytes, if they may stand in the row as they are."""
        body = b"%s\n%s" % (_encoded(row, told), orjson.dumps(row.published))
        row.stored = tuple(row.facts), body
        self._warm.keep(row.key, body, row.stored[0], dict(row.published))
        pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)] if len(body) > PIECE_BYTES else []
        for number in range(max(len(pieces), row.pieces)):
            self._changes[_piece_key(row.key, number)] = pieces[number] if number < len(pieces) else None
        row.pieces = len(pieces)
        head = orjson.dumps([SCHEMA, row.due, row.waits, row.pieces])
        self._changes[row.key] = b"%s\n%s" % (head, b"" if pieces else body)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        """Keys with the prefix, in order, from `start` on: stored ones and those this step adds."""
        added = sorted(k for k in self._changes if k.startswith(prefix) and k >= start)
        yield from _merged((key for key, _ in self._read.items(prefix, start)), added)

    def _decode(self, key: bytes, value: bytes) -> Row:
        head, _, body = value.partition(b"\n")
        _, due, waits, pieces = _known(f"row {key!r}", head)
        if pieces:
            body = b"".join(self.raw(_piece_key(key, number)) or b"" for number in range(pieces))
        facts, published = self._warm.decoded(key, body)
        return Row(
            key,
            list(facts),
            published,
            due,
            tuple((account, kind, deadline) for account, kind, deadline in waits),
            pieces,
            (facts, body),
        )


def _known(what: str, head: bytes) -> list[Any]:
    """A header whose schema is known; what follows the schema may be anything in a newer one."""
    found: list[Any] = orjson.loads(head)
    if found[0] not in READABLE:
        raise UnknownRow(what, found[0], SCHEMA)
    return found


def _encoded(row: Row, told: Mapping[int, bytes]) -> bytes:
    """The facts as JSON; of those that were stored already, as nearly always all but the new ones at the end, the same bytes."""
    known, body = row.stored
    count = len(known)
    if len(row.facts) < count or any(one is not other for one, other in zip(known, row.facts, strict=False)):
        count, body = 0, b"[]\n"
    end = body.index(b"\n")
    if len(row.facts) == count:
        return body[:end]
    added = b",".join([told.get(id(fact)) or fact.to_json() for fact in row.facts[count:]])
    return b"%s%s%s]" % (memoryview(body)[: end - 1], b"," if count else b"", added)


def _piece_key(key: bytes, number: int) -> bytes:
    return b"c\0%s\0%d" % (key, number)


def _merged(stored: Iterable[bytes], added: list[bytes]) -> Iterator[bytes]:
    at = 0
    for key in stored:
        while at < len(added) and added[at] < key:
            yield added[at]
            at += 1
        if at < len(added) and added[at] == key:
            at += 1
        yield key
    yield from added[at:]


@dataclass(slots=True)
class Meta:
    """The partition's own row; instants in microseconds since the epoch."""

    offset: int = -1  #: of the last record that was folded in
    as_of: int | None = None  #: the latest instant that any record told of
    tick: int | None = None
    marks: dict[str, dict[str, int]] = field(default_factory=dict)  #: account -> kind -> complete until
    newest: dict[str, int] = field(default_factory=dict)  #: account -> newest received_at
    pending: dict[str, str] = field(default_factory=dict)  #: requisition -> key of its next application to look at
    due: bool = False  #: more rows were due than one batch looks at

    @classmethod
    def decode(cls, value: bytes | None) -> Meta:
        if value is None:
            return cls()
        body = orjson.loads(value)
        if (version := body.pop("schema")) not in READABLE:
            raise UnknownRow("the partition's row", version, SCHEMA)
        return cls(**body)

    def encode(self) -> bytes:
        return orjson.dumps({"schema": SCHEMA, **{spec.name: getattr(self, spec.name) for spec in fields(self)}})

    def learned(self, at: datetime) -> None:
        self.as_of = max(micros(at), self.as_of if self.as_of is not None else micros(at))
