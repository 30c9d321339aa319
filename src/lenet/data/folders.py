"""Folders of labelled images: what is in them, which class and split each belongs to, and their pixels."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lenet.data.fetch import progress
from lenet.data.fit import fit_image, load_image, reason
from lenet.data.readers import Arrays
from lenet.errors import InputError, did_you_mean

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
Split = Literal["train", "val", "test"]
_SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_NAMED_AT_MOST = 20
_SMALL = 16_384  # bytes; below it threads spend more time on Python's lock than they win in decoding
_BAR_FROM = 500  # images; fewer are decoded before a bar could be read


@dataclass(frozen=True)
class Found:
    """The images of a folder: `files` relative to its root with "/" between, `labels` and `splits` alike in order.

    Training images come first, then validation, then test; each sorted by path. A flat folder's are all "train".
    `stamps` are each file's bytes and time of change in ns: while they stay, the decoded images do.
    """

    files: tuple[str, ...]
    stamps: tuple[tuple[int, int], ...]
    labels: NDArray[np.int64]
    splits: tuple[Split, ...]
    classes: tuple[str, ...]
    has_val: bool
    has_test: bool
    notes: tuple[str, ...]

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Sorted indices of the images that the folder itself puts into `split`."""
        return np.array([index for index, each in enumerate(self.splits) if each == split], dtype=np.int64)


_File = tuple[str, tuple[int, int]]  # path and stamp


def scan(root: Path, classes: tuple[str, ...] | None = None) -> Found:
    """Lists the images under root/{train, val|valid|validation, test}/CLASS or, flat, root/CLASS; opens none.

    The classes are those of the training images, sorted by name, so that one missing elsewhere shifts no label;
    or `classes`, where given, and then any split alone will do. Raises InputError naming the folder at fault.
    """
    notes: list[str] = []
    split_folders = _split_folders(root, classes is None, notes)
    by_split: dict[Split, dict[str, list[_File]]] = {}
    for split, folder in (split_folders or {"train": root}).items():
        by_split[split] = _images_by_class(root, folder, notes)
    known = classes or _training_classes(root, split_folders.get("train", root), by_split["train"])
    files: list[_File] = []
    labels: list[int] = []
    splits: list[Split] = []
    for split, by_class in sorted(by_split.items(), key=lambda item: ("train", "val", "test").index(item[0])):
        for name, images in sorted(by_class.items()):
            if not images:
                continue
            if name not in known:
                whose = "the model" if classes else "the training images"
                raise InputError(
                    f"class '{name}' in {split_folders.get(split, root)} is not among the classes of {whose}"
                    f": rename or remove it{did_you_mean(name, known)}"
                )
            files += images
            labels += [known.index(name)] * len(images)
            splits += [split] * len(images)
        missing = [f"'{name}'" for name in known if not by_class.get(name)]
        if missing and split != "train":
            notes.append(f"no {split} images of {_few(missing, 5)}: {len(missing)} of {len(known)} classes")
    if not files:
        raise InputError(f"no images in {root}: put them into a folder for each class ({', '.join(EXTENSIONS)})")
    if not split_folders:
        notes.insert(0, "no train folder: the images are split into training, validation and test by class and seed")
    elif "train" in split_folders and "test" not in split_folders:
        notes.insert(0, "no test folder: 10% of the training images held out")
    return Found(
        files=tuple(path for path, _ in files),
        stamps=tuple(stamp for _, stamp in files),
        labels=np.array(labels, dtype=np.int64),
        splits=tuple(splits),
        classes=known,
        has_val="val" in split_folders,
        has_test="test" in split_folders,
        notes=tuple(notes),
    )


