"""Doctor: the versions, cores, memory, folders and datasets that a training would use, and what is wrong with them."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from lenet import cores, extension
from lenet.errors import InputError
from lenet.files import expanded
from lenet.report.doctor import Diagnosis, Problem

_MODULES = {"pillow": "PIL", "tomli-w": "tomli_w"}  # imported by another name than they are installed by
_FEW_BYTES = 200_000_000  # of disk: decoded CIFAR-10 takes 184 MB
_NO_BYTES = 10_000_000  # less than a small run takes
_SECONDS = 10  # for a compiler to tell its version


def doctor(*, data_dir: str | None = None) -> Diagnosis:
    """Examine this machine and installation. Changes nothing and uses no network."""
    problems: list[Problem] = []
    needed, extras = _requirements()
    libraries = {name: _version(name) for name in needed}
    level = _level(problems)
    folder, disk_free = _working_folder(problems)
    if folder:  # PyTorch's libraries end the process if the working directory was deleted
        for name, least in needed.items():
            _check_library(name, least, libraries[name], problems)
    cache, cache_bytes = "", 0
    datasets: dict[str, str | None] = {}
    if not any(problem.prevents for problem in problems):  # what follows needs the libraries
        from lenet.commands.data import list_data
        from lenet.data import cache as cached

        cache = str(cached.user_cache())
        if reason := _unwritable(Path(cache)):
            problems.append(Problem(
                f"cannot write to the cache folder {cache} ({reason}): set LENET_CACHE to a folder that you may write "
                "to; until then images are decoded by every command", False,
            ))  # fmt: skip
        else:
            cache_bytes = cached.bytes_in(Path(cache))
        datasets = list_data(data_dir=data_dir).datasets
    if (named := os.environ.get("LENET_DATA")) and not expanded(named).is_dir():
        problems.append(Problem(f"LENET_DATA={named}: no such folder: correct it, or unset it", False))
    return Diagnosis(
        _version("lenet") or "unknown", platform.python_version(), libraries,
        {extra: {name: _version(name) for name in names} for extra, names in extras.items()},
        level, extension.module.levels() if extension.module else [],
        cores.cores(), cores.free_memory(), cores.total_memory(), folder, disk_free,
        cache, cache_bytes, _compiler(), datasets, problems,
    )  # fmt: skip


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _requirements() -> tuple[dict[str, str], dict[str, list[str]]]:
    """Dependencies with their lowest version ("" for any), and the packages of each extra, as lenet was installed."""
    try:
        lines = requires("lenet") or []
    except PackageNotFoundError:
        return {}, {}
    needed: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"""extra\s*==\s*["'](\w+)["']""", line)
        least = re.search(r">=\s*([\d.]+)", line)
        if name is None or (extra and extra[1] == "dev"):
            continue
        if extra:
            extras.setdefault(extra[1], []).append(name[0])
        else:
            needed[name[0]] = least[1] if least else ""
    return needed, extras


def _check_library(name: str, least: str, found: str | None, problems: list[Problem]) -> None:
    if found is None:
        problems.append(Problem(f"{name} is not installed: pip install {name}", True))
        return
    try:
        import_module(_MODULES.get(name, name))
    except Exception as error:  # a broken installation may raise anything
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        problems.append(Problem(f"cannot import {name} ({reason}): pip install --force-reinstall {name}", True))
    if _numbers(found) < _numbers(least):
        problems.append(Problem(f'{name} is {found}, lenet needs {least}: pip install "{name}>={least}"', False))


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu"; () of ""."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, leading[0].split("."))) if leading else ()


def _level(problems: list[Problem]) -> str | None:
    """The native engine's level, loaded as a training would load it."""
    if reason := extension.available():
        problems.append(Problem(f"{reason}; until then lenet trains with PyTorch, which is slower", False))
        return None
    try:
        extension.engine()
        return extension.level()
    except InputError as error:  # LENET_ISA, or a damaged installation
        problems.append(Problem(str(error), True))
        return None


def _working_folder(problems: list[Problem]) -> tuple[str, int]:
    """The working directory, where runs/ is made, and the free bytes there."""
    try:
        folder = Path.cwd()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        problems.append(Problem(f"cannot use the working directory ({reason}): change to another one", True))
        return "", 0
    if why := _unwritable(folder / "runs"):
        mend = "change to a folder that you may write to, or use --out"
        problems.append(Problem(f"cannot write runs to {folder / 'runs'} ({why}): {mend}", True))
    if free < _FEW_BYTES:
        problems.append(Problem(f"only {free / 1e6:.0f} MB are free in {folder}: make room", free < _NO_BYTES))
    return str(folder), free


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written to a folder, which may not exist yet; None if it can. Leaves nothing behind."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _compiler() -> str | None:
    """The C++ compiler that an installation of lenet would use: $CXX, c++, g++ or clang++."""
    names = (os.environ.get("CXX") or "c++", "c++", "g++", "clang++")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return path
    return f"{path}: {said.splitlines()[0]}" if said else path
