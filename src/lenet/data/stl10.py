"""STL-10's binary files: planes column by column, labels from 1, and ten folds.

The 100,000 unlabelled images are not read and may be missing.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.published import AGAIN, Arrays, class_names, read_file, read_rows
from lenet.data.published_set import Layout, PublishedSet
from lenet.errors import InputError

FOLD_FILE = "fold_indices.txt"
FOLDS = 10


def read_stl10(published: PublishedSet, layout: Layout, folder: Path) -> Arrays:
    """The 5,000 training and 8,000 test images, uint8 [13000, 96, 96, 3], in the publisher's order.

    Raises InputError naming the file that is missing, has another length, or a label outside 1 to 10.
    """
    total = published.train_count + published.test_count
    side = published.size
    images = np.empty((total, side, side, published.channels), dtype=np.uint8)
    labels = np.empty(total, dtype=np.int64)
    begin = 0
    for (pixel_file, label_file), count in ((layout.train, published.train_count), (layout.test, published.test_count)):
        end = begin + count
        planes = read_rows(folder / pixel_file, count, published.channels * side * side)
        # MATLAB writes a plane column by column, so its second dimension is the height.
        images[begin:end] = planes.reshape(count, published.channels, side, side).transpose(0, 3, 2, 1)
        labels[begin:end] = _labels(folder / label_file, count, len(published.classes))
        begin = end
    return Arrays(images, labels, published.train_count, class_names(published, layout, folder))


def read_folds(folder: Path, train_count: int) -> tuple[NDArray[np.int64], ...]:
    """The ten folds of fold_indices.txt, each sorted int64 indices into the training images.

    Raises InputError if there are not ten lines of whole numbers, or one names a missing image, or an image twice.
    """
    path = folder / FOLD_FILE
    try:
        lines = [line.split() for line in read_file(path, 1 << 20).decode("ascii").splitlines() if line.strip()]
        folds = [np.array([int(word) for word in line], dtype=np.int64) for line in lines]
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        raise InputError(f"{path} must list whole numbers, one line per fold; {AGAIN}") from None
    if len(folds) != FOLDS:
        raise InputError(f"{path} lists {len(folds)} folds, expected {FOLDS}; {AGAIN}")
    for number, fold in enumerate(folds, 1):
        outside = fold[(fold < 0) | (fold >= train_count)]
        if outside.size:
            raise InputError(
                f"{path} names image {outside[0]} in fold {number}, but the training images are 0 to "
                f"{train_count - 1}; {AGAIN}"
            )
        values, counts = np.unique(fold, return_counts=True)
        if len(values) < len(fold):
            raise InputError(f"{path} names image {values[counts > 1][0]} twice in fold {number}; {AGAIN}")
    return tuple(np.sort(fold) for fold in folds)


def _labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    labels = read_rows(path, count, 1)[:, 0].astype(np.int64)
    wrong = np.flatnonzero((labels < 1) | (labels > classes))
    if wrong.size:
        raise InputError(
            f"{path} has label {labels[wrong[0]]} at image {wrong[0]}, out of range 1 to {classes}; {AGAIN}"
        )
    return labels - 1
