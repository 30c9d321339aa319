"""Arrays and tensors of images and labels, from a user or a file, checked."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.data.allocation import allocate, contiguous
from lenet.errors import InputError, did_you_mean

MOST_LABEL = 1_000_000  # also the highest index of a class
_CHUNK = 1 << 22  # values that are checked and converted at once


def as_array(value: Any, what: str) -> NDArray[Any]:
    """A NumPy array or a tensor as a NumPy array, without a copy where that is possible."""
    try:
        if callable(getattr(value, "detach", None)):  # a PyTorch tensor
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()
        array: NDArray[Any] = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # of a tensor: it is sparse, or has no data
        raise InputError(f"{what} cannot be taken as an array ({' '.join(str(error).split())})") from None
    return array


def checked_pixels(images: Any, what: str) -> NDArray[np.uint8]:
    """uint8 [N, H, W, C] with C 1 or 3.

    images: array or tensor [N, H, W, C], [N, C, H, W] or [N, H, W], uint8 or float from 0 to 1. Where both the second
        and the last dimension are 1 or 3, a tensor is read as [N, C, H, W] and an array as [N, H, W, C].

    Raises InputError for another shape or type, for NaN, and for floats below 0 or above 1.
    """
    array = as_array(images, what)
    shape = list(array.shape)
    wrong = InputError(
        f"{what}: shape {shape} is not that of images: give [N, H, W, C], [N, C, H, W] or [N, H, W] with C 1 or 3",
        options=["data"],
    )
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim != 4:
        raise wrong
    else:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if not first and not last:
            raise wrong
        if first and (not last or callable(getattr(images, "detach", None))):
            array = array.transpose(0, 2, 3, 1)
    if not array.size:
        raise wrong
    if array.dtype == np.uint8:
        return contiguous(array, what)
    if array.dtype.kind != "f":
        raise InputError(
            f"{what}: {array.dtype} is not a type of pixels: convert to uint8, or to floats from 0 to 1",
            options=["data"],
        )
    pixels = allocate(array.shape, what)
    per_chunk = max(1, _CHUNK // (array.size // len(array)))
    for begin in range(0, len(array), per_chunk):
        part = array[begin : begin + per_chunk]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high <= 1):  # also if they are NaN
            index = begin + int(np.flatnonzero(~((part >= 0) & (part <= 1)).all(axis=(1, 2, 3)))[0])
            found = "NaN" if np.isnan(low) or np.isnan(high) else f"a value of {low if low < 0 else high:g}"
            raise InputError(
                f"{what}: image {index} has {found}: floats must lie from 0 to 1 "
                "(uint8 for 0 to 255; undo a normalisation, lenet does its own)",
                options=["data"],
            )
        pixels[begin : begin + per_chunk] = np.rint(part * np.float32(255))
    return pixels


def checked_labels(labels: Any, count: int, what: str) -> NDArray[np.int64] | list[str]:
    """One label per image: whole numbers from 0, or names.

    labels: array, tensor or list [N] or [N, 1]. Raises InputError for another shape, number, type, or negative labels.
    """
    if isinstance(labels, (list, tuple)) and any(isinstance(label, str) for label in labels):
        # As an array of text each name would take the memory of the longest, and NaN and numbers would become names.
        return _checked_names(labels, count, what)
    array = as_array(labels, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(
            f"{what}: shape {list(array.shape)} is not one label per image: give [N] (labels.argmax(1) of one-hot)",
            options=["data"],
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "O" and len(array) and all(map(_is_whole, array)):  # as pandas gives them
        array = np.array(array.tolist())
    if array.dtype.kind in "OUT":
        return _checked_names(array.tolist(), count, what)
    check_count(len(array), count, what)
    if array.dtype.kind not in "iu":
        raise InputError(f"{what}: {array.dtype} is not a type of labels: give whole numbers or names",
                         options=["data"])  # fmt: skip
    wrong = np.flatnonzero((array < 0) | (array > MOST_LABEL))
    if wrong.size:
        raise InputError(
            f"{what}: label {array[wrong[0]]} at image {wrong[0]}: number the classes from 0 to at most {MOST_LABEL:,}",
            options=["data"],
        )
    return array.astype(np.int64)


def _checked_names(names: Sequence[Any], count: int, what: str) -> list[str]:
    """The names, of which equal ones are one object. Raises InputError for another number, and what is no name."""
    check_count(len(names), count, what)
    known: dict[str, str] = {}
    checked, number = [], None
    for index, name in enumerate(names):
        if _is_whole(name):
            number = index
            continue
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise InputError(f"{what}: label {index} is {name!r:.40}, not a name or a whole number", options=["data"])
        checked.append(known.setdefault(name, name))
    if number is not None:
        raise InputError(f"{what}: label {number} is a number, others are names: give one kind", options=["data"])
    return checked


def _is_whole(label: Any) -> bool:
    return isinstance(label, (int, np.integer)) and not isinstance(label, bool)


def check_count(found: int, count: int, what: str) -> None:
    """Raises InputError unless there are as many labels as images."""
    if found != count:
        raise InputError(f"{what}: {found:,} labels for {count:,} images: give one for each", options=["data"])


def checked_classes(classes: Any, what: str) -> tuple[str, ...]:
    """Class names by label. Raises InputError unless they are texts, distinct and not empty."""
    if not isinstance(classes, Iterable):
        raise InputError(f"{what} must be a list of names, not {classes!r:.40}", options=["data"])
    names = [classes] if isinstance(classes, str) else list(classes)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise InputError(f"{what}: class {index} is not a name: give a list of texts", options=["data"])
    if doubled := next((name for name, count in Counter(names).items() if count > 1), None):
        raise InputError(f"{what}: class '{doubled}' is there twice: give each class its own name", options=["data"])
    return tuple(names)


def is_number(name: str) -> bool:
    """Whether a class name is a whole number that may be a label."""
    return name.isdecimal() and len(name) <= len(str(MOST_LABEL))


def number_labels(
    parts: Sequence[NDArray[np.int64] | list[str]], classes: tuple[str, ...] | None, what: str, *, all_parts: bool
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """The labels of each part as numbers into the class names, and these names.

    classes: None: the values that occur in the first part, the training images, or with `all_parts` in any; sorted,
        whole numbers by value

    Raises InputError for labels that have no class, and unless `all_parts`, for fewer than two classes.
    """
    values = [_as_names(part) if classes is None and isinstance(part, np.ndarray) else part for part in parts]
    if classes is None:
        found = {str(label) for part in (values if all_parts else values[:1]) for label in part}
        names = sorted(found, key=lambda name: (int(name) if is_number(name) else -1, name))
        classes = tuple(names)
    used = {str(label) for label in values[0]}
    if min(len(used), len(classes)) < 2 and not all_parts:
        only = next((name for number, name in enumerate(classes) if name in used or str(number) in used), "")
        raise InputError(f"{what} has one class only, '{only}': add images of a second one", options=["data"])
    known = {name: number for number, name in enumerate(classes)}
    numbers = []
    for part in values:
        if isinstance(part, np.ndarray):
            if part.max() >= len(classes):
                raise InputError(
                    f"{what}: label {part.max()} is out of range 0 to {len(classes) - 1} of the {len(classes)} classes",
                    options=["data"],
                )
            numbers.append(part)
            continue
        missing = next((name for name in part if name not in known), None)
        if missing is not None:
            raise InputError(
                f"{what}: class '{missing}' is not among the classes{did_you_mean(missing, classes)}",
                options=["data"],
            )
        numbers.append(np.array([known[name] for name in part], dtype=np.int64))
    return numbers, classes


def _as_names(labels: NDArray[np.int64]) -> list[str]:
    """The numbers as texts, of which equal ones are one object."""
    values, at = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values.tolist()]
    return [names[index] for index in at.tolist()]
