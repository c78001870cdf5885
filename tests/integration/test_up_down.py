"""`mutual-sla up`, `status` and `down` as a user runs them: real processes, real Kafka, real Prometheus where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from streams import run_state, supervisor
from streams.process import Identity
from streams.run_state import RunState
from streams.settings import ROOT, Settings
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]
OURS = ["ledger", "normalise", "track-0", "gateway", "exporter", "api", "pager"]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `mutual-sla` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        timeout=300,
    )


def status(state_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("status", "--json", "--state-dir", str(state_dir)).stdout)
    return found


def state_of(state_dir: Path) -> RunState:
    state = run_state.read(state_dir)
    assert state is not None
    return state


def identities(state: RunState) -> list[Identity]:
    return [role.identity for role in state.roles]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of everything, up and detached."""
    state_dir = tmp_path_factory.mktemp("up")
    done = command("up", "--detach", "--state-dir", str(state_dir), MUTUAL_SLA_UNWELL_SECONDS="10")
    assert done.returncode == 0, done.stderr
    yield state_dir
    supervisor.stop(Settings(state_dir=state_dir))


def test_everything_is_well_once_up_returns(up: Path) -> None:
    done = command("status", "--json", "--state-dir", str(up))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    names = [role["name"] for role in report["roles"]]
    assert names[: 1 + len(OURS)] == ["kafka", *OURS]
    assert all(role["healthy"] and role["pid"] for role in report["roles"])
    assert report["lag"]["ledger"]
    for name in ("prometheus", "alertmanager"):
        if shutil.which(name) or shutil.which(f"prometheus-{name}"):
            assert name in names


