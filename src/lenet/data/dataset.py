"""A Dataset: one uint8 array of all images, their labels, class names and splits; and its memory-mapped cache."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from lenet.data import folders
from lenet.data.catalog import CIFAR10, SETS, PublishedSet
from lenet.data.fetch import find_published, get_published, user_cache
from lenet.data.fit import check_size_and_fit, fit_array
from lenet.data.readers import Arrays, read_digits, read_published
from lenet.errors import InputError, did_you_mean

DIGITS_SIZE = 16  # 8x8 is below what the models take
FOLDER_SIZE = 32
_OWN_SIZES = range(16, 65)
_CACHE_FORMAT = 1
_HELD_OUT = 0.1  # of the images, for the test, where a folder brings no test images
_PURPOSES = {"test": 1, "val": 2}

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images of all splits; `train`, `val` and `test` are sorted indices into them.

    `images` is uint8 [N, H, W, C] with C 1 or 3, read-only, memory-mapped where it comes from the cache; `labels`
    is int64 [N], numbers into `classes`. `sha256` is of the shape, the images' bytes (after resizing) and the
    labels' bytes. `source` says where it was read from (a path, or "embedded"), `notes` what a user should be told,
    `files` each image's path relative to the folder's root, for folders only.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: Indices
    val: Indices
    test: Indices
    sha256: str
    notes: tuple[str, ...]
    files: tuple[str, ...] | None = None


def find_auto(data_dir: str | None = None) -> str:
    """What `auto` stands for: "cifar10" if it is on disk, in any layout, otherwise "digits". Never downloads."""
    return CIFAR10.name if find_published(CIFAR10, data_dir) else "digits"


def default_size(name_or_path: str) -> int:
    """The side in pixels that a set is trained at unless told otherwise: its own where that is 16 to 64."""
    published = SETS.get(name_or_path)
    if published is None:
        return FOLDER_SIZE
    return published.size if published.size in _OWN_SIZES else DIGITS_SIZE


def load_dataset(
    name_or_path: str,
    *,
    data_dir: str | None = None,
    size: int | None = None,
    fit: str = "crop",
    val_fraction: float = 0.1,
    split_seed: int = 0,
    classes: tuple[str, ...] | None = None,
    channels: int | None = None,
    download: bool = True,
) -> Dataset:
    """Reads a named set or a folder of class folders into a Dataset of `size` x `size` pixels.

    A named set is looked for in `data_dir`, $LENET_DATA, ./data and the user cache, and downloaded where it is in
    none of them, unless `download` is False. Validation is `val_fraction` of the training images, stratified and
    seeded, unless the folder brings its own; the test split hangs on `split_seed` alone. `classes` and `channels`
    are for other data under a trained model: labels are numbered by that list, pixels given that many channels, and
    few images of a class are then no error. Raises InputError for whatever is wrong with the names or the files.
    """
    check_size_and_fit(size, fit)
    if not 0 < val_fraction < 1 - _HELD_OUT:
        raise InputError(f"validation fraction {val_fraction} is out of range: give more than 0 and less than 0.9")
    if split_seed < 0:
        raise InputError(f"split seed {split_seed} is out of range: give 0 or more")
    name = find_auto(data_dir) if name_or_path == "auto" else name_or_path
    options = {"size": size or default_size(name), "fit": fit, "classes": classes, "channels": channels}
    if name in SETS:
        loaded = _load_named(SETS[name], data_dir, download, options)
    else:
        loaded = _load_folder(_folder(name_or_path), options)
    train, val, test = _split(loaded, val_fraction, split_seed, strict=classes is None)
    for shared in (loaded.arrays.images, loaded.arrays.labels):
        shared.setflags(write=False)
    return Dataset(
        name=loaded.name,
        source=loaded.source,
        classes=loaded.arrays.classes,
        images=loaded.arrays.images,
        labels=loaded.arrays.labels,
        train=train,
        val=val,
        test=test,
        sha256=loaded.sha256,
        notes=loaded.notes,
        files=loaded.files,
    )


@dataclass(frozen=True)
class _Loaded:
    """Arrays with what the source itself says of its splits; `val` or `test` None where it says nothing."""

    name: str
    source: str
    arrays: Arrays
    sha256: str
    train: Indices
    val: Indices | None
    test: Indices | None
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] | None = None


def _folder(path: str) -> Path:
    root = Path(path).expanduser()
    if root.is_dir():
        for published in SETS.values():
            for layout in published.layouts:
                if (root / layout.folder).is_dir() or (root / layout.archive.file).is_file():
                    raise InputError(f"'{path}' holds {published.name}: say {published.name} with --data-dir '{path}'")
                if (root / layout.train[0]).is_file():
                    raise InputError(f"'{path}' is {published.name}: say {published.name} with --data-dir '{path}'")
        return root
    if root.exists():
        raise InputError(f"'{path}' is a file, not a folder of class folders: give the folder it lies in")
    if os.sep in path:
        raise InputError(f"no folder '{path}': check the path, or name a set: auto, {', '.join(SETS)}")
    raise InputError(f"no data set or folder '{path}'{did_you_mean(path, ['auto', *SETS])}")


def _load_named(published: PublishedSet, data_dir: str | None, download: bool, options: dict[str, Any]) -> _Loaded:
    if not published.layouts:
        arrays = _fitted(read_digits(), options)
        everything = np.arange(len(arrays.labels))
        return _Loaded(published.name, "embedded", arrays, _digest(arrays), everything, None, None)
    layout, folder = get_published(published, data_dir, download)
    stamps = [_stamp(folder, file) for file in (*layout.train, *layout.test, layout.meta)]
    arrays, sha256 = _cached(
        published.name, folder, stamps, options, lambda: _fitted(read_published(published, layout, folder), options)
    )
    order = np.arange(len(arrays.labels))
    train, test = order[: arrays.train_count], order[arrays.train_count :]
    return _Loaded(published.name, str(folder), arrays, sha256, train, None, test)


def _fitted(arrays: Arrays, options: dict[str, Any]) -> Arrays:
    """The arrays at the size, channels and class numbers asked for."""
    classes: tuple[str, ...] = options["classes"] or arrays.classes
    for name in arrays.classes:
        if name not in classes:
            raise InputError(f"class '{name}' of the data is not among the model's: use data of the same classes")
    number = np.array([classes.index(name) for name in arrays.classes], dtype=np.int64)
    images = fit_array(arrays.images, options["size"], options["fit"], options["channels"])
    return Arrays(images, number[arrays.labels], arrays.train_count, classes)


def _load_folder(root: Path, options: dict[str, Any]) -> _Loaded:
    found = folders.scan(root, options["classes"])
    arrays, sha256 = _cached(
        root.resolve().name,
        root,
        [found.files, found.stamps],
        options,
        lambda: folders.read(root, found, options["size"], options["fit"], options["channels"]),
    )
    return _Loaded(
        name=root.resolve().name,
        source=str(root),
        arrays=arrays,
        sha256=sha256,
        train=found.indices("train"),
        val=found.indices("val") if found.has_val else None,
        test=found.indices("test") if found.has_test else None,
        notes=found.notes,
        files=found.files,
    )


def _split(loaded: _Loaded, val_fraction: float, seed: int, strict: bool) -> tuple[Indices, Indices, Indices]:
    """(train, val, test): what the source leaves open is drawn out of its training images, the test first."""
    labels, train, val, test = loaded.arrays.labels, loaded.train, loaded.val, loaded.test
    share = {"test": _HELD_OUT if test is None else 0.0, "val": val_fraction if val is None else 0.0}
    wanted = {purpose: round(fraction * len(train)) for purpose, fraction in share.items() if fraction}
    counts = np.bincount(labels[train], minlength=len(loaded.arrays.classes))
    short = np.flatnonzero((counts > 0) & (counts < 1 + len(wanted)))
    if strict and short.size:
        parts = " and ".join(["training", *({"test": "the test", "val": "validation"}[p] for p in wanted)])
        raise InputError(
            f"class '{loaded.arrays.classes[short[0]]}' of {loaded.source} has {counts[short[0]]} training image(s), "
            f"too few for {parts}: give it at least {1 + len(wanted)}, or folders of their own for the splits"
        )
    drawn: dict[str, Indices] = {}
    for open_splits, purpose in zip(range(len(wanted), 0, -1), wanted, strict=True):
        generator = np.random.default_rng([seed, _PURPOSES[purpose]])
        drawn[purpose] = _stratified(labels, train, wanted[purpose], open_splits, generator)
        train = np.setdiff1d(train, drawn[purpose], assume_unique=True)
    val = drawn["val"] if val is None else val
    test = drawn["test"] if test is None else test
    return train, val, test


def _stratified(
    labels: NDArray[np.int64], pool: Indices, total: int, leave: int, generator: np.random.Generator
) -> Indices:
    """About `total` of the indices `pool`, every class by its share (largest remainders), sorted.

    Each class gives at least one image where it has more than `leave`, and keeps at least `leave`.
    """
    classes, counts = np.unique(labels[pool], return_counts=True)
    quotas = counts * (total / max(1, len(pool)))
    take = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(take - quotas, kind="stable")
    take[by_remainder[: max(0, total - int(take.sum()))]] += 1
    take = np.clip(np.maximum(take, 1), 0, np.maximum(counts - leave, 0))
    chosen = [
        generator.permutation(pool[labels[pool] == number])[:several]
        for number, several in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else pool[:0]


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256(repr(arrays.images.shape).encode())
    digest.update(np.ascontiguousarray(arrays.images).data)
    digest.update(np.ascontiguousarray(arrays.labels, dtype="<i8").data)
    return digest.hexdigest()


def _cached(
    name: str, source: Path, stamps: list[Any], options: dict[str, Any], make: Callable[[], Arrays]
) -> tuple[Arrays, str]:
    """What `make` gives, with its digest: from the cache where the very same files were decoded the same before."""
    request = json.dumps([_CACHE_FORMAT, str(source.absolute()), options])
    key = hashlib.sha256((request + json.dumps(stamps)).encode()).hexdigest()[:20]
    # Requests share a prefix, so that a changed folder's stale entry is found and its room given back.
    prefix = f"{_safe(name)}-{hashlib.sha256(request.encode()).hexdigest()[:12]}-"
    entry = user_cache() / "arrays" / (prefix + key)
    try:
        return _load_entry(entry)
    except Exception:  # not there, or damaged in whatever way: made anew
        pass
    arrays = make()
    sha256 = _digest(arrays)
    try:
        _store_entry(entry, prefix, arrays, sha256)
        return _load_entry(entry)
    except (OSError, ValueError):
        return arrays, sha256  # a full or read-only disk costs time at the next start, nothing else


def _stamp(folder: Path, file: str) -> tuple[str, int, int]:
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
