"""/metrics, /healthz and /readyz of a role that has no HTTP of its own, answered by a thread.

/readyz is 200 while the role is up to its work, else 503: it recovers, or what it needs is away. /healthz is 200 while it gets
on, be it with a recovery, and 503 with the reason when it hangs: then it has to be started again.
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
def serve(
    host: str,
    port: int,
    ready: Callable[[], bool],
    stuck: Callable[[], str] = lambda: "",
    note: Callable[[], str] = lambda: "",
) -> Iterator[None]:
    """Answer on `host:port` while the block runs. `stuck`: why the role does not get on; empty while it does.

    `note`: lines that /healthz says below its ok, of what a restart would not mend.
    Raises InvalidConfiguration if the port is taken.
    """
    scrape: Callable[[dict[str, Any], Any], Iterable[bytes]] = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, plain = environ["PATH_INFO"], [("Content-Type", "text/plain")]
        if path == "/metrics":
            return scrape(environ, start_response)
        if path not in ("/healthz", "/readyz"):
            start_response("404 Not Found", plain)
            return [b"there are /metrics, /healthz and /readyz\n"]
        fault = stuck() or ("" if path == "/healthz" or ready() else "not ready")
        start_response("503 Service Unavailable" if fault else "200 OK", plain)
        return [f"{fault or 'ok'}\n{'' if fault or path == '/readyz' else note()}".encode()]

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
