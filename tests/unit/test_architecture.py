"""Dependencies point from the shell to the core, never back; the core knows no clock, environment, socket or file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = {
    "adherence", "agreement", "calendars", "completeness", "conditions", "cycles", "deadline", "directory", "errors", "event",
    "exceptions", "history", "holders", "interviews", "life", "obligations", "period", "receipt", "roster", "standstill", "terms",
    "timeline", "verdict", "wall_clock",
}  # fmt: skip
ALLOWED = {"pydantic", "orjson", "holidays", "schemas", "streams"}
#: Modules of the standard library that would let the outside world in.
OUTSIDE = {"os", "socket", "subprocess", "time", "asyncio", "threading", "urllib", "http", "logging", "pathlib", "io", "sqlite3"}
READS_THE_TIME = {"now", "utcnow", "today"}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([f"streams.{a.name}" for a in node.names] if node.module == "streams" else [node.module])


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_imports_only_itself_and_what_is_agreed(name: str) -> None:
    tree = ast.parse((ROOT / "streams" / f"{name}.py").read_text())
    for module in imports(tree):
        head, *rest = module.split(".")
        if head == "streams":
            assert rest[0] in CORE, f"{name} imports {module} of the shell"
        else:
            assert head in ALLOWED or (head in sys.stdlib_module_names and head not in OUTSIDE), f"{name} imports {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "streams").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_clock_reads_the_time(path: Path) -> None:
    if path.name == "clock.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS_THE_TIME:
            owner = ast.unparse(node.func.value)
            assert owner.split(".")[-1] not in ("datetime", "date"), f"{path.name}:{node.lineno} reads the time from {owner}"


def test_a_connector_knows_nothing_of_the_shell() -> None:
    for path in (ROOT / "streams/connectors").glob("*.py"):
        for module in imports(ast.parse(path.read_text())):
            head, *rest = module.split(".")
            if head == "streams":
                assert rest[0] in CORE | {"connectors", "stages"}, f"{path.name} imports {module}"
