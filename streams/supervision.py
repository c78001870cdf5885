"""Everything on this machine: Kafka, topics, every role, Prometheus and Alertmanager. Started, watched, restarted, stopped.

One supervisor process a state directory. It writes what it does to run.json there; `status`, `down` and the demo read that.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Literal

import structlog

from schemas.sources import Sources
from streams import check, clock, credentials, health, ports, published, roles, run_state, topics
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.exclusive import exclusive
from streams.kafka_node import KafkaNode
from streams.process import Identity, Process, tail
from streams.roles import Role
from streams.run_state import RoleState, RunState
from streams.settings import Settings

log = structlog.get_logger()

START_SECONDS = 120.0  #: a wave of roles must be well after this long
ATTEMPTS = 3  #: a role that dies this often before it was ever well will not get well
LONGEST_PAUSE = 30.0  #: seconds before a role that keeps dying is started again
LOOK_EVERY = 2.0  #: seconds between two rounds of asking every role whether it is well
STEADY_SECONDS = 60.0  #: a role that lived this long has not failed to start
STOP_SECONDS = 4.0  #: for each wave to stop by itself; four waves and Kafka make less than 20 s
BAD_CONFIGURATION = InvalidConfiguration.exit_code


class AlreadyRunning(MutualSLAError):
    """Another supervisor has this state directory."""

    exit_code = 69


class Interrupted(BaseException):
    """SIGTERM or SIGINT: stop everything, whatever is going on. Not an Exception, so that nothing swallows it."""


@dataclass(slots=True)
class Supervised:
    """A role and its process now."""

    role: Role
    launch: Callable[[], Process]
    process: Process | None = None
    launched_at: float = 0.0
    restart_at: float = 0.0  #: while there is no process
    failures: int = 0  #: in a row
    restarts: int = 0
    last_exit: str = ""
    patience: float = 0.0  #: seconds of failing liveness after which it is killed; 0: it is left alone
    well_at: float = 0.0  #: when it last answered that it is, or was started
    answered: bool = False  #: since its start

    def start(self) -> None:
        self.process = self.launch()
        self.launched_at = self.well_at = monotonic()
        self.answered = False

    def tend(self, now: float) -> bool:
        """Notice that it died or hangs, or start it again when its pause is over. True if something changed."""
        if self.process is None:
            if now < self.restart_at:
                return False
            self.restarts += 1
            try:
                self.start()
            except OSError as error:  # no room for its log, say: there may be some later
                self.failures += 1
                self._pause(now, f"it could not be started: {error.strerror}")
            return True
        code = self.process.exit_code
        if code is None and not self._hangs(now):
            return False
        self.failures = 1 if now - self.launched_at > STEADY_SECONDS else self.failures + 1
        if code is None:
            self.process.kill()  # whoever hangs may not hear a SIGTERM; every role can be killed at any moment
            why = f"not well for {now - self.well_at:.0f} s"
        else:
            why = f"exit code {code}" if code >= 0 else f"signal {-code}"
        self._pause(now, why)
        return True

    def _pause(self, now: float, why: str) -> None:
        pause = min(LONGEST_PAUSE, 0.5 * 2.0**self.failures)
        self.last_exit, self.restart_at, self.process = why, now + pause, None
        log.error("role_ended", role=self.role.name, why=why, restart_in_seconds=pause, log=str(self.role.log))

    def look(self) -> None:
        """Ask it whether it is well; takes 2 s at most. For a thread: whoever waits must not be the one who tends."""
        if self.role.liveness and self.process is not None and health.answers(self.role.liveness):
            self.well_at, self.answered = monotonic(), True

    def _hangs(self, now: float) -> bool:
        if not self.role.liveness or not self.patience:
            return False
        return now - self.well_at > (self.patience if self.answered else max(self.patience, START_SECONDS))

    def state(self) -> RoleState:
        identity = self.process.identity if self.process else Identity(0, 0)
        role = self.role
        return RoleState(
            name=role.name,
            address=role.address,
            health=role.health,
            log=str(role.log),
            pid=identity.pid,
            started=identity.started,
            restarts=self.restarts,
            last_exit=self.last_exit,
        )


class Supervisor:
    """Runs in the foreground of its own process: `run` returns when everything has stopped again."""

    def __init__(self, settings: Settings, *, embedded: bool, port: int | None, workers: int) -> None:
        self.settings = replace(settings, state_dir=settings.state_dir.resolve())
        self.workers = workers
        folder = self.settings.state_dir / "kafka"
        self.kafka = KafkaNode(folder, port, heap=settings.kafka_heap) if embedded else None
        self.running: list[Supervised] = []
        self.phase: Literal["starting", "ready", "stopping", "failed"] = "starting"
        self._untold = False  #: run.json does not say yet what is so: there was no room

    def run(self, on_ready: Callable[[RunState], None]) -> None:
        """Start everything, call `on_ready`, watch until SIGTERM or SIGINT, stop everything.

        Raises InvalidConfiguration (all faults, nothing started), AlreadyRunning, or Unreachable naming what did not start and
        the end of its log; everything that was started has stopped again then.
        """
        with only_one(self.settings.state_dir), _interruptible():
            try:
                threading.Thread(target=self._look, name="look", daemon=True).start()
                self._start()
                self.phase = "ready"
                on_ready(self._write())
                self._watch()
            except Interrupted:
                log.info("stopping")
            except MutualSLAError as error:
                self._stop()
                self.phase = "failed"
                self._write(error)
                raise
            except BaseException:
                self._stop()
                run_state.forget(self.settings.state_dir)
                raise
            self._stop()
            run_state.forget(self.settings.state_dir)

    def _start(self) -> None:
        stop_leftovers(self.settings.state_dir)
        inspection = check.inspect(self.settings.deploy_dir)
        inspection.refuse()
        assert inspection.sources is not None, "a file without faults has its model"
        self._write()
        with ports.choosing():
            self.settings = roles.choose_ports(self.settings)
            self._start_all(inspection.sources)

    def _start_all(self, sources: Sources) -> None:
        secrets: Mapping[str, str] = {}
        if self.kafka is not None:
            secrets = credentials.complete(sources, self.settings.state_dir, os.environ)
            self._start_kafka(self.kafka)
        topics.verify(self.settings)
        published.publish(self.settings, clock.from_environment().now())
        planned = roles.plan(self.settings, self.workers, polls=any(one.api for one in sources.accounts))
        for wave in sorted({role.wave for role in planned}):
            self._start_wave([role for role in planned if role.wave == wave], secrets)

    def _start_kafka(self, node: KafkaNode) -> None:
        if self.settings.kafka_security_protocol != "PLAINTEXT":
            raise InvalidConfiguration(
                ["MUTUAL_SLA_KAFKA_SECURITY_PROTOCOL is for a Kafka of yours: give --brokers, or leave it away"]
            )
        node.start()
        self.settings = replace(self.settings, brokers=node.bootstrap)
        role = Role(name="kafka", wave=-1, command=(), address=node.bootstrap, health=node.bootstrap, log=node.log_path)
        kafka = Supervised(role, node.launch, node.process, launched_at=monotonic())
        self.running.append(kafka)
        self._write()

    def _start_wave(self, wave: list[Role], secrets: Mapping[str, str]) -> None:
        patience = self.settings.unwell_seconds
        started = [Supervised(role, _launcher(role, secrets), patience=patience) for role in wave]
        for one in started:
            self.running.append(one)
            one.start()
        self._write()
        waiting, end = list(started), monotonic() + START_SECONDS
        while waiting:
            self._tend()
            for one in waiting:
                if one.failures >= ATTEMPTS or one.last_exit == f"exit code {BAD_CONFIGURATION}" or monotonic() > end:
                    raise did_not_start(one)
            waiting = [one for one in waiting if one.process is None or not health.answers(one.role.health)]
            sleep(0.2)

    def _watch(self) -> None:
        while True:
            self._tend()
            sleep(0.5)

    def _look(self) -> None:
        while True:
            for one in list(self.running):
                one.look()
            sleep(LOOK_EVERY)

    def _tend(self) -> None:
        now = monotonic()
        changed = [one.tend(now) for one in self.running]
        if any(changed) or self._untold:
            try:
                self._write()
            except OSError as error:  # a full disk stops nobody who can go on: it is written once there is room
                if not self._untold:
                    log.error("state_not_written", reason=error.strerror)
                self._untold = True
            else:
                self._untold = False

    def _stop(self) -> None:
        """Wave by wave, the last first; what does not go by itself is killed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # asked once is enough
        self.phase = "stopping"
        if self.running:
            self._write()
        for wave in sorted({one.role.wave for one in self.running}, reverse=True):
            leaving = [one.process for one in self.running if one.role.wave == wave and one.process is not None]
            for process in leaving:
                process.ask_to_stop()
            end = monotonic() + STOP_SECONDS
            for process in leaving:
                process.stop(max(0.1, end - monotonic()))
        if self.kafka is not None:
            self.kafka.stop(STOP_SECONDS)
        self.running.clear()

    def _write(self, error: MutualSLAError | None = None) -> RunState:
        own = Identity.of(os.getpid())
        state = RunState(
            phase=self.phase,
            error=str(error or ""),
            exit_code=error.exit_code if error else 0,
            supervisor_pid=os.getpid(),
            supervisor_started=own.started if own else 0,
            brokers=self.settings.brokers,
            ports={name: getattr(self.settings, name) for name in roles.PORTS},
            roles=tuple(one.state() for one in self.running),
        )
        state.write(self.settings.state_dir)
        return state


