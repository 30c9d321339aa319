"""What the steps compute, in PyTorch: of real numbers for calibration, and of whole numbers, exactly."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lenet.exports.steps import Activation, AveragePool, Conv, Floats, Linear, MaxPool, Scale, Step

Numbers = Floats | NDArray[np.integer]


def weighted(step: Conv | Linear | Scale, x: torch.Tensor, weight: Numbers, bias: Numbers) -> torch.Tensor:
    """The step with other weights and bias, in the type of x."""
    weights = torch.from_numpy(weight).to(x.dtype), torch.from_numpy(bias).to(x.dtype)
    if isinstance(step, Linear):
        return F.linear(x, *weights)
    if isinstance(step, Scale):
        shape = (-1, *[1] * (x.ndim - 2))
        return x * weights[0].reshape(shape) + weights[1].reshape(shape)
    if any(step.padding):
        rows, columns = (torch.tensor(index) for index in step.padded_from())
        inside = ((rows >= 0)[:, None] & (columns >= 0)).to(x.dtype)
        x = x[:, :, rows.clamp(min=0)][..., columns.clamp(min=0)] * inside
    return F.conv2d(x, *weights, step.stride, 0, step.dilation, step.groups)


def window_sums(step: AveragePool, x: torch.Tensor) -> torch.Tensor:
    """The sum of each window, [N, C, rows, columns]."""
    rows, columns = (torch.from_numpy(one) for one in windows(step))
    return rows @ (x @ columns.T)


def windows(step: AveragePool) -> tuple[Floats, Floats]:
    """[output rows, rows] and [output columns, columns]: 1 where the output's window contains the input, else 0."""
    rows, columns = (
        np.array([[span.begin <= place < span.end for place in range(side)] for span in spans], np.float32)
        for spans, side in zip((step.rows, step.columns), step.input[1:], strict=True)
    )
    return rows, columns


def window_weights(step: AveragePool) -> Floats:
    """[rows, columns]: what the sum of each window is multiplied by."""
    rows, columns = (np.array([span.weight for span in spans]) for spans in (step.rows, step.columns))
    return np.asarray(rows[:, None] * columns, np.float32)


def activated(step: Activation, x: torch.Tensor) -> torch.Tensor:
    """The activation of each value."""
    match step.function:
        case "relu":
            return F.relu(x)
        case "leaky_relu":
            return F.leaky_relu(x, step.slope)
        case "tanh":
            return torch.tanh(x)
        case "gelu":
            return F.gelu(x)
        case "gelu_tanh":
            return F.gelu(x, approximate="tanh")


def moved(step: Step, x: torch.Tensor) -> torch.Tensor:
    """A max pool or a flatten."""
    if not isinstance(step, MaxPool):
        return x.flatten(1)
    top, left, bottom, right = step.padding
    padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    return F.max_pool2d(padded, step.kernel, step.stride, 0, step.dilation)
