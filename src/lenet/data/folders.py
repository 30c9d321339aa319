"""Folders of labelled images: the files in them, and the class and split of each."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.splits import SPLITS, Split
from lenet.errors import InputError, counted, did_you_mean

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_SOME = 4096  # files
_NAMED = 5  # endings of ignored files
_DEEPEST = 200  # levels of folders
SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Found:
    """The image files of a folder: training first, then validation, then test, each sorted by path.

    files: paths relative to the folder, with "/" between; in a flat folder all are "train"
    stamps: int64 [N, 2], size in bytes and `state` of each file
    labels: int64, numbers into `classes`
    """

    files: tuple[str, ...]
    stamps: NDArray[np.int64]
    labels: NDArray[np.int64]
    splits: tuple[Split, ...]
    classes: tuple[str, ...]
    has_val: bool
    has_test: bool
    notes: tuple[str, ...]

    def stamped(self) -> Iterator[tuple[tuple[str, ...], list[list[int]]]]:
        """Names and stamps, some at a time."""
        for begin in range(0, len(self.files), _SOME):
            yield self.files[begin : begin + _SOME], self.stamps[begin : begin + _SOME].tolist()

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Sorted indices of the images in the folder of `split`."""
        return np.array([index for index, each in enumerate(self.splits) if each == split], dtype=np.int64)


_File = tuple[str, tuple[int, int]]  # path and stamp


def scan(root: Path, classes: tuple[str, ...] | None = None, *, lenient: bool = False) -> Found:
    """List the images under root/{train, val|valid|validation, test}/CLASS or, flat, root/CLASS, without opening any.

    The classes are those of the training images, sorted by name, so that a class missing in another split shifts no
    label; or `classes`, if given, and then any split suffices. Raises InputError naming the folder that is wrong.

    lenient: take every class folder of any split, also a single one or one without images, as a check of them does
    """
    notes: list[str] = []
    split_folders = _split_folders(root, classes is None and not lenient, notes)
    by_split: dict[Split, dict[str, list[_File]]] = {}
    for split, folder in (split_folders or {"train": root}).items():
        by_split[split] = _images_by_class(root, folder, notes)
    if lenient:
        known = tuple(sorted({name for by_class in by_split.values() for name in by_class}))
    else:
        known = classes or _training_classes(root, split_folders.get("train", root), by_split["train"])
    if classes is None and not split_folders:
        _check_flat(root, by_split["train"], notes)
    files: list[_File] = []
    labels: list[int] = []
    splits: list[Split] = []
    for split, by_class in sorted(by_split.items(), key=lambda item: SPLITS.index(item[0])):
        for name, images in sorted(by_class.items()):
            if not images:
                continue
            if name not in known and classes:
                raise unknown_to_model(name, split_folders.get(split, root), known)
            if name not in known:
                raise InputError(
                    f"class '{name}' in {split_folders.get(split, root)} is not among the classes of the training "
                    f"images: rename or remove it{did_you_mean(name, known)}"
                )
            files += images
            labels += [known.index(name)] * len(images)
            splits += [split] * len(images)
        missing = [f"'{name}'" for name in known if not by_class.get(name)]
        if missing and split != "train":
            notes.append(f"no {split} images of {few(missing, 5)}: {len(missing)} of {len(known)} classes")
    if not files:
        raise InputError(f"no images in {root}: put them into a folder for each class ({', '.join(EXTENSIONS)})")
    if not split_folders:
        notes.insert(0, "no train folder: lenet draws the splits, stratified by class (--split-seed)")
    elif "train" in split_folders and "test" not in split_folders:
        notes.insert(0, "no test folder: 10% of the training images are the test set")
    return Found(
        files=tuple(path for path, _ in files),
        stamps=np.array([stamp for _, stamp in files], dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        splits=tuple(splits),
        classes=known,
        has_val="val" in split_folders,
        has_test="test" in split_folders,
        notes=tuple(notes),
    )


def _split_folders(root: Path, needs_train: bool, notes: list[str]) -> dict[Split, Path]:
    """The folder of each split; empty if the layout is flat."""
    named: dict[Split, Path] = {}
    others = []
    for folder in _subfolders(root):
        split = SPLIT_WORDS.get(folder.name.lower())
        if split is None:
            others.append(folder)
        elif split in named:
            raise InputError(f"{root} has both '{named[split].name}' and '{folder.name}': keep one")
        else:
            named[split] = folder
    # A class may be named "train" or "test": the folder of a split contains class folders, that of a class does not.
    if not any(_subfolders(folder) for folder in named.values()) and (others or len(named) != 1):
        if named and not others:
            raise InputError(
                f"{root} has {few([f.name for f in named.values()], 3)} without class folders in them: "
                "put the images into a folder for each class"
            )
        return {}
    if named and others:
        notes.append(f"folders beside the splits are ignored: {few([f.name for f in others], 5)}")
    if named and "train" not in named and needs_train:
        raise InputError(f"{root} has '{next(iter(named.values())).name}' but no 'train': put training images there")
    return named


def splits_in(name: str) -> set[Split]:
    """The splits that words of a name stand for, such as "train" for training_set and train-00001."""
    return {SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SPLIT_WORDS}


def _check_flat(root: Path, by_class: dict[str, list[_File]], notes: list[str]) -> None:
    """Raises InputError if the class folders are splits of other names, such as training_set and test_set.

    Folders without an image directly in them are splits if all their names have a word for one, and there are two
    splits at least. If they only contain the same folders they may be classes, and a note says so.
    """
    inside = {
        name: {path.split("/", 2)[1] for path, _ in images}
        for name, images in by_class.items()
        if images and all(path.count("/") > 1 for path, _ in images)
    }
    splits = [splits_in(name) for name in inside]
    if all(splits) and len(set().union(*splits)) > 1:
        raise InputError(f"{root}: {few(list(inside), 5)} are named like splits and contain folders: rename them to "
                         "train, val and test, with the class folders in them", options=["data"])  # fmt: skip
    shared = next(iter(inside.values()), set())
    if len(inside) > 1 and len(shared) > 1 and all(each == shared for each in inside.values()):
        notes.append(f"{few(list(inside), 5)} contain the same folders ({few(sorted(shared), 5)}) and are taken as "
                     "classes: if they are splits, rename them to train, val and test")  # fmt: skip


def _images_by_class(root: Path, folder: Path, notes: list[str]) -> dict[str, list[_File]]:
    """The images of each class, paths relative to root, sorted; a class without images has an empty list."""
    try:
        with os.scandir(folder) as entries:
            loose = [entry.name for entry in entries if is_image(entry.name) and holds(entry.is_file)]
    except OSError as error:
        raise unlistable(error) from None
    if loose:
        images = counted(len(loose), "image")
        notes.append(f"{images} directly in {folder}, not in a class folder: ignored")
    for class_folder in _subfolders(folder):
        try:
            class_folder.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"the name of class folder {class_folder} is not UTF-8: rename it") from None
    others: Counter[str] = Counter()
    # A link in a class folder to one of these would add the images of other classes to it.
    above = {(stat.st_dev, stat.st_ino) for stat in (root.stat(), folder.stat())}
    found = {
        class_folder.name: sorted(_walk(str(class_folder), class_folder.relative_to(root).as_posix(), above, others))
        for class_folder in _subfolders(folder)
    }
    if others:
        ranked = sorted(others.items(), key=lambda item: (-item[1], item[0]))
        endings = few([f"{count} {ending or 'without an ending'}" for ending, count in ranked], _NAMED)
        notes.append(f"files in {folder} whose names do not end as those of images are ignored: {endings}")
    return found


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
        return sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name) and holds(entry.is_dir))
    except OSError as error:
        raise unlistable(error) from None


