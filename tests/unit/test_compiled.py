"""The compiled core: the same source, so the same words; and never that of other sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streams import compiled
from streams.settings import ROOT

#: Every story as it stands at its last instant, each obligation with its receipt, and each application with its holders.
SAY = """
import hashlib, orjson
from streams import compiled
from streams.obligations import evaluate
from tests.stories import agreement, stories
said = hashlib.sha256()
for story in stories():
    a, as_of = agreement(story.policy), max(fact.occurred_at for fact in story.facts)
    found = evaluate(story.facts, a.policy, a.calendars, a.people, story.watermarks, as_of)
    for one in (*found.said, *found.held):
        said.update(one.fingerprint.encode() + orjson.dumps(one.body()))
print(compiled.in_use(), said.hexdigest())
"""


def run(program: str, folder: Path = ROOT, **environment: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()


def test_the_suite_runs_on_the_compiled_core_where_it_can_be_built() -> None:
    if shutil.which("cc") is None or os.environ.get("MUTUAL_SLA_COMPILED") == "0":
        pytest.skip("no C compiler, or told to interpret")
    assert compiled.in_use(), "the core's sources changed since it was built; `make setup` builds it"


def test_compiled_and_interpreted_say_the_same_of_every_story() -> None:
    if not compiled.in_use():
        pytest.skip("nothing is compiled")
    interpreted = run(SAY, MUTUAL_SLA_COMPILED="0")
    assert interpreted[0] == "False"
    assert run(SAY) == ["True", interpreted[1]]


def test_a_changed_source_is_interpreted_until_it_is_built_again(tmp_path: Path) -> None:
    if not compiled.in_use():
        pytest.skip("nothing is compiled")
    for package in ("streams", "schemas"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    program = "from streams import compiled, verdict; print(compiled.in_use(), verdict.__file__.endswith('.py'))"
    assert run(program, tmp_path) == ["True", "False"]
    with (tmp_path / "streams/verdict.py").open("a") as source:
        source.write("# changed\n")
    assert run(program, tmp_path) == ["False", "True"]
