"""Runs that start at the same time choose their ports one after the other, and who waits says so."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from time import sleep

import pytest
from structlog.testing import capture_logs

from streams import ports


@pytest.fixture(autouse=True)
def _lock_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_who_waits_for_another_run_says_so_and_then_goes_on() -> None:
    chosen = threading.Event()

    def second() -> None:
        with ports.choosing():
            chosen.set()

    with capture_logs() as logs:
        with ports.choosing():
            other = threading.Thread(target=second)
            other.start()
            while not logs and other.is_alive():
                sleep(0.01)
            assert [one["event"] for one in logs] == ["waiting_for_another_run_to_start"]
            assert not chosen.is_set()
        other.join(10)
    assert chosen.is_set()


def test_who_is_alone_says_nothing() -> None:
    with capture_logs() as logs, ports.choosing():
        pass
    assert logs == []
