"""What runs on this machine in one state directory: `run.json`, written by the supervisor, read by status, down and the demo."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

from schemas.base import Agreed
from streams.process import Identity
from streams.settings import Settings


class RoleState(Agreed):
    """One role as the supervisor knows it."""

    name: str
    address: str  #: where a person or a client finds it
    health: str  #: URL that answers 200 while it is well, or host:port that accepts connections
    log: str
    pid: int = 0  #: 0 while it waits to be restarted
    started: int = 0  #: as in `streams.process.Identity`
    restarts: int = 0
    last_exit: str = ""  #: why it was restarted last: `exit code 1`, `signal 9`

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.started)


class RunState(Agreed):
    """The whole run. Ports are those in use, which need not be those of the settings."""

    phase: Literal["starting", "ready", "stopping", "failed"]
    error: str = ""
    exit_code: int = 0
    supervisor_pid: int
    supervisor_started: int
    brokers: str
    ports: dict[str, int]  #: field of Settings -> port
    roles: tuple[RoleState, ...]

    @property
    def supervisor(self) -> Identity:
        return Identity(self.supervisor_pid, self.supervisor_started)

    def write(self, state_dir: Path) -> None:
        """Whole or not at all, so that a reader never sees half a state."""
        fresh = state_dir / "run.json.new"
        fresh.write_text(self.model_dump_json(indent=1))
        fresh.replace(state_dir / "run.json")


def read(state_dir: Path) -> RunState | None:
    """The state of the last run in this directory; None if there is none."""
    try:
        return RunState.model_validate_json((state_dir / "run.json").read_text())
    except FileNotFoundError:
        return None


def forget(state_dir: Path) -> None:
    (state_dir / "run.json").unlink(missing_ok=True)


def adopt(settings: Settings) -> Settings:
    """`settings` with brokers and ports of a run that is alive in their state directory, where they are not set otherwise.

    So that `mutual-sla topics` or `rejected list` beside `mutual-sla up` talk to the Kafka that `up` started.
    """
    state = read(settings.state_dir)
    if state is None or not state.supervisor.alive():
        return settings
    actual: dict[str, object] = {"brokers": state.brokers, **state.ports}
    unset = {spec.name for spec in fields(Settings) if getattr(settings, spec.name) == spec.default}
    return replace(settings, **{name: value for name, value in actual.items() if name in unset})  # type: ignore[arg-type]
