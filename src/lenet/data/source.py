"""Images from anywhere: what a reader finds, and the one path from there to checked arrays."""

import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.allocation import allocate, contiguous
from lenet.data.arrays import checked_labels, checked_pixels, is_number, number_labels
from lenet.data.cache import digest
from lenet.data.decode import decode_all
from lenet.data.fit import MAX_SIZE, MIN_SIZE, fit_array
from lenet.data.folders import few, unknown_to_model
from lenet.data.published import Arrays
from lenet.data.splits import SPLITS, Split
from lenet.errors import InputError, one_line

MEMORY = "memory"  # config.data of images that were passed from Python
_NUMBERS_NAMED = 3
DEFAULT_SIZE = 32  # side length in pixels of images of the user's own, unless they have one size that suits
Opening = Callable[[int], AbstractContextManager[Image.Image]]


@dataclass(frozen=True)
class Names(Sequence[str]):
    """The names of images, made as they are asked for: a million texts take 70 MB.

    groups: of each part of a source either the names or (start of the names, number of images)
    """

    groups: tuple[tuple[str, ...] | tuple[str, int], ...]

    def __len__(self) -> int:
        return sum(map(_length, self.groups))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        position = operator.index(index)
        position += len(self) if position < 0 else 0
        for group in self.groups if position >= 0 else ():
            if position < _length(group):
                return f"{group[0]}[{position}]" if isinstance(group[-1], int) else str(group[position])
            position -= _length(group)
        raise IndexError(index)


def _length(group: tuple[str, ...] | tuple[str, int]) -> int:
    return group[-1] if group and isinstance(group[-1], int) else len(group)


@dataclass(frozen=True, eq=False)
class Part:
    """The labelled images of one split; a source without splits has one part, "train".

    name: the start of the images' names; names: the name of each, where the source has names
    pixels: returns all images, as `checked_pixels` takes them; if it is None, `opening` opens image `index`
    labels: returns one label per image; called after the images are read
    side: the images' own side length in pixels, if all that were looked at are square and have the same
    threads: number of threads that may call `opening`
    """

    split: Split
    name: str
    count: int
    labels: Callable[[], Any]
    pixels: Callable[[], Any] | None = None
    opening: Opening | None = None
    side: int | None = None
    threads: int = 1
    names: tuple[str, ...] | None = None

    def group(self) -> tuple[str, ...] | tuple[str, int]:
        """The images' names, for `Names`."""
        return self.names or (self.name, self.count)


def side_of(shape: Sequence[int]) -> int | None:
    """The side of square images [N, H, W], [N, H, W, C] or [N, C, H, W], whichever it is; None if they are not."""
    return shape[2] if len(shape) in (3, 4) and shape[2] in (shape[1], *shape[3:]) else None


def common_side(sizes: Iterable[tuple[int, int]]) -> int | None:
    """The side of square images whose (width, height) are all equal; None of others, and of none."""
    found = set(sizes)
    width, height = found.pop() if len(found) == 1 else (0, 1)
    return width if width == height else None


@dataclass(frozen=True, eq=False)
class Source:
    """Images and labels, not read yet.

    name: for people; path: the absolute path, or `MEMORY`
    classes: class names by label; None: they are made from the labels of the training images
    stamps: values that change whenever the files do; None: the images are not cached
    """

    name: str
    path: str
    parts: tuple[Part, ...]
    classes: tuple[str, ...] | None = None
    stamps: list[Any] | None = None
    notes: tuple[str, ...] = ()

    def part(self, split: Split) -> NDArray[np.int64] | None:
        """Sorted indices of the images of a split; None if the source does not have it."""
        begin = 0
        for part in self.parts:
            if part.split == split:
                return np.arange(begin, begin + part.count)
            begin += part.count
        return None

    def default_size(self) -> int:
        """The side of the training images if they are square, of 16 to 96 pixels; otherwise 32."""
        side = self.parts[0].side
        return side if side is not None and MIN_SIZE <= side <= MAX_SIZE else DEFAULT_SIZE


