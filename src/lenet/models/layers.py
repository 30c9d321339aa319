"""The layer table: everything lenet knows about each kind of layer, one entry a kind.

Checkpoints, shape checks and costs (network.py) read this table, and so does the native engine: what it covers, and
what it is handed. docs/engine.md describes how to add a layer.

Shapes are those of one image: (channels, height, width) before flattening, (features,) after it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

import torch
from torch import nn

from lenet.errors import InputError
from lenet.models.arguments import Check, flag, must_be_true, number, one_of, optional, pair, per_channel, whole

Shape = tuple[int, ...]

_LEAST_DEVIATION = 1 / 255  # a constant channel must not be divided by zero


class Normalize(nn.Module):
    """First layer of every model: uint8 [B, H, W, C] to float [B, C, H, W], (pixel / 255 - mean) / std.

    mean, std: one value per channel, of pixels scaled to 0..1; std is at least 1/255.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([float(m) for m in mean]))
        self.register_buffer("std", torch.tensor([max(float(s), _LEAST_DEVIATION) for s in std]))

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        images_nchw = images_nhwc.permute(0, 3, 1, 2).to(self.mean.dtype)
        return (images_nchw / 255 - self.mean[:, None, None]) / self.std[:, None, None]

    def extra_repr(self) -> str:
        return f"channels={len(self.mean)}"


@dataclass(frozen=True)
class Kind:
    """What lenet knows about one kind of layer.

    module: its PyTorch class
    output: the output's shape for an input's; raises ValueError where the layer does not take such an input
    arguments: what a checkpoint keeps of it: constructor arguments by name, each with its check
    tensors: the shapes of its parameters and buffers by name, as its arguments imply them
    dense: whether its weight is multiplied at every position of the output
    native: its name in the native engine; None where that has no such layer
    uncovered: why the native engine does not cover this very layer (flat: its input is flattened); None where it does
    fields: the numbers that the native engine is handed
    statistics: the buffers that the native engine is handed as mean, variance and count of batches
    """

    module: type[nn.Module]
    output: Callable[[Any, Shape], Shape] = lambda layer, shape: shape
    arguments: Mapping[str, Check] = field(default_factory=dict)
    tensors: Callable[[Any], dict[str, Shape]] = lambda layer: {}
    dense: bool = False
    native: str | None = None
    uncovered: Callable[[Any, bool], str | None] = lambda layer, flat: None
    fields: Callable[[Any], dict[str, Any]] = lambda layer: {}
    statistics: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What checkpoints and messages call it."""
        return self.module.__name__


# Output shapes.


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def padding_of(layer: nn.Conv2d) -> tuple[int, int]:
    """Zeros that a convolution puts before the first row and column; its words "same" and "valid" resolved."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":  # stride 1 only, as PyTorch demands
        return layer.dilation[0] * (layer.kernel_size[0] - 1) // 2, layer.dilation[1] * (layer.kernel_size[1] - 1) // 2
    assert not isinstance(layer.padding, str)
    return layer.padding[0], layer.padding[1]


def _takes(what: str, expected: int, found: int) -> None:
    if expected != found:
        raise ValueError(f"takes {expected} {what}, but gets {found}")


def _maps(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"takes maps, but gets {prod(shape)} features: put it before Flatten")
    channels, height, width = shape
    return channels, height, width


