"""What is typed wrong on the command line: one clear line, the exit code of wrong usage, nothing begun."""

from __future__ import annotations

import errno
import io
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from streams import cli

ROOT = Path(__file__).parents[2]


def code_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("streams.logs.configure", lambda _level: None)  # it would stay so for other tests
    monkeypatch.setattr("sys.argv", ["mutual-sla", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["report", "0001-01"], "1970"),
        (["close", "0001-01"], "1970"),
        (["close", "9999-12"], "1970"),
        (["report", "２０２６-05"], "not a month"),
        (["as-of", "0001-01-01T00:00:00+05:00"], "1970"),
        (["as-of", "9999-12-31T23:00:00-05:00"], "1970"),
        (["as-of", "２０２６-05-04"], "ISO-8601"),
        (["as-of", "2026-05-04", "--period", "0001-01"], "1970"),
        (["poll", "--since", "2500-01-01"], "1970"),
    ],
)
def test_a_time_out_of_range_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert code_of(monkeypatch, *arguments, "--state-dir", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert word in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left", "imports/a.json"), "no room: imports/a.json: No space left"),
        (
            OperationalError("insert", {}, sqlite3.OperationalError("database or disk is full")),
            "no room: database or disk is full",
        ),
    ],
)
def test_a_full_disk_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def full() -> None:
        raise error

    monkeypatch.setattr(cli, "app", full)
    assert code_of(monkeypatch) == 69
    assert capsys.readouterr().err == f"{said}; make some and run it again\n"


def test_another_fault_of_the_system_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "x")

    monkeypatch.setattr(cli, "app", refused)
    with pytest.raises(PermissionError):
        cli.main()


READING = {"evaluate": ["--as-of", "2026-05-20"], "check": [], "normalise": ["greenhouse", "--type", "jobs"]}
DEPLOY = ["--deploy-dir", str(ROOT / "deploy")]


@pytest.mark.parametrize("verb", READING)
def test_a_file_that_is_not_there_and_a_folder_are_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    for path in (tmp_path / "nosuch", tmp_path):
        assert code_of(monkeypatch, verb, *READING[verb], *DEPLOY, str(path)) == 2
        assert "file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "code", "said"), [("evaluate", 65, "-:1: "), ("check", 78, "-:1: "), ("normalise", 65, "-:0: ")]
)
def test_a_dash_is_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str, code: int, said: str
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[\n")))
    assert code_of(monkeypatch, verb, *READING[verb], *DEPLOY, "-") == code
    assert any(line.startswith(said) for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize(
    "wrong", [{"SESSION_TIMEOUT": "-1"}, {"LEASE_SECONDS": "100"}, {"LEASE_SECONDS": "nan"}, {"LEASE_SECONDS": "8"}]
)
def test_a_lease_that_outlasts_the_session_is_a_bad_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: dict[str, str]
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(f"MUTUAL_SLA_{name}", value)
    assert code_of(monkeypatch, "status", "--state-dir", str(tmp_path)) == 78
    assert "MUTUAL_SLA_LEASE_SECONDS" in capsys.readouterr().err
