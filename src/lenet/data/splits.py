"""Training, validation and test splits: stratified by class, drawn from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError, counted, did_you_mean

Protocol = Literal["official", "folds", "study"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Indices = NDArray[np.int64]

_HELD_OUT = 0.1  # fraction of the images for the test set, if the source has no test images
_STUDY_TEST = 0.2  # fraction of STL-10's training images in the CIFAR-100 study: 100 per class of 500
_PURPOSES = {"test": 1, "val": 2, "few": 3, "held-out": 4}


@dataclass(frozen=True, eq=False)
class GivenSplits:
    """Labels, and the splits of their source as sorted indices; `val` or `test` is None if the source has none.

    folds: subsets of `train`, each for one network
    first: for each image the lowest index of an exact copy (see `first_of_copies`); copies are then not separated
    """

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    train: Indices
    val: Indices | None
    test: Indices | None
    folds: tuple[Indices, ...] = ()
    first: Indices | None = None


@dataclass(frozen=True, eq=False)
class Splits:
    """Sorted indices. folds: (train, val) of each fold; `train` and `val` are then those of the first fold."""

    train: Indices
    val: Indices
    test: Indices
    folds: tuple[tuple[Indices, Indices], ...] = ()


def split(
    given: GivenSplits,
    *,
    val_fraction: float,
    seed: int,
    protocol: Protocol = "official",
    per_class: int | None = None,
    strict: bool = True,
) -> Splits:
    """The source's splits; those it lacks are drawn from its training images: the test set first, from `seed` alone.

    protocol: "study" draws the test set from the training images even if the source has one; "folds" gives every fold
        its own training and validation images
    per_class: number of training and validation images per class; a smaller number takes a subset of a larger one's
    strict: raise InputError for a class with too few images to be in every split

    Of exact copies among the training images one is drawn, and the others join its split. With `per_class`, which
    counts different images, they are left out of training and validation.
    """
    first, train = given.first, given.train
    if first is None or (first[train] == train).all():
        return _split(given, val_fraction, seed, protocol, per_class, strict)
    single = train[first[train] == train]
    drawn = _split(replace(given, train=single), val_fraction, seed, protocol, per_class, strict)

    def with_copies(indices: Indices) -> Indices:
        return train[np.isin(first[train], indices)]

    splits = replace(
        drawn,
        train=drawn.train if per_class else with_copies(drawn.train),
        val=drawn.val if per_class or given.val is not None else with_copies(drawn.val),
        test=drawn.test if given.test is not None else with_copies(drawn.test),
    )
    if strict:
        _check_trained(given, splits.train)
    return splits


def _check_trained(given: GivenSplits, train: Indices) -> None:
    """Raises InputError for a class whose images are all copies of other classes' validation or test images."""
    before, after = (np.bincount(given.labels[i], minlength=len(given.classes)) for i in (given.train, train))
    for number in np.flatnonzero((before > 0) & (after == 0)):
        raise InputError(
            f"class '{given.classes[number]}' of {given.name} has only exact copies of other classes' images: "
            "keep each image in one class"
        )


def _split(
    given: GivenSplits, val_fraction: float, seed: int, protocol: Protocol, per_class: int | None, strict: bool
) -> Splits:
    """See `split`."""
    if protocol == "study":
        given = replace(given, test=None)
    share = _STUDY_TEST if protocol == "study" else _HELD_OUT
    train, test = given.train, given.test
    leave = (test is None) + (given.val is None)  # splits besides training for which each class needs an image
    if strict:
        _check_enough(given, leave)
    if test is None:
        test = _stratified(given.labels, train, round(share * len(train)), leave, _generator(seed, "test"))
        train = np.setdiff1d(train, test, assume_unique=True)
    # Without splits in the source the fraction is of all images (80/10/10), otherwise of those left for training.
    whole = len(given.train) if protocol == "official" and not per_class else None
    parts = []
    for number, fold in enumerate(given.folds if protocol == "folds" else (train,)):
        pool = _few(given, fold, per_class, seed) if per_class else fold
        if given.val is None:
            generator = _generator(seed, "val", number)
            val = _stratified(given.labels, pool, round(val_fraction * (whole or len(pool))), 1, generator)
            pool = np.setdiff1d(pool, val, assume_unique=True)
        else:
            val = given.val
        parts.append((pool, val))
    if strict:
        for name, indices in (("train", parts[0][0]), ("val", parts[0][1]), ("test", test)):
            if not indices.size:
                raise InputError(f"{given.name} has no {name} images: add some, or remove its empty {name} folder")
    return Splits(*parts[0], test, tuple(parts) if protocol == "folds" else ())