def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, *, up: bool = False) -> int:
    """How many windows fit along one side; `up` counts a last partial one, as PyTorch's ceil_mode does."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (ceil(room / stride) if up else room // stride) + 1
    if up and (count - 1) * stride >= size + padding:
        count -= 1  # a window must start inside the image or its left padding
    if count < 1:
        raise ValueError(f"leaves nothing of {size} pixels: use larger images")
    return count


def _normalized(layer: Normalize, shape: Shape) -> Shape:
    channels, height, width = _maps(shape)
    _takes("channels", len(layer.mean), channels)
    return channels, height, width


def _convolved(layer: nn.Conv2d, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    _takes("input channels", layer.in_channels, channels)
    if layer.padding == "same":
        return layer.out_channels, *sides
    rest = zip(sides, layer.kernel_size, layer.stride, padding_of(layer), layer.dilation, strict=True)
    return layer.out_channels, *(_windows(*one) for one in rest)


def _pooled(layer: Any, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    parts = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    rest = zip(sides, *map(_both, parts), strict=True)
    return channels, *(_windows(*one, up=layer.ceil_mode) for one in rest)


def _pooled_to(layer: nn.AdaptiveAvgPool2d, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    wanted = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
    return channels, *(side if want is None else int(want) for want, side in zip(wanted, sides, strict=True))


def _normalized_maps(layer: nn.BatchNorm2d, shape: Shape) -> Shape:
    _takes("channels", layer.num_features, _maps(shape)[0])
    return shape


def _normalized_features(layer: nn.BatchNorm1d, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError("takes features, but gets maps: put it after Flatten")
    _takes("features", layer.num_features, shape[0])
    return shape


def _flattened(layer: nn.Flatten, shape: Shape) -> Shape:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise ValueError("flattens other dimensions than 1 to -1")
    return (prod(shape),)


def _multiplied(layer: nn.Linear, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError(f"takes {layer.in_features} features, but gets maps: put a Flatten before it")
    _takes("features", layer.in_features, shape[0])
    return (layer.out_features,)


# Parameters and buffers.


def _weighted(shape: Callable[[Any], Shape]) -> Callable[[Any], dict[str, Shape]]:
    def tensors(layer: Any) -> dict[str, Shape]:
        return {"weight": shape(layer)} | ({} if layer.bias is None else {"bias": shape(layer)[:1]})

    return tensors


def _running(layer: Any) -> dict[str, Shape]:
    each = (layer.num_features,)
    learned = {"weight": each, "bias": each} if layer.affine else {}
    return learned | {"running_mean": each, "running_var": each, "num_batches_tracked": ()}


# What the native engine does not cover.


def _only_maps(layer: Any, flat: bool) -> str | None:
    return "comes after Flatten" if flat else None


def _conv_uncovered(layer: nn.Conv2d, flat: bool) -> str | None:
    if layer.kernel_size not in ((3, 3), (5, 5)):
        return f"has a kernel of {layer.kernel_size}; this engine knows 3x3 and 5x5"
    if layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1:
        return "has a stride, dilation or groups other than 1"
    if layer.padding_mode != "zeros":
        return f"pads by '{layer.padding_mode}'; this engine pads with zeros"
    return _only_maps(layer, flat)


def _pool_uncovered(layer: Any, flat: bool) -> str | None:
    plain = {_both(layer.kernel_size), _both(layer.stride)} == {(2, 2)} and _both(layer.padding) == (0, 0)
    if not plain or layer.ceil_mode or _both(getattr(layer, "dilation", 1)) != (1, 1):
        return "is not plain 2x2 pooling"
    if getattr(layer, "return_indices", False):
        return "is not plain 2x2 pooling"
    if getattr(layer, "divisor_override", None) is not None:
        return "has its own divisor"
    return _only_maps(layer, flat)


def _norm_uncovered(layer: Any, flat: bool) -> str | None:
    if not layer.affine:
        return "is not affine"
    if flat != isinstance(layer, nn.BatchNorm1d):
        return f"does not fit its input, which is {'flat' if flat else 'maps'}"
    return None


_BATCH_NORM = {
    "num_features": whole(1),
    "eps": number(1e-12, 1),
    "momentum": number(0, 1),
    "affine": flag,
    "track_running_stats": must_be_true("must be true: a prediction would depend on the other images of its batch"),
}
_NORM_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

KINDS: tuple[Kind, ...] = (
    Kind(
        Normalize,
        output=_normalized,
        arguments={"mean": per_channel, "std": per_channel},
        tensors=lambda layer: dict.fromkeys(("mean", "std"), layer.mean.shape),
        native="normalize",
        statistics=("mean", "std"),
    ),
    Kind(
        nn.Conv2d,
        output=_convolved,
        arguments={
            "in_channels": whole(1),
            "out_channels": whole(1),
            "kernel_size": pair(1),
            "stride": pair(1),
            "padding": pair(0, "same", "valid"),
            "dilation": pair(1),
            "groups": whole(1),
            "padding_mode": one_of("zeros", "reflect", "replicate", "circular"),
            "bias": flag,
        },
        tensors=_weighted(lambda layer: (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)),
        dense=True,
        native="conv",
        uncovered=_conv_uncovered,
        fields=lambda layer: {
            "inputs": layer.in_channels,
            "outputs": layer.out_channels,
            "kernel": layer.kernel_size[0],
            **dict(zip(("pad_y", "pad_x"), padding_of(layer), strict=True)),
        },
    ),
    *(
        Kind(
            module,
            output=output,
            arguments=_BATCH_NORM,
            tensors=_running,
            native="batch_norm",
            uncovered=_norm_uncovered,
            fields=lambda layer: {
                "inputs": layer.num_features,
                "outputs": layer.num_features,
                "eps": layer.eps,
                "momentum": layer.momentum,
            },
            statistics=_NORM_STATISTICS,
        )
        for module, output in ((nn.BatchNorm2d, _normalized_maps), (nn.BatchNorm1d, _normalized_features))
    ),
    Kind(nn.ReLU, native="relu"),
    Kind(nn.Tanh, native="tanh"),
    Kind(
        nn.LeakyReLU,
        arguments={"negative_slope": number(0, 1)},
        native="leaky_relu",
        fields=lambda layer: {"slope": layer.negative_slope},
    ),
    Kind(nn.GELU, arguments={"approximate": one_of("none", "tanh")}),
    Kind(
        nn.MaxPool2d,
        output=_pooled,
        arguments={
            "kernel_size": pair(1),
            "stride": pair(1),
            "padding": pair(0),
            "dilation": pair(1),
            "ceil_mode": flag,
        },
        native="max_pool",
        uncovered=_pool_uncovered,
    ),
    Kind(
        nn.AvgPool2d,
        output=_pooled,
        arguments={
            "kernel_size": pair(1),
            "stride": pair(1),
            "padding": pair(0),
            "ceil_mode": flag,
            "count_include_pad": flag,
            "divisor_override": optional(whole(1)),
        },
        native="average_pool",
        uncovered=_pool_uncovered,
    ),
    Kind(
        nn.AdaptiveAvgPool2d,
        output=_pooled_to,
        arguments={"output_size": pair(1)},
        native="global_average_pool",
        uncovered=lambda layer, flat: (
            "pools to more than one value" if _both(layer.output_size) != (1, 1) else _only_maps(layer, flat)
        ),
    ),
    Kind(
        nn.Flatten,
        output=_flattened,
        arguments={"start_dim": whole(0, 4), "end_dim": whole(-4, 4)},
        native="flatten",
    ),
    Kind(
        nn.Linear,
        output=_multiplied,
        arguments={"in_features": whole(1), "out_features": whole(1), "bias": flag},
        tensors=_weighted(lambda layer: (layer.out_features, layer.in_features)),
        dense=True,
        native="linear",
        uncovered=lambda layer, flat: None if flat else "needs a Flatten before it",
        fields=lambda layer: {"inputs": layer.in_features, "outputs": layer.out_features},
    ),
    Kind(
        nn.Dropout,
        arguments={"p": number(0, 0.999)},
        native="dropout",
        uncovered=lambda layer, flat: None if layer.p < 1 else "drops everything",
        fields=lambda layer: {"p": layer.p},
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
BY_MODULE = {kind.module: kind for kind in KINDS}


def kind_of(layer: nn.Module, number: int) -> Kind:
    """The entry of a layer's kind. Raises InputError naming the layer where the table has none."""
    if type(layer) not in BY_MODULE:
        raise InputError(f"layer {number}: {type(layer).__name__} is not supported (supported: {', '.join(BY_NAME)})")
    return BY_MODULE[type(layer)]
