"""Real Prometheus, Alertmanager, exporter and pager over an `Installation`, on free ports, with intervals cut for a test.

The configuration is the one in deploy/, rendered as the supervisor does; only its intervals and the rules' `for` are cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from streams import monitoring, ports
from streams.process import Process
from streams.settings import ROOT
from tests.conftest import program
from tests.installation import Installation, Sink
from tests.waiting import until

FOR = "3s"
PORTS = (
    "exporter_port",
    "pager_port",
    "gateway_port",
    "api_port",
    "normalise_metrics_port",
    "track_metrics_port",
    "ledger_metrics_port",
    "prometheus_port",
    "alertmanager_port",
)


def installation(folder: Path, sink: Sink, managers: int = 2, **settings: Any) -> Installation:
    """An installation on ports that nobody has."""
    found: dict[str, Any] = {}
    for name in PORTS:
        found[name] = ports.free(taken=set(found.values()))
    return Installation(folder, sink, managers, **found, **settings)


class Monitored:
    """The processes; `with Monitored(here, folder) as stack:` stops what is still running."""

    def __init__(self, here: Installation, folder: Path) -> None:
        self.here = here
        self.folder = folder
        self.running: dict[str, Process] = {}
        _hasten(here.settings.deploy_dir / "prometheus/rules.yml", _cut_rules)
        self.prometheus_yml, self.alertmanager_yml = monitoring.render(here.settings, folder / "config")
        _hasten(self.prometheus_yml, _cut_prometheus)
        _hasten(self.alertmanager_yml, _cut_alertmanager)

    def __enter__(self) -> Monitored:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running.values():
            process.ask_to_stop()
        for process in self.running.values():
            process.stop()

    def role(self, *command: str, port: str = "", secrets: Mapping[str, str] | None = None) -> None:
        """Start `python -m streams COMMAND...` and wait until it is well; `port` is a field of Settings."""
        name = command[-1]
        environment = {**os.environ, **self.here.settings.environment(), **(secrets or {}), "PYTHONPATH": str(ROOT)}
        address = f"http://127.0.0.1:{getattr(self.here.settings, port or f'{name}_port')}/healthz"
        self._start(name, [sys.executable, "-m", "streams", *command], environment, address)

    def prometheus(self) -> None:
        settings = self.here.settings
        command = [str(program("prometheus")), f"--config.file={self.prometheus_yml}", "--log.level=warn"]
        command += [f"--storage.tsdb.path={self.folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{settings.prometheus_port}"]
        self._start("prometheus", command, dict(os.environ), f"http://127.0.0.1:{settings.prometheus_port}/-/ready")

    def alertmanager(self) -> None:
        port = self.here.settings.alertmanager_port
        command = [str(program("prometheus-alertmanager|alertmanager")), f"--config.file={self.alertmanager_yml}"]
        command += [f"--storage.path={self.folder / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{port}"]
        command += ["--cluster.listen-address=", "--log.level=warn"]
        self._start("alertmanager", command, dict(os.environ), f"http://127.0.0.1:{port}/-/ready")

    def _start(self, name: str, command: list[str], environment: dict[str, str], address: str) -> None:
        process = Process.spawn(name, command, log=self.folder / f"{name}.log", environment=environment)
        self.running[name] = process

        def well() -> bool:
            assert process.alive(), process.log.read_text()
            return monitoring_answers(address)

        until(well)

    def kill(self, name: str) -> None:
        """As a crash would."""
        self.running.pop(name).kill()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector Prometheus answers."""
        address = f"http://127.0.0.1:{self.here.settings.prometheus_port}/api/v1/query"
        answer = httpx.get(address, params={"query": expression}, trust_env=False).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def alerts(self) -> list[dict[str, Any]]:
        """What Alertmanager holds, muted or not."""
        address = f"http://127.0.0.1:{self.here.settings.alertmanager_port}/api/v2/alerts"
        answer: list[dict[str, Any]] = httpx.get(address, trust_env=False).json()
        return answer


def monitoring_answers(address: str) -> bool:
    """Whether a URL answers 200."""
    try:
        return httpx.get(address, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _hasten(path: Path, cut: Any) -> None:
    config = yaml.safe_load(path.read_text())
    cut(config)
    path.write_text(yaml.safe_dump(config, sort_keys=False, width=1000))


def _cut_rules(config: dict[str, Any]) -> None:
    for group in config["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = FOR


def _cut_prometheus(config: dict[str, Any]) -> None:
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}


def _cut_alertmanager(config: dict[str, Any]) -> None:
    config["route"] |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "5s"}
