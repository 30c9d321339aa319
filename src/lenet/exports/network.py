"""A trained network as the exports see it: plain numbers, a list of steps, and no PyTorch.

Dropout is left out. Batch norm becomes part of the convolution or linear layer before it or, where that is exact, after
it; elsewhere it is a `Scale`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lenet.errors import InputError
from lenet.evaluation.scores import wilson_interval
from lenet.exports.folding import folded
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
    Shape,
    Span,
    Step,
    every_step,
)  # fmt: skip
from lenet.layers.outputs import pair_of
from lenet.layers.table import where as place_of
from lenet.models import KINDS, MODULES, Normalize, kind_of, output_shapes, padding_of
from lenet.models import Residual as ResidualBlock
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run


@dataclass(frozen=True)
class Provenance:
    """Where an exported network comes from.

    lenet: version that exports; data: name of the dataset; data_sha256: hash of its images and labels, or None
    test_accuracy: the network's, 0..1; None if the run has no result.json
    test_interval: its 95% confidence interval; None if the run does not have the number of test images
    network: its number in the run; seed: the seed it was trained with
    """

    lenet: str
    data: str
    data_sha256: str | None
    test_accuracy: float | None
    network: int
    seed: int
    test_interval: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Exported:
    """A network to export: probabilities = softmax(steps((pixels / 255 - mean) / std) / temperature).

    steps: at least one; the last one's output is the logits
    mean, std: [channels], of pixels scaled to 0..1
    classes: names of the classes, in the order of the logits
    input_shape: (height, width, channels) of the uint8 image that the network takes; height equals width
    fit: how an image of another size is brought to that size: "crop", "pad" or "squash" (lenet.data.fit)
    temperature: logits divided by it give calibrated probabilities
    """

    steps: tuple[Step, ...]
    mean: Floats
    std: Floats
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    fit: str
    temperature: float
    provenance: Provenance

    @property
    def colours(self) -> str:
        """What its images are: "grey" or "RGB"."""
        return "grey" if self.input_shape[2] == 1 else "RGB"


def read_network(run: Run, checkpoint: Checkpoint, number: int) -> Exported:
    """Network `number` of the run, whose checkpoint this is.

    Raises InputError, naming the layer, for a layer that the exports do not know and for weights that are not finite.
    """
    result = run.result or {}
    each = result.get("test_accuracy", {}).get("each", [])
    accuracy = float(each[number]) if number < len(each) else None
    count = result.get("test_images")
    provenance = Provenance(
        lenet=version("lenet"),
        data=str(result.get("data") or checkpoint.config.get("data") or "unknown"),
        data_sha256=result.get("data_sha256") or checkpoint.config.get("data_sha256"),
        test_accuracy=accuracy,
        network=number,
        seed=checkpoint.seeds[number],
        test_interval=wilson_interval(round(accuracy * count), count) if accuracy is not None and count else None,
    )
    network = checkpoint.networks[number]
    first = network[0]
    if not isinstance(first, Normalize):
        raise InputError(
            f"layer 0 ({type(first).__name__}) must be Normalize: lenet exports networks that take raw pixels"
        )
    return Exported(
        steps=steps_of(network, checkpoint.input_shape),
        mean=_array(first.mean),
        std=_array(first.std),
        classes=checkpoint.classes,
        input_shape=checkpoint.input_shape,
        fit=checkpoint.fit,
        temperature=checkpoint.temperature[number],
        provenance=provenance,
    )


def metadata(exported: Exported) -> dict[str, str]:
    """What a file says about its network besides the weights; lists as JSON."""
    known = {name: value for name, value in vars(exported.provenance).items() if value is not None}
    return {
        "classes": json.dumps(exported.classes, ensure_ascii=False),
        "input_shape": json.dumps(exported.input_shape),
        "fit": exported.fit,
        "temperature": repr(exported.temperature),
    } | {name: str(value) for name, value in known.items()}


def steps_of(network: nn.Sequential, input_shape: tuple[int, int, int]) -> tuple[Step, ...]:
    """The steps after Normalize, for images of (height, width, channels). Raises InputError as `exported` does."""
    height, width, channels = input_shape
    with np.errstate(over="ignore"):  # refused below
        steps = tuple(folded(_read(network, (channels, height, width))))
    for step in every_step(steps):
        for name, value in vars(step).items():
            if isinstance(value, np.ndarray) and not np.isfinite(value).all():
                raise InputError(f"{step.where} cannot be exported: with the batch norm beside it, its {name} is too "
                                 "large for float32; train the network again")  # fmt: skip
    return steps


def _read(layers: nn.Sequential, shape: Shape, inside: str = "") -> list[Step]:
    """The steps of layers in a row. inside: what their names begin with, such as "3.body."."""
    steps: list[Step] = []
    for number, (layer, output) in enumerate(zip(layers, output_shapes(layers, shape), strict=True)):
        name = f"{inside}{number}"
        kind = kind_of(layer, name)
        where = f"{place_of(name)} ({kind.name})"
        if isinstance(layer, Normalize) and number:
            raise InputError(f"{where} cannot be exported: only the first layer may be Normalize")
        if type(layer) not in READERS:
            names = ", ".join(kind.name for kind in KINDS if MODULES[kind.name] in READERS)
            raise InputError(f"{where} cannot be exported (supported: {names})")
        for tensor in kind.tensors(layer):
            if not bool(getattr(layer, tensor).isfinite().all()):
                raise InputError(f"{where} cannot be exported: its {tensor} is not finite; train the network again")
        step = READERS[type(layer)](layer, (where, shape, output))
        if isinstance(step, Residual):
            body, shortcut = (tuple(_read(getattr(layer, one), shape, f"{name}.{one}.")) for one in kind.branches)
            step = replace(step, body=body, shortcut=shortcut)
        steps += [step] if step else []
        shape = output
    return steps


# One reader for each kind of layer: the layer and its (where, input, output) to a step, or None if it changes nothing.

Site = tuple[str, Shape, Shape]


def _conv(layer: nn.Conv2d, place: Site) -> Conv:
    if layer.padding == "same":  # an even kernel needs one pixel more at the bottom and right
        totals = [spread * (kernel - 1) for spread, kernel in zip(layer.dilation, layer.kernel_size, strict=True)]
        top, left = (total // 2 for total in totals)
        bottom, right = totals[0] - top, totals[1] - left
    else:
        top, left = bottom, right = padding_of(layer)
    weight = _array(layer.weight)
    return Conv(
        *place,
        weight=weight,
        bias=np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias),
        stride=(layer.stride[0], layer.stride[1]),
        dilation=(layer.dilation[0], layer.dilation[1]),
        padding=(top, left, bottom, right),
        padding_mode=layer.padding_mode,
        groups=layer.groups,
    )


def _linear(layer: nn.Linear, place: Site) -> Linear:
    weight = _array(layer.weight)
    return Linear(*place, weight, np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias))


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, place: Site) -> Scale:
    assert layer.running_mean is not None  # the layer table demands both
    assert layer.running_var is not None
    factor = 1 / np.sqrt(_wide(layer.running_var) + layer.eps)
    if layer.affine:
        factor *= _wide(layer.weight)
    shift = (_wide(layer.bias) if layer.affine else 0) - _wide(layer.running_mean) * factor
    return Scale(*place, factor.astype(np.float32), shift.astype(np.float32))


def _max_pool(layer: nn.MaxPool2d, place: Site) -> MaxPool:
    kernel, stride, dilation, padding = map(pair_of, (layer.kernel_size, layer.stride, layer.dilation, layer.padding))
    ends = [
        max(0, (count - 1) * step + spread * (size - 1) + 1 - before - side)
        for count, side, size, step, spread, before in zip(
            place[2][1:], place[1][1:], kernel, stride, dilation, padding, strict=True
        )
    ]
    return MaxPool(*place, kernel, stride, dilation, (*padding, ends[0], ends[1]))


def _average_pool(layer: nn.AvgPool2d, place: Site) -> AveragePool:
    spans: list[tuple[Span, ...]] = []
    for axis, (side, count) in enumerate(zip(place[1][1:], place[2][1:], strict=True)):
        kernel, stride, padding = (pair_of(value)[axis] for value in (layer.kernel_size, layer.stride, layer.padding))
        found = []
        for index in range(count):
            begin = index * stride - padding
            end = min(begin + kernel, side + padding)  # ceil_mode's last window may reach beyond the padding
            inside = max(begin, 0), min(end, side)
            divisor = end - begin if layer.count_include_pad else inside[1] - inside[0]
            if layer.divisor_override:
                divisor = layer.divisor_override if axis == 0 else 1
            found.append(Span(*inside, 1 / divisor))
        spans.append(tuple(found))
    return AveragePool(*place, *spans)


def _adaptive_pool(layer: nn.AdaptiveAvgPool2d, place: Site) -> AveragePool:
    rows, columns = (
        tuple(
            Span(begin := index * side // count, end := ceil((index + 1) * side / count), 1 / (end - begin))
            for index in range(count)
        )
        for side, count in zip(place[1][1:], place[2][1:], strict=True)
    )
    return AveragePool(*place, rows, columns)


READERS: dict[type[nn.Module], Callable[[Any, Site], Step | None]] = {
    Normalize: lambda layer, place: None,  # `Exported` has its mean and std
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.ReLU: lambda layer, place: Activation(*place, "relu"),
    nn.Tanh: lambda layer, place: Activation(*place, "tanh"),
    nn.LeakyReLU: lambda layer, place: Activation(*place, "leaky_relu", layer.negative_slope),
    nn.GELU: lambda layer, place: Activation(*place, "gelu_tanh" if layer.approximate == "tanh" else "gelu"),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.Flatten: lambda layer, place: Flatten(*place) if len(place[1]) == 3 else None,
    nn.Linear: _linear,
    nn.Dropout: lambda layer, place: None,
    ResidualBlock: lambda layer, place: Residual(*place, body=(), shortcut=()),  # `_read` reads the branches
}


def _array(tensor: torch.Tensor) -> Floats:
    return np.array(tensor.detach().cpu().numpy(), np.float32)


def _wide(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().numpy().astype(np.float64)
