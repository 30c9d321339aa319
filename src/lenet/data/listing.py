"""Labelled images of any kind, listed as they lie there and opened one by one: what a check of them reads."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.config import DataConfig
from lenet.cores import usable_cores
from lenet.data.arrays import check_count, checked_labels, checked_pixels, number_labels
from lenet.data.catalog import SETS
from lenet.data.dataset import find_auto, load_dataset, own_path
from lenet.data.decode import SMALL
from lenet.data.detect import detect
from lenet.data.fit import as_image, opened
from lenet.data.folders import scan
from lenet.data.published import read_digits
from lenet.data.source import Names, Opening, Part, Source
from lenet.data.splits import Split

Labels = tuple[NDArray[np.int64], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Listing:
    """Labelled images: training images first, then validation, then test.

    source: "embedded", "memory", or a path
    files: a name for each image; splits: the split of each, all "train" if the source has no splits
    opening: opens image `index`; raises whatever Pillow or the user's own code does
    labels: int64 [N], -1 where unknown, and class names; called after the images are read
    threads: number of threads that may call `opening`
    numbered: whether the images have no names of their own, as in a published dataset: `files` are then made up
    """

    name: str
    source: str
    files: Sequence[str]
    splits: tuple[Split, ...]
    opening: Opening
    labels: Callable[[], Labels]
    threads: int
    notes: tuple[str, ...] = ()
    numbered: bool = False


def list_images(data: str | Source, data_dir: str | None = None) -> Listing:
    """The images that `lenet train` would take by this name or path, or those of a source in memory.

    Reads arrays, and opens no image file.

    A folder may have one class, or classes without images, and a CSV file may list files that are missing. Raises
    InputError for a path or file that cannot be read at all.
    """
    if isinstance(data, Source):
        return _of_source(data)
    name = find_auto(data_dir) if data == "auto" else data
    if name in SETS:
        return _published(name, data_dir)
    source = detect(root := own_path(name), lenient=True)
    return _folder(root) if source is None else _of_source(source)


def _folder(root: Path) -> Listing:
    found = scan(root, lenient=True)
    small = found.stamps[:, 0].sum() < SMALL * len(found.files)
    return Listing(
        name=root.name,
        source=str(root),
        files=found.files,
        splits=found.splits,
        opening=lambda index: opened(root / found.files[index]),
        labels=lambda: (found.labels, found.classes),
        threads=1 if small else usable_cores(),
        notes=found.notes,
    )


def _published(name: str, data_dir: str | None) -> Listing:
    """A dataset's own pixels, at their own size."""
    if not SETS[name].layouts:
        digits = read_digits()
        return _of_arrays(name, "embedded", digits.images, digits.labels, digits.classes, {"train": len(digits.labels)})
    dataset = load_dataset(DataConfig(data=name, data_dir=data_dir, size=SETS[name].size), verify=True)
    counts: dict[Split, int] = {"train": len(dataset.train) + len(dataset.val), "test": len(dataset.test)}
    return _of_arrays(name, dataset.source, dataset.images, dataset.labels, dataset.classes, counts)


def _of_arrays(
    name: str, source: str, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...],
    counts: dict[Split, int],
) -> Listing:  # fmt: skip
    return Listing(
        name=name,
        source=source,
        files=Names(tuple((split if len(counts) > 1 else "images", count) for split, count in counts.items())),
        splits=tuple(split for split, count in counts.items() for _ in range(count)),
        opening=lambda index: _as_image(images[index]),
        labels=lambda: (labels, classes),
        threads=1,
        numbered=True,
    )


def _of_source(source: Source) -> Listing:
    openings = [_opening(source, part) for part in source.parts]
    begins = [0, *accumulate(part.count for part in source.parts)]

    def opening(index: int) -> AbstractContextManager[Image.Image]:
        number = bisect_right(begins, index) - 1
        return openings[number](index - begins[number])

    return Listing(
        name=source.name,
        source=source.path,
        files=Names(tuple(part.group() for part in source.parts)),
        splits=tuple(part.split for part in source.parts for _ in range(part.count)),
        opening=opening,
        labels=lambda: _labels(source),
        threads=min(part.threads for part in source.parts),
        notes=source.notes,
    )


def _opening(source: Source, part: Part) -> Opening:
    if part.opening is not None:
        return part.opening
    assert part.pixels is not None
    pixels = checked_pixels(part.pixels(), f"{part.name} of {source.path}")
    return lambda index: _as_image(pixels[index])


def _labels(source: Source) -> Labels:
    """-1 for an image of a dataset that gave no label, since it could not be read."""
    known, given = [], []
    for part in source.parts:
        values: Any = part.labels()
        has = np.ones(part.count, dtype=np.bool_)
        what = f"the labels of {part.name} of {source.path}"
        if isinstance(values, list):
            check_count(len(values), part.count, what)
            has = np.array([value is not None for value in values], dtype=np.bool_)
            values = [value for value in values if value is not None]
        known.append(has)
        if has.any():
            given.append(checked_labels(values, int(has.sum()), what))
    labels = np.full(sum(map(len, known)), -1, dtype=np.int64)
    if not given:
        return labels, source.classes or ()
    numbers, classes = number_labels(given, source.classes, source.path, all_parts=True)
    labels[np.concatenate(known)] = np.concatenate(numbers)
    return labels, classes


def _as_image(pixels: NDArray[np.uint8]) -> AbstractContextManager[Image.Image]:
    """uint8 [H, W, 1 or 3]"""
    return nullcontext(as_image(pixels))
