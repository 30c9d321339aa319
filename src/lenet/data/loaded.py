"""Arrays as a reader leaves them, with the splits of their source; and what the options leave of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.allocation import allocate
from lenet.data.cache import digest
from lenet.data.catalog import STL10
from lenet.data.fit import in_channels
from lenet.data.published import Arrays
from lenet.data.splits import Indices, Protocol, kept_classes
from lenet.data.stl10 import read_folds
from lenet.errors import InputError


@dataclass(frozen=True)
class Loaded:
    """Arrays with the source's own splits; `val` or `test` is None if it has none.

    relabelled: the file that corrected the labels, otherwise empty
    drawn_by: the labels before, by which the splits are drawn, so that a corrected image stays in its split
    corrections: what this file says: the class of an image by index, None if the image is left out. The splits here
        still have the images that are left out
    numbers: each image's number in the whole dataset, where only some classes are used; otherwise None
    renamed: which of a model's classes the labels were taken for, where they are integers without names; else empty
    """

    name: str
    source: str
    arrays: Arrays
    sha256: str
    train: Indices
    val: Indices | None
    test: Indices | None
    notes: tuple[str, ...] = ()
    files: Sequence[str] | None = None
    folds: tuple[Indices, ...] = ()
    relabelled: str = ""
    drawn_by: NDArray[np.int64] | None = None
    corrections: Mapping[int, int | None] = field(default_factory=dict)
    numbers: Indices | None = None
    renamed: str = ""

    @property
    def split_labels(self) -> NDArray[np.int64]:
        """The labels by which the splits are drawn."""
        return self.arrays.labels if self.drawn_by is None else self.drawn_by

    @property
    def left_out(self) -> Indices:
        """Sorted indices of the images that are left out."""
        return np.array(sorted(index for index, label in self.corrections.items() if label is None), dtype=np.int64)


def as_asked(
    arrays: Arrays, sha256: str, labels: NDArray[np.int64], classes: tuple[str, ...], channels: int
) -> tuple[Arrays, str]:
    """The arrays in these channels, with labels numbered by `classes`; and their digest."""
    images = in_channels(arrays.images, channels)
    same = images is arrays.images and np.array_equal(labels, arrays.labels)
    facts = arrays.facts if images is arrays.images else None
    arrays = replace(arrays, images=images, labels=labels, classes=classes, facts=facts)
    return arrays, sha256 if same else digest(arrays)


def by_protocol(loaded: Loaded, protocol: Protocol) -> Loaded:
    """The same images with the protocol's folds. Raises InputError if the dataset is not STL-10."""
    if loaded.name != STL10.name or loaded.files is not None:
        raise InputError(
            f"--protocol {protocol} is for {STL10.name}, not for {loaded.name}: leave it out", options=["protocol"]
        )
    if protocol != "folds":
        return loaded
    return replace(loaded, folds=read_folds(Path(loaded.source), len(loaded.train)))


def only(loaded: Loaded, keep: tuple[str, ...]) -> Loaded:
    """Only the images of these classes."""
    arrays = loaded.arrays
    numbers = kept_classes(arrays.classes, keep, loaded.source if loaded.files else loaded.name)
    labels = numbers[arrays.labels]
    chosen = np.flatnonzero(labels >= 0)
    at = np.full(len(labels), -1, dtype=np.int64)  # the new index of each image
    at[chosen] = np.arange(len(chosen))

    def left(indices: Indices) -> Indices:
        return at[indices[at[indices] >= 0]]

    classes = tuple(name for name, number in zip(arrays.classes, numbers, strict=True) if number >= 0)
    train = left(loaded.train)
    missing = np.flatnonzero(np.bincount(labels[chosen][train], minlength=len(classes)) == 0)
    if missing.size:
        raise InputError(
            f"class '{classes[missing[0]]}' of {loaded.name} has no training images: leave it out", options=["classes"]
        )
    facts = arrays.facts and arrays.facts.of(chosen)
    images = allocate((len(chosen), *arrays.images.shape[1:]), loaded.source)
    np.take(arrays.images, chosen, axis=0, out=images, mode="clip")  # another mode would copy them once more
    filtered = Arrays(images, labels[chosen], len(train), classes, facts=facts)
    drawn_by = numbers[loaded.split_labels]
    return replace(
        loaded,
        arrays=filtered,
        sha256=digest_without(filtered, left(loaded.left_out)),
        train=train,
        val=None if loaded.val is None else left(loaded.val),
        test=None if loaded.test is None else left(loaded.test),
        files=None if loaded.files is None else tuple(loaded.files[index] for index in chosen.tolist()),
        folds=tuple(left(fold) for fold in loaded.folds),
        drawn_by=np.where(drawn_by < 0, labels, drawn_by)[chosen],
        corrections={
            int(at[index]): None if label is None else int(numbers[label])
            for index, label in loaded.corrections.items()
            if at[index] >= 0
        },
        numbers=chosen,
    )


def digest_without(arrays: Arrays, left_out: Indices) -> str:
    """The digest of the arrays in which the images `left_out` have the label -1."""
    if not len(left_out):
        return digest(arrays)
    labels = arrays.labels.copy()
    labels[left_out] = -1
    return digest(replace(arrays, labels=labels))
