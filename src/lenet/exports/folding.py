"""Batch norm becomes part of its neighbours. Products are computed in float64 and rounded once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from lenet.exports.steps import Conv, Flatten, Linear, Residual, Scale, Step


def folded(steps: list[Step]) -> list[Step]:
    """The same function with fewer steps: a Scale becomes part of the layer before it or, where exact, after it.

    None moves into or out of a residual block, whose two branches share the input and are added.
    """
    inside = [step.changed(folded) if isinstance(step, Residual) else step for step in steps]
    return _folded_forward(_folded_back(inside))


def _folded_back(steps: list[Step]) -> list[Step]:
    """Each Scale that directly follows a convolution, a linear layer or another Scale is part of it."""
    found: list[Step] = []
    for step in steps:
        before = found[-1] if found else None
        if isinstance(step, Scale) and isinstance(before, (Conv, Linear, Scale)):
            found[-1] = _scaled(before, step)
        else:
            found.append(step)
    return found


def _scaled(before: Conv | Linear | Scale, scale: Scale) -> Step:
    factor, shift = scale.factor.astype(np.float64), scale.shift.astype(np.float64)
    if isinstance(before, Scale):
        moved = before.shift * factor + shift
        return replace(before, factor=(before.factor * factor).astype(np.float32), shift=moved.astype(np.float32))
    weight = before.weight * factor.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = before.bias * factor + shift
    return replace(before, weight=weight.astype(np.float32), bias=bias.astype(np.float32))


def _folded_forward(steps: list[Step]) -> list[Step]:
    """Each Scale before a linear layer, or before a convolution that adds no zeros, is part of that layer.

    A convolution padded with zeros stays as it is: behind a Scale the padding would have to be another number.
    """
    found: list[Step] = []
    waiting: Scale | None = None
    for step, after in pairwise([*steps, None]):
        assert step is not None
        if isinstance(step, Scale) and _takes_scale(after, steps):
            waiting = step
        elif waiting and isinstance(step, Conv):
            found.append(conv_of_scaled(waiting, step))
            waiting = None
        elif waiting and isinstance(step, Linear):
            found.append(_linear_of_scaled(waiting, step))
            waiting = None
        else:
            found.append(step)
    return found


def _takes_scale(after: Step | None, steps: list[Step]) -> bool:
    """Whether `after`, the step that follows a Scale, or the linear layer that follows its Flatten, can include it."""
    if isinstance(after, Flatten):
        position = next(index for index, step in enumerate(steps) if step is after)
        after = steps[position + 1] if position + 1 < len(steps) else None
        return isinstance(after, Linear)
    return isinstance(after, Linear) or (
        isinstance(after, Conv) and (after.padding_mode != "zeros" or not any(after.padding))
    )


def conv_of_scaled(scale: Scale, conv: Conv) -> Conv:
    """The convolution that includes the Scale before it. What its padding adds is not scaled."""
    grouped = len(conv.weight) // conv.groups, conv.groups
    factor, shift = (
        np.repeat(values.astype(np.float64).reshape(conv.groups, -1), grouped[0], axis=0)[:, :, None, None]
        for values in (scale.factor, scale.shift)
    )
    bias = conv.bias + (conv.weight * shift).sum(axis=(1, 2, 3))
    return replace(conv, weight=(conv.weight * factor).astype(np.float32), bias=bias.astype(np.float32))


def _linear_of_scaled(scale: Scale, linear: Linear) -> Linear:
    each = linear.weight.shape[1] // len(scale.factor)  # pixels of a channel, if there is a Flatten between
    factor, shift = (np.repeat(values.astype(np.float64), each) for values in (scale.factor, scale.shift))
    bias = linear.bias + linear.weight.astype(np.float64) @ shift
    return replace(linear, weight=(linear.weight * factor).astype(np.float32), bias=bias.astype(np.float32))
