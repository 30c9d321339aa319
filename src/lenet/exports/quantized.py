"""A network in 8-bit integers, as every format computes it to the last bit.

A value is stored as a byte q, which stands for (q - zero) * scale. The layers compute

    sum = bias + the sum of weight * (q - zeros of its channel)          whole numbers below 2^24
    q' = zero' + round(clip(sum / divisor, low - zero', 255 - zero'))    one division in float32, halves to even

A residual block adds its two branches so, with a factor for each in place of weights. Numbers below 2^24 are exact in
float32: a file may compute the sums in integers or in float32, in any order. Those of a linear layer may reach 2^31: a
file computes them in int32 or float64, and rounds each to float32 before the division. The last sums are not rounded to
whole numbers: logits = sum / divisor.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lenet.exports.arithmetic import moved, weighted, window_sums
from lenet.exports.steps import Activation, AveragePool, Conv, Flatten, Floats, Linear, MaxPool, Residual, Scale

LIMIT = 2**24  # sums are smaller, in magnitude
WIDE_LIMIT = 2**31  # for linear layers
LEAST_DIVISOR = 1 / 64  # quotients of sums below LIMIT then stay below 2^30
_BATCH = 256  # images


@dataclass(frozen=True)
class Range:
    """The real values of bytes: (q - zero) * scale. zero: 0..255, an int; scale: above 0."""

    scale: float
    zero: int


PIXELS = Range(1.0, 0)


@dataclass(frozen=True, eq=False)
class Rescale:
    """From sums to bytes or logits.

    divisor: float32, one per channel or for all, or [rows, columns] after an average pool; at least LEAST_DIVISOR where
        bytes are made
    output: of the bytes; None for logits, which are sum / divisor
    low: the smallest byte: `output.zero` where a ReLU follows, otherwise 0
    """

    divisor: Floats
    output: Range | None
    low: int = 0


@dataclass(frozen=True, eq=False)
class Weighted:
    """A convolution, linear layer or scale.

    step: its geometry; its own weights and bias are those before quantization
    weight: int8, -127..127, of the step's shape ([channels] for a scale); bias: int32 [outputs]
    zeros: uint8, one per input channel or feature: what is subtracted, and what a convolution's padding contains
    """

    step: Conv | Linear | Scale
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    zeros: NDArray[np.uint8]
    rescale: Rescale

    @property
    def largest_sum(self) -> int:
        """No sum is larger in magnitude, whatever the image."""
        rows = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1)
        farthest = max(int(self.zeros.max()), 255 - int(self.zeros.min()))
        return int((rows.sum(axis=1) * farthest + np.abs(self.bias.astype(np.int64))).max())

    @property
    def wide(self) -> bool:
        """Whether a sum may need more than the 24 bits of float32."""
        return self.largest_sum >= LIMIT


@dataclass(frozen=True, eq=False)
class Averaged:
    """An average pool: sums of q - zero over windows."""

    step: AveragePool
    zero: int
    rescale: Rescale


@dataclass(frozen=True, eq=False)
class Looked:
    """An activation: q' = values[q]. values: uint8 [256]; zero: of its input."""

    step: Activation
    values: NDArray[np.uint8]
    zero: int
    output: Range


@dataclass(frozen=True, eq=False)
class Moved:
    """A max pool or flatten: of bytes or, after the last rescaling, of logits."""

    step: MaxPool | Flatten


@dataclass(frozen=True, eq=False)
class Added:
    """A residual block: sums of factor * (q - zero) of its two branches, whose bytes have different scales.

    factors: 0..LARGEST_FACTOR; zeros: of the branches' bytes; both of the body first
    """

    step: Residual
    body: "tuple[Integer, ...]"
    shortcut: "tuple[Integer, ...]"
    factors: tuple[int, int]
    zeros: tuple[int, int]
    rescale: Rescale


LARGEST_FACTOR = 2**15 - 1  # 2 * 255 times that is below LIMIT
Integer = Weighted | Averaged | Looked | Moved | Added


@dataclass(frozen=True, eq=False)
class Quantized:
    """steps: at least one. output: of the last bytes, whose real values are the logits; None if a step gives logits."""

    steps: tuple[Integer, ...]
    output: Range | None

    @property
    def weight_bytes(self) -> int:
        """Size of the 8-bit weights, without biases, divisors and tables."""
        return sum(step.weight.size for step in every_integer(self.steps) if isinstance(step, Weighted))


def every_integer(steps: tuple[Integer, ...]) -> Iterator[Integer]:
    """The steps in the order in which they are computed: those of a residual block's branches before the block."""
    for step in steps:
        if isinstance(step, Added):
            yield from every_integer((*step.body, *step.shortcut))
        yield step


def zero_after(step: Integer, zero: int) -> int:
    """The byte of the step's output that stands for zero, `zero` being that of its input; 0 where it gives logits."""
    match step:
        case Weighted() | Averaged() | Added():
            return step.rescale.output.zero if step.rescale.output else 0
        case Looked():
            return step.output.zero
        case Moved():
            return zero


def logits_of(network: Quantized, images: NDArray[np.uint8]) -> Floats:
    """float32 [N, classes] of uint8 [N, H, W, C] of the network's size. The definition: every file must equal it."""
    parts = [_logits(network, images[begin : begin + _BATCH]) for begin in range(0, len(images), _BATCH)]
    return np.concatenate(parts)


def _logits(network: Quantized, images: NDArray[np.uint8]) -> Floats:
    with torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32))
        x = _through(network.steps, x)
        if network.output:
            x = (x - network.output.zero) / float(np.float32(1 / network.output.scale))
        return np.array(x.numpy(), np.float32)


def _through(steps: tuple[Integer, ...], x: torch.Tensor) -> torch.Tensor:
    for step in steps:
        x = _computed(step, x)
    return x


def _computed(step: Integer, x: torch.Tensor) -> torch.Tensor:
    """One step of bytes, or logits, kept in float32."""
    match step:
        case Weighted():
            zeros = torch.from_numpy(step.zeros.astype(np.float32)).reshape(-1, *[1] * (x.ndim - 2))
            inputs = (x - zeros).to(torch.float64 if step.wide else torch.float32)
            sums = weighted(step.step, inputs, step.weight, step.bias).to(torch.float32)
            return _rescaled(step.rescale, sums, per_channel=True)
        case Averaged():
            return _rescaled(step.rescale, window_sums(step.step, x - step.zero), per_channel=False)
        case Looked():
            return torch.from_numpy(step.values.astype(np.float32))[x.long()]
        case Moved():
            return moved(step.step, x)
        case Added():
            body, shortcut = (
                factor * (_through(branch, x) - zero)
                for branch, factor, zero in zip((step.body, step.shortcut), step.factors, step.zeros, strict=True)
            )
            return _rescaled(step.rescale, body + shortcut, per_channel=True)


def _rescaled(rescale: Rescale, sums: torch.Tensor, *, per_channel: bool) -> torch.Tensor:
    divisor = torch.from_numpy(rescale.divisor)
    if per_channel:
        divisor = divisor.reshape(-1, *[1] * (sums.ndim - 2))
    values = sums / divisor
    if rescale.output is None:
        return values
    zero = rescale.output.zero
    return torch.round(values.clamp(rescale.low - zero, 255 - zero)) + zero
