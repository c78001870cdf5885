"""The pure core as machine code: mypyc compiles the same source, and Python takes it where it is there.

`deploy/setup.sh` has `make` build it (a C compiler and Python's headers are needed), into a folder named after a hash of the
sources and of this Python. So what was compiled from other sources is never used: change a line, and that source is interpreted
until it is built again. Without a build, or with `MUTUAL_SLA_COMPILED=0`, everything works as well, three times slower.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
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
SETUP = """
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(["--config-file=mypy.ini", *{sources!r}], group_name={group!r}, opt_level="3", debug_level="0")
setup(name="mutual-sla-core", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


class Finder(MetaPathFinder):
    """Finds the core's modules in a build."""

    def __init__(self, build: Path) -> None:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        self._files = {f"streams.{name}": build / "streams" / f"{name}{suffix}" for name in MODULES}
        self._files[f"{GROUP}__mypyc"] = build / f"{GROUP}__mypyc{suffix}"

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
    seen = hashlib.sha256(f"{sys.version} {sysconfig.get_config_var('SOABI')}".encode())
    for name in (*MODULES, "compiled"):
        seen.update((package / f"{name}.py").read_bytes())
    return package / BUILDS.name / seen.hexdigest()[:16]


def make() -> str:
    """Build it, unless it is there; says what was done. A machine that cannot build it goes on without."""
    build = build_of()
    if build.is_dir():
        return "compiled, as the sources say"
    if shutil.which(os.environ.get("CC", "cc")) is None:
        return "interpreted, three times slower: there is no C compiler (apt-get install gcc libc6-dev python3-dev)"
    with tempfile.TemporaryDirectory(prefix="mutual-sla-core-") as name:
        folder = Path(name)
        for package in (PACKAGE, PACKAGE.parent / "schemas"):
            shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns(BUILDS.name, "__pycache__", "*.so"))
        (folder / "mypy.ini").write_text("[mypy]\n")
        program = SETUP.format(sources=[f"streams/{module}.py" for module in MODULES], group=GROUP)
        done = subprocess.run([sys.executable, "-c", program], cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no word why"]
            return f"interpreted, three times slower: it could not be compiled: {lines[-1]}"
        shutil.rmtree(BUILDS, ignore_errors=True)  # of other sources
        made = BUILDS / f".{build.name}.{os.getpid()}"
        (made / "streams").mkdir(parents=True)
        for library in (*folder.glob("*.so"), *folder.glob("streams/*.so")):
            shutil.copy(library, made / library.relative_to(folder))
        made.replace(build)
    return "compiled with mypyc"
