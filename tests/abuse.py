"""Callers that mean harm, and honest ones beside them: bare sockets against a gateway.

As a program (`python -m tests.abuse PORT CONNECTIONS [KIND]`) it keeps so many hostile connections open until it is ended,
opening each anew when it is closed: a process of its own, so that it does not slow down the honest callers' clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
START = b"POST /webhooks/greenhouse HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
DRIP_SECONDS = 0.25
POUR_SECONDS = 0.1  #: between two pieces of an endless sender: 40 of them send 25 MB/s
PIECE = 64 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, START, b"X-Slow: 1\r\n", DRIP_SECONDS)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, START + b"Content-Length: 800000\r\n\r\n", b"x", DRIP_SECONDS)


async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chunk = b"%x\r\n%b\r\n" % (PIECE, b"x" * PIECE)
    await _send(writer, START + b"Transfer-Encoding: chunked\r\n\r\n", chunk, POUR_SECONDS)


async def tiny_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, START + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000, POUR_SECONDS)


async def oversized_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, START + b"Content-Length: 1000000000\r\n\r\n", b"x" * PIECE, POUR_SECONDS)


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, START, b"X-Endless: " + b"x" * PIECE, POUR_SECONDS)


async def endless_trailer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    await _send(writer, head, b"X-Trailer: x\r\n" * 4000, POUR_SECONDS)


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Asks for much and takes none of it."""
    await _send(writer, b"", b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n" * 50, DRIP_SECONDS)


#: What the hostile connections do, by their share.
MIXTURE: list[tuple[Callable[..., Awaitable[None]], float]] = [
    (silent, 0.25),
    (slow_head, 0.3),
    (slow_body, 0.36),
    *((kind, 0.015) for kind in (endless_body, tiny_chunks, oversized_body, endless_head, endless_trailer, deaf)),
]


async def _send(writer: asyncio.StreamWriter, first: bytes, again: bytes, seconds: float) -> None:
    writer.write(first)
    while True:
        writer.write(again)
        await writer.drain()
        await asyncio.sleep(seconds)


async def attack(port: int, connections: int, only: str | None = None) -> None:
    """So many hostile connections at once, for ever: the mixture, or `only` one kind."""
    mixture = [(kind, 1.0) for kind, _ in MIXTURE if kind.__name__ == only] if only else MIXTURE
    kinds = [kind for kind, share in mixture for _ in range(round(connections * share))]

    async def one(kind: Callable[..., Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(OSError):
                async with connected(port) as (reader, writer):
                    await kind(reader, writer)
            await asyncio.sleep(DRIP_SECONDS)

    await asyncio.gather(*map(one, kinds))


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def webhook(body: bytes, secret: bytes) -> bytes:
    """The bytes of an honest request of Greenhouse."""
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return START + f"Signature: sha256 {signature}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Told:
    """One answer; status 0 if none came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(slots=True)
class Answers:
    """What honest callers were told: how often which status (0: none came), the seconds to each, the bodies taken, and of the
    others how often which body was answered how."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    refused: list[tuple[bytes, Told]] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * share)]


async def ask(port: int, bodies: Iterator[bytes], secret: bytes, answers: Answers, pause: float = 0.0) -> None:
    """One honest caller: a connection for each body, as a vendor's sender has it, until `bodies` are used up."""
    for body in bodies:
        await _post(port, body, secret, answers)
        await asyncio.sleep(pause)


async def insist(port: int, body: bytes, secret: bytes, answers: Answers, pause: float) -> None:
    """One that comes again, after so many seconds, until its body is taken."""
    while not await _post(port, body, secret, answers):
        await asyncio.sleep(pause)


async def _post(port: int, body: bytes, secret: bytes, answers: Answers) -> bool:
    began, told = time.perf_counter(), Told()
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(30), connected(port) as (reader, writer):
            writer.write(webhook(body, secret))
            told = await _answer(reader)
    answers.statuses[told.status] += 1
    answers.seconds.append(time.perf_counter() - began)
    if told.status == 200:
        answers.kept.append(body)
    else:
        answers.refused.append((body, told))
    return told.status == 200


async def _answer(reader: asyncio.StreamReader) -> Told:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return Told(int(first.split(" ")[1]), headers, content)


@contextmanager
def attacked(port: int, connections: int, only: str | None = None) -> Iterator[None]:
    """While a process of its own attacks, from when its connections are open."""
    arguments = [sys.executable, "-m", "tests.abuse", str(port), str(connections), *([only] if only else [])]
    process = subprocess.Popen(arguments, cwd=Path(__file__).parent.parent)
    try:
        time.sleep(2.0)  # its start, and a thousand connections
        yield
        if process.poll() is not None:
            raise AssertionError("the attack ended by itself")
    finally:
        process.kill()
        process.wait()


def peak_megabytes(pid: int) -> float:
    """The most memory a process has held so far, or since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def forget_peak(pid: int) -> None:
    """Let the most be what it holds now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def sockets_of(pid: int) -> int:
    """How many sockets a process holds."""
    held = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held += link.readlink().name.startswith("socket:")
    return held


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(attack(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
