"""A CSV file of corrected labels, such as `lenet audit` writes: what it changes in a dataset."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lenet.characters import visible
from lenet.data.loaded import Loaded, digest_without
from lenet.data.splits import Indices, Splits
from lenet.data.table import LABELS, PATHS, rows_of
from lenet.errors import InputError, counted, did_you_mean, similar

INDEX = "index"
_MOST_NAMED = 100  # files compared for "did you mean"


def relabel(loaded: Loaded, path: Path) -> Loaded:
    """The images with the labels of a CSV file that has a header line and the columns file (or index) and label.

    file: the image's name as `lenet audit` and `lenet eval` write it, for a folder relative to it
    index: the image's number in the dataset, from 0, training images first
    label: the name of a class of the dataset; if it is empty, the image is left out of every split (`leave_out`)

    Other columns are ignored, and images that the file does not list are unchanged.

    Raises InputError for missing columns, unknown images or classes, and for an image that is listed twice.
    """
    numbers = _numbers(loaded, path)
    before, labels = loaded.arrays.labels, loaded.arrays.labels.copy()
    left_out = np.array(sorted(index for index, number in numbers.items() if number is None), dtype=np.int64)
    for index, number in numbers.items():
        labels[index] = before[index] if number is None else number
    arrays, corrected = replace(loaded.arrays, labels=labels), int((labels != before).sum())
    note = f"{path.name}: {counted(corrected, 'label')} corrected, {counted(len(left_out), 'image')} left out"
    return replace(
        loaded,
        arrays=arrays,
        sha256=digest_without(arrays, left_out) if corrected or len(left_out) else loaded.sha256,
        notes=(*loaded.notes, note),
        relabelled=str(path),
        drawn_by=before,
        corrections=numbers,
    )


def leave_out(splits: Splits, loaded: Loaded) -> Splits:
    """The splits without the images that the labels' file leaves out.

    Raises InputError if a split has no images left, or a class no training images.
    """
    if not loaded.relabelled:
        return splits

    def left(indices: Indices) -> Indices:
        return np.setdiff1d(indices, loaded.left_out, assume_unique=True)

    path, labels = loaded.relabelled, loaded.arrays.labels
    before = np.unique(loaded.split_labels[splits.train])
    folds = tuple((left(train), left(val)) for train, val in splits.folds)
    parts = Splits(left(splits.train), left(splits.val), left(splits.test), folds)
    for train, val in ((parts.train, parts.val), *folds):
        for name, indices in (("training", train), ("validation", val), ("test", parts.test)):
            if not indices.size:
                raise _wrong(f"{path} leaves no {name} images: leave fewer images out")
        missing = np.setdiff1d(before, labels[train])
        if missing.size:
            name = loaded.arrays.classes[missing[0]]
            raise _wrong(f"{path} leaves class '{name}' without training images: leave fewer of them out")
    return parts


def _numbers(loaded: Loaded, path: Path) -> dict[int, int | None]:
    """The class of each listed image, by index; None for an image that is left out."""
    rows = rows_of(path, "labels")
    header = next(rows, None)
    if header is None:
        raise _wrong(f"{path} is empty: add a header line 'file,label' or 'index,label', and a line for each image")
    columns = [name.lower() for name in header[1]]
    names = (*PATHS, INDEX) if loaded.files is not None else (INDEX,)
    at, label_at = (next((columns.index(one) for one in wanted if one in columns), None) for wanted in (names, LABELS))
    if at is None or label_at is None:
        missing, has = ("label" if at is not None else names[0] if loaded.files is None else "file"), ", ".join(columns)
        raise _wrong(f"{path} has no column '{missing}' (columns: {has:.200}): add it to the header line")
    if doubled := next((columns[one] for one in (at, label_at) if columns.count(columns[one]) > 1), None):
        raise _wrong(f"{path} has two columns '{doubled}': remove or rename one of them")
    by_name = {} if columns[at] == INDEX else _as_written(loaded.files or ())
    classes = _as_written(loaded.arrays.classes)
    numbers: dict[int, int | None] = {}
    for line, values in rows:
        where = f"{path}, line {line}"
        if len(values) <= max(at, label_at) or not values[at]:
            raise _wrong(f"{where}: no {columns[at]} or no label column: add it, or remove the line")
        name, label = values[at], values[label_at]
        index = by_name.get(name) if columns[at] != INDEX else _index(name, len(loaded.arrays.labels))
        if index is None:
            raise _wrong(f"{where}: no image '{name:.200}' in {loaded.name}{_hint(name, by_name, loaded)}")
        if index in numbers:
            raise _wrong(f"{where}: '{name:.200}' is listed twice: keep one of the lines")
        if label and label not in classes:
            hint = did_you_mean(label, loaded.arrays.classes)
            raise _wrong(f"{where}: no class '{label:.100}' in {loaded.name}{hint}")
        numbers[index] = classes[label] if label else None
    return numbers


def _as_written(names: Iterable[str]) -> dict[str, int]:
    r"""The number of each name, also as lenet writes it to a CSV file.

    There control characters and bytes that are not UTF-8 are escaped, such as \n and \xff, and a name that would be a
    formula has an apostrophe. Spaces around a value are not read.
    """
    known = {name: number for number, name in enumerate(names)}
    for written in (visible, "'{}".format, str.strip):
        others = Counter(map(written, known))
        known |= {
            other: number
            for name, number in known.items()
            if (other := written(name)) not in known and others[other] == 1
        }
    return known


def _index(text: str, count: int) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 and int(text) < count else None


def _hint(name: str, by_name: Mapping[str, Any], loaded: Loaded) -> str:
    """What to do about an unknown image: a similar name, or what names look like here."""
    if not by_name:
        return f": indices are 0 to {len(loaded.arrays.labels) - 1}"
    last = name.replace("\\", "/").rpartition("/")[2]
    near = [one for one in by_name if one.rpartition("/")[2] == last] or list(by_name)
    such_as = f": names are as '{next(iter(by_name))}', relative to {loaded.source}"
    return similar(name, near[:_MOST_NAMED]) or such_as


def _wrong(message: str) -> InputError:
    return InputError(message, options=["labels"])
