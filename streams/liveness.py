"""/metrics and /healthz of a role that has no HTTP of its own, answered by a thread.

/healthz is 200 `ok` while the role says it is up to its work, else 503.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from streams.errors import InvalidConfiguration


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is not worth a line."""


@contextmanager
def serve(host: str, port: int, healthy: Callable[[], bool]) -> Iterator[None]:
    """Answer on `host:port` while the block runs. Raises InvalidConfiguration if the port is taken."""
    scrape: Callable[[dict[str, Any], Any], Iterable[bytes]] = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return scrape(environ, start_response)
        plain = [("Content-Type", "text/plain")]
        if environ["PATH_INFO"] != "/healthz":
            start_response("404 Not Found", plain)
            return [b"there are /metrics and /healthz\n"]
        good = healthy()
        start_response("200 OK" if good else "503 Service Unavailable", plain)
        return [b"ok\n" if good else b"not well\n"]

    try:
        server = make_server(host, port, application, _Server, _Quiet)
    except OSError as error:
        raise InvalidConfiguration([f"cannot listen on {host}:{port}: {error.strerror}"]) from error
    thread = threading.Thread(target=server.serve_forever, name="liveness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
