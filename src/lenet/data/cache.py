"""Decoded images kept on disk as uint8 arrays, so that later runs map them instead of decoding them again.

An entry is a folder: images.npy, uint8 [N, H, W, C]; labels.npy, int64 [N]; digests.npy, first.npy and constant.npy,
the arrays of `ImageFacts`; and about.json. Opening one makes no pass over the pixels. What is checked, and when:

- about.json and the small arrays by the hash `parts` of them all, whenever an entry is opened;
- images.npy by its size, time of change and inode, which were recorded when it was written; if one of them differs (the
  file was changed, or the cache copied), all pixels and labels by `sha256`, which takes 1.5 s per GB on one core;
- all pixels with `verify`, which also finds what a failing disk has changed.

An entry that fails is made again, as is one of files whose names, sizes, times or inodes differ.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from platformdirs import user_cache_path

from lenet.data.copies import ImageFacts, image_facts
from lenet.data.folders import state
from lenet.data.published import Arrays
from lenet.files import expanded, locked, read_json, write_whole

_FORMAT = 5
_SMALL = {"labels": np.int64, "digests": np.uint8, "first": np.int64, "constant": np.bool_}
_NEW = ".new-"  # opens the name of an entry that is being written


def user_cache() -> Path:
    """$LENET_CACHE, or lenet/ in the user's cache folder ($XDG_CACHE_HOME or ~/.cache on Linux). It may not exist."""
    if chosen := os.environ.get("LENET_CACHE"):
        return expanded(chosen)
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
    name: str, source: Path, stamps: Iterable[Any], options: dict[str, Any], make: Callable[[], Arrays], *,
    verify: bool = False,
) -> tuple[Arrays, str]:  # fmt: skip
    """What `make` returns, with facts about the images, and its digest; from the cache if it has them.

    It has them if the same files were decoded with the same options before.

    stamps: values for JSON that change whenever the files do; verify: read all pixels and compare their hash
    """
    request = json.dumps([_FORMAT, str(source.absolute()), options])
    stamped = hashlib.sha256(request.encode())
    for some in stamps:
        stamped.update(json.dumps(some).encode())
    key = stamped.hexdigest()[:20]
    # Entries of one request share a prefix: when the files change, the stale entry is found and removed.
    prefix = f"{_safe(name)}-{hashlib.sha256(request.encode()).hexdigest()[:12]}-"
    entry = _folder() / (prefix + key)
    try:
        return _load_entry(entry, verify=verify)
    except Exception:  # missing, or damaged in any way: made again
        pass
    arrays = make()
    arrays, sha256 = replace(arrays, facts=image_facts(arrays.images)), digest(arrays)
    try:
        _store_entry(entry, prefix, arrays, {"name": name, "source": str(source.absolute()), "sha256": sha256})
        return _load_entry(entry)
    except (OSError, ValueError):
        return arrays, sha256  # without room on the disk the next run decodes again


def stamp(folder: Path, file: str) -> tuple[str, int, int]:
    """Name, size in bytes and `state`; the last two change whenever the file does."""
    try:
        stat = (folder / file).stat()
    except OSError:
        return file, 0, 0  # the reader will report what is missing
    return file, stat.st_size, state(stat)


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
    """Remove all decoded images and teachers' logits from the cache; they are computed again when needed.

    Returns the number of bytes freed. Runs that use them are not disturbed: a file stays readable for whoever has
    mapped it.
    """
    freed = 0
    for folder in (_folder(), logits_folder()):
        freed += bytes_in(folder)
        shutil.rmtree(folder, ignore_errors=True)
        freed -= bytes_in(folder)
    return freed


def logits_folder() -> Path:
    """Where teachers' logits are kept (`lenet.training.logits_table`). It may not exist."""
    return user_cache() / "logits"


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
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # another process is at work there
            total += path.lstat().st_size if path.is_file() else 0
    return total


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:60]


def _about(entry: Path) -> dict[str, Any]:
    """An entry's about.json. Raises ValueError if it is missing, damaged or of another version of lenet."""
    about = read_json(entry / "about.json", "made again")
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ValueError("cache entry of another format")
    return about