def read(root: Path, found: Found, size: int, fit: str, channels: int | None = None) -> Arrays:
    """Decodes the images, in threads, to uint8 [N, size, size, C].

    C is `channels`; left out, 1 where every training image holds grey alone and 3 otherwise. Raises one InputError
    that names every image which cannot be read.
    """
    wide = channels or 3
    images = np.empty((len(found.files), size, size, wide), dtype=np.uint8)
    grey = np.zeros(len(found.files), dtype=np.bool_)
    failures: dict[int, str] = {}

    def decode(index: int) -> None:
        image = load_image(root / found.files[index])
        images[index] = fit_image(image, size, wide, fit)
        if channels is None and _is_grey(images[index]):
            # Resizing may have hidden the last trace of colour; the whole picture decides.
            grey[index] = image.mode == "L" or _is_grey(np.asarray(image))

    def decode_some(indices: list[int]) -> int:
        for index in indices:
            try:
                decode(index)
            except MemoryError:
                raise
            except Exception as error:  # whatever a damaged file drives Pillow into: named, and the others go on
                failures[index] = f"{found.files[index]} ({reason(error)})"
        return len(indices)

    small = sum(size for size, _ in found.stamps) < _SMALL * len(grey)
    several = 64 if small else 1
    bar = progress(f"reading {root.name}", len(grey), in_bytes=False, hidden=len(grey) < _BAR_FROM)
    with _pool(1 if small else _cores()) as pool, bar as advance:
        batches = [list(range(begin, min(begin + several, len(grey)))) for begin in range(0, len(grey), several)]
        for done in pool.map(decode_some, batches):
            advance(done)
    if failures:
        names = _few([failures[index] for index in sorted(failures)], _NAMED_AT_MOST)
        raise InputError(f"{len(failures)} of {len(grey)} images in {root} cannot be read: {names}; mend or remove")
    train_count = found.splits.count("train")
    if channels is None and grey[: train_count or None].all():
        images = np.ascontiguousarray(images[..., :1])
        # Grey has to be taken before the resize, as prediction does it; so the few coloured ones are read again.
        for index in np.flatnonzero(~grey).tolist():
            images[index] = fit_image(load_image(root / found.files[index]), size, 1, fit)
    return Arrays(images, found.labels, train_count, found.classes)


def _split_folders(root: Path, needs_train: bool, notes: list[str]) -> dict[Split, Path]:
    """The folders of the splits; empty where the layout is flat."""
    named: dict[Split, Path] = {}
    others = []
    for folder in _subfolders(root):
        split = _SPLIT_FOLDERS.get(folder.name.lower())
        if split is None:
            others.append(folder)
        elif split in named:
            raise InputError(f"{root} has both '{named[split].name}' and '{folder.name}': keep one")
        else:
            named[split] = folder
    # A class may be called "train" or "test": a split's folder has class folders in it, a class folder has none.
    if not any(_subfolders(folder) for folder in named.values()) and (others or len(named) != 1):
        if named and not others:
            raise InputError(
                f"{root} has {_few([f.name for f in named.values()], 3)} without class folders in them: "
                "put the images into a folder for each class"
            )
        return {}
    if named and others:
        notes.append(f"passed over beside the splits: {_few([f.name for f in others], 5)}")
    if named and "train" not in named and needs_train:
        raise InputError(f"{root} has '{next(iter(named.values())).name}' but no 'train': put training images there")
    return named


def _images_by_class(root: Path, folder: Path, notes: list[str]) -> dict[str, list[_File]]:
    """Class name to its images, paths relative to root, sorted; classes without images are in it, empty."""
    loose = [entry.name for entry in os.scandir(folder) if entry.is_file() and _is_image(entry.name)]
    if loose:
        notes.append(f"{len(loose)} images directly in {folder} belong to no class and are passed over")
    return {
        class_folder.name: sorted(_walk(str(class_folder), class_folder.relative_to(root).as_posix(), set()))
        for class_folder in _subfolders(folder)
    }


def _training_classes(root: Path, train: Path, by_class: dict[str, list[_File]]) -> tuple[str, ...]:
    names = tuple(sorted(by_class))
    for name in names:
        if not by_class[name]:
            raise InputError(
                f"class folder {train / name} holds no images: add some ({', '.join(EXTENSIONS)}) or remove the folder"
            )
    if len(names) == 1:
        inside = train / names[0]
        hint = f", or did you mean '{inside}'?" if train == root and _subfolders(inside) else ""
        raise InputError(f"{train} has one class only, '{names[0]}': add a folder for a second one{hint}")
    if not names:
        raise InputError(f"no class folders with images in {train}: put the images into a folder for each class")
    return names


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not _is_hidden(entry.name) and entry.is_dir())
    except OSError as error:
        raise _unlistable(error) from None


def _walk(folder: str, shown: str, visited: set[tuple[int, int]]) -> Iterator[_File]:
    """The image files anywhere under `folder`, called `shown`; links are followed, but in no circle."""
    try:
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in visited:
            return
        visited = {*visited, (stat.st_dev, stat.st_ino)}
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                path = f"{shown}/{entry.name}"
                if entry.is_dir():
                    yield from _walk(entry.path, path, visited)
                elif _is_image(entry.name):
                    yield path, _stamp(entry)
    except OSError as error:
        raise _unlistable(error) from None


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a link to nothing: an image that cannot be read, and reported as one
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _unlistable(error: OSError) -> InputError:
    return InputError(f"cannot list {error.filename} ({error.strerror}): check its permissions")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(EXTENSIONS)


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


def _few(names: list[str], at_most: int) -> str:
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for decoding (Pillow lets others run meanwhile) that Ctrl-C or an error need not wait for."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
