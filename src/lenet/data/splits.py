"""Which images are trained on, which choose the model, and which judge it: stratified by class, drawn from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError, did_you_mean

Protocol = Literal["official", "folds", "study"]
Indices = NDArray[np.int64]

_HELD_OUT = 0.1  # of the images, for the test, where their source brings no test images
_STUDY_TEST = 0.2  # of STL-10's labelled images in the CIFAR-100 study: 100 a class of 500
_PURPOSES = {"test": 1, "val": 2, "few": 3}


@dataclass(frozen=True, eq=False)
class Sources:
    """Labels, and what their source itself says of its splits: sorted indices; `val` or `test` None where it is silent.

    folds: subsets of `train`, each for a network of its own
    """

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    train: Indices
    val: Indices | None
    test: Indices | None
    folds: tuple[Indices, ...] = ()


@dataclass(frozen=True, eq=False)
class Splits:
    """Sorted indices. folds: (train, val) of each fold; `train` and `val` are then the first fold's."""

    train: Indices
    val: Indices
    test: Indices
    folds: tuple[tuple[Indices, Indices], ...] = ()


def split(
    sources: Sources,
    *,
    val_fraction: float,
    seed: int,
    protocol: Protocol = "official",
    per_class: int | None = None,
    strict: bool = True,
) -> Splits:
    """What the source leaves open, drawn out of its training images: the test first, on `seed` alone.

    protocol: "study" draws the test out of the training images whatever the source says; "folds" gives every fold its
    own training and validation images
    per_class: so many images of each class, validation included; fewer are among those of more
    strict: refuse classes with too few images to be in every split
    """
    if protocol == "study":
        sources = replace(sources, test=None)
    share = _STUDY_TEST if protocol == "study" else _HELD_OUT
    train, test = sources.train, sources.test
    leave = (test is None) + (sources.val is None)  # splits that each class must have an image for, beside training
    if strict:
        _check_enough(sources, leave)
    if test is None:
        test = _stratified(sources.labels, train, round(share * len(train)), leave, _generator(seed, "test"))
        train = np.setdiff1d(train, test, assume_unique=True)
    # A source without splits is cut 80/10/10 in one go; elsewhere the share is of the images that are trained on.
    whole = len(sources.train) if protocol == "official" and not per_class else None
    parts = []
    for number, fold in enumerate(sources.folds if protocol == "folds" else (train,)):
        pool = _few(sources, fold, per_class, seed) if per_class else fold
        if sources.val is None:
            generator = _generator(seed, "val", number)
            val = _stratified(sources.labels, pool, round(val_fraction * (whole or len(pool))), 1, generator)
            pool = np.setdiff1d(pool, val, assume_unique=True)
        else:
            val = sources.val
        parts.append((pool, val))
    if strict:
        for name, indices in (("train", parts[0][0]), ("val", parts[0][1]), ("test", test)):
            if not indices.size:
                raise InputError(f"{sources.name} has no {name} images: add some, or remove its empty {name} folder")
    return Splits(*parts[0], test, tuple(parts) if protocol == "folds" else ())


def splits_from(named: Mapping[str, NDArray[Any]], images: int, folds: int) -> Splits:
    """The splits out of what a file holds: "train", "val", "test", and "0.train", "0.val" and so on for each fold.

    images: how many there are; folds: how many the data has. Raises ValueError where an array is missing, empty, not of
    sorted indices of images, or has an image in common with one that it must not.
    """
    names = ["train", "val", "test", *(f"{fold}.{part}" for fold in range(folds) for part in ("train", "val"))]
    for name in names:
        indices = named.get(name)
        if indices is None or indices.dtype != np.int64 or indices.ndim != 1:
            raise ValueError(f"{name} must be a list of 64-bit integers")
        if not indices.size:
            raise ValueError(f"{name} is empty")
        if indices[0] < 0 or indices[-1] >= images or (np.diff(indices) <= 0).any():
            raise ValueError(f"{name} must hold ascending image numbers from 0 to {images - 1}")
    if extra := sorted(set(named) - set(names)):
        raise ValueError(f"{extra[0]} does not belong there")
    test = named["test"]
    pairs = [
        (named[f"{prefix}train"], named[f"{prefix}val"]) for prefix in ("", *(f"{fold}." for fold in range(folds)))
    ]
    for train, val in pairs:
        if len(np.unique(np.concatenate([train, val, test]))) < len(train) + len(val) + len(test):
            raise ValueError("an image is in two of the splits")
    return Splits(*pairs[0], test, tuple(pairs[1:]))


def kept_classes(names: tuple[str, ...], wanted: tuple[str, ...], where: str) -> NDArray[np.int64]:
    """int64: the number of each class among those wanted, in the data's own order, and -1 for the others.

    Raises InputError where a class is not of the data, or fewer than two are wanted.
    """
    for name in wanted:
        if name not in names:
            raise InputError(f"no class '{name}' in {where}{did_you_mean(name, names)}", options=["classes"])
    if len(set(wanted)) < 2:
        raise InputError(
            f"classes {', '.join(wanted)}: name at least two, with commas between them", options=["classes"]
        )
    numbers = np.full(len(names), -1, dtype=np.int64)
    chosen = [number for number, name in enumerate(names) if name in wanted]
    numbers[chosen] = np.arange(len(chosen))
    return numbers


def _check_enough(sources: Sources, leave: int) -> None:
    counts = np.bincount(sources.labels[sources.train], minlength=len(sources.classes))
    short = np.flatnonzero((counts > 0) & (counts < 1 + leave))
    if short.size:
        drawn = [word for word, given in (("the test", sources.test), ("validation", sources.val)) if given is None]
        raise InputError(
            f"class '{sources.classes[short[0]]}' of {sources.name} has {counts[short[0]]} training image(s), too few "
            f"for {' and '.join(['training', *drawn])}: give it at least {1 + leave}, or folders of their own for the "
            f"splits"
        )


def _few(sources: Sources, pool: Indices, per_class: int, seed: int) -> Indices:
    """`per_class` of the pool's images of each class, sorted. Raises InputError where a class has fewer."""
    generator = _generator(seed, "few")
    chosen = []
    for number, name in enumerate(sources.classes):
        own = generator.permutation(pool[sources.labels[pool] == number])
        if len(own) < per_class:
            raise InputError(
                f"class '{name}' of {sources.name} has {len(own)} images to train on, not {per_class}",
                options=["per_class"],
            )
        chosen.append(own[:per_class])
    return np.sort(np.concatenate(chosen))


def _generator(seed: int, purpose: str, fold: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, _PURPOSES[purpose], *([fold] if fold else [])])


def _stratified(
    labels: NDArray[np.int64], pool: Indices, total: int, leave: int, generator: np.random.Generator
) -> Indices:
    """About `total` of the indices `pool`, every class by its share (largest remainders), sorted.

    Each class gives at least one image where it has more than `leave`, and keeps at least `leave`.
    """
    classes, counts = np.unique(labels[pool], return_counts=True)
    quotas = counts * (total / max(1, len(pool)))
    take = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(take - quotas, kind="stable")
    take[by_remainder[: max(0, total - int(take.sum()))]] += 1
    take = np.clip(np.maximum(take, 1), 0, np.maximum(counts - leave, 0))
    chosen = [
        generator.permutation(pool[labels[pool] == number])[:several]
        for number, several in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else pool[:0]
