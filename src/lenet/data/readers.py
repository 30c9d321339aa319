"""The publishers' CIFAR files, pickled or binary, to arrays; whatever is not as published is an InputError."""

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.data.catalog import Layout, PublishedSet
from lenet.errors import InputError


@dataclass(frozen=True)
class Arrays:
    """What a reader hands on: images uint8 [N, H, W, C], labels int64 [N]; the first `train_count` are for training."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train_count: int
    classes: tuple[str, ...]


def read_published(published: PublishedSet, layout: Layout, folder: Path) -> Arrays:
    """Reads all of a set's files in `folder`, the training ones first, in the publisher's order.

    Raises InputError naming the file that is missing, truncated, hostile, or of another count, shape or label range.
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
            _check_labels(path, batch_labels, len(published.classes))
            # A row is the red plane, then the green, then the blue one.
            planes = rows.reshape(-1, published.channels, published.size, published.size)
            images[begin:end] = planes.transpose(0, 2, 3, 1)
            labels[begin:end] = batch_labels
            begin = end
    return Arrays(images, labels, published.train_count, class_names(published, layout, folder))


def read_digits() -> Arrays:
    """The embedded digits: uint8 [1797, 8, 8, 1], all of them as training images."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        images, labels = stored["images"][..., None], stored["labels"].astype(np.int64)
    return Arrays(images, labels, len(images), tuple("0123456789"))


def _read_binary_batch(path: Path, published: PublishedSet, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    row = published.label_bytes + published.channels * published.size**2
    content = np.frombuffer(read_file(path), dtype=np.uint8)
    if content.size != count * row:
        truncated = "truncated" if content.size < count * row else "too long"
        raise InputError(
            f"{path} is {truncated}: {content.size:,} bytes, {count * row:,} expected ({count:,} images of {row} bytes)"
            f"; {AGAIN}"
        )
    rows = content.reshape(count, row)
    return rows[:, published.label_bytes :], rows[:, published.label_bytes - 1].astype(np.int64)


def _read_pickle_batch(path: Path, published: PublishedSet, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _load_pickle(path)
    pixels, labels = batch.get(b"data"), batch.get(published.label_key.encode())
    if isinstance(labels, _PickledArray):
        labels = labels.array
    rows = pixels.array if isinstance(pixels, _PickledArray) else None
    if rows is None or labels is None:
        raise InputError(f"{path} holds no 'data' array with '{published.label_key}' beside it; {AGAIN}")
    wide = published.channels * published.size**2
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != wide:
        raise InputError(f"{path} holds {rows.dtype} {list(rows.shape)}, expected uint8 [{count}, {wide}]; {AGAIN}")
    try:
        numbers = np.asarray(labels)
    except ValueError:  # lists of unequal length
        numbers = np.empty((0, 0))
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise InputError(f"{path} holds labels that are not a list of whole numbers; {AGAIN}")
    if len(rows) != count or len(numbers) != count:
        raise InputError(f"{path} holds {len(rows):,} images and {len(numbers):,} labels, expected {count:,}; {AGAIN}")
    return rows, numbers.astype(np.int64)


def _check_labels(path: Path, labels: NDArray[np.int64], classes: int) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise InputError(
            f"{path} has label {labels[wrong[0]]} at image {wrong[0]}, out of range 0 to {classes - 1}; {AGAIN}"
        )


def class_names(published: PublishedSet, layout: Layout, folder: Path) -> tuple[str, ...]:
    """The names in the set's own meta file; the catalog's where that file is missing."""
    path = folder / layout.meta
    if not path.is_file():
        return published.classes
    try:
        if layout.kind != "pickle":
            names = tuple(line.strip() for line in read_file(path).decode().splitlines() if line.strip())
        else:
            listed = _load_pickle(path)[published.label_key.replace("labels", "label_names").encode()]
            names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in listed)
    except (KeyError, TypeError, UnicodeDecodeError):
        raise InputError(f"{path} holds no class names; {AGAIN}") from None
    if len(set(names)) != len(published.classes):
        raise InputError(f"{path} names {len(set(names))} classes, expected {len(published.classes)}; {AGAIN}")
    return names


AGAIN = "remove the folder and unpack the archive again"


def read_file(path: Path) -> bytes:
    """A published file's content. Raises InputError where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {AGAIN}") from None
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); check its permissions") from None


class _PickledDtype:
    """Stands in for numpy.dtype: only unsigned bytes and plain integers pass."""

    def __init__(self, code: Any = b"", *_: Any) -> None:
        text = code.decode() if isinstance(code, bytes) else str(code)
        if text not in ("u1", "i4", "i8"):
            raise pickle.UnpicklingError(f"array of type '{text}'")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        self.dtype = self.dtype.newbyteorder(">" if order == ">" else "<")


class _PickledArray:
    """Stands in for numpy.ndarray and its _reconstruct: an array out of shape, type and bytes, each checked.

    NumPy's own constructors would trust a hostile file's sizes and flags; these few lines do not.
    """

    def __init__(self, *_: Any) -> None:
        self.array: NDArray[Any] = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _PickledDtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("array without type or bytes")
        flat = np.frombuffer(content, dtype=dtype.dtype)
        self.array = flat.reshape([int(side) for side in shape], order="F" if fortran else "C")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledDtype,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler to which numpy's array constructors are known by name, and nothing else exists."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


class _Refused(pickle.UnpicklingError):
    pass


def _load_pickle(path: Path) -> dict[bytes, Any]:
    """The dict in a CIFAR pickle, keys as bytes (Python 2 wrote bytes, Python 3 str). Nothing in it is run."""
    content = read_file(path)
    try:
        loaded = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except _Refused as refused:
        raise InputError(
            f"{path} is refused: it calls '{refused}', and a data file has no business to; nothing of it was run"
            f"; {AGAIN}"
        ) from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # a damaged pickle can fail in any of its opcodes
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is truncated or damaged ({words}); {AGAIN}") from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds no table of images; {AGAIN}")
    return {key.encode() if isinstance(key, str) else key: value for key, value in loaded.items()}