def _load_entry(entry: Path, *, verify: bool = False) -> tuple[Arrays, str]:
    """The arrays, whose images are mapped, and their digest. Raises an exception of any kind if it is damaged."""
    about = _about(entry)
    path = entry / "images.npy"
    written = _written(path)
    # Unlike np.load, open_memmap reads .npy alone: no zip and no pickle, whatever the file claims to be.
    images = open_memmap(path, mode="r")
    count, classes, train_count = len(images), about["classes"], about["train_count"]
    stored = {name: open_memmap(entry / f"{name}.npy", mode="r") for name in _SMALL}
    if list(images.shape) != about["shape"] or images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError("the images have another shape or type")
    for name, array in stored.items():
        if array.shape != ((count, 16) if name == "digests" else (count,)) or array.dtype != _SMALL[name]:
            raise ValueError(f"{name} has another shape or type")
    small = {name: np.array(array) for name, array in stored.items()}
    if _parts(about, small) != about["parts"]:
        raise ValueError("the parts do not have their hash")
    labels, first = small["labels"], small["first"]
    if labels.min() < 0 or labels.max() >= len(classes) or first.min() < 0 or (first > np.arange(count)).any():
        raise ValueError("a label or an index is out of range")
    if not all(isinstance(name, str) for name in classes) or not 0 <= train_count <= count:
        raise ValueError("the classes are not names, or there are fewer images than training images")
    facts = ImageFacts(small["digests"], first, small["constant"])
    # A plain array over the map: the class np.memmap is slower to index.
    plain: NDArray[np.uint8] = np.asarray(images)
    arrays = Arrays(plain, labels, int(train_count), tuple(classes), bool(about["grey"]), facts)
    if verify or written != about["written"]:
        if digest(arrays) != about["sha256"]:
            raise ValueError("the images do not have their hash")
        with suppress(OSError, ValueError):  # a cache that cannot be written is verified every time
            write_whole(entry / "about.json", json.dumps(about | {"written": written}), sync=False)
    return arrays, about["sha256"]


def _store_entry(entry: Path, prefix: str, arrays: Arrays, about: dict[str, Any]) -> None:
    """Written beside the entry and renamed, so that no reader ever finds half an entry."""
    assert arrays.facts is not None
    entry.parent.mkdir(parents=True, exist_ok=True)
    about |= {"format": _FORMAT, "shape": list(arrays.images.shape), "train_count": arrays.train_count}
    about |= {"classes": list(arrays.classes), "grey": arrays.grey}
    facts = {name: getattr(arrays.facts, name) for name in ("digests", "first", "constant")}
    small = {"labels": np.ascontiguousarray(arrays.labels)} | facts
    with locked(entry.parent) as alone:
        for path in _listed(entry.parent):
            if path.name.startswith(prefix) or (alone and _is_stale(path)):
                shutil.rmtree(path, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=_NEW, dir=entry.parent))
        try:
            for name, array in {"images": arrays.images, **small}.items():
                np.save(aside / f"{name}.npy", array)
            about |= {"parts": _parts(about, small), "written": _written(aside / "images.npy")}
            (aside / "about.json").write_text(json.dumps(about))
            aside.rename(entry)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _parts(about: dict[str, Any], small: dict[str, NDArray[Any]]) -> str:
    """The SHA-256 of what an entry holds beside its images."""
    facts = {name: value for name, value in about.items() if name not in ("parts", "written")}
    sha256 = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in _SMALL:
        sha256.update(small[name].data)
    return sha256.hexdigest()


def _written(path: Path) -> list[int]:
    """Size, time of change in ns and inode of a file: what differs if it was written again, or is a copy.

    The time of modification does not do: programs restore it.
    """
    stat = path.stat()
    return [stat.st_size, stat.st_ctime_ns, stat.st_ino]


def _is_stale(path: Path) -> bool:
    """Whether this is an entry of another version of lenet, or what a killed process was writing."""
    if path.name.startswith(_NEW):
        return True
    try:
        _about(path)
    except ValueError:
        return True
    return False
