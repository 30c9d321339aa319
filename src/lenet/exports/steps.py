"""The steps that a network consists of once training is over: plain values and float32 arrays.

Each step takes what the step before it gives. A `Residual` contains the steps of its two branches.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, ...]
Sides = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the computation.

    where: the layer it comes from, for messages: "layer 3 (Conv2d)"
    input, output: shape for one image, (channels, height, width) or (features,)
    """

    where: str
    input: Shape
    output: Shape


@dataclass(frozen=True, eq=False)
class Conv(Step):
    """A convolution (cross-correlation, as in PyTorch).

    weight: [outputs, inputs / groups, kernel height, kernel width]; bias: [outputs]
    padding: pixels added at the top, left, bottom and right; padding_mode: what they contain
    """

    weight: Floats
    bias: Floats
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Sides
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"]
    groups: int

    def padded_from(self) -> tuple[list[int], list[int]]:
        """The rows and the columns of the input that the padded input consists of, in order; -1 for one of zeros."""
        top, left, bottom, right = self.padding
        height, width = self.input[1:]
        rows, columns = range(-top, height + bottom), range(-left, width + right)
        return [self._source(row, height) for row in rows], [self._source(column, width) for column in columns]

    def _source(self, place: int, side: int) -> int:
        if self.padding_mode == "zeros":
            return place if 0 <= place < side else -1
        if self.padding_mode == "circular":
            return place % side
        if self.padding_mode == "replicate":
            return min(max(place, 0), side - 1)
        return side - 1 - abs(side - 1 - abs(place))  # mirrored, without repeating the edge


@dataclass(frozen=True, eq=False)
class Linear(Step):
    """weight: [outputs, inputs]; bias: [outputs]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Scale(Step):
    """x * factor + shift; one value of each per channel or feature."""

    factor: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Activation(Step):
    """gelu is x / 2 * (1 + erf(x / sqrt(2))), gelu_tanh its approximation by tanh. slope: of leaky_relu, for x < 0."""

    function: Literal["relu", "leaky_relu", "tanh", "gelu", "gelu_tanh"]
    slope: float = 0.0


@dataclass(frozen=True, eq=False)
class MaxPool(Step):
    """The maximum of each window. Window y starts at row y * stride - padding; pixels outside the image are skipped.

    padding: at the top, left, bottom and right; at the bottom and right as many as the last windows need
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Sides


@dataclass(frozen=True)
class Span:
    """The rows, or columns, begin <= i < end of the input that an output averages, and the weight of each."""

    begin: int
    end: int
    weight: float


@dataclass(frozen=True, eq=False)
class AveragePool(Step):
    """output[y, x] = sum of input[i, j] * rows[y].weight * columns[x].weight over the spans; also adaptive pooling."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class Flatten(Step):
    """(channels, height, width) to (features,), channel by channel: a writer with channels last must reorder here."""


@dataclass(frozen=True, eq=False)
class Residual(Step):
    """The sum of what two branches give for the same input. A branch without steps gives its input."""

    body: tuple[Step, ...]
    shortcut: tuple[Step, ...]

    def changed(self, change: Callable[[list[Step]], list[Step]]) -> "Residual":
        """The block with both branches changed by a function."""
        return replace(self, body=tuple(change([*self.body])), shortcut=tuple(change([*self.shortcut])))


def every_step(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps in the order in which they are computed: those of a residual block's branches before the block."""
    for step in steps:
        if isinstance(step, Residual):
            yield from every_step((*step.body, *step.shortcut))
        yield step
