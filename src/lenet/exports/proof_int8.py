"""The proof that an exported file computes the integers of its network, and what the integers cost in accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.data.fit import fit_array
from lenet.errors import InputError, counted
from lenet.evaluation.scores import probabilities
from lenet.exports.network import Exported
from lenet.exports.proof import SOME, TOLERANCE, Compute, computed_of_other_sizes, in_turn
from lenet.exports.quantized import Quantized, logits_of
from lenet.exports.steps import Floats

_MUCH = 0.02  # loss of accuracy above which a note is printed


@dataclass(frozen=True)
class Side:
    """One of the two networks that are compared.

    accuracy: on the test images, 0..1; weight_bytes: of the weights; bytes: of the file
    speed: images per second on one core; None if it could not be measured
    """

    accuracy: float
    weight_bytes: int
    bytes: int
    speed: float | None

    def __str__(self) -> str:
        speed = "" if self.speed is None else f", {self.speed:,.0f} images/s on one core"
        return (
            f"test accuracy {100 * self.accuracy:.2f}%, weights {counted(self.weight_bytes, 'byte')}, "
            f"file {counted(self.bytes, 'byte')}{speed}"
        )


@dataclass(frozen=True)
class Costs:
    """The network in float32 and in 8-bit integers, in files of the same format. images: how many measured accuracy."""

    float32: Side
    int8: Side
    images: int

    @property
    def loss(self) -> float:
        """Accuracy lost, as a fraction; negative if it is gained."""
        return self.float32.accuracy - self.int8.accuracy

    @property
    def much(self) -> bool:
        """Whether more than 2 points are lost."""
        return self.loss > _MUCH


@dataclass(frozen=True)
class IntegerProof:
    """What was compared. images: of the network's size; sizes: of other sizes; difference: largest of a probability."""

    images: int
    sizes: int
    difference: float
    reason: str = ""

    def __str__(self) -> str:
        sizes = f"; {counted(self.sizes, 'image')} of other sizes likewise" if self.sizes else ""
        return (
            f"{counted(self.images, 'test image')}: the same integers, logits equal to the last bit, "
            f"probabilities within {self.difference:.1e}{sizes}"
        )


def integer_results(
    exported: Exported, integers: Quantized, images: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], Floats]:
    """[N, classes] each: the calibrated probabilities and the logits of uint8 [N, H, W, C] images of any size."""
    logits = logits_of(integers, fit_array(images, exported.input_shape[0], exported.fit))
    return probabilities(logits / exported.temperature), logits


def prove_integers(
    exported: Exported, integers: Quantized, compute: Compute, images: NDArray[np.uint8], indices: NDArray[np.int64],
    logits: Floats, *, any_size: bool, names: Sequence[str],
) -> IntegerProof:  # fmt: skip
    """Compare the file with the network in integers: equal logits, and probabilities within 1e-5.

    compute: images to [N, 2 * classes]: probabilities and logits by the file
    images, indices, any_size, names: as of `prove`
    logits: float32 [len(indices), classes], the network's in integers, of the images with these indices

    Raises InputError naming the first image that differs.
    """
    largest = 0.0

    def compare(found: NDArray[np.floating], logits: Floats, called: Sequence[str]) -> None:
        nonlocal largest
        wanted = probabilities(logits / exported.temperature)
        if found.shape != (len(logits), 2 * len(exported.classes)):
            raise InputError(f"the file gives {list(found.shape)} probabilities and logits; no file was written")
        other = (found[:, len(exported.classes) :].astype(np.float32) != logits).any(axis=1)
        each = np.abs(found[:, : len(exported.classes)] - wanted).max(axis=1)
        wrong = np.flatnonzero(other | ~(each <= TOLERANCE))
        if len(wrong):
            row = int(wrong[0])
            what = "other integers" if other[row] else f"probabilities that differ by {each[row]:.1e}"
            raise InputError(f"the file does not compute the network's integers: for {called[row]} it gives {what}; "
                             "no file was written")  # fmt: skip
        largest = max(largest, float(each.max(initial=0)))

    done = 0
    for some, called in in_turn(images, indices, names):
        compare(compute(some), logits[done : done + len(some)], called)
        done += len(some)
    others = computed_of_other_sizes(compute, images, indices) if any_size else []
    for found, image, called in others:
        compare(found, integer_results(exported, integers, image)[1], called)
    return IntegerProof(len(indices), len(others), largest)


def logits_in_turn(
    compute: Callable[[NDArray[np.uint8]], Floats], images: NDArray[np.uint8], indices: NDArray[np.int64]
) -> Floats:
    """float32 [len(indices), classes]: `compute` of the images with these indices, of which few are copied at once."""
    blocks = (indices[begin : begin + SOME] for begin in range(0, len(indices), SOME))
    return np.concatenate([compute(images[block]) for block in blocks])
