"""What 'lenet doctor' finds, and how it is printed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from textwrap import wrap

from lenet.cores import Cores
from lenet.extension import described

_NAME, _WIDTH = 10, 80  # columns


@dataclass(frozen=True)
class Problem:
    """One line: what is wrong and what to do. prevents: whether no training is possible before that."""

    what: str
    prevents: bool


@dataclass(frozen=True)
class Diagnosis:
    """What a training would find here.

    libraries: versions of lenet's dependencies, None where one is missing; extras: the same of each optional extra
    level: instruction set level of the native engine, None if it cannot be used; levels: those that could be
    memory_free, memory_total, disk_free, cache_bytes: bytes; disk_free is of the working directory
    compiler: path and version of the C++ compiler; datasets: folder or archive by name, "embedded", None if not on disk
    """

    lenet: str
    python: str
    libraries: dict[str, str | None]
    extras: dict[str, dict[str, str | None]]
    level: str | None
    levels: list[str]
    cores: Cores
    memory_free: int
    memory_total: int
    folder: str
    disk_free: int
    cache: str
    cache_bytes: int
    compiler: str | None
    datasets: dict[str, str | None]
    problems: list[Problem]

    @property
    def ready(self) -> bool:
        """Whether nothing prevents training."""
        return not any(problem.prevents for problem in self.problems)


def doctor_json(found: Diagnosis) -> str:
    """All that was found, and "ready": whether nothing prevents training."""
    return json.dumps(asdict(found) | {"ready": found.ready}, indent=2) + "\n"


def doctor_lines(found: Diagnosis) -> list[str]:
    """One line for each finding, of at most 80 columns unless paths are longer; problems last."""
    lines = [f"{name:{_NAME}}{text}" for name, text in _rows(found)]
    for problem in found.problems:
        lines.append(f"{'problem':{_NAME}}{problem.what}")
    if not found.problems:
        lines.append("no problems found")
    return lines


def _rows(found: Diagnosis) -> Iterator[tuple[str, str]]:
    yield "lenet", found.lenet
    yield "python", found.python
    installed = ", ".join(f"{name} {version or 'missing'}" for name, version in found.libraries.items())
    for number, line in enumerate(wrap(installed, _WIDTH - _NAME, break_on_hyphens=False)):
        yield "" if number else "libraries", line
    for number, (extra, packages) in enumerate(found.extras.items()):
        missing = [name for name, version in packages.items() if version is None]
        text = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        if missing:
            text = f'{", ".join(missing)} missing; pip install "lenet[{extra}]"'
        yield "" if number else "extras", f"{extra}: {text}"
    yield "engine", f"native, {described(found.level)}" if found.level else "PyTorch; the native engine cannot be used"
    yield "cores", _cores(found)
    yield "memory", f"{found.memory_free / 1e9:.1f} of {found.memory_total / 1e9:.1f} GB free"
    if found.folder:
        yield "disk", f"{found.disk_free / 1e9:.1f} GB free in {found.folder}"
    if found.cache:
        yield "cache", f"{found.cache}: {found.cache_bytes / 1e6:,.1f} MB"
    yield "compiler", found.compiler or "none; it would build the native engine and verify exported C files"
    for number, (name, place) in enumerate(found.datasets.items()):
        yield "" if number else "data", f"{name}: {place or 'not on disk; downloaded when used'}"


def _cores(found: Diagnosis) -> str:
    cores = found.cores
    if cores.usable == cores.machine:
        return f"{cores.usable}"
    if cores.usable == cores.affinity:
        return f"{cores.usable} of {cores.machine} (the affinity of this process)"
    return f"{cores.usable} of {cores.machine} (the container's quota is {cores.quota:g})"
