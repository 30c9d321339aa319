"""The layer table: one entry for each kind of layer, with everything that lenet knows about it.

Checkpoints, shape checks and costs (network.py) and the native engine read this table. docs/engine.md describes how to
add a layer.

Shapes are those of one image: (channels, height, width) before Flatten, (features,) after it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

import torch
from torch import nn

from lenet.errors import InputError, counted
from lenet.models.arguments import Check, flag, must_be_true, number, one_of, optional, pair, per_channel, whole

Shape = tuple[int, ...]

_LEAST_DEVIATION = 1 / 255  # avoids division by zero for a constant channel


class Normalize(nn.Module):
    """First layer of every model: uint8 [B, H, W, C] to float [B, C, H, W] by (pixel / 255 - mean) / std.

    mean, std: one value per channel, of pixels scaled to 0..1; a std below 1/255 is raised to it.
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

    module: PyTorch class
    output: (layer, input shape) -> output shape; raises ValueError if the layer does not accept the input
    arguments: constructor arguments that a checkpoint stores, by name, each with its check
    tensors: layer -> shapes of its parameters and buffers by name, as its arguments imply them
    dense: whether its weight is applied at every position of the output, which gives its multiply-adds
    native: name in the native engine; None if that has no such layer
    uncovered: (layer, whether its input is flattened) -> why the native engine does not support it, or None
    fields: layer -> the numbers that the native engine takes
    statistics: names of the buffers that the native engine takes as mean, variance and number of batches
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
        """The name in checkpoints and messages."""
        return self.module.__name__


# Output shapes.


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def padding_of(layer: nn.Conv2d) -> tuple[int, int]:
    """(rows, columns) of zeros that a convolution adds on each side; "same" and "valid" are resolved."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":  # stride 1 only, as PyTorch demands
        return layer.dilation[0] * (layer.kernel_size[0] - 1) // 2, layer.dilation[1] * (layer.kernel_size[1] - 1) // 2
    assert not isinstance(layer.padding, str)
    return layer.padding[0], layer.padding[1]


def _takes(what: str, expected: int, found: int) -> None:
    if expected != found:
        raise ValueError(f"expects {counted(expected, what)}, but its input has {found}")


def _maps(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"expects maps, but its input has {counted(prod(shape), 'feature')}: put it before Flatten")
    channels, height, width = shape
    return channels, height, width


def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, *, up: bool = False) -> int:
    """Number of windows along one side; `up` counts a last partial one, like ceil_mode. Raises ValueError if 0."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (ceil(room / stride) if up else room // stride) + 1
    if up and (count - 1) * stride >= size + padding:
        count -= 1  # as in PyTorch, a window must start inside the image or its left padding
    if count < 1:
        raise ValueError(f"has no output for an input of {size} pixels per side: use larger images")
    return count


def _normalized(layer: Normalize, shape: Shape) -> Shape:
    channels, height, width = _maps(shape)
    _takes("channel", len(layer.mean), channels)
    return channels, height, width


def _convolved(layer: nn.Conv2d, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    _takes("channel", layer.in_channels, channels)
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
    _takes("channel", layer.num_features, _maps(shape)[0])
    return shape


def _normalized_features(layer: nn.BatchNorm1d, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError("expects features, but its input has maps: put it after Flatten")
    _takes("feature", layer.num_features, shape[0])
    return shape


def _flattened(layer: nn.Flatten, shape: Shape) -> Shape:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise ValueError("must have start_dim=1 and end_dim=-1")
    return (prod(shape),)


def _multiplied(layer: nn.Linear, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError(
            f"expects {counted(layer.in_features, 'feature')}, but its input has maps: put a Flatten before it"
        )
    _takes("feature", layer.in_features, shape[0])
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


# What the native engine does not support.


def _only_maps(layer: Any, flat: bool) -> str | None:
    return "comes after Flatten" if flat else None


def _conv_uncovered(layer: nn.Conv2d, flat: bool) -> str | None:
    if layer.kernel_size not in ((3, 3), (5, 5)):
        return f"has kernel size {layer.kernel_size} (supported: 3x3 and 5x5)"
    if layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1:
        return "has a stride, dilation or groups other than 1"
    if layer.padding_mode != "zeros":
        return f"has padding mode '{layer.padding_mode}' (supported: 'zeros')"
    return _only_maps(layer, flat)


def _pool_uncovered(layer: Any, flat: bool) -> str | None:
    plain = {_both(layer.kernel_size), _both(layer.stride)} == {(2, 2)} and _both(layer.padding) == (0, 0)
    if not plain or layer.ceil_mode or _both(getattr(layer, "dilation", 1)) != (1, 1):
        return "is not 2x2 pooling with stride 2 and no padding"
    for option in ("return_indices", "divisor_override"):
        if getattr(layer, option, None):
            return f"has {option}"
    return _only_maps(layer, flat)


def _norm_uncovered(layer: Any, flat: bool) -> str | None:
    if not layer.affine:
        return "has affine=False"
    if flat != isinstance(layer, nn.BatchNorm1d):
        return "comes after Flatten" if flat else "needs a Flatten before it"
    return None


_BATCH_NORM = {
    "num_features": whole(1),
    "eps": number(1e-12, 1),
    "momentum": number(0, 1),
    "affine": flag,
    "track_running_stats": must_be_true("must be true (or a prediction would depend on other images in its batch)"),
}
_POOL = {"kernel_size": pair(1), "stride": pair(1), "padding": pair(0)}
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
        arguments={**_POOL, "dilation": pair(1), "ceil_mode": flag},
        native="max_pool",
        uncovered=_pool_uncovered,
    ),
    Kind(
        nn.AvgPool2d,
        output=_pooled,
        arguments={
            **_POOL,
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
            "has an output size other than 1" if _both(layer.output_size) != (1, 1) else _only_maps(layer, flat)
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
        uncovered=lambda layer, flat: None if layer.p < 1 else "has p=1",
        fields=lambda layer: {"p": layer.p},
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
BY_MODULE = {kind.module: kind for kind in KINDS}
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.LeakyReLU, nn.GELU)


def kind_of(layer: nn.Module, number: int) -> Kind:
    """The table's entry for a layer. Raises InputError, with the layer's number, if there is none."""
    if type(layer) not in BY_MODULE:
        raise InputError(f"layer {number}: {type(layer).__name__} is not supported (supported: {', '.join(BY_NAME)})")
    return BY_MODULE[type(layer)]
