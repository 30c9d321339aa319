"""The published CIFAR files, pickled or binary, as arrays. Files that are not as published raise InputError."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.data.catalog import DIGITS
from lenet.data.copies import ImageFacts
from lenet.data.pickles import PickledArray, load_pickle
from lenet.data.published_set import Layout, PublishedSet
from lenet.errors import InputError
from lenet.files import read_regular


@dataclass(frozen=True)
class Arrays:
    """Images uint8 [N, H, W, C] and labels int64 [N], numbers into `classes`; the first `train_count` are for training.

    grey: whether every training image holds grey alone
    facts: about the images, if they are known
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train_count: int
    classes: tuple[str, ...]
    grey: bool = False
    facts: ImageFacts | None = None


def read_published(published: PublishedSet, layout: Layout, folder: Path) -> Arrays:
    """All images of a dataset's files in `folder`, the training images first, in the publisher's order.

    Raises InputError naming the file that is missing, truncated, unsafe, or has another count, shape or label range.
    """
    total = published.train_count + published.test_count
    images = np.empty((total, published.size, published.size, published.channels), dtype=np.uint8)
    labels = np.empty(total, dtype=np.int64)
    begin = 0
    for files, count in ((layout.train, published.train_count), (layout.test, published.test_count)):
        for file in files:
            end = begin + count // len(files)
            path = folder / file
            read = _read_pickle_batch if layout.kind == "pickle" else _read_binary_batch
            rows, batch_labels = read(path, published, end - begin)
            check_labels(path, batch_labels, len(published.classes))
            # A row holds the red plane, then the green, then the blue one.
            planes = rows.reshape(-1, published.channels, published.size, published.size)
            images[begin:end] = planes.transpose(0, 2, 3, 1)
            labels[begin:end] = batch_labels
            begin = end
    return Arrays(
        images, labels, published.train_count, class_names(published, layout, folder), published.channels == 1
    )


def read_digits() -> Arrays:
    """The embedded digits: uint8 [1797, 8, 8, 1], all as training images."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        images, labels = stored["images"][..., None], stored["labels"].astype(np.int64)
    return Arrays(images, labels, len(images), DIGITS.classes, True)


def _read_binary_batch(path: Path, published: PublishedSet, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    row = published.label_bytes + published.channels * published.size**2
    rows = read_rows(path, count, row)
    return rows[:, published.label_bytes :], rows[:, published.label_bytes - 1].astype(np.int64)


def _read_pickle_batch(path: Path, published: PublishedSet, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    wide = published.channels * published.size**2
    batch = _pickled(path, 2 * count * wide, 1000 + 20 * count)
    pixels, labels = batch.get(b"data"), batch.get(published.label_key.encode())
    if isinstance(labels, PickledArray):
        labels = labels.array.tolist() if labels.array.ndim == 1 and labels.array.dtype.kind in "iu" else None
    if not isinstance(pixels, PickledArray) or labels is None:
        raise InputError(f"{path} holds no 'data' array with '{published.label_key}' beside it; {AGAIN}")
    rows = pixels.array
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != wide:
        raise InputError(f"{path} holds {rows.dtype} {list(rows.shape)}, expected uint8 [{count}, {wide}]; {AGAIN}")
    # Checked one by one: a nested list of a few bytes can stand for an array of any size.
    if not isinstance(labels, list) or not all(type(each) is int and abs(each) < 2**63 for each in labels):
        raise InputError(f"{path} holds labels that are not a list of whole numbers; {AGAIN}")
    if len(rows) != count or len(labels) != count:
        raise InputError(f"{path} holds {len(rows):,} images and {len(labels):,} labels, expected {count:,}; {AGAIN}")
    return rows, np.array(labels, dtype=np.int64)


def check_labels(path: Path, labels: NDArray[np.int64], classes: int) -> None:
    """Raises InputError, naming the first label that is not a number of a class."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise InputError(
            f"{path} has label {labels[wrong[0]]} at image {wrong[0]}, out of range 0 to {classes - 1}; {AGAIN}"
        )


def class_names(published: PublishedSet, layout: Layout, folder: Path) -> tuple[str, ...]:
    """The names in the dataset's own meta file, or in the catalog if that file is missing."""
    path = folder / layout.meta
    if not path.exists():
        return published.classes
    if layout.kind == "pickle":
        key = published.label_key.replace("labels", "label_names").encode()
        listed: Any = _pickled(path, _MOST_META, 10_000).get(key)
    else:
        listed = [line.strip() for line in read_file(path, _MOST_META).splitlines() if line.strip()]
    try:
        names = tuple((name.encode() if isinstance(name, str) else name).decode() for name in listed)
    except (AttributeError, TypeError, UnicodeError):
        raise InputError(f"{path} holds no class names; {AGAIN}") from None
    if len(set(names)) != len(published.classes):
        raise InputError(f"{path} names {len(set(names))} classes, expected {len(published.classes)}; {AGAIN}")
    return names


AGAIN = "restore the file, or unpack the archive again"
_MOST_META = 1 << 20  # bytes; the published files have some thousands


def read_file(path: Path, most_bytes: int) -> bytes:
    """The content of a published file. Raises InputError if it is missing, too large or cannot be read."""
    if not path.exists():
        raise InputError(f"{path} is missing; {AGAIN}")
    return read_regular(path, most_bytes)


def read_rows(path: Path, count: int, width: int) -> NDArray[np.uint8]:
    """uint8 [count, width] of a file. Raises InputError, before reading, if it has another number of bytes."""
    size = path.stat().st_size if path.is_file() else 0
    if size and size != count * width:
        raise InputError(
            f"{path} is {'truncated' if size < count * width else 'too long'}: {size:,} bytes, {count * width:,} "
            f"expected ({count:,} images); {AGAIN}"
        )
    content = np.frombuffer(read_file(path, count * width), dtype=np.uint8)
    if content.size != count * width:
        raise InputError(f"{path} is truncated: {content.size:,} bytes, {count * width:,} expected; {AGAIN}")
    return content.reshape(count, width)


def _pickled(path: Path, most_bytes: int, most_steps: int) -> dict[bytes, Any]:
    """The dict in a CIFAR pickle; see `load_pickle`. Raises InputError naming the file if it holds none."""
    content = read_file(path, most_bytes + (1 << 20))
    try:
        return load_pickle(content, most_steps)
    except ValueError as error:
        raise InputError(f"{path} {error}; {AGAIN}") from None