def test_status_for_people_names_every_role_and_its_address(up: Path) -> None:
    done = command("status", "--state-dir", str(up), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    for role in state_of(up).roles:
        assert role.name in done.stdout
        assert role.address in done.stdout


def test_the_made_up_secrets_open_the_door_and_are_in_no_log(up: Path) -> None:
    state = state_of(up)
    secrets = json.loads((up / "secrets.json").read_text())
    door = f"http://127.0.0.1:{state.ports['gateway_port']}/records/greenhouse/jobs"
    refused = httpx.post(door, json=[], headers={"Authorization": "Bearer wrong"}, trust_env=False)
    let_in = httpx.post(
        door, json=[], headers={"Authorization": f"Bearer {secrets['MUTUAL_SLA_TOKEN_EXTRACTOR']}"}, trust_env=False
    )
    assert refused.status_code == 401
    assert let_in.is_success, let_in.text
    written = "".join(path.read_text(errors="replace") for path in up.glob("logs/*")) + (up / "run.json").read_text()
    assert not [name for name, secret in secrets.items() if secret in written]


def test_prometheus_scrapes_every_job(up: Path) -> None:
    state = state_of(up)
    if not any(role.name == "prometheus" for role in state.roles):
        pytest.skip("Prometheus is not installed")
    url = f"http://127.0.0.1:{state.ports['prometheus_port']}/api/v1/query"

    def jobs_up() -> set[str]:
        result = httpx.get(url, params={"query": "up == 1"}, trust_env=False).json()["data"]["result"]
        return {series["metric"]["job"] for series in result}

    until(lambda: jobs_up() == {"exporter", "gateway", "normalise", "track", "ledger", "pager"})


def test_other_commands_talk_to_the_kafka_that_is_up(up: Path) -> None:
    done = command("topics", MUTUAL_SLA_STATE_DIR=str(up), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unchanged") == 5


def test_a_second_up_in_the_same_directory_is_refused(up: Path) -> None:
    for how in ([], ["--detach"]):
        done = command("up", "--state-dir", str(up), *how)
        assert done.returncode == 69
        assert "already up" in done.stderr


def test_a_killed_role_comes_back_and_is_reported(up: Path) -> None:
    before = next(role for role in state_of(up).roles if role.name == "exporter")
    os.killpg(before.pid, signal.SIGKILL)
    until(lambda: next(role for role in state_of(up).roles if role.name == "exporter").restarts == 1)
    until(lambda: all(role["healthy"] for role in status(up)["roles"]))
    after = next(role for role in status(up)["roles"] if role["name"] == "exporter")
    assert (after["restarts"], after["last_exit"]) == (1, "signal 9")
    assert after["pid"] != before.pid
    assert '"role": "exporter"' in (up / "logs" / "supervisor.log").read_text()


def test_a_role_that_is_alive_but_hangs_is_started_again(up: Path) -> None:
    before = next(role for role in state_of(up).roles if role.name == "ledger")
    os.killpg(before.pid, signal.SIGSTOP)
    until(lambda: next(role for role in state_of(up).roles if role.name == "ledger").restarts == 1)
    until(lambda: all(role["healthy"] for role in status(up)["roles"]))
    after = next(role for role in status(up)["roles"] if role["name"] == "ledger")
    assert after["last_exit"].startswith("not well for 1")
    assert after["pid"] != before.pid
    assert not before.identity.alive()


def test_a_second_run_in_another_directory_works_beside_the_first(up: Path, tmp_path: Path) -> None:
    assert command("up", "--detach", "--state-dir", str(tmp_path)).returncode == 0
    first, second = state_of(up), state_of(tmp_path)
    assert first.brokers != second.brokers
    assert not {role.address for role in first.roles} & {role.address for role in second.roles}
    assert command("status", "--state-dir", str(tmp_path)).returncode == 0
    done = command("down", "--state-dir", str(tmp_path))
    assert "stopped" in done.stdout
    assert not any(one.alive() for one in [second.supervisor, *identities(second)])
    assert all(one.alive() for one in identities(first))


def test_down_stops_everything_within_20_seconds_and_may_be_repeated(up: Path) -> None:
    state = state_of(up)
    begin = monotonic()
    assert command("down", "--state-dir", str(up)).returncode == 0
    assert monotonic() - begin < 20
    assert not any(one.alive() for one in [state.supervisor, *identities(state)])
    again = command("down", "--state-dir", str(up))
    assert (again.returncode, "nothing runs" in again.stdout) == (0, True)
    assert command("status", "--state-dir", str(up)).returncode == 69


def test_ctrl_c_in_the_foreground_stops_everything(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "streams", "up", "--state-dir", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as foreground:
        until(lambda: (state := run_state.read(tmp_path)) is not None and state.phase == "ready")
        state = state_of(tmp_path)
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(20) == 0
    assert not any(one.alive() for one in identities(state))


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    assert command("up", "--detach", "--state-dir", str(tmp_path)).returncode == 0
    state = state_of(tmp_path)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    until(lambda: not any(one.alive() for one in identities(state)))
    assert command("status", "--state-dir", str(tmp_path)).returncode == 69
    assert command("down", "--state-dir", str(tmp_path)).returncode == 0
    assert run_state.read(tmp_path) is None


def test_a_faulty_agreement_lists_all_faults_and_starts_nothing(tmp_path: Path) -> None:
    deploy, state_dir = tmp_path / "deploy", tmp_path / "state"
    shutil.copytree(ROOT / "deploy", deploy)
    for name in ("policy.yaml", "people.yaml"):
        path = deploy / name
        path.write_text(path.read_text() + "\nno_such_field: 1\n")
    for how in ([], ["--detach"]):
        done = command("up", "--state-dir", str(state_dir), *how, MUTUAL_SLA_DEPLOY_DIR=str(deploy))
        assert done.returncode == 78, done.stderr
        assert "policy.yaml" in done.stderr
        assert "people.yaml" in done.stderr
        assert not (state_dir / "kafka").exists()


def test_a_broker_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    done = command("up", "--detach", "--brokers", "127.0.0.1:1", "--state-dir", str(tmp_path))
    assert done.returncode == 69
    assert "127.0.0.1:1" in done.stderr