def source_of(
    name: str, path: str, parts: Sequence[Part], classes: tuple[str, ...] | None = None,
    stamps: list[Any] | None = None, notes: Sequence[str] = (),
) -> Source:  # fmt: skip
    """A source whose parts are in order, with a note about the splits that lenet will draw."""
    ordered = tuple(sorted(parts, key=lambda part: SPLITS.index(part.split)))
    splits = [part.split for part in ordered]
    for part in ordered:
        if not part.count:
            raise InputError(f"{path} has no {part.split} images: add some, or leave that part out", options=["data"])
    drawn = []
    if splits == ["train"]:
        drawn = ["one split only: lenet draws the splits, stratified by class (--split-seed)"]
    elif "train" in splits and "test" not in splits:
        drawn = ["no test images of its own: 10% of the training images are the test set"]
    return Source(name, path, ordered, classes, stamps, (*drawn, *notes))


def read_source(source: Source, size: int, fit: str, grey: bool, known: tuple[str, ...] | None) -> Arrays:
    """All images as uint8 [N, size, size, C], training images first. Labels number the source's own classes.

    grey: convert to grey before the resize, as prediction does; C is then 1
    known: the classes of a model, if it is to be evaluated; then labels need not occur among the training images

    Raises InputError for images or labels that `lenet.data.arrays` refuses or Pillow cannot read.
    """
    if known is None and source.parts[0].split != "train":
        raise InputError(f"{source.path} has no training images: add some", options=["data"])
    read = [_read_part(source, part, size, fit, grey) for part in source.parts]
    labels = [
        checked_labels(part.labels(), part.count, f"the labels of {_where(source, part)}") for part in source.parts
    ]
    numbers, classes = number_labels(labels, source.classes, source.path, all_parts=known is not None)
    channels = max(images.shape[3] for images, _ in read)
    if len(read) == 1:
        images = read[0][0]
    else:
        images = allocate((sum(part.count for part in source.parts), size, size, channels), source.path)
        begin = 0
        for each, _ in read:
            images[begin : begin + len(each)] = each  # grey ones in all three channels
            begin += len(each)
    train_count = source.parts[0].count if source.parts[0].split == "train" else 0
    return Arrays(images, np.concatenate(numbers), train_count, classes, read[0][1])


def renumbered(
    arrays: Arrays, known: tuple[str, ...] | None, path: str
) -> tuple[NDArray[np.int64], tuple[str, ...], str]:
    """The labels as numbers into `known`, the classes of a model; integers without names number its classes.

    The text says which class each integer was taken for; it is empty where the labels have names.

    Raises InputError if the images have a class that the model does not.
    """
    if known is None:
        return arrays.labels, arrays.classes, ""
    own, said = arrays.classes, ""
    by_number = not all(map(is_number, known))  # otherwise numbers are the names of the model's classes
    if by_number and not set(own) <= set(known) and all(is_number(name) and int(name) < len(known) for name in own):
        pairs = [f"{name} is '{known[int(name)]}'" for name in own]
        said = f"labels without names are taken as numbers of the run's classes: {few(pairs, _NUMBERS_NAMED)}"
        own = tuple(known[int(name)] for name in own)
    for name in own:
        if name not in known:
            raise unknown_to_model(name, path, known)
    return np.array([known.index(name) for name in own], dtype=np.int64)[arrays.labels], known, said


def with_digest(arrays: Arrays) -> tuple[Arrays, str]:
    """The arrays, whose images are a view that can be made read-only, and their digest."""
    return replace(arrays, images=arrays.images.view()), digest(arrays)


def _read_part(source: Source, part: Part, size: int, fit: str, grey: bool) -> tuple[NDArray[np.uint8], bool]:
    """Its images, and whether all of them hold grey alone."""
    where = _where(source, part)
    if part.pixels is not None:
        images = checked_pixels(part.pixels(), where)
        if len(images) != part.count:
            raise InputError(f"{where} has {len(images)} images, {part.count} expected: restore it")
        channels = 1 if grey else images.shape[3]
        fitted = fit_array(images, size, fit, channels)
        return fitted, channels == 1
    assert part.opening is not None
    images, is_grey = decode_all(
        part.opening, Names((part.group(),)), where, size, fit, grey=grey, threads=part.threads
    )
    all_grey = bool(is_grey.all())
    return (contiguous(images[..., :1], where) if all_grey else images), all_grey


def _where(source: Source, part: Part) -> str:
    return f"{part.name} of {source.path}" if part.name else source.path


def damaged(path: Path, error: Exception) -> InputError:
    """The error of a file that `error` shows to be damaged; `error` itself, if it says already what is wrong."""
    if isinstance(error, InputError):
        return error
    return InputError(f"{path} is damaged ({one_line(error):.200}): restore the file", options=["data"])
