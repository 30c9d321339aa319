"""How many cores this process may use, and how much memory is free."""

import os
from dataclasses import dataclass
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Cores:
    """The cores of the machine, those of the process's affinity, and the container's quota in cores, None without."""

    machine: int
    affinity: int
    quota: float | None

    @property
    def usable(self) -> int:
        """The smaller of affinity and quota, rounded down; at least 1."""
        return max(1, min(self.affinity, int(self.quota or self.affinity)))


def cores() -> Cores:
    """How many cores there are, and what limits this process's use of them."""
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    try:
        quota, period = (_GROUP / "cpu.max").read_text().split()
        return Cores(machine, affinity, int(quota) / int(period))
    except (OSError, ValueError):  # no control groups, or no quota ("max")
        return Cores(machine, affinity, None)


def usable_cores() -> int:
    """Cores of the process's affinity, or the container's quota if that is less; at least 1."""
    return cores().usable


def free_memory() -> int:
    """Bytes that this process's container or machine has left.

    A container's page cache counts as used until it is needed, so its inactive part is added.
    """
    free = _machine_memory()[1]
    try:
        most, used = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return min(free, most - used + int(counts["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no control groups, or no limit ("max")
        return free


def total_memory() -> int:
    """Bytes of this process's container or machine."""
    machine = _machine_memory()[0]
    try:
        return min(machine, int((_GROUP / "memory.max").read_text()))
    except (OSError, ValueError):  # no control groups, or no limit ("max")
        return machine


def _machine_memory() -> tuple[int, int]:
    """Bytes of the machine, and those that programs could still take."""
    try:
        kilobytes = dict(line.split()[:2] for line in _MEMORY.read_text().splitlines())
        return 1024 * int(kilobytes["MemTotal:"]), 1024 * int(kilobytes["MemAvailable:"])
    except (OSError, ValueError, KeyError):  # not Linux
        import psutil  # only here: it takes a twentieth of the time to start 'lenet predict'

        memory = psutil.virtual_memory()
        return memory.total, memory.available
