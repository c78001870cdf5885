"""The phases of a connection over real sockets: who is ended when, with what words, and who stays."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from streams import ports
from streams.connections import HEAD_BYTES, SPARE_FILES, Connection, Connections, allow_files

HEAD_SECONDS, ANSWER_SECONDS = 0.3, 0.8
SOON = 10.0  #: within this much after its time a connection has ended, however busy the machine
A_WHILE = 0.5
UNHURRIED = 60.0  #: for what is to go well
GET = b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: gateway\r\n"
LARGE = 16 * 1024 * 1024  #: of an answer: more than the kernel takes for a peer that does not read

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Site:
    """A server of the test's own: its connections, and what its application was asked."""

    port: int
    all: Connections
    state: ServerState
    heads: list[dict[bytes, bytes]] = field(default_factory=list)
    answer: bytes = b"ok"
    hold: asyncio.Event | None = None  #: the application answers only then

    async def application(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.heads.append(dict(scope["headers"]))
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        if self.hold is not None:
            await self.hold.wait()
        length = (b"content-length", str(len(self.answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": self.answer})

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Stream]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def gone(self, within: float = SOON) -> None:
        """Returns when no connection is left, nor anything kept of one."""
        async with asyncio.timeout(within):
            while self.state.connections:
                await asyncio.sleep(0.01)
        assert not self.all.waiting


def serve(
    story: Callable[[Site], Coroutine[Any, Any, None]],
    most: int = 100,
    *,
    answer_seconds: float = UNHURRIED,
    head_seconds: float = UNHURRIED,
) -> None:
    """Run the story against a server whose connections are ours."""

    async def play() -> None:
        site = Site(ports.free(), Connections(answer_seconds, head_seconds, most), ServerState())
        config = Config(site.application, interface="asgi3", access_log=False, log_config=None, ws="none", timeout_keep_alive=30)

        def protocol() -> Connection:
            return site.all.protocol(config=config, server_state=site.state, app_state={})

        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", site.port)
        async with server:
            await story(site)

    asyncio.run(play())


async def answered(reader: asyncio.StreamReader) -> bytes:
    """One whole answer: its status line."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SOON)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await asyncio.wait_for(reader.readexactly(int(length.split(b":")[1])), SOON)
    return head.split(b"\r\n")[0]


async def rest(reader: asyncio.StreamReader, within: float) -> bytes:
    """All until the connection ends. Raises TimeoutError if it does not."""
    try:
        return await asyncio.wait_for(reader.read(), within)
    except ConnectionError:
        return b"cut"


def test_requests_one_after_the_other_are_answered_on_one_connection() -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            for _ in range(3):
                writer.write(POST + b"Content-Length: 5\r\n\r\nhello")
                assert await answered(reader) == b"HTTP/1.1 200 OK"
            await asyncio.sleep(HEAD_SECONDS + A_WHILE)  # being idle is no slow head
            writer.write(GET)
            assert await answered(reader) == b"HTTP/1.1 200 OK"
        await site.gone()

    serve(story, head_seconds=HEAD_SECONDS)


@pytest.mark.parametrize(("sent", "told"), [(b"", b""), (b"\r\n\r\n", b""), (POST, b"HTTP/1.1 408 Request Timeout")])
def test_a_head_that_does_not_come_in_time_ends_the_connection(sent: bytes, told: bytes) -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            writer.write(sent)
            assert (await rest(reader, HEAD_SECONDS + SOON)).split(b"\r\n")[0] == told
            await site.gone()

    serve(story, head_seconds=HEAD_SECONDS)


def test_a_head_that_drips_is_given_no_more_time() -> None:
    async def dripped(site: Site) -> bytes:
        async with site.caller() as (reader, writer):
            writer.write(GET)
            assert await answered(reader) == b"HTTP/1.1 200 OK"

            async def drip() -> None:
                writer.write(POST)
                while True:
                    writer.write(b"X-Slow: 1\r\n")
                    await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            told = await rest(reader, HEAD_SECONDS + SOON)
            dripping.cancel()
            await site.gone()
            return told

    async def story(site: Site) -> None:
        callers = 1
        while (told := await dripped(site)) == b"cut":  # a line met the closed connection, which costs the answer: once more
            callers += 1
        assert told.startswith(b"HTTP/1.1 408")
        assert len(site.heads) == callers

    serve(story, head_seconds=HEAD_SECONDS)


@pytest.mark.parametrize("pieces", [1, 40], ids=["at once", "in pieces"])
@pytest.mark.parametrize("piece", [b"X-Many: 1\r\n" * 100, b"a:\r\n" * 100, b"x" * 1100], ids=["many", "empty", "one"])
def test_a_head_that_is_too_large_is_400(piece: bytes, pieces: int) -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            writer.write(POST + b"X-First: ")
            for _ in range(pieces):
                writer.write(piece * (40 // pieces))
                await asyncio.sleep(0.001)
            writer.write(b"\r\n\r\n")
            assert (await rest(reader, 2)).startswith((b"HTTP/1.1 400", b"cut"))
            await site.gone()
        assert not site.heads

    serve(story)


def test_a_head_just_within_its_limit_is_read() -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            writer.write(GET[:-2] + b"X-Long: " + b"x" * (HEAD_BYTES - 200) + b"\r\n\r\n")
            assert await answered(reader) == b"HTTP/1.1 200 OK"

    serve(story)


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def test_trailers_and_chunk_extensions_are_read_and_not_kept() -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            for _ in range(2):
                writer.write(CHUNKED + b"2;x=y\r\nok\r\n0\r\nX-Trailer: x\r\n\r\n")
                assert await answered(reader) == b"HTTP/1.1 200 OK"
        assert [set(head) for head in site.heads] == [{b"host", b"transfer-encoding"}] * 2

    serve(story)


@pytest.mark.parametrize("size", [10, 1000, 60_000])
@pytest.mark.parametrize(
    ("begun", "going_on"),
    [(b"0\r\n", b"X-Trailer: x\r\n"), (b"0\r\nX-Trailer: ", b"x" * 14), (b"2\r\nok\r\n2;", b"x" * 14)],
    ids=["trailers", "one trailer", "a chunk extension"],
)
def test_what_comes_without_end_beside_the_body_is_400(begun: bytes, going_on: bytes, size: int) -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            writer.write(CHUNKED + begun)
            for _ in range(HEAD_BYTES // size + 2):
                writer.write(going_on * (size // 10))
                await asyncio.sleep(0)
            assert (await rest(reader, 2)).startswith((b"HTTP/1.1 400", b"cut"))
            await site.gone()

    serve(story)


def test_a_large_body_is_no_large_head() -> None:
    async def story(site: Site) -> None:
        async with site.caller() as (reader, writer):
            writer.write(CHUNKED)
            for _ in range(4000):
                writer.write(b"a\r\n0123456789\r\n")
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            assert await answered(reader) == b"HTTP/1.1 200 OK"
            writer.write(POST + b"Content-Length: 400000\r\n\r\n" + b"x" * 400_000)
            assert await answered(reader) == b"HTTP/1.1 200 OK"

    serve(story)


def test_an_answer_that_takes_too_long_ends_the_connection() -> None:
    async def story(site: Site) -> None:
        site.hold = asyncio.Event()
        async with site.caller() as (reader, writer):
            writer.write(GET)
            assert await rest(reader, ANSWER_SECONDS + SOON) in (b"", b"cut")
            await site.gone()

    serve(story, answer_seconds=ANSWER_SECONDS)


@pytest.mark.parametrize("behind", [GET, GET * 5_000, b"what is this?\r\n\r\n"], ids=["one more", "many", "no request"])
def test_what_comes_before_the_answer_is_not_kept_and_the_answer_is_the_last(behind: bytes) -> None:
    async def story(site: Site) -> None:
        site.hold = asyncio.Event()
        async with site.caller() as (reader, writer):
            writer.write(GET + behind)
            await asyncio.sleep(0.05)
            site.hold.set()
            said = await rest(reader, SOON)
            assert (said.count(b"HTTP/1.1"), said.count(b"HTTP/1.1 200 OK")) == (1, 1)
            assert b"connection: close" in said
            assert said.endswith(b"\r\n\r\nok")
            await site.gone()
        assert len(site.heads) == 1

    serve(story)


def test_a_peer_that_asks_again_and_again_and_takes_nothing_is_cut() -> None:
    async def story(site: Site) -> None:
        site.answer = b"x" * LARGE
        async with site.caller() as (reader, writer):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(10):
                writer.write(GET * 50)
                await asyncio.sleep(0.01)
            [connection] = site.state.connections
            assert connection.transport.get_write_buffer_size() < LARGE + 1000
            await site.gone(ANSWER_SECONDS + SOON)
        assert len(site.heads) == 1

    serve(story, answer_seconds=ANSWER_SECONDS, head_seconds=HEAD_SECONDS)


def test_one_that_asks_before_it_has_taken_its_answer_is_given_the_whole_of_it() -> None:
    async def story(site: Site) -> None:
        site.answer = b"x" * LARGE
        async with site.caller() as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(GET)
            whole = await rest(reader, SOON) == site.answer
            assert whole  # by itself: pytest would show 16 MB
        assert len(site.heads) == 1

    serve(story)


def test_a_peer_that_takes_a_large_answer_slowly_asks_again_on_the_same_connection() -> None:
    async def story(site: Site) -> None:
        site.answer = b"x" * LARGE
        async with site.caller() as (reader, writer):
            for _ in range(2):
                writer.write(GET)
                await asyncio.sleep(1.5)  # not yet: it waits in our buffer
                assert await answered(reader) == b"HTTP/1.1 200 OK"
            await asyncio.sleep(6.0 + A_WHILE)
            assert len(site.state.connections) == len(site.all.waiting) == 1  # it is idle

    serve(story, answer_seconds=6.0, head_seconds=1.5)


def test_at_the_limit_the_longest_silent_goes_and_the_newcomer_is_answered() -> None:
    async def story(site: Site) -> None:
        site.hold = asyncio.Event()
        async with site.caller() as busy, site.caller() as first, site.caller() as second:
            busy[1].write(GET)
            await asyncio.sleep(0.05)
            async with site.caller() as newcomer:
                newcomer[1].write(GET)
                assert await rest(first[0], SOON) == b""
                site.hold.set()
                assert await answered(newcomer[0]) == await answered(busy[0]) == b"HTTP/1.1 200 OK"
                second[1].write(GET)
                assert await answered(second[0]) == b"HTTP/1.1 200 OK"

    serve(story, most=3)


def test_at_the_limit_one_that_takes_no_answer_goes_too() -> None:
    async def story(site: Site) -> None:
        site.answer = b"x" * LARGE
        async with site.caller() as deaf:
            deaf[0]._transport.pause_reading()  # type: ignore[attr-defined]
            deaf[1].write(GET)
            await asyncio.sleep(0.1)
            site.answer = b"ok"
            async with site.caller() as first, site.caller() as second:
                for reader, writer in (first, second):
                    writer.write(GET)
                    assert await answered(reader) == b"HTTP/1.1 200 OK"
                assert len(site.state.connections) == 2

    serve(story, most=2)


@pytest.mark.parametrize(
    ("soft", "hard", "fit", "raised"),
    [
        (10_000, 10_000, 500, None),
        (256, 10_000, 500, 500 + SPARE_FILES),
        (256, resource.RLIM_INFINITY, 500, 500 + SPARE_FILES),
        (256, 300, 300 - SPARE_FILES, 300),
    ],
)
def test_as_many_connections_as_files_may_be_open(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, fit: int, raised: int | None
) -> None:
    told: list[int] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: told.append(limits[0]))
    assert allow_files(500) == fit
    assert told == ([] if raised is None else [raised])
