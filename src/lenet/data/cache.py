"""Decoded images kept on disk as uint8 arrays, so that later runs map them instead of decoding them again."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from platformdirs import user_cache_path

from lenet.data.readers import Arrays
from lenet.files import locked, read_json

_FORMAT = 2
_NEW = ".new-"  # opens the name of an entry that is being written


def user_cache() -> Path:
    """$LENET_CACHE, or lenet/ in the user's cache folder ($XDG_CACHE_HOME or ~/.cache on Linux). It may not exist."""
    if chosen := os.environ.get("LENET_CACHE"):
        return Path(chosen).expanduser()
    folder = user_cache_path("lenet", appauthor=False)
    # Relative for a process without a home folder, as in some containers.
    return folder if folder.is_absolute() else Path(tempfile.gettempdir()) / "lenet"


def digest(arrays: Arrays) -> str:
    """The SHA-256 of the images' shape, their bytes and the labels' bytes."""
    sha256 = hashlib.sha256(repr(arrays.images.shape).encode())
    sha256.update(np.ascontiguousarray(arrays.images).data)
    sha256.update(np.ascontiguousarray(arrays.labels, dtype="<i8").data)
    return sha256.hexdigest()


def cached(
    name: str, source: Path, stamps: list[Any], options: dict[str, Any], make: Callable[[], Arrays]
) -> tuple[Arrays, str]:
    """What `make` returns, with its digest; from the cache if the same files were decoded with the same options before.

    stamps: values that change whenever the files do
    """
    request = json.dumps([_FORMAT, str(source.absolute()), options])
    key = hashlib.sha256((request + json.dumps(stamps)).encode()).hexdigest()[:20]
    # Entries of one request share a prefix: when the files change, the stale entry is found and removed.
    prefix = f"{_safe(name)}-{hashlib.sha256(request.encode()).hexdigest()[:12]}-"
    entry = _folder() / (prefix + key)
    try:
        return _load_entry(entry)
    except Exception:  # missing, or damaged in any way: made again
        pass
    arrays = make()
    sha256 = digest(arrays)
    try:
        _store_entry(entry, prefix, arrays, {"name": name, "source": str(source.absolute()), "sha256": sha256})
        return _load_entry(entry)
    except (OSError, ValueError):
        return arrays, sha256  # without room on the disk the next run decodes again


def stamp(folder: Path, file: str) -> tuple[str, int, int]:
    """Name, size and time of change in ns; the last two change whenever the file does."""
    try:
        stat = (folder / file).stat()
    except OSError:
        return file, 0, 0  # the reader will report what is missing
    return file, stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True)
class Entry:
    """One dataset in the cache: decoded images of one size. `shape` is [N, H, W, C]; `bytes` what it takes on disk."""

    path: Path
    name: str
    source: str
    shape: tuple[int, ...]
    bytes: int


def entries() -> list[Entry]:
    """All datasets in the cache, by name and size. Damaged entries are left out; `clear` removes them too."""
    return sorted(_entries(), key=lambda entry: (entry.name, entry.shape, entry.source))


def clear() -> int:
    """Remove all decoded images from the cache; they are decoded again when needed. Returns the number of bytes freed.

    Runs that use them are not disturbed: a file stays readable for whoever has mapped it.
    """
    freed = bytes_in(_folder())
    shutil.rmtree(_folder(), ignore_errors=True)
    return freed - bytes_in(_folder())


def _entries() -> Iterator[Entry]:
    for path in _listed(_folder()):
        try:
            about = _about(path)
            yield Entry(path, str(about["name"]), str(about["source"]), tuple(about["shape"]), bytes_in(path))
        except (KeyError, TypeError, ValueError, OSError):
            continue


def _folder() -> Path:
    return user_cache() / "arrays"


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it does not exist."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:60]


def _about(entry: Path) -> dict[str, Any]:
    """An entry's about.json. Raises ValueError if it is missing, damaged or of another version of lenet."""
    about = read_json(entry / "about.json", "made again")
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ValueError("cache entry of another format")
    return about


def _load_entry(entry: Path) -> tuple[Arrays, str]:
    about = _about(entry)
    # Unlike np.load, open_memmap reads .npy alone: no zip and no pickle, whatever the file claims to be.
    images, stored = (open_memmap(entry / f"{part}.npy", mode="r") for part in ("images", "labels"))
    if list(images.shape) != about["shape"] or images.dtype != np.uint8 or stored.shape != images.shape[:1]:
        raise ValueError("cache entry contradicts itself")
    labels = np.array(stored, dtype=np.int64)
    if labels.min() < 0 or labels.max() >= len(about["classes"]):
        raise ValueError("cache entry contradicts itself")
    # A plain array over the map: the class np.memmap is slower to index.
    plain: NDArray[np.uint8] = np.asarray(images)
    return Arrays(plain, labels, int(about["train_count"]), tuple(about["classes"]), bool(about["grey"])), about[
        "sha256"
    ]


def _store_entry(entry: Path, prefix: str, arrays: Arrays, about: dict[str, Any]) -> None:
    """Written beside the entry and renamed, so that no reader ever finds half an entry."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    about |= {"format": _FORMAT, "shape": arrays.images.shape, "train_count": arrays.train_count}
    about |= {"classes": arrays.classes, "grey": arrays.grey}
    with locked(entry.parent) as alone:
        for path in _listed(entry.parent):
            if path.name.startswith(prefix) or (alone and _is_stale(path)):
                shutil.rmtree(path, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=_NEW, dir=entry.parent))
        try:
            np.save(aside / "images.npy", arrays.images)
            np.save(aside / "labels.npy", arrays.labels)
            (aside / "about.json").write_text(json.dumps(about))
            aside.rename(entry)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _is_stale(path: Path) -> bool:
    """Whether this is an entry of another version of lenet, or what a killed process was writing."""
    if path.name.startswith(_NEW):
        return True
    try:
        _about(path)
    except ValueError:
        return True
    return False
