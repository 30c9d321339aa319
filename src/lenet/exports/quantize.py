"""From a trained network to 8-bit integers: ranges from training images, weights per output channel.

Batch norm and the normalization of the pixels become part of a neighbour (`folding.py`). A Scale before a convolution
that pads with zeros becomes part of it too, if a byte stands for what the Scale makes zero.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.exports.arithmetic import activated, moved, weighted, window_sums, window_weights
from lenet.exports.folding import conv_of_scaled, folded
from lenet.exports.network import Exported
from lenet.exports.quantized import (
    LARGEST_FACTOR,
    LEAST_DIVISOR,
    LIMIT,
    PIXELS,
    WIDE_LIMIT,
    Added,
    Averaged,
    Integer,
    Looked,
    Moved,
    Quantized,
    Range,
    Rescale,
    Weighted,
)  # fmt: skip
from lenet.exports.steps import (
    Activation,
    AveragePool,
    Conv,
    Flatten,
    Floats,
    Linear,
    MaxPool,
    Residual,
    Scale,
    Step,
    every_step,
)  # fmt: skip

CALIBRATION_IMAGES = 1000
_BATCH = 50  # images whose activations are computed at once
_MOST_INPUTS = 2**16  # of a sum

Real = NDArray[np.float64]


def quantized(exported: Exported, images: NDArray[np.uint8]) -> Quantized:
    """The network in integers.

    images: uint8 [N, size, size, C], training images, from which the ranges of activations are found

    Raises InputError, naming the layer, if a value is not finite or a sum can be too large for exact arithmetic.
    """
    steps = _relu_first(folded([_normalization(exported), *exported.steps]))
    extremes = {step: _Extremes() for step in every_step(steps)}
    with torch.no_grad():
        for begin in range(0, len(images), _BATCH):
            some = np.ascontiguousarray(images[begin : begin + _BATCH].transpose(0, 3, 1, 2)).astype(np.float32)
            for step, x in _activations(steps, torch.from_numpy(some)):
                if not extremes[step].add(x):
                    raise InputError(f"{step.where} cannot be exported in int8: it gives values that are not finite")
    end = _logit_step(steps)
    found, last = _integers(steps, {step: known.range() for step, known in extremes.items()}, PIXELS, end)
    return Quantized(tuple(found), None if end is not None else last)


def _normalization(exported: Exported) -> Scale:
    """(pixel / 255 - mean) / std."""
    side, _, channels = exported.input_shape
    std = exported.std.astype(np.float64)
    shape = (channels, side, side)
    shift = (-exported.mean / std).astype(np.float32)
    return Scale("the normalization of the pixels", shape, shape, (1 / (255 * std)).astype(np.float32), shift)


def _relu_first(steps: Sequence[Step]) -> list[Step]:
    """The same function: each ReLU before the max pools and flattens that precede it, with which it commutes."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Residual):
            step = step.changed(_relu_first)
        place = len(found)
        if isinstance(step, Activation) and step.function == "relu":
            while place and isinstance(found[place - 1], (MaxPool, Flatten)):
                place -= 1
            if place < len(found):
                shape = found[place].input
                step = replace(step, input=shape, output=shape)
        found.insert(place, step)
    return found


def _activations(steps: Sequence[Step], x: torch.Tensor) -> Iterator[tuple[Step, torch.Tensor]]:
    """Each step, those of branches too, and what it gives, in float32; x: what the first one takes."""
    for step in steps:
        if isinstance(step, Residual):
            ends = []
            for branch in (step.body, step.shortcut):
                end = x
                for one, end in _activations(branch, x):
                    yield one, end
                ends.append(end)
            x = ends[0] + ends[1]
        else:
            x = _given(step, x)
        yield step, x


