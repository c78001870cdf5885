"""`up`, `down`, `status`, and the same for programs: `start(settings) -> Running`.

Behind it, one supervisor process a state directory (streams.supervision), in the foreground or detached.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, sleep

from rich.console import Console
from rich.table import Table

from streams import check, credentials, health, run_state
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.health import Lag
from streams.process import rotate, tail
from streams.run_state import RunState
from streams.settings import Settings
from streams.supervision import AlreadyRunning, Supervisor, stop_leftovers

DOWN_SECONDS = 30.0  #: a supervisor stops everything within 20 s; then it is killed


@dataclass(frozen=True, slots=True)
class Running:
    """A detached run: where everything is. As a context manager it stops at the end."""

    settings: Settings  #: with the actual brokers and ports
    secrets: Mapping[str, str] = field(repr=False)  #: every variable that sources.yaml names
    child: subprocess.Popen[bytes] | None = field(
        default=None, repr=False
    )  #: the supervisor, ours to wait for if it ends before we do

    def state(self) -> RunState:
        """The run as it is now. Raises Unreachable if it has ended."""
        state = run_state.read(self.settings.state_dir)
        if state is None or not state.supervisor.alive():
            raise Unreachable(f"nothing runs in {self.settings.state_dir} any more; see {_log(self.settings)}")
        return state

    def stop(self) -> None:
        """Stop it; a later run in the same state directory, which ended this one, goes on."""
        state = run_state.read(self.settings.state_dir)
        if self.child is None or state is None or state.supervisor_pid == self.child.pid:
            stop(self.settings)
        if self.child is not None:
            self.child.wait()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def up(settings: Settings, *, embedded: bool, port: int | None = None, workers: int = 1, detach: bool = False) -> None:
    """Start everything and stay until Ctrl-C; with `detach`, return once all roles are well and leave a supervisor behind.

    `embedded`: a Kafka node of our own on `port` (default: a free one), instead of `settings.brokers`.
    Raises InvalidConfiguration (all faults; nothing was started), AlreadyRunning, or Unreachable naming the role that did not
    start and the end of its log.
    """
    if detach:
        running = start(settings, embedded=embedded, port=port, workers=workers)
        _print_addresses(running.settings, running.state())
    else:
        supervisor = Supervisor(settings, embedded=embedded, port=port, workers=workers)
        supervisor.run(on_ready=lambda state: _print_addresses(settings, state))


def start(
    settings: Settings,
    *,
    embedded: bool = True,
    port: int | None = None,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start a detached supervisor and return once all roles are well; raises as `up` does, and then nothing runs.

    `environment`: more variables for every role, such as MUTUAL_SLA_CLOCK_FILE.
    """
    settings = replace(settings, state_dir=settings.state_dir.resolve())
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    if (before := run_state.read(settings.state_dir)) is not None and before.supervisor.alive():
        raise AlreadyRunning(f"already up in {settings.state_dir}: see `mutual-sla status`, or `mutual-sla down` first")
    command = [sys.executable, "-m", "streams", "up", "--workers", str(workers)]
    command += ["--port", str(port)] if port else []
    command += [] if embedded else ["--brokers", settings.brokers]
    variables = {**os.environ, **settings.environment(), **(environment or {})}
    if embedded:
        del variables["MUTUAL_SLA_BROKERS"]  # where it is set, `up` uses that Kafka
    child = _spawn(command, _log(settings), variables)
    try:
        state = _await_ready(settings, child)
    except BaseException:
        stop(settings)
        child.terminate()
        child.wait()
        raise
    return _running(settings, state, child)


def stop(settings: Settings) -> list[str]:
    """Stop the run in the state directory, or what a dead supervisor left; gives the names of what was stopped. Idempotent."""
    state = run_state.read(settings.state_dir)
    if state is None:
        return []
    names = [role.name for role in state.roles] or ["a start that was under way"]
    if not state.supervisor.alive():
        return stop_leftovers(settings.state_dir)
    with suppress(ProcessLookupError):  # it may end by itself just now
        os.kill(state.supervisor_pid, signal.SIGTERM)
    end = monotonic() + DOWN_SECONDS
    while state.supervisor.alive() and monotonic() < end:
        sleep(0.05)
    if state.supervisor.alive():
        with suppress(ProcessLookupError):
            os.kill(state.supervisor_pid, signal.SIGKILL)
    stop_leftovers(settings.state_dir)
    return names


