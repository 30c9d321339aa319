"""The proof that an exported file computes what its network computes, without which no file is written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.data.fit import fit_array
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.errors import InputError, counted
from lenet.evaluation.scores import probabilities
from lenet.exports.network import Exported

TOLERANCE = 1e-5  # of a probability
SOME = 2048  # images compared at once
_BATCH = 256  # images that a file is run on at once in this process
_MADE_UP = 64


class Compute(Protocol):
    """What a file computes: uint8 [N, H, W, C] to a row for each image. Parts may differ in size: those that a program
    computes are given to it at once, as each start of a program costs more time than an image.
    """

    def __call__(self, *parts: NDArray[np.uint8]) -> NDArray[np.floating]: ...


@dataclass(frozen=True)
class Proof:
    """What was compared, and how large the largest difference was.

    images: compared at the network's size; what: "test image", or "made-up image" if the test images were not found
    ties: images whose class differs because their two highest probabilities are equal within the tolerance
    sizes: images of other sizes that were compared; 0 if the file takes only images of the network's size
    difference: the largest difference of a probability
    reason: why made-up images were compared, otherwise empty
    """

    images: int
    what: str
    ties: int
    sizes: int
    difference: float
    reason: str = ""

    def __str__(self) -> str:
        ties = f"same class but for {counted(self.ties, 'tie')}" if self.ties else "same class"
        sizes = f"; {counted(self.sizes, 'image')} of other sizes likewise" if self.sizes else ""
        return f"{counted(self.images, self.what)}: {ties}, probabilities within {self.difference:.1e}{sizes}"


def in_batches(compute: Callable[[NDArray[np.uint8]], NDArray[np.floating]]) -> Compute:
    """The same function, which calls `compute` with at most 256 images of one size at once."""

    def batched(*parts: NDArray[np.uint8]) -> NDArray[np.floating]:
        batches = (part[begin : begin + _BATCH] for part in parts for begin in range(0, len(part), _BATCH))
        return np.concatenate([compute(batch) for batch in batches])

    return batched


def network_probabilities(exported: Exported, network: nn.Sequential, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """float64 [N, classes]: the network's own calibrated probabilities of uint8 [N, H, W, C] images of any size."""
    fitted = fit_array(images, exported.input_shape[0], exported.fit)
    return probabilities(torch_engine.logits(network, fitted, Settings()) / exported.temperature)


def prove(
    exported: Exported, network: nn.Sequential, compute: Compute, images: NDArray[np.uint8], indices: NDArray[np.int64],
    *, any_size: bool, reason: str = "", names: Sequence[str] = (),
) -> Proof:  # fmt: skip
    """Compare the file with the network: the same class and probabilities within 1e-5, on all images.

    compute: images to probabilities [N, classes] by the file
    images, indices: uint8 [M, size, size, C], and those that are compared; none: made-up images, for `reason`
    any_size: also compare images of other sizes
    names: what a message calls each of the compared images; by default their position

    Raises InputError naming the first image that differs.
    """
    what = "test image"
    if not len(indices):
        images, names, what = made_up(exported), [], "made-up image"
        indices = np.arange(len(images))
    names = names or [f"{what} {number}" for number in range(len(indices))]
    comparison = _Comparison(exported, network)
    for some, called in in_turn(images, indices, names):
        comparison.add(compute(some), some, called)
    others = computed_of_other_sizes(compute, images, indices) if any_size else []
    for found, image, called in others:
        comparison.add(found, image, called)
    return Proof(len(indices), what, comparison.ties, len(others), comparison.difference, reason)


Named = tuple[NDArray[np.uint8], Sequence[str]]  # uint8 [N, H, W, C], and what a message calls each of them


def in_turn(images: NDArray[np.uint8], indices: NDArray[np.int64], names: Sequence[str]) -> Iterator[Named]:
    """The images with these indices, many at once."""
    for begin in range(0, len(indices), SOME):
        yield np.ascontiguousarray(images[indices[begin : begin + SOME]]), names[begin : begin + SOME]


def computed_of_other_sizes(
    compute: Compute, images: NDArray[np.uint8], indices: NDArray[np.int64]
) -> list[tuple[NDArray[np.floating], NDArray[np.uint8], list[str]]]:
    """What the file computes for images of other sizes, made from those with these indices: one row, one image and what
    a message calls it, each.
    """
    others = list(of_other_sizes(images[indices[:32]]))
    rows = np.split(compute(*others), len(others))
    return [
        (row, image, [f"an image of {image.shape[2]}x{image.shape[1]} pixels"])
        for row, image in zip(rows, others, strict=True)
    ]


class _Comparison:
    def __init__(self, exported: Exported, network: nn.Sequential) -> None:
        self.exported, self.network = exported, network
        self.ties, self.difference = 0, 0.0

    def add(self, found: NDArray[np.floating], images: NDArray[np.uint8], names: Sequence[str]) -> None:
        wanted = network_probabilities(self.exported, self.network, images)
        if found.shape != wanted.shape:
            raise InputError(f"the file gives probabilities of shape {list(found.shape)}, not {list(wanted.shape)}")
        with np.errstate(invalid="ignore"):
            each = np.abs(found.astype(np.float64) - wanted).max(axis=1)
        each[np.isnan(each)] = np.inf
        classes, right = found.argmax(axis=1), wanted.argmax(axis=1)
        rows = np.arange(len(right))
        other = (classes != right) & (wanted[rows, right] - wanted[rows, classes] > TOLERANCE)
        wrong = np.flatnonzero((each > TOLERANCE) | other)
        if len(wrong):
            row = int(wrong[0])
            raise InputError(
                f"the file does not compute what the network computes: for {names[row]} it gives "
                f"'{self._class(classes[row])}', the network '{self._class(right[row])}', and a probability differs by "
                f"{each[row]:.1e} (tolerance {TOLERANCE:g}); no file was written"
            )
        self.ties += int((classes != right).sum())
        self.difference = max(self.difference, float(each.max(initial=0)))

    def _class(self, number: np.integer) -> str:
        return self.exported.classes[int(number)]


def made_up(exported: Exported) -> NDArray[np.uint8]:
    """uint8 [64, size, size, C]: waves of random direction and length with noise, black and white."""
    side, _, channels = exported.input_shape
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side][..., None] / side
    images = np.empty((_MADE_UP, side, side, channels), np.uint8)
    for number in range(_MADE_UP):
        down, across, phase = random.normal(0, 8, (3, channels))
        waves = 127 + random.uniform(20, 127) * np.sin(y * down + x * across + phase)
        images[number] = np.clip(waves + random.normal(0, 12, waves.shape), 0, 255)
    images[0], images[1] = 0, 255
    return images


def of_other_sizes(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """uint8 [1, H, W, C] each: the given images, tiled or cut: from one pixel to tall, wide, odd and large ones."""
    side = images.shape[1]
    sizes = (
        *((1, 1), (1, 3 * side), (3 * side, 1), (2, 3), (side // 2, side // 2), (side - 1, side + 1), (side, side + 1)),
        *(
            (side + 1, side),
            (2 * side, 2 * side),
            (3 * side, 4 * side),
            (4 * side, 3 * side),
            (7 * side + 1, 2 * side - 1),
        ),
        *((2 * side + 3, 9 * side), (240, 320), (1, 500), (321, 17)),
    )
    for number, (height, width) in enumerate(sizes):
        image = images[number % len(images)]
        tiled = np.tile(image, (height // side + 1, width // side + 1, 1))
        yield np.ascontiguousarray(tiled[None, -height:, -width:])