def _given(step: Step, x: torch.Tensor) -> torch.Tensor:
    match step:
        case Conv() | Linear():
            return weighted(step, x, step.weight, step.bias)
        case Scale():
            return weighted(step, x, step.factor, step.shift)
        case AveragePool():
            return window_sums(step, x) * torch.from_numpy(window_weights(step))
        case Activation():
            return activated(step, x)
        case _:
            return moved(step, x)


class _Extremes:
    """The smallest and largest value that a step gives. Zero is among them: padding may add it."""

    def __init__(self) -> None:
        self._low = self._high = 0.0

    def add(self, x: torch.Tensor) -> bool:
        """Whether all values are finite: NaN is the smallest and the largest of values with a NaN among them."""
        low, high = map(float, x.aminmax())
        self._low, self._high = min(self._low, low), max(self._high, high)
        return isfinite(low) and isfinite(high)

    def range(self) -> Range:
        scale = max(self._high - self._low, 1e-30) / 255
        return Range(scale, int(np.clip(np.rint(-self._low / scale), 0, 255)))


# The steps. `ranges` has what each float step gives.


def _integers(
    steps: Sequence[Step], ranges: Mapping[Step, Range], now: Range, end: int | None = None
) -> tuple[list[Integer], Range]:
    """The steps in integers, and the range of the last one's bytes. now: of the first one's; end: of `_logit_step`."""
    found: list[Integer] = []
    place = 0
    while place < len(steps):
        step = steps[place]
        if isinstance(step, (Flatten, MaxPool)):
            found.append(Moved(step))
            place += 1
            continue
        merged = _merged(step, steps[place + 1] if place + 1 < len(steps) else None, now)
        if merged:
            place += 1
        after = steps[place + 1] if place + 1 < len(steps) else None
        relu = isinstance(after, Activation) and after.function == "relu" and not isinstance(step, Activation)
        place += relu
        output = None if place == end else ranges[steps[place]]
        one: Looked | Averaged | Weighted | Added
        if isinstance(step, Activation):
            one = _looked(step, now, ranges[step])
        elif isinstance(step, Residual):
            one = _added(step, ranges, now, ranges[steps[place]], relu=relu)
        elif isinstance(step, AveragePool):
            one = _averaged(step, now, output, relu=relu)
        else:
            assert isinstance(step, (Conv, Linear, Scale)), step.where
            one = _weighted(merged or _Merged(step, _plain_zeros(step, now), None), now, output, relu=relu)
        found.append(one)
        now = (one.output if isinstance(one, Looked) else one.rescale.output) or PIXELS
        place += 1
    return found, now


def _logit_step(steps: Sequence[Step]) -> int | None:
    """The step whose sums are the logits; None if they are rounded once more."""
    place = len(steps) - 1
    while place and isinstance(steps[place], Flatten):
        place -= 1
    return place if isinstance(steps[place], (Conv, Linear, Scale, AveragePool)) else None


@dataclass(frozen=True, eq=False)
class _Merged:
    """A step whose input's zeros are `zeros`; excess: what these are above the real ones, in input units, or None."""

    step: Conv | Linear | Scale
    zeros: NDArray[np.uint8]
    excess: Real | None


def _plain_zeros(step: Conv | Linear | Scale, now: Range) -> NDArray[np.uint8]:
    return np.full(step.input[0], now.zero, np.uint8)


def _merged(scale: Step, conv: Step | None, now: Range) -> _Merged | None:
    """A Scale and the convolution after it, which pads with what the Scale makes zero; None if that is no byte."""
    if not isinstance(scale, Scale) or not isinstance(conv, Conv) or not np.all(scale.factor):
        return None
    real = -scale.shift.astype(np.float64) / scale.factor / now.scale + now.zero
    zeros = np.rint(real)
    if zeros.min() < 0 or zeros.max() > 255:
        return None
    # conv(factor * x + shift) = conv'(x - real zeros): the bias does not include the shift.
    without_shift = conv_of_scaled(replace(scale, shift=np.zeros_like(scale.shift)), conv)
    return _Merged(without_shift, zeros.astype(np.uint8), (zeros - real) * now.scale)


