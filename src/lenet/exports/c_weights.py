"""The constants of integer layers in a C file: the order of weights, the zeros between them, and the biases."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.exports.quantized import Weighted
from lenet.exports.steps import Conv, Linear

LANES = 8  # sums of a vector of integers.c


@dataclass(frozen=True)
class Kernel:
    """How the inputs of one output lie in `lines`, and its weights in an array.

    rows: of the kernel; across: pieces of such a row; length: values of a piece; slot: the same with zeros
    apart: values between the inputs of neighbouring outputs
    side: of the square of outputs of which the largest counts; 1 if no pool follows
    """

    rows: int
    across: int
    length: int
    slot: int
    apart: int
    side: int

    @property
    def size(self) -> int:
        """The number of weights of an output."""
        return padded(self.rows * self.across * self.slot)


def bias_of(step: Weighted, groups: int = 1) -> NDArray[np.int32]:
    """The bias for inputs from which nothing is subtracted."""
    weight = step.weight.astype(np.int64)
    if isinstance(step.step, (Conv, Linear)):
        inputs = step.zeros.astype(np.int64).reshape(groups, -1).repeat(len(weight) // groups, axis=0)
        shifts = (weight.reshape(*weight.shape[:2], -1).sum(axis=2) * inputs).sum(axis=1)
    else:
        shifts = weight * step.zeros
    return np.asarray(step.bias - shifts, np.int32)


def arrays_of(step: Weighted, weight: NDArray[np.int8], groups: int = 1) -> dict[str, Any]:
    """The layer's constants by name: zeros after each output's weights, and biases and divisors of whole vectors."""
    outputs, inputs = weight.shape
    wide = np.zeros((outputs, padded(inputs)), np.int8)
    wide[:, :inputs] = weight
    more = (0, LANES * vectors_of(outputs) - outputs)
    bias, divisor = np.pad(bias_of(step, groups), more), np.pad(step.rescale.divisor, more, constant_values=1)
    return {"weight": wide, "bias": bias, "divisor": divisor}


def padded(count: int) -> int:
    """The next multiple of 16, for which compilers use vector instructions without a remainder; added weights are 0."""
    return -(-count // 16) * 16


def vectors_of(outputs: int) -> int:
    """The number of vectors for the sums of these outputs, rounded up."""
    return -(-outputs // LANES)
