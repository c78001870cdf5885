"""The gateway as a process of its own on a real Kafka, and what it left in `ats.raw`."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from streams.settings import ROOT, Settings
from tests.waiting import until
from tests.whole_topics import whole

SECRET = b"greenhouse-secret"
TOKEN = "extractor-token-0123456789"
SOURCES = {
    "tenant": "acme",
    "accounts": [
        {"account": "greenhouse", "system": "greenhouse", "webhook_secrets": [{"env": "T_SECRET"}], "polled": ["scorecards"]}
    ],
    "tokens": [{"identity": "extract-1", "role": "extractor", "token": {"env": "T_TOKEN"}}],
}


def command(settings: Settings, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    deploy = tmp_path / "deploy"
    deploy.mkdir(exist_ok=True)
    (deploy / "sources.yaml").write_text(yaml.safe_dump(SOURCES))
    changed = {"MUTUAL_SLA_DEPLOY_DIR": str(deploy), "MUTUAL_SLA_CLOCK_FILE": str(tmp_path / "clock")}
    secret = {"T_SECRET": SECRET.decode(), "T_TOKEN": TOKEN}
    return [sys.executable, "-m", "streams", "gateway"], {**os.environ, **settings.environment(), **changed, **secret}


@contextmanager
def running(settings: Settings, tmp_path: Path, *, path: str = "/readyz") -> Iterator[subprocess.Popen[bytes]]:
    """The gateway, once it answers 200 on `path`; killed at the end if it has not ended by itself."""
    arguments, environment = command(settings, tmp_path)
    with (tmp_path / "gateway.log").open("wb") as log:
        process = subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        until_answers(settings, path, 200)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def address(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.gateway_port}"


def until_answers(settings: Settings, path: str, status: int) -> None:
    def answer() -> object:
        try:
            return httpx.get(address(settings) + path).status_code
        except httpx.TransportError as error:
            return error

    until(lambda: answer() == status, why=lambda: f"{path} answers {answer()!r}, not {status}")


def signed(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    return {"Signature": f"sha256 {hmac.new(secret, body, hashlib.sha256).hexdigest()}", "Content-Type": "application/json"}


def raw_records(settings: Settings) -> list[Any]:
    return whole(settings, settings.topic("ats.raw"))
