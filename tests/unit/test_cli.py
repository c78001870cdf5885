"""What is typed wrong on the command line: one clear line, the exit code of wrong usage, nothing begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import cli


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
    monkeypatch.setattr("streams.logs.configure", lambda _level: None)  # it would stay so for other tests
    monkeypatch.setattr("sys.argv", ["mutual-sla", *arguments, "--state-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert word in said and "Traceback" not in said
