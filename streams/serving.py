"""Serving one ASGI application until SIGTERM or SIGINT: the end of gateway, API, exporter and pager, alike."""

from __future__ import annotations

import signal

import uvicorn
from fastapi import FastAPI


def serve(app: FastAPI, host: str, port: int) -> None:
    """Answer on host:port until asked to stop; then let requests finish (5 s) and return. Exits 1 if the port is taken."""
    config = uvicorn.Config(
        app, host=host, port=port, access_log=False, log_config=None, server_header=False, timeout_graceful_shutdown=5
    )
    until_stopped(config)


def until_stopped(config: uvicorn.Config) -> None:
    """Serve until SIGTERM or SIGINT, and return."""
    server = uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn raises the signal again when it has finished; with this handler the process then ends well.
        signal.signal(number, server.handle_exit)
    server.run()
