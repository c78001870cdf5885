"""The roles of a run on this machine: how each is started, where it answers, and in which order they come and go."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from streams import monitoring, ports
from streams.settings import Settings

#: Fields of Settings that hold a port somebody listens on.
PORTS = (
    "gateway_port",
    "api_port",
    "exporter_port",
    "pager_port",
    "normalise_metrics_port",
    "track_metrics_port",
    "ledger_metrics_port",
    "poller_metrics_port",
    "prometheus_port",
    "alertmanager_port",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process to start. Roles of a lower wave are well before those of the next are started, and are stopped after them."""

    name: str
    wave: int
    command: tuple[str, ...]
    address: str
    health: str  #: URL that answers 200 while the role is up to its work
    liveness: str = ""  #: URL that answers 200 while the role gets on, and need not be started again; empty: none is known
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)  #: on top of the supervisor's own


def choose_ports(settings: Settings) -> Settings:
    """The settings with every port that something else listens on replaced by a free one; no port twice."""
    taken: set[int] = set()
    chosen: dict[str, int] = {}
    for name in PORTS:
        chosen[name] = ports.free(getattr(settings, name), settings.host, taken)
        taken.add(chosen[name])
    return replace(settings, **chosen)  # type: ignore[arg-type]


def plan(settings: Settings, workers: int, polls: bool = False) -> tuple[Role, ...]:
    """All roles but Kafka, in the order of their start. `settings` hold the actual ports and brokers."""
    track = [replace(settings, worker_id=str(number)) for number in range(workers)]
    for number in range(1, workers):
        taken = {getattr(settings, name) for name in PORTS} | {one.track_metrics_port for one in track}
        track[number] = replace(track[number], track_metrics_port=ports.free(None, settings.host, taken))
    return (
        _python("ledger", ("ledger",), settings, "ledger_metrics_port", wave=0, health="/readyz"),
        _python("normalise", ("worker", "normalise"), settings, "normalise_metrics_port", wave=0, health="/readyz"),
        *(
            _python(f"track-{one.worker_id}", ("worker", "track"), one, "track_metrics_port", wave=0, health="/readyz")
            for one in track
        ),
        _python("gateway", ("gateway",), settings, "gateway_port", wave=1, health="/readyz"),
        *([_python("poller", ("poll",), settings, "poller_metrics_port", wave=1)] if polls else []),
        _python("exporter", ("exporter",), settings, "exporter_port", wave=1),
        _python("api", ("api",), settings, "api_port", wave=1),
        _python("pager", ("pager",), settings, "pager_port", wave=1),
        *_monitoring(settings, tuple(one.track_metrics_port for one in track)),
    )


def _python(name: str, arguments: tuple[str, ...], settings: Settings, port: str, *, wave: int, health: str = "/healthz") -> Role:
    address = f"http://{settings.host}:{getattr(settings, port)}"
    return Role(
        name=name,
        wave=wave,
        command=(sys.executable, "-m", "streams", *arguments),
        address=address,
        health=address + health,
        liveness=address + "/healthz",
        log=settings.state_dir / "logs" / f"{name}.log",
        environment=settings.environment(),
    )


def _monitoring(settings: Settings, track_ports: tuple[int, ...]) -> list[Role]:
    """Prometheus and Alertmanager, those of them that are installed."""
    programs = {
        "alertmanager": shutil.which("prometheus-alertmanager") or shutil.which("alertmanager"),
        "prometheus": shutil.which("prometheus"),
    }
    if not any(programs.values()):
        return []
    folder = settings.state_dir / "monitoring"
    configs = dict(zip(("prometheus", "alertmanager"), monitoring.render(settings, folder, track_ports), strict=True))
    listen = {name: f"{settings.host}:{getattr(settings, f'{name}_port')}" for name in programs}
    options = {
        # No gossip with other Alertmanagers: there is one, and its port could be taken.
        "alertmanager": (f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address="),
        "prometheus": (f"--storage.tsdb.path={folder / 'prometheus'}", "--storage.tsdb.retention.time=30d"),
    }
    return [
        Role(
            name=name,
            wave=2,
            command=(program, f"--config.file={configs[name]}", f"--web.listen-address={listen[name]}", *options[name]),
            address=f"http://{listen[name]}",
            health=f"http://{listen[name]}/-/ready",
            liveness=f"http://{listen[name]}/-/healthy",
            log=settings.state_dir / "logs" / f"{name}.log",
        )
        for name, program in programs.items()
        if program
    ]
