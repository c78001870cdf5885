"""The gateway's connections: how long each may take, how large a head may be, and which one goes when there are too many.

uvicorn gives a request's head no time-out, and its own limit refuses whoever comes last, so that a thousand callers who say
nothing would shut everybody out. Here every connection is always in one of three phases with an end: a head is on its way
(`head_seconds`), an answer is (`answer_seconds`, until the peer has taken it), or it is closing (`head_seconds`); uvicorn's
keep-alive covers the idle ones. At the limit the connection that has waited longest for its peer goes, and the newcomer stays:
honest callers send their head and take their answer at once, so it is not they who have waited longest.

One request at a time: uvicorn would queue all that come before the first answer is taken, 4 kB of memory for 40 bytes sent.
Here the answer that is due is still given, then the connection ends, as RFC 9112 (9.3.2) lets a server do: who sent more
sends it again. No client of ours does.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streams import metrics

HEAD_BYTES = 16 * 1024  #: of a request: its line and headers
FIELD_BYTES = 32  #: what each header counts beside its bytes, as in HTTP/2 (RFC 9113, 6.5.2): it costs memory even if it is empty
HEAD_SECONDS = 5.0
MAX_CONNECTIONS = 2048
SPARE_FILES = 128  #: for Kafka, logs and the like
SLOW_HEAD = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

log = structlog.get_logger()

CLOSED = metrics.GATEWAY_CLOSED.counter()


class Part(Enum):
    """What of a request is on its way in."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class HeadTooLarge(Exception):
    """Raised in a parser's callback: uvicorn answers 400 and closes."""


class TooEarly(Exception):
    """Raised in a parser's callback: a request has begun before the answer to the last one was taken."""


@dataclass(slots=True)
class Connections:
    """All connections of one server, and their limits; `waiting` are those that wait for their peer, longest first."""

    answer_seconds: float
    head_seconds: float = HEAD_SECONDS
    most: int = MAX_CONNECTIONS
    waiting: dict[Connection, None] = field(default_factory=dict)

    def protocol(self, **given: Any) -> Connection:
        """What uvicorn makes of each accepted connection."""
        return Connection(self, **given)

    def make_room(self, count: int) -> None:
        """Called with the number of connections there are, before a newcomer is put among those that wait."""
        if count > self.most and self.waiting:
            next(iter(self.waiting)).end("too_many")


class Connection(HttpToolsProtocol):
    """One connection. uvicorn parses and answers; this only watches the phases."""

    def __init__(self, all_of_them: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._all = all_of_them
        self._timer: asyncio.TimerHandle | None = None
        self._arriving = Part.NOTHING
        self._received = 0  #: bytes in segments without a body's: of a single endless header, trailer or chunk extension
        self._parsed = 0  #: bytes of the head's line and headers, and of trailers
        self._body = False  #: bytes of a body were in the last segment
        self._last = False  #: the answer on its way is the last, and nothing more is read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that writing is paused until the peer has taken everything
        self._all.make_room(len(self.connections))
        self._all.waiting[self] = None
        self._arm(self._all.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._last:  # whoever asks for the body resumes reading
            self.flow.pause_reading()
            return
        if self._timer is None:  # it was idle; blank lines and what is left of a refused body count like a head
            self._arm(self._all.head_seconds)
        before, self._body = self._arriving, False
        super().data_received(data)
        if self._body or self._arriving is not before or before is Part.NOTHING or self.transport.is_closing():
            self._received = 0
            return
        self._received += len(data)
        if self._received > HEAD_BYTES:
            self.send_400_response("The head of the request is too large.")

    def send_400_response(self, msg: str) -> None:
        CLOSED.labels("early" if self._last else "unreadable").inc()
        if not self._last:
            super().send_400_response(msg)
        elif self._answered():
            self.transport.close()
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        if not self._answered() or self.flow.write_paused:
            self._last = True
            raise TooEarly
        super().on_message_begin()
        self._arriving, self._parsed = Part.HEAD, 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + FIELD_BYTES)
        if self._arriving is Part.HEAD:  # else it is a trailer, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._arriving = Part.BODY
        self._all.waiting.pop(self, None)
        super().on_headers_complete()
        self._arm(self._all.answer_seconds)

    def on_body(self, body: bytes) -> None:
        self._body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._arriving = Part.NOTHING
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._arm(self._all.head_seconds)  # a peer that does not read must not keep it open
        elif not self.flow.write_paused:
            self._rest()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._all.waiting[self] = None

    def resume_writing(self) -> None:
        super().resume_writing()
        self._all.waiting.pop(self, None)
        if self._answered() and not self.transport.is_closing():
            self._rest()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._arm(self._all.head_seconds)

    def end(self, reason: str) -> None:
        """Close it; what the peer has not taken some seconds later is thrown away."""
        self._leave()
        CLOSED.labels(reason).inc()
        if self.transport.is_closing() or not self._answered() or self.flow.write_paused:
            self.transport.abort()
            return
        if self._arriving is Part.HEAD:
            self.transport.write(SLOW_HEAD)
        self.transport.close()
        self._arm(self._all.head_seconds)

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _rest(self) -> None:
        """Idle: it waits for the next head."""
        self._leave()
        self._all.waiting[self] = None

    def _count(self, size: int) -> None:
        self._parsed += size
        if self._parsed > HEAD_BYTES:
            raise HeadTooLarge

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.end, "slow")

    def _leave(self) -> None:
        self._all.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def allow_files(wanted: int = MAX_CONNECTIONS) -> int:
    """Raise this process's limit of open files as far as it may; how many connections then fit, at most `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + SPARE_FILES
    if soft < enough:
        soft = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fit = min(wanted, soft - SPARE_FILES)
    if fit < wanted:
        log.warning("few_open_files", connections=fit, mend=f"allow {enough} open files (ulimit -n)")
    return fit