def down(settings: Settings) -> None:
    """`stop` what `up` and the demo (in a directory of its own below) started, and say so."""
    for state_dir in (settings.state_dir, settings.state_dir / "demo"):
        if names := stop(replace(settings, state_dir=state_dir)):
            Console().print(f"stopped in {state_dir}: {', '.join(reversed(names))}", soft_wrap=True)
        elif state_dir == settings.state_dir:
            Console().print(f"nothing runs in {state_dir}")


def status(settings: Settings, *, as_json: bool) -> None:
    """Print each role's health, process, restarts, lag and address. Raises Unreachable (69) if anything is not well."""
    state = run_state.read(settings.state_dir)
    if state is None:
        raise Unreachable(f"nothing runs in {settings.state_dir}")
    well = {role.name: role.identity.alive() and health.answers(role.health) for role in state.roles}
    actual = _running_settings(settings, state)
    lag = health.consumer_lag(actual) if well.get("kafka", True) and state.roles else None
    alive = state.supervisor.alive()
    if as_json:
        print(json.dumps(_report(state, well, lag, alive)))  # noqa: T201
    else:
        Console().print(_table(state, well, lag))
    if not alive:
        raise Unreachable(f"the supervisor is not running: {state.error or 'it ended without stopping its roles'}")
    bad = [name for name, good in well.items() if not good]
    if bad or state.phase != "ready":
        raise Unreachable(f"{state.phase}; not well: {', '.join(bad) or 'nothing'}")


def _log(settings: Settings) -> Path:
    return settings.state_dir / "logs" / "supervisor.log"


def _spawn(command: list[str], output: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process that outlives this one."""
    output.parent.mkdir(parents=True, exist_ok=True)
    rotate(output)
    with output.open("ab") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=dict(variables), start_new_session=True
        )


def _await_ready(settings: Settings, child: subprocess.Popen[bytes]) -> RunState:
    while True:
        ended = child.poll()
        state = run_state.read(settings.state_dir)
        if state is not None and state.supervisor_pid == child.pid:
            if state.phase == "ready":
                return state
            if state.phase == "failed":
                child.wait()
                raise _failure(state.exit_code, state.error)
        if ended is not None:
            raise _failure(ended, tail(_log(settings)))
        sleep(0.1)


def _failure(exit_code: int, words: str) -> MutualSLAError:
    if exit_code == InvalidConfiguration.exit_code:
        return InvalidConfiguration(words.splitlines())
    return Unreachable(words or f"the supervisor ended with exit code {exit_code}")


def _running(settings: Settings, state: RunState, child: subprocess.Popen[bytes]) -> Running:
    sources = check.load_sources(settings.deploy_dir)
    embedded = any(role.name == "kafka" for role in state.roles)
    secrets = credentials.complete(sources, settings.state_dir, os.environ) if embedded else dict(os.environ)
    return Running(
        _running_settings(settings, state), {name: secrets.get(name, "") for name in credentials.names(sources)}, child
    )


def _running_settings(settings: Settings, state: RunState) -> Settings:
    return replace(settings, brokers=state.brokers, **state.ports)  # type: ignore[arg-type]


def _report(state: RunState, well: Mapping[str, bool], lag: Lag | None, alive: bool) -> dict[str, object]:
    rows = [
        {**role.model_dump(include={"name", "pid", "restarts", "last_exit", "address", "log"}), "healthy": well[role.name]}
        for role in state.roles
    ]
    return {"phase": state.phase, "supervisor": alive, "brokers": state.brokers, "roles": rows, "lag": lag}


def _table(state: RunState, well: Mapping[str, bool], lag: Lag | None) -> Table:
    table = Table("role", "health", "pid", "restarts", "lag", "address", title=f"{state.phase}, Kafka at {state.brokers}")
    for role in state.roles:
        unread = (lag or {}).get(role.name.partition("-")[0], {})  # the workers of one group share theirs
        condition = "[green]well[/]" if well[role.name] else "[red]not well[/]"
        restarts = f"{role.restarts} ({role.last_exit})" if role.restarts else "0"
        table.add_row(
            role.name, condition, str(role.pid or "-"), restarts, str(sum(unread.values())) if unread else "", role.address
        )
    return table


def _print_addresses(settings: Settings, state: RunState) -> None:
    table = Table("role", "address", title=f"up, in {settings.state_dir}")
    for role in state.roles:
        table.add_row(role.name, role.address)
    Console().print(table)
