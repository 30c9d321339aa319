"""How many cores this process may use, and how much memory is free."""

import os
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores of the process's affinity, or the container's quota if that is less; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_GROUP / "cpu.max").read_text().split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no quota ("max")
        return allowed


def free_memory() -> int:
    """Bytes that this process's container or machine has left.

    A container's page cache counts as used until it is needed, so its inactive part is added.
    """
    free: int = psutil.virtual_memory().available
    try:
        most, used = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return min(free, most - used + int(counts["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no control groups, or no limit ("max")
        return free
