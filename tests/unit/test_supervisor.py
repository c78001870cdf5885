"""The supervisor's parts, on real processes, ports and files; the whole of it runs in tests/integration/test_up_down.py."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml

from schemas.sources import Sources
from streams import credentials, health, monitoring, ports, roles, run_state, supervision, supervisor
from streams.errors import InvalidConfiguration, Unreachable
from streams.process import Identity, Process, rotate, tail
from streams.roles import Role
from streams.run_state import RoleState, RunState
from streams.settings import Settings
from streams.supervision import AlreadyRunning, Supervised, Supervisor
from tests.waiting import until

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def role(log: Path, *code: str, name: str = "one") -> Role:
    command = (sys.executable, "-c", *code)
    return Role(name=name, wave=0, command=command, address="127.0.0.1:1", health="127.0.0.1:1", log=log)


def supervised(log: Path, *code: str) -> Supervised:
    one = role(log, *code)
    return Supervised(one, lambda: Process.spawn(one.name, one.command, log=log))


def run_of(*states: RoleState, phase: str = "ready", pid: int | None = None) -> RunState:
    own = Identity.of(pid or os.getpid())
    return RunState(
        phase=phase,
        supervisor_pid=pid or os.getpid(),
        supervisor_started=own.started if own else 0,
        brokers="127.0.0.1:29999",
        ports={"api_port": 28081},
        roles=states,
    )


# -- processes -------------------------------------------------------------------------------------------------------


def test_stop_ends_a_process_at_the_first_asking(tmp_path: Path) -> None:
    process = Process.spawn("sleeper", SLEEPER, log=tmp_path / "log")
    until(lambda: tail(process.log) == "up")
    process.stop(10)
    assert process.exit_code == -signal.SIGTERM


def test_stop_kills_a_process_that_will_not_go(tmp_path: Path) -> None:
    process = Process.spawn("stubborn", STUBBORN, log=tmp_path / "log")
    until(lambda: tail(process.log) == "up")
    process.stop(0.2)
    assert process.exit_code == -signal.SIGKILL


def test_stop_takes_the_children_of_a_process_with_it(tmp_path: Path) -> None:
    code = f"import subprocess, time; print(subprocess.Popen({SLEEPER!r}).pid, flush=True); time.sleep(60)"
    process = Process.spawn("parent", [sys.executable, "-c", code], log=tmp_path / "log")
    until(lambda: "up" in tail(process.log))
    child = Identity.of(int(tail(process.log).split()[0]))
    assert child is not None
    assert child.alive()
    process.stop()
    until(lambda: not child.alive())


def test_a_process_ends_with_the_one_that_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, signal, time; from pathlib import Path; from streams.process import Process, tail\n"
        f"process = Process.spawn('child', {SLEEPER!r}, log=Path({str(log)!r})); print(process.pid, flush=True)\n"
        "while tail(process.log) != 'up': time.sleep(0.02)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    until(lambda: Identity.of(int(done.stdout)) is None)


def test_a_process_whose_starter_is_dead_before_it_could_ask_for_the_signal_does_not_begin(tmp_path: Path) -> None:
    real, slow, log = shutil.which("setpriv"), tmp_path / "setpriv", tmp_path / "log"
    if real is None:
        pytest.skip("no setpriv")
    slow.write_text(f'#!/bin/sh\nwhile kill -0 $PPID; do sleep 0.02; done\nexec {real} "$@"\n')
    slow.chmod(0o755)
    code = (
        "import os, signal; from pathlib import Path; from streams.process import Process\n"
        f"print(Process.spawn('child', {SLEEPER!r}, log=Path({str(log)!r})).pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == -signal.SIGKILL
    until(lambda: Identity.of(int(done.stdout)) is None)
    assert "up" not in log.read_text()


def test_another_process_with_the_same_id_is_not_ours(tmp_path: Path) -> None:
    process = Process.spawn("sleeper", SLEEPER, log=tmp_path / "log")
    earlier = replace(process.identity, started=process.identity.started - 1)
    assert not earlier.alive()
    earlier.stop(0.1)
    assert process.alive()
    process.stop()


def test_earlier_logs_are_kept_but_not_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "role.log"
    for number in range(6):
        rotate(log)
        log.write_text(str(number))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "role.log": "5",
        "role.log.1": "4",
        "role.log.2": "3",
        "role.log.3": "2",
    }


def test_the_tail_is_the_last_lines() -> None:
    assert tail(Path(__file__), lines=1) == Path(__file__).read_text().splitlines()[-1]
    assert tail(Path("/nonexistent")) == ""


# -- restarts --------------------------------------------------------------------------------------------------------


SERVES = (
    "import http.server, sys\n"
    "class Well(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self): self.send_response(200); self.end_headers()\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Well).serve_forever()"
)


def test_a_role_that_is_alive_but_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    port = ports.free()
    one = supervised(tmp_path / "log", SERVES, str(port))
    one.role = replace(one.role, liveness=f"http://127.0.0.1:{port}/healthz")
    one.patience = 1.0
    one.start()
    first = one.process
    assert first is not None

    def answered() -> bool:
        one.look()
        return one.answered

    try:
        until(answered)
        assert not one.tend(monotonic())
        first.identity.signal_group(signal.SIGSTOP)
        one.look()  # it does not answer
        assert not one.tend(one.well_at + 0.9)
        assert one.tend(one.well_at + 1.1)
        assert first.exit_code == -signal.SIGKILL
        assert one.last_exit == "not well for 1 s"
        assert one.tend(one.restart_at)
        until(answered)
        assert one.restarts == 1
    finally:
        if one.process is not None:
            one.process.kill()


def test_a_role_that_has_not_answered_yet_has_the_time_of_a_start(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "import time; time.sleep(60)")
    one.role = replace(one.role, liveness=f"http://127.0.0.1:{ports.free()}/healthz")
    one.patience = 1.0
    one.start()
    assert one.process is not None
    try:
        one.look()
        assert not one.tend(one.well_at + supervision.START_SECONDS - 1)
        assert one.tend(one.well_at + supervision.START_SECONDS + 1)
    finally:
        if one.process is not None:
            one.process.kill()


def test_a_role_that_ends_is_started_again_after_a_pause_that_grows(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "import sys; sys.exit(3)")
    one.start()
    pauses = []
    for _ in range(3):
        until(lambda: one.process is not None and one.process.exit_code is not None)
        now = monotonic()
        assert one.tend(now)
        pauses.append(one.restart_at - now)
        assert not one.tend(one.restart_at - 0.01), "the pause is kept"
        assert one.tend(one.restart_at)
    assert pauses == [1.0, 2.0, 4.0]
    assert one.process is not None
    one.process.stop()
    assert (one.restarts, one.last_exit, one.state().last_exit) == (3, "exit code 3", "exit code 3")


def test_the_pause_is_short_again_after_a_long_life(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "raise SystemExit(1)")
    one.start()
    one.failures = 5
    until(lambda: one.process is not None and one.process.exit_code is not None)
    now = one.launched_at + supervision.STEADY_SECONDS + 1
    one.tend(now)
    assert one.restart_at - now == 1.0


def test_the_pause_never_exceeds_its_limit(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "raise SystemExit(1)")
    one.start()
    one.failures = 50
    until(lambda: one.process is not None and one.process.exit_code is not None)
    now = monotonic()
    one.tend(now)
    assert one.restart_at - now == supervision.LONGEST_PAUSE


def test_a_killed_role_is_reported_with_its_signal(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "import time; time.sleep(60)")
    one.start()
    assert not one.tend(monotonic()), "it is well"
    assert one.process is not None
    one.process.kill()
    assert one.tend(monotonic())
    assert one.last_exit == "signal 9"


def test_a_role_that_finds_no_room_for_its_log_is_started_once_there_is_some(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "raise SystemExit(1)")
    one.start()
    until(lambda: one.process is not None and one.process.exit_code is not None)
    assert one.tend(monotonic())
    launch, one.launch = one.launch, full
    assert one.tend(one.restart_at)
    assert (one.process, one.last_exit) == (None, "it could not be started: No space left on device")
    one.launch = launch
    assert not one.tend(one.restart_at - 0.01), "the pause is kept"
    assert one.tend(one.restart_at)
    assert one.process is not None
    one.process.stop()


def test_a_full_disk_stops_nobody_and_what_is_so_is_told_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives, dies = supervised(tmp_path / "lives", "import time; time.sleep(60)"), supervised(tmp_path / "dies", "")
    run = Supervisor(Settings(state_dir=tmp_path), embedded=False, port=None, workers=1)
    run.running += [lives, dies]
    for one in run.running:
        one.start()
    try:
        until(lambda: dies.process is not None and dies.process.exit_code is not None)
        with monkeypatch.context() as no_room:
            no_room.setattr(RunState, "write", full)
            run._tend()
        assert run_state.read(tmp_path) is None
        run._tend()  # nothing is new
        state = run_state.read(tmp_path)
        assert state is not None
        assert [bool(role.pid) for role in state.roles] == [True, False]
    finally:
        assert lives.process is not None
        lives.process.stop()


def full(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_whoever_cannot_write_a_line_of_its_log_goes_on() -> None:
    code = (
        "import structlog; from streams import logs; logs.configure('info')\n"
        "for number in range(3000): structlog.get_logger().error('something', number=number)\n"
        "print('done')"
    )
    with Path("/dev/full").open("w") as nowhere:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=nowhere, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_a_role_that_does_not_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    one = supervised(tmp_path / "log", "print('the reason', flush=True); raise SystemExit(1)")
    one.start()
    until(lambda: one.process is not None and one.process.exit_code is not None)
    one.tend(monotonic())
    error = supervision.did_not_start(one)
    assert isinstance(error, Unreachable)
    assert "one did not start (exit code 1)" in str(error)
    assert "the reason" in str(error)
    one.last_exit = "exit code 78"
    assert isinstance(supervision.did_not_start(one), InvalidConfiguration)


# -- one supervisor a state directory --------------------------------------------------------------------------------


def test_a_state_directory_has_one_supervisor(tmp_path: Path) -> None:
    with supervision.only_one(tmp_path), pytest.raises(AlreadyRunning, match="already up in"), supervision.only_one(tmp_path):
        pass
    with supervision.only_one(tmp_path):
        pass


def test_what_a_dead_supervisor_left_is_stopped_and_nobody_else(tmp_path: Path) -> None:
    ours = Process.spawn("ours", SLEEPER, log=tmp_path / "ours.log")
    other = Process.spawn("other", SLEEPER, log=tmp_path / "other.log")
    states = [
        RoleState(name=p.name, address="", health="", log="", pid=p.pid, started=p.identity.started - (p is other))
        for p in (ours, other)
    ]
    replace_dead(run_of(*states)).write(tmp_path)
    assert supervisor.stop(Settings(state_dir=tmp_path)) == ["ours"]
    assert other.alive()
    assert not ours.alive()
    assert run_state.read(tmp_path) is None
    other.stop()


def replace_dead(state: RunState) -> RunState:
    """The same run with a supervisor that is gone."""
    return state.model_copy(update={"supervisor_started": state.supervisor_started - 1})


def test_down_ends_a_start_that_is_under_way_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    starting = Process.spawn("starting", SLEEPER, log=tmp_path / "log")
    of = {"supervisor_pid": starting.pid, "supervisor_started": starting.identity.started, "phase": "starting"}
    run_of().model_copy(update=of).write(tmp_path)
    supervisor.down(Settings(state_dir=tmp_path))
    assert "a start that was under way" in capsys.readouterr().out
    assert not starting.alive()
    starting.stop()


def test_down_with_nothing_running_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    supervisor.down(Settings(state_dir=tmp_path))
    assert "nothing runs" in capsys.readouterr().out


def test_status_with_nothing_running_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="nothing runs") as caught:
        supervisor.status(Settings(state_dir=tmp_path), as_json=True)
    assert caught.value.exit_code == 69


def test_status_names_what_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = RoleState(name="gateway", address="http://127.0.0.1:1", health="http://127.0.0.1:1/readyz", log="", restarts=2)
    run_of(dead).write(tmp_path)
    with pytest.raises(Unreachable, match="not well: gateway"):
        supervisor.status(Settings(state_dir=tmp_path), as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["roles"][0]["healthy"] is False
    assert report["roles"][0]["restarts"] == 2


def test_other_commands_find_what_runs_but_never_against_their_settings(tmp_path: Path) -> None:
    run_of().write(tmp_path)
    found = run_state.adopt(Settings(state_dir=tmp_path))
    assert (found.brokers, found.api_port) == ("127.0.0.1:29999", 28081)
    told = run_state.adopt(Settings(state_dir=tmp_path, brokers="kafka:9092"))
    assert (told.brokers, told.api_port) == ("kafka:9092", 28081)
    replace_dead(run_of()).write(tmp_path)
    assert run_state.adopt(Settings(state_dir=tmp_path)).brokers == Settings().brokers


# -- ports, roles, configuration -------------------------------------------------------------------------------------


def test_a_taken_port_is_replaced_and_no_port_is_given_twice(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = server.getsockname()[1]
        assert ports.answers(busy)
        assert health.answers(f"127.0.0.1:{busy}")
        chosen = roles.choose_ports(Settings(state_dir=tmp_path, api_port=busy, exporter_port=busy, pager_port=busy))
    values = [getattr(chosen, name) for name in roles.PORTS]
    assert busy not in values
    assert len(set(values)) == len(values)
    assert not ports.answers(busy)
    assert not health.answers(f"http://127.0.0.1:{busy}/healthz")


def test_each_track_worker_has_its_own_id_and_port(tmp_path: Path) -> None:
    settings = roles.choose_ports(Settings(state_dir=tmp_path))
    track = [role for role in roles.plan(settings, workers=3) if role.name.startswith("track-")]
    assert [role.environment["MUTUAL_SLA_WORKER_ID"] for role in track] == ["0", "1", "2"]
    assert len({role.address for role in track}) == 3
    assert len({role.log for role in track}) == 3


def test_roles_are_started_as_data_needs_them(tmp_path: Path) -> None:
    names = [role.name for role in roles.plan(Settings(state_dir=tmp_path), workers=1)]
    assert names[:7] == ["ledger", "normalise", "track-0", "gateway", "exporter", "api", "pager"]


def test_prometheus_scrapes_every_track_worker(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, exporter_port=28082)
    prometheus, alertmanager = monitoring.render(settings, tmp_path, (28085, 28095))
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in yaml.safe_load(prometheus.read_text())["scrape_configs"]
    }
    assert jobs["track"] == ["127.0.0.1:28085", "127.0.0.1:28095"]
    assert jobs["exporter"] == ["127.0.0.1:28082"]
    assert "${" not in "".join(line for line in alertmanager.read_text().splitlines() if not line.startswith("#"))


def test_a_placeholder_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    for name in ("prometheus", "alertmanager"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.yml").write_text("a: ${HOST}\nb: ${NO_SUCH_PORT}\n")
    with pytest.raises(InvalidConfiguration, match=r"prometheus\.yml: \$\{NO_SUCH_PORT\} is no setting"):
        monitoring.render(Settings(deploy_dir=tmp_path), tmp_path / "out")


# -- secrets ---------------------------------------------------------------------------------------------------------

SOURCES = Sources.model_validate(
    {
        "tenant": "t",
        "accounts": [{"account": "greenhouse", "system": "greenhouse", "webhook_secrets": [{"env": "HOOK"}, {"file": "x"}]}],
        "tokens": [{"identity": "api", "role": "api", "token": {"env": "API_TOKEN"}}],
    }
)


def test_missing_secrets_are_made_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    first = credentials.complete(SOURCES, tmp_path, {})
    assert set(first) == {"HOOK", "API_TOKEN"}
    assert len(set(first.values())) == 2
    assert credentials.complete(SOURCES, tmp_path, {}) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_secret_that_is_given_is_used_and_not_written_down(tmp_path: Path) -> None:
    assert credentials.complete(SOURCES, tmp_path, {"HOOK": "given"})["HOOK"] == "given"
    assert "HOOK" not in json.loads((tmp_path / "secrets.json").read_text())
    assert credentials.complete(SOURCES, tmp_path / "absent", {"HOOK": "given", "API_TOKEN": "too"}) == {
        "HOOK": "given",
        "API_TOKEN": "too",
    }


def test_no_secret_shows_in_what_a_run_prints(tmp_path: Path) -> None:
    assert "value" not in repr(supervisor.Running(Settings(state_dir=tmp_path), {"HOOK": "value"}))
