"""Where a figure was measured: printed with every figure, since it means nothing without."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """Cores, processor, memory, Python and how busy the machine was before the run (load averages of 1 and 5 minutes)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    one, five, _ = os.getloadavg()
    return (
        f"{os.cpu_count()} cores ({model}), {gigabytes:.0f} GB, Python {platform.python_version()}, "
        f"load before the run {one:.1f} (5 min: {five:.1f})"
    )