def _weighted(merged: _Merged, now: Range, output: Range | None, *, relu: bool) -> Weighted:
    step = merged.step
    real, bias = (step.factor, step.shift) if isinstance(step, Scale) else (step.weight, step.bias)
    weight, bias = real.astype(np.float64), bias.astype(np.float64)
    if merged.excess is not None:
        assert isinstance(step, Conv)
        grouped = merged.excess.reshape(step.groups, -1).repeat(len(weight) // step.groups, axis=0)
        bias = bias + (weight.sum(axis=(2, 3)) * grouped).sum(axis=1)
    rows = weight.reshape(len(weight), -1)
    farthest = np.maximum(merged.zeros, 255 - merged.zeros.astype(np.int64)).max()
    if rows.shape[1] > _MOST_INPUTS:
        raise InputError(
            f"{step.where} cannot be exported in int8: {rows.shape[1]:,} inputs of a sum are too many (at most "
            f"{_MOST_INPUTS:,})"
        )
    # The largest weight becomes 127, or less where a sum could reach the limit, for which all roundings may go up.
    limit = WIDE_LIMIT if isinstance(step, Linear) else LIMIT
    largest = np.abs(rows).sum(axis=1) * farthest + np.abs(bias) / now.scale
    scale = np.maximum(np.abs(rows).max(axis=1) / 127, largest / (limit - 2 - 128 * rows.shape[1]))
    scale[scale == 0] = scale[scale > 0].min(initial=1)  # a channel whose weights and bias are all zero
    shaped = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return Weighted(
        step,
        np.rint(weight / shaped).astype(np.int8),
        np.rint(bias / (scale * now.scale)).astype(np.int32),
        merged.zeros,
        _rescale(scale * now.scale, output, relu=relu),
    )


def _averaged(step: AveragePool, now: Range, output: Range | None, *, relu: bool) -> Averaged:
    rows, columns = (max(span.end - span.begin for span in spans) for spans in (step.rows, step.columns))
    if 255 * rows * columns >= LIMIT:
        raise InputError(f"{step.where} cannot be exported in int8: windows of {rows}x{columns} are too large")
    units = now.scale * window_weights(step).astype(np.float64)
    return Averaged(step, now.zero, _rescale(units, output, relu=relu))


def _added(step: Residual, ranges: Mapping[Step, Range], now: Range, output: Range, *, relu: bool) -> Added:
    body, one = _integers(step.body, ranges, now)
    shortcut, other = _integers(step.shortcut, ranges, now)
    unit = max(one.scale, other.scale) / LARGEST_FACTOR
    factors = round(one.scale / unit), round(other.scale / unit)
    rescale = _rescale(np.array([unit]), output, relu=relu)
    return Added(step, tuple(body), tuple(shortcut), factors, (one.zero, other.zero), rescale)


def _rescale(units: Real, output: Range | None, *, relu: bool) -> Rescale:
    """units: what 1 in a sum stands for. The output's range is widened if its steps would be much finer than that."""
    if output is None:
        return Rescale(_divisor(1 / units), None)
    wide = replace(output, scale=max(output.scale, 1.01 * LEAST_DIVISOR * float(units.max())))
    return Rescale(_divisor(wide.scale / units), wide, wide.zero if relu else 0)


def _divisor(real: Real) -> Floats:
    """float32, finite and normal: sums of a channel with tiny weights, such as weight decay leaves, become zero."""
    known = np.finfo(np.float32)
    return np.clip(real, known.tiny, known.max).astype(np.float32)


def _looked(step: Activation, now: Range, output: Range) -> Looked:
    real = (np.arange(256) - now.zero) * now.scale
    with torch.no_grad():
        wanted = activated(step, torch.from_numpy(real)).numpy()
    stored = np.clip(np.rint(wanted / output.scale) + output.zero, 0, 255)
    return Looked(step, stored.astype(np.uint8), now.zero, output)
