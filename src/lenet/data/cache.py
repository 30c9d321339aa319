"""Decoded images kept on disk as uint8 arrays, so that the next start maps them instead of decoding them again."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from lenet.data.fetch import user_cache
from lenet.data.readers import Arrays

_FORMAT = 1


def digest(arrays: Arrays) -> str:
    """The SHA-256 of the images' shape, their bytes and the labels' bytes."""
    sha256 = hashlib.sha256(repr(arrays.images.shape).encode())
    sha256.update(np.ascontiguousarray(arrays.images).data)
    sha256.update(np.ascontiguousarray(arrays.labels, dtype="<i8").data)
    return sha256.hexdigest()


def cached(
    name: str, source: Path, stamps: list[Any], options: dict[str, Any], make: Callable[[], Arrays]
) -> tuple[Arrays, str]:
    """What `make` gives, with its digest: from the cache where the very same files were decoded the same before."""
    request = json.dumps([_FORMAT, str(source.absolute()), options])
    key = hashlib.sha256((request + json.dumps(stamps)).encode()).hexdigest()[:20]
    # Requests share a prefix, so that a changed folder's stale entry is found and its room given back.
    prefix = f"{_safe(name)}-{hashlib.sha256(request.encode()).hexdigest()[:12]}-"
    entry = user_cache() / "arrays" / (prefix + key)
    try:
        return _load_entry(entry)
    except Exception:  # not there, or damaged in whatever way: made anew
        pass
    arrays = make()
    sha256 = digest(arrays)
    try:
        _store_entry(entry, prefix, arrays, sha256)
        return _load_entry(entry)
    except (OSError, ValueError):
        return arrays, sha256  # a full or read-only disk costs time at the next start, nothing else


def stamp(folder: Path, file: str) -> tuple[str, int, int]:
    """Name, size and time of change in ns: while they stay, so does what the file decodes to."""
    try:
        stat = (folder / file).stat()
    except OSError:
        return file, 0, 0  # the reader will say what is missing
    return file, stat.st_size, stat.st_mtime_ns


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:60]


def _load_entry(entry: Path) -> tuple[Arrays, str]:
    about = json.loads((entry / "about.json").read_text())
    # Unlike np.load these read .npy alone: no zip, no pickle, whatever the file pretends to be.
    images = open_memmap(entry / "images.npy", mode="r")
    labels = np.array(open_memmap(entry / "labels.npy", mode="r"), dtype=np.int64)
    fits = list(images.shape) == about["shape"] and images.dtype == np.uint8 and labels.shape == images.shape[:1]
    if not fits or labels.min() < 0 or labels.max() >= len(about["classes"]):
        raise ValueError("cache entry contradicts itself")
    # A plain array over the map: np.memmap's own class slows indexing and surprises callers.
    plain: NDArray[np.uint8] = np.asarray(images)
    return Arrays(plain, labels, int(about["train_count"]), tuple(about["classes"])), about["sha256"]


def _store_entry(entry: Path, prefix: str, arrays: Arrays, sha256: str) -> None:
    """Written aside and renamed, so that no reader ever meets half an entry."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        np.save(aside / "images.npy", arrays.images)
        np.save(aside / "labels.npy", arrays.labels)
        about = {"shape": arrays.images.shape, "train_count": arrays.train_count, "classes": arrays.classes}
        (aside / "about.json").write_text(json.dumps({**about, "sha256": sha256}))
        for stale in entry.parent.glob(prefix + "*"):
            shutil.rmtree(stale, ignore_errors=True)
        aside.rename(entry)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
