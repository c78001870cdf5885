"""Builds the compiled core of `streams.compiled` for `deploy/setup.sh`; a C compiler and Python's headers are needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from streams.compiled import BUILDS, GROUP, MODULES, PACKAGE, build_of

SETUP = """
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(["--config-file=mypy.ini", *{sources!r}], group_name={group!r}, opt_level="3", debug_level="0")
setup(name="mutual-sla-core", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


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
