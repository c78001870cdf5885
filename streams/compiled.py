"""The pure core as machine code: mypyc compiles the same source, and Python takes it where it is there.

`streams.compiling` builds it, into a folder named after a hash of the sources and of this Python. So what was compiled from other
sources is never used: change a line, and that source is interpreted until it is built again. Without a build, or with
`MUTUAL_SLA_COMPILED=0`, everything works as well, three times slower. Every process imports this first: it imports little itself.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

#: What an evaluation runs through. No module here may be patched from outside: compiled calls do not look the name up again.
MODULES = (
    "agreement", "calendars", "completeness", "conditions", "cycles", "deadline", "difference", "directory", "event",
    "exceptions", "history", "holders", "interviews", "life", "obligations", "receipt", "roster", "standstill", "terms",
    "timeline", "verdict", "wall_clock",
)  # fmt: skip
GROUP = "mutual_sla_core"  #: the library that they share
PACKAGE = Path(__file__).parent
BUILDS = PACKAGE / "__compiled__"
SUFFIX = EXTENSION_SUFFIXES[0]  #: of this very Python and platform


class Finder:
    """Finds the core's modules in a build."""

    def __init__(self, build: Path) -> None:
        self._files = {f"streams.{name}": build / "streams" / f"{name}{SUFFIX}" for name in MODULES}
        self._files[f"{GROUP}__mypyc"] = build / f"{GROUP}__mypyc{SUFFIX}"

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        file = self._files.get(name)
        return None if file is None else spec_from_file_location(name, file)


def use() -> None:
    """Have the core's modules imported from their build, if there is one of just these sources."""
    if os.environ.get("MUTUAL_SLA_COMPILED") != "0" and (build := build_of()).is_dir():
        sys.meta_path.insert(0, Finder(build))


def in_use() -> bool:
    """Whether the core of this process is compiled."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)


def build_of(package: Path = PACKAGE) -> Path:
    """Where a build of these sources for this Python is, or would be."""
    seen = hashlib.sha256(f"{sys.version} {SUFFIX}".encode())
    for name in (*MODULES, "compiled", "compiling"):
        seen.update((package / f"{name}.py").read_bytes())
    return package / BUILDS.name / seen.hexdigest()[:16]
