"""What kills mutants, in a process of its own that stands in the copied tree: one fork for each, with everything imported anew.

Quick ones first: every story, then the oracle's answers to random histories (worked out once), each told in order and once
more doubled and backwards; then the module's own tests. One question a line on stdin, one answer a line on stdout.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import os
import pickle
import resource
import shutil
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Any

HISTORIES = 200
ANSWERS = Path("oracle_answers.pickle")  #: in the copied tree
PATIENCE = 4  #: a mistake may loop for ever: this many times the processor time that the module as it is takes, and some seconds
MEMORY = 3 << 30
#: Neither the core nor its tests: imported once.
LIBRARIES = ("pydantic", "orjson", "holidays", "zoneinfo", "pytest", "hypothesis.strategies", "sqlalchemy", "structlog")


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for path in sorted(Path("schemas").glob("*.py")):
        if path.stem not in ("__init__", "generate"):
            importlib.import_module(f"schemas.{path.stem}")
    _remember_yaml()
    from hypothesis import Phase, settings

    # the same examples for every mutant, and none shrunk: whether there is one is all that counts
    settings.register_profile("mutation", database=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutation")
    most = 0.0
    for line in sys.stdin:
        asked = json.loads(line)
        answer, seconds = _in_a_fork(asked, most if asked.get("mutant") else 3600)
        most = most if asked.get("mutant") else 5 + PATIENCE * seconds
        print(json.dumps(answer), flush=True)


def _remember_yaml() -> None:
    """Policy and stories are parsed once, not in each fork."""
    import yaml

    parse = cache(yaml.safe_load)
    real = yaml.safe_load
    yaml.safe_load = lambda text: copy.deepcopy(parse(text)) if isinstance(text, str) else real(text)
    for path in (Path("deploy/policy.yaml"), *Path("tests/scenarios").glob("*.yaml"), *Path("tests/company").glob("*.yaml")):
        yaml.safe_load(path.read_text())


def _in_a_fork(asked: dict[str, Any], most: float) -> tuple[str | None, float]:
    """Who kills the mutant that stands in the tree now, None if nobody does; and the seconds of processor time it took."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, most)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        killer: str | None = "import"
        try:
            killer = _killer(asked)
        except BaseException as error:
            killer = f"{type(error).__name__}: {error}"[:200]
        finally:
            os.write(writing, json.dumps(killer).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    used = os.wait4(child, 0)[2]
    return json.loads(said) if said else "time", used.ru_utime + used.ru_stime


def _killer(asked: dict[str, Any]) -> str | None:
    if "answers" in asked:
        _answer_histories(Path(asked["answers"]))
        return None
    found = None
    if asked["judges"]:
        found = _story() or _history()
    return found or (_test(asked["tests"]) if asked["tests"] else None)


def _story() -> str | None:
    try:
        from streams.obligations import evaluate
        from tests import stories
    except Exception:
        return "import"
    for story in stories.stories():
        try:
            by, at = stories.agreement(story.policy), None
            for one in sorted(story.expectations, key=lambda e: e.as_of):
                if one.as_of != at:
                    at = one.as_of
                    found = evaluate(story.facts, by.policy, by.calendars, by.people, story.watermarks, at).obligations
                stories.compare(story, one, {o.obligation_id: o for o in found})
        except Exception:
            return f"story {story.name}"
    return None


def _answer_histories(kept: Path) -> None:
    """From the folder `kept` if the oracle and what it reads are as they were."""
    read = [*Path("tests").glob("oracle*.py"), *Path("tests").glob("random_*.py"), *Path("tests/company").glob("*.yaml")]
    content = b"".join(path.read_bytes() for path in sorted((*read, Path("tests/stories.py"), Path("deploy/policy.yaml"))))
    answers = kept / f"answers-{hashlib.sha256(content).hexdigest()[:12]}.pickle"
    if answers.exists():
        shutil.copy(answers, ANSWERS)
        return
    from tests.oracle import simulated
    from tests.random_histories import Histories

    drawn = Histories(seed=2026)
    told = [drawn.draw() for _ in range(HISTORIES)]
    ANSWERS.write_bytes(pickle.dumps([(history, simulated(history, set())) for history in told]))
    shutil.copy(ANSWERS, answers)


def _history() -> str | None:
    from tests import oracle

    for number, (history, answer) in enumerate(pickle.loads(ANSWERS.read_bytes())):
        oracle.simulated = lambda *_, answer=answer: answer  # type: ignore[assignment]
        try:
            differ = oracle.disagreements(history, set())[1]
        except Exception:
            differ = ["it raised"]
        if differ:
            return f"oracle {number}"
    return None


class _FirstFailure:
    name: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.name is None:
            self.name = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        self.pytest_runtest_logreport(report)


def _test(paths: list[str]) -> str | None:
    import pytest

    first = _FirstFailure()
    code = pytest.main(
        ["-x", "-q", "--noconftest", "-p", "no:cacheprovider", "-W", "ignore:Module already imported", *paths], plugins=[first]
    )
    return None if code == 0 else first.name or f"pytest {code}"


if __name__ == "__main__":
    main()
