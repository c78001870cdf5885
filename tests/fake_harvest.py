"""A fake of Greenhouse's Harvest v3 as documented: client credentials, cursors that stand alone, limits, and its bad days."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

BASE = "https://harvest.example/v3"
TOKEN_URL = "https://auth.example/token"
DATE = {"Date": "Tue, 03 Mar 2026 12:00:00 GMT"}
PARENTS = {"job_ids": "job_id", "application_ids": "application_id", "interview_ids": "interview_id"}
PARENTS |= {"approval_flow_ids": "approval_flow_id", "ids": "id"}

Record = dict[str, Any]


@dataclass
class FakeHarvest:
    """`lists`: path -> objects. Pages hold `page` of them, newest id first; `bad` answers the request it is popped for."""

    lists: dict[str, list[Record]]
    page: int = 2
    lives: int = 10_000  #: requests a token lives for
    client: str = "client:hush"  #: id and secret
    bad: list[Callable[[httpx.Request], httpx.Response | None]] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    next_host: str = BASE
    tokens: int = 0
    _left: dict[str, int] = field(default_factory=dict)  #: requests that each token still lives for; several may be alive
    _cursors: dict[str, tuple[list[Record], int]] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.hosts.add(request.url.host)
        if request.url.path == "/token":
            return self._grant(request)
        self.asked.append(request)
        token = request.headers.get("authorization", "")
        self._left[token] = self._left.get(token, 0) - 1
        if self._left[token] < 0:
            return httpx.Response(401, json={"error": "expired"})
        if self.bad and (answer := self.bad.pop(0)(request)) is not None:
            return answer
        return self._list(request)

    def _grant(self, request: httpx.Request) -> httpx.Response:
        signed = base64.b64encode(self.client.encode()).decode()
        form = dict(httpx.QueryParams(request.content.decode()))
        if request.headers["authorization"] != f"Basic {signed}" or form != {"grant_type": "client_credentials", "sub": "7"}:
            return httpx.Response(401, json={"error": "unauthorized_client"})
        self.tokens += 1
        self._left[f"Bearer token-{self.tokens}"] = self.lives
        return httpx.Response(200, json={"access_token": f"token-{self.tokens}", "expires_in": 3600})

    def _list(self, request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        path = request.url.path.removeprefix("/v3")
        if path not in self.lists:
            return httpx.Response(404, json={"errors": ["not found"]})
        if "cursor" in query:
            if len(query) > 1:
                return httpx.Response(422, json={"errors": ["When passing a cursor, do not include other query params."]})
            found, start = self._cursors.pop(query["cursor"])
        else:
            if not 1 <= int(query.get("per_page", "100")) <= 500 or any(len(query.get(n, "").split(",")) > 50 for n in PARENTS):
                return httpx.Response(422, json={"errors": ["per_page or ids"]})
            found, start = self._matching(self.lists[path], query), 0
        page, rest = found[start : start + self.page], start + self.page
        headers = dict(DATE)
        if rest < len(found):
            cursor = f"c{len(self.asked)}"
            self._cursors[cursor] = (found, rest)
            headers["Link"] = f'<{self.next_host}{path}?cursor={cursor}>; rel="next"'
        return httpx.Response(200, json=page, headers=headers)

    def _matching(self, records: list[Record], query: dict[str, str]) -> list[Record]:
        operator, _, after = query.get("updated_at", "").partition("|")
        assert operator in ("", "gte")
        found = [r for r in records if not after or r["updated_at"] >= after]
        for name, parent in PARENTS.items():
            if name in query:
                found = [r for r in found if str(r[parent]) in query[name].split(",")]
        return sorted(found, key=lambda r: -int(r["id"]))


@contextmanager
def serving(fake: Callable[[httpx.Request], httpx.Response]) -> Iterator[str]:
    """The fake on a port of this machine; gives its origin."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            host = f"http://127.0.0.1:{server.server_port}"
            response = fake(httpx.Request(self.command, host + self.path, headers=dict(self.headers), content=body))
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name not in ("content-length", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
