"""How much memory is free."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory() -> int:
    """Returns the bytes of memory that are free for use, at most what the control group leaves."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup")
    limit, used = (_lines(group / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdecimal():
        free = min(free, int(limit[0]) - int(used[0]) + _cached_files(group / "memory.stat"))
    return max(free, 0)


def _cached_files(file: Path) -> int:
    """Returns the bytes of files that a control group counts as used and that the kernel drops where memory is needed."""
    words = [line.split() for line in _lines(file)]
    return sum(int(pair[1]) for pair in words if pair[:1] in (["inactive_file"], ["active_file"]))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split("\n")
    except OSError:
        return []
