"""How many cores this process may use, and how much memory is free."""

import os
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores of the process's affinity, or the container's quota where that is less; at least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        allowed = os.cpu_count() or 1
    try:
        quota, period = (_GROUP / "cpu.max").read_text().split()
        allowed = min(allowed, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no quota ("max")
        pass
    return max(1, allowed)


def free_memory() -> int | None:
    """Bytes that this process's container or machine has left; None where nothing tells.

    A container's page cache counts as used until it is needed, so what of it is inactive is added back.
    """
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        most, used = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        found.append(most - used + int(counts["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no control groups, or no limit ("max")
        pass
    return min(found, default=None)