def held_out_folds(given: GivenSplits, folds: int, seed: int) -> list[Indices]:
    """All training, validation and test images in so many parts of nearly equal size, sorted, stratified by class.

    Exact copies are in one part. Raises InputError for a class with fewer different images than folds.
    """
    every = np.concatenate([part for part in (given.train, given.val, given.test) if part is not None])
    first = np.arange(len(given.labels)) if given.first is None else given.first
    single, generator = np.unique(first[every]), _generator(seed, "held-out")
    fold_of = np.full(len(first), -1)
    dealt = 0
    for name, group in zip(given.classes, _by_class(given.labels, single, len(given.classes)), strict=True):
        own = generator.permutation(group)
        if 0 < len(own) < folds:
            raise InputError(
                f"class '{name}' of {given.name} has {counted(len(own), 'image')}, too few for {folds} folds: add "
                "images, or use fewer --folds", options=["folds"],
            )  # fmt: skip
        fold_of[own] = (dealt + np.arange(len(own))) % folds
        dealt += len(own)
    return [np.sort(every[fold_of[first[every]] == fold]) for fold in range(folds)]


def splits_from(named: Mapping[str, NDArray[Any]], images: int, folds: int) -> Splits:
    """The splits in a file's arrays: "train", "val", "test", and "0.train", "0.val" and so on for each fold.

    images, folds: their numbers in the dataset. Raises ValueError if an array is missing, empty, not sorted indices of
    images, or if an image is in two splits.
    """
    names = [*SPLITS, *(f"{fold}.{part}" for fold in range(folds) for part in ("train", "val"))]
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
    """int64: a new number for each class that is wanted, in the dataset's order, and -1 for the others.

    Raises InputError if a wanted class is not in the dataset, or fewer than two are wanted.
    """
    for name in wanted:
        if name not in names:
            if any(name in (part.strip() for part in one.split(",")) for one in names):
                raise InputError(f"no class '{name}' in {where}: a class with a comma in its name cannot be chosen; "
                                 "rename it", options=["classes"])  # fmt: skip
            raise InputError(f"no class '{name}' in {where}{did_you_mean(name, names)}", options=["classes"])
    if len(set(wanted)) < 2:
        raise InputError(
            f"classes {', '.join(wanted)}: name at least two, with commas between them", options=["classes"]
        )
    numbers = np.full(len(names), -1, dtype=np.int64)
    chosen = [number for number, name in enumerate(names) if name in wanted]
    numbers[chosen] = np.arange(len(chosen))
    return numbers


def _check_enough(given: GivenSplits, leave: int) -> None:
    counts = np.bincount(given.labels[given.train], minlength=len(given.classes))
    short = np.flatnonzero((counts > 0) & (counts < 1 + leave))
    if short.size:
        drawn = [word for word, own in (("validation", given.val), ("test", given.test)) if own is None]
        images = counted(int(counts[short[0]]), "training image")
        own = given.first is None or (given.first == np.arange(len(given.first))).all()
        copies = "" if own else " (exact copies counted once)"
        raise InputError(
            f"class '{given.classes[short[0]]}' of {given.name} has {images}{copies}, too few for "
            f"{', '.join(['training', *drawn[:-1]])} and {drawn[-1]}: add images until it has {1 + leave}, or make a "
            "folder for each split"
        )


def _few(given: GivenSplits, pool: Indices, per_class: int, seed: int) -> Indices:
    """`per_class` images of each class out of `pool`, sorted. Raises InputError if a class has fewer."""
    generator = _generator(seed, "few")
    chosen = []
    for name, own in zip(given.classes, _by_class(given.labels, pool, len(given.classes)), strict=True):
        if len(own) < per_class:
            raise InputError(
                f"per-class {per_class} is too high: class '{name}' of {given.name} has {len(own)} training images",
                options=["per_class"],
            )
        chosen.append(generator.permutation(own)[:per_class])
    return np.sort(np.concatenate(chosen))


def _by_class(labels: NDArray[np.int64], pool: Indices, classes: int) -> list[Indices]:
    """The indices of each class in the order of `pool`: one sort, since there may be a million classes."""
    ordered = pool[np.argsort(labels[pool], kind="stable")]
    return np.split(ordered, np.searchsorted(labels[ordered], np.arange(1, classes)))


def _generator(seed: int, purpose: str, fold: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, _PURPOSES[purpose], *([fold] if fold else [])])


def _stratified(
    labels: NDArray[np.int64], pool: Indices, total: int, leave: int, generator: np.random.Generator
) -> Indices:
    """About `total` of the indices `pool`, sorted, in proportion to the classes (largest remainders).

    Takes at least one image of each class that has more than `leave`, and leaves at least `leave`.
    """
    classes, counts = np.unique(labels[pool], return_counts=True)
    quotas = counts * (total / max(1, len(pool)))
    take = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(take - quotas, kind="stable")
    take[by_remainder[: max(0, total - int(take.sum()))]] += 1
    take = np.clip(np.maximum(take, 1), 0, np.maximum(counts - leave, 0))
    groups = _by_class(labels, pool, int(classes.max(initial=-1)) + 1)
    chosen = [generator.permutation(groups[number])[:some] for number, some in zip(classes, take, strict=True)]
    return np.sort(np.concatenate(chosen)) if chosen else pool[:0]