def _walk(folder: str, shown: str, visited: set[tuple[int, int]], others: Counter[str]) -> Iterator[_File]:
    """The image files anywhere under `folder`, whose path is shown as `shown`; links are followed, circles are not.

    others: receives the number of other files by the ending of their names
    """
    try:
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in visited:
            return
        visited = {*visited, (stat.st_dev, stat.st_ino)}
        check_depth(folder, len(visited))
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                path = f"{shown}/{entry.name}"
                if holds(entry.is_dir):
                    yield from _walk(entry.path, path, visited, others)
                elif is_image(entry.name):
                    yield path, _stamp(entry)
                else:
                    others[Path(entry.name).suffix.lower()] += 1
    except OSError as error:
        raise unlistable(error) from None


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a broken link: reported with the images that cannot be read
        return 0, 0
    return stat.st_size, state(stat)


def state(stat: os.stat_result) -> int:
    """A number of 64 bits that changes whenever the file of a name does, though its size does not.

    It is made from the times and the inode number: a restored time of modification leaves the time of change, and a
    file that is renamed, or whose folder is, has another inode number than the one that had its name before.
    """
    return hash((stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))  # not randomised: they are integers


def unknown_to_model(name: str, where: str | Path, known: tuple[str, ...]) -> InputError:
    """The error of a class that the model, whose classes are `known`, does not have."""
    return InputError(
        f"class '{name}' in {where} is not a class of the model{did_you_mean(name, known)}; give images of its "
        "classes, or train it on these with 'lenet transfer'"
    )


def check_depth(folder: str, level: int) -> None:
    """Raises InputError if a folder is too deep: the walk calls itself for each level."""
    if level > _DEEPEST:
        raise InputError(f"{folder:.60}... is a folder of more than {_DEEPEST} levels: move its images up")


def unlistable(error: OSError) -> InputError:
    return InputError(f"cannot list {error.filename} ({error.strerror}): check its permissions")


def holds(test: Callable[[], bool]) -> bool:
    """The result of a test of a path, such as `entry.is_dir`; False for a link that leads back to itself."""
    try:
        return test()
    except OSError:
        return False


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str) -> bool:
    return not is_hidden(name) and name.lower().endswith(EXTENSIONS)


def few(names: list[str], at_most: int) -> str:
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
