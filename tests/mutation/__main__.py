"""`python -m tests.mutation [MODULE ...]`: put one mistake at a time into the pure core, and see whether a test notices.

The work tree is not touched: mistakes are made in a copy of the last commit, in a temporary folder. Results are kept, one a
line, so that a run that was stopped goes on where it was; a mistake is asked about again when its line changes, or with
`--again` if it survived. Survivors that nobody could tell from the real thing are explained in
`tests/mutation/equivalent.yaml`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import IO, Any

import yaml

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
JUDGING = (
    *("agreement", "conditions", "event", "history", "interviews", "timeline", "cycles", "standstill", "terms", "verdict"),
    *("obligations", "receipt", "holders", "calendars", "wall_clock", "directory", "deadline", "life", "roster"),
    *("completeness", "exceptions"),
)
SUMS = "tests/unit/test_stories.py::test_intervals_of_every_obligation_add_up_to_its_elapsed_time"
#: Core modules, and the tests beside stories and oracle that belong to them (beside tests/unit/test_MODULE.py), quick ones first.
TESTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(JUDGING, (SUMS, "tests/property/test_core_properties.py")),
    "agreement": ("tests/unit/test_switched_off.py", SUMS),
    "conditions": ("tests/unit/test_history.py",),
    "timeline": ("tests/unit/test_interviews.py", "tests/property/test_core_properties.py"),
    "interviews": ("tests/unit/test_timeline.py", "tests/property/test_core_properties.py"),
    "obligations": ("tests/unit/test_cycles.py", SUMS, "tests/property/test_core_properties.py"),
    "life": ("tests/unit/test_roster.py", SUMS),
    "completeness": ("tests/unit/test_roster.py",),
    "exceptions": ("tests/unit/test_verdict.py",),
    "calendars": ("tests/property/test_calendar_properties.py",),
    "wall_clock": ("tests/unit/test_calendars.py", "tests/property/test_calendar_properties.py"),
    "directory": (SUMS,),
    "deadline": ("tests/property/test_deadlines.py", SUMS),
    "difference": (),
    "adherence": (),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {' '.join(TESTS)} (default: all)")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, at random (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default 1)")
    parser.add_argument("--quick", action="store_true", help="without property tests, which take most of the time")
    parser.add_argument("--again", action="store_true", help="ask again about those that survived")
    parser.add_argument("--report", action="store_true", help="only show what is known")
    parser.add_argument("--results", type=Path, default=ROOT / ".mutation/results.jsonl", help="kept there (default %(default)s)")
    given = parser.parse_args()
    names = given.modules or list(TESTS)
    if unknown := [name for name in names if name not in TESTS]:
        parser.error(f"no core module: {', '.join(unknown)}")
    known = _known(given.results)
    with tempfile.TemporaryDirectory(prefix="mutual-sla-mutation-") as folder:
        tree = Path(folder)
        subprocess.run(f"git archive HEAD | tar -x -C {tree}", cwd=ROOT, shell=True, check=True)
        chosen = {name: _chosen(tree / f"streams/{name}.py", given.sample, given.seed) for name in names}
        if not given.report:
            given.results.parent.mkdir(parents=True, exist_ok=True)
            with given.results.open("a") as results:
                _run(chosen, known, tree, results, again=given.again, quick=given.quick)
    return _report(chosen, known)


def _chosen(path: Path, sample: int | None, seed: int) -> list[Mutant]:
    every = list(mutants(path.read_text()))
    if sample is not None:
        Random(seed).shuffle(every)  # so that a larger sample has the smaller one in it
    return sorted(every[:sample], key=lambda mutant: mutant.line)


def _known(results: Path) -> dict[str, str | None]:
    """Who killed what, the last word on each."""
    if not results.exists():
        return {}
    return {one["mutant"]: one["by"] for one in map(json.loads, results.read_text().splitlines())}


def _run(
    chosen: dict[str, list[Mutant]], known: dict[str, str | None], tree: Path, results: IO[str], *, again: bool, quick: bool
) -> None:
    killers = _killers(tree)
    try:
        if by := _ask(killers, answers=str(Path(results.name).parent.resolve())):
            raise SystemExit(f"the oracle could not answer: {by}")
        for name, them in chosen.items():
            left = [m for m in them if f"{name} | {m.key}" not in known or (again and known[f"{name} | {m.key}"] is None)]
            if not left:
                continue
            question = {
                "judges": name in JUDGING,
                "tests": [path for path in _tests(name, tree) if not (quick and "property" in path)],
            }
            if by := _ask(killers, **question):
                raise SystemExit(f"{name} as it is fails: {by}")
            path = tree / f"streams/{name}.py"
            original = path.read_text()
            for number, mutant in enumerate(left, 1):
                path.write_text(mutant.source)
                by = known[f"{name} | {mutant.key}"] = _ask(killers, mutant=True, **question)
                results.write(json.dumps({"mutant": f"{name} | {mutant.key}", "by": by}) + "\n")
                results.flush()
                print(f"\r{name} {number}/{len(left)} ", end="", file=sys.stderr, flush=True)
            path.write_text(original)
            print(file=sys.stderr)
    finally:
        assert killers.stdin is not None
        killers.stdin.close()
        killers.wait()


def _tests(name: str, tree: Path) -> list[str]:
    own = f"tests/unit/test_{name}.py"
    return [path for path in dict.fromkeys((own, *TESTS[name])) if (tree / path.partition("::")[0]).exists()]


def _killers(tree: Path) -> subprocess.Popen[str]:
    """The process that runs in the copied tree, which is compiled so that a changed source is noticed by its content."""
    compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "streams", "schemas", "tests"]
    subprocess.run(compile_all, cwd=tree, check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MUTUAL_SLA_")}
    env["MUTUAL_SLA_COMPILED"] = "0"
    return subprocess.Popen(
        [sys.executable, "-B", "-m", "tests.mutation.killers"],
        cwd=tree,
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _ask(killers: subprocess.Popen[str], **question: Any) -> str | None:
    assert killers.stdin is not None and killers.stdout is not None
    killers.stdin.write(json.dumps(question) + "\n")
    killers.stdin.flush()
    return json.loads(killers.stdout.readline())  # type: ignore[no-any-return]


def _report(chosen: dict[str, list[Mutant]], known: dict[str, str | None]) -> int:
    """The score of each module and the survivors; returns 1 if one of them is not explained."""
    explained = yaml.safe_load((ROOT / "tests/mutation/equivalent.yaml").read_text()) or {}
    print(f"{'module':14}{'mutants':>8}{'stories':>8}{'oracle':>8}{'tests':>8}{'alike':>8}{'left':>8}{'score':>8}")
    total, unexplained = Counter[str](), list[str]()
    for name, them in chosen.items():
        alike = {one for why in explained.get(name, ()) for one in why["these"]}
        found = Counter[str]()
        for mutant in them:
            if f"{name} | {mutant.key}" not in known:
                continue
            by = known[f"{name} | {mutant.key}"]
            how = "tests" if by else "alike" if alike & {mutant.key, mutant.key.rpartition(" | ")[0]} else "left"
            found["stories" if by and by.startswith("story") else "oracle" if by and by.startswith("oracle") else how] += 1
            found["mutants"] += 1
            if how == "left":
                unexplained.append(f"streams/{name}.py:{mutant.line}: in {mutant.function}: {mutant.old} -> {mutant.new}")
        total += found
        _line(name, found)
    _line("all", total)
    print(*unexplained, sep="\n")
    return int(bool(unexplained))


def _line(name: str, found: Counter[str]) -> None:
    apart = found["mutants"] - found["alike"]
    score = f"{100 * (apart - found['left']) / apart:.1f} %" if apart else "-"
    print(
        f"{name:14}"
        + "".join(f"{found[n]:8}" for n in ("mutants", "stories", "oracle", "tests", "alike", "left"))
        + f"{score:>8}"
    )


if __name__ == "__main__":
    sys.exit(main())