def _launcher(role: Role, secrets: Mapping[str, str]) -> Callable[[], Process]:
    # Prometheus and Alertmanager have no use for our secrets.
    environment = {**os.environ, **role.environment, **(secrets if role.environment else {})}
    # Should the supervisor be killed, Kafka goes too: a role that first wanted to finish its work would wait for it in vain.
    return lambda: Process.spawn(role.name, role.command, log=role.log, environment=environment, orphaned=signal.SIGKILL)


def did_not_start(one: Supervised) -> MutualSLAError:
    why = one.last_exit or f"not well after {START_SECONDS:g} s"
    words = f"{one.role.name} did not start ({why}); the end of {one.role.log}:\n{tail(one.role.log)}"
    return InvalidConfiguration([words]) if why == f"exit code {BAD_CONFIGURATION}" else Unreachable(words)


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state directory."""
    words = f"already up in {state_dir}: see `mutual-sla status`, or `mutual-sla down` first"
    with exclusive(state_dir / "up.lock", AlreadyRunning(words)):
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGINT raise Interrupted in the main thread inside the block."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_leftovers(state_dir: Path) -> list[str]:
    """Stop roles of a supervisor that died without stopping them; gives their names. Called with nobody else in charge."""
    state = run_state.read(state_dir)
    if state is None:
        return []
    left = [role for role in reversed(state.roles) if role.identity.alive()]
    for role in left:
        role.identity.stop(STOP_SECONDS)
    run_state.forget(state_dir)
    return [role.name for role in left]
