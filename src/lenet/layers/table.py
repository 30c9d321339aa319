"""The layer table: one entry for each kind of layer, with everything that lenet knows about it.

Checkpoints, shape checks and costs (network.py) and the native engine read this table. docs/engine.md describes how to
add a layer. Its functions read a layer's attributes, which are PyTorch's, of a module as well as of a `Layer`; nothing
here loads PyTorch, so that a prediction need not wait for it.

Shapes are those of one image: (channels, height, width) before Flatten, (features,) after it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, prod
from typing import TYPE_CHECKING, Any

from lenet.errors import InputError, counted
from lenet.layers.arguments import Check, flag, must_be_true, number, one_of, optional, pair, per_channel, whole

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """What lenet knows about one kind of layer.

    name: that of the PyTorch class, in checkpoints and messages
    output: (layer, input shape) -> output shape; raises ValueError if the layer does not accept the input
    arguments: constructor arguments that a checkpoint stores, by name, each with its check
    together: arguments -> None; raises ValueError if they contradict each other
    tensors: layer -> shapes of its parameters and buffers by name, as its arguments imply them
    dense: whether its weight is applied at every position of the output, which gives its multiply-adds
    native: name in the native engine; None if that has no such layer
    uncovered: (layer, whether its input is flattened) -> why the native engine does not support it, or None
    fields: layer -> the numbers that the native engine takes
    statistics: names of the buffers that the native engine takes as mean, variance and number of batches
    """

    name: str
    output: Callable[[Any, Shape], Shape] = lambda layer, shape: shape
    arguments: Mapping[str, Check] = field(default_factory=dict)
    together: Callable[[Mapping[str, Any]], None] = lambda arguments: None
    tensors: Callable[[Any], dict[str, Shape]] = lambda layer: {}
    dense: bool = False
    native: str | None = None
    uncovered: Callable[[Any, bool], str | None] = lambda layer, flat: None
    fields: Callable[[Any], dict[str, Any]] = lambda layer: {}
    statistics: tuple[str, ...] = ()


class Layer:
    """A layer without PyTorch: its kind's arguments and tensors are its attributes, the tensors as NumPy arrays.

    Without a bias, `bias` is None, as in PyTorch.
    """

    def __init__(self, kind: Kind, arguments: Mapping[str, Any]) -> None:
        self.kind = kind
        self.arguments = dict(arguments)
        vars(self).update(arguments)
        if "bias" in arguments and not arguments["bias"]:
            self.bias = None

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


# Output shapes.


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def padding_of(layer: Any) -> tuple[int, int]:
    """(rows, columns) of zeros that a convolution adds on each side; "same" and "valid" are resolved."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":  # stride 1 only, as PyTorch demands
        (tall, wide), (down, right) = map(_both, (layer.kernel_size, layer.dilation))
        return down * (tall - 1) // 2, right * (wide - 1) // 2
    return _both(layer.padding)


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


def _normalized(layer: Any, shape: Shape) -> Shape:
    channels, height, width = _maps(shape)
    _takes("channel", len(layer.mean), channels)
    return channels, height, width


def _convolved(layer: Any, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    _takes("channel", layer.in_channels, channels)
    if layer.padding == "same":
        return layer.out_channels, *sides
    parts = (layer.kernel_size, layer.stride, padding_of(layer), layer.dilation)
    rest = zip(sides, *map(_both, parts), strict=True)
    return layer.out_channels, *(_windows(*one) for one in rest)


def _pooled(layer: Any, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    parts = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    rest = zip(sides, *map(_both, parts), strict=True)
    return channels, *(_windows(*one, up=layer.ceil_mode) for one in rest)


def _pooled_to(layer: Any, shape: Shape) -> Shape:
    channels, *sides = _maps(shape)
    wanted = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
    return channels, *(side if want is None else int(want) for want, side in zip(wanted, sides, strict=True))


def _normalized_maps(layer: Any, shape: Shape) -> Shape:
    _takes("channel", layer.num_features, _maps(shape)[0])
    return shape


def _normalized_features(layer: Any, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError("expects features, but its input has maps: put it after Flatten")
    _takes("feature", layer.num_features, shape[0])
    return shape


def _flattened(layer: Any, shape: Shape) -> Shape:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise ValueError("must have start_dim=1 and end_dim=-1")
    return (prod(shape),)


def _multiplied(layer: Any, shape: Shape) -> Shape:
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


# Arguments that contradict each other, in PyTorch's words.


def _conv_together(arguments: Mapping[str, Any]) -> None:
    for name in ("in_channels", "out_channels"):
        if arguments[name] % arguments["groups"]:
            raise ValueError(f"{name} must be divisible by groups")
    if arguments["padding"] == "same" and _both(arguments["stride"]) != (1, 1):
        raise ValueError("padding='same' is not supported for strided convolutions")


# What the native engine does not support.


def _only_maps(layer: Any, flat: bool) -> str | None:
    return "comes after Flatten" if flat else None


def _conv_uncovered(layer: Any, flat: bool) -> str | None:
    if (kernel := _both(layer.kernel_size)) not in ((1, 1), (3, 3), (5, 5)):
        return f"has kernel size {kernel} (supported: 1x1, 3x3 and 5x5)"
    if max(stride := _both(layer.stride)) > 2:
        return f"has stride {stride} (supported: 1 and 2)"
    if _both(layer.dilation) != (1, 1) or layer.groups != 1:
        return "has a dilation or groups other than 1"
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


def _norm_uncovered(flattened: bool) -> Callable[[Any, bool], str | None]:
    def uncovered(layer: Any, flat: bool) -> str | None:
        if not layer.affine:
            return "has affine=False"
        if flat != flattened:
            return "comes after Flatten" if flat else "needs a Flatten before it"
        return None

    return uncovered


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
        "Normalize",
        output=_normalized,
        arguments={"mean": per_channel, "std": per_channel},
        tensors=lambda layer: dict.fromkeys(("mean", "std"), (len(layer.mean),)),
        native="normalize",
        statistics=("mean", "std"),
    ),
    Kind(
        "Conv2d",
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
        together=_conv_together,
        tensors=_weighted(
            lambda layer: (layer.out_channels, layer.in_channels // layer.groups, *_both(layer.kernel_size))
        ),
        dense=True,
        native="conv",
        uncovered=_conv_uncovered,
        fields=lambda layer: {
            "inputs": layer.in_channels,
            "outputs": layer.out_channels,
            "kernel": _both(layer.kernel_size)[0],
            **dict(zip(("stride_y", "stride_x"), _both(layer.stride), strict=True)),
            **dict(zip(("pad_y", "pad_x"), padding_of(layer), strict=True)),
        },
    ),
    *(
        Kind(
            name,
            output=output,
            arguments=_BATCH_NORM,
            tensors=_running,
            native="batch_norm",
            uncovered=_norm_uncovered(flattened),
            fields=lambda layer: {
                "inputs": layer.num_features,
                "outputs": layer.num_features,
                "eps": layer.eps,
                "momentum": layer.momentum,
            },
            statistics=_NORM_STATISTICS,
        )
        for name, output, flattened in (
            ("BatchNorm2d", _normalized_maps, False),
            ("BatchNorm1d", _normalized_features, True),
        )
    ),
    Kind("ReLU", native="relu"),
    Kind("Tanh", native="tanh"),
    Kind(
        "LeakyReLU",
        arguments={"negative_slope": number(0, 1)},
        native="leaky_relu",
        fields=lambda layer: {"slope": layer.negative_slope},
    ),
    Kind("GELU", arguments={"approximate": one_of("none", "tanh")}),
    Kind(
        "MaxPool2d",
        output=_pooled,
        arguments={**_POOL, "dilation": pair(1), "ceil_mode": flag},
        native="max_pool",
        uncovered=_pool_uncovered,
    ),
    Kind(
        "AvgPool2d",
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
        "AdaptiveAvgPool2d",
        output=_pooled_to,
        arguments={"output_size": pair(1)},
        native="global_average_pool",
        uncovered=lambda layer, flat: (
            "has an output size other than 1" if _both(layer.output_size) != (1, 1) else _only_maps(layer, flat)
        ),
    ),
    Kind(
        "Flatten",
        output=_flattened,
        arguments={"start_dim": whole(0, 4), "end_dim": whole(-4, 4)},
        native="flatten",
    ),
    Kind(
        "Linear",
        output=_multiplied,
        arguments={"in_features": whole(1), "out_features": whole(1), "bias": flag},
        tensors=_weighted(lambda layer: (layer.out_features, layer.in_features)),
        dense=True,
        native="linear",
        uncovered=lambda layer, flat: None if flat else "needs a Flatten before it",
        fields=lambda layer: {"inputs": layer.in_features, "outputs": layer.out_features},
    ),
    Kind(
        "Dropout",
        arguments={"p": number(0, 0.999)},
        native="dropout",
        uncovered=lambda layer, flat: None if layer.p < 1 else "has p=1",
        fields=lambda layer: {"p": layer.p},
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
ACTIVATIONS = ("ReLU", "Tanh", "LeakyReLU", "GELU")
_HOMES = ("torch.nn.modules.", "lenet.models.")  # a class of the same name elsewhere may compute something else


def kind_of(layer: Any, number: int) -> Kind:
    """The table's entry for a module or `Layer`. Raises InputError, with the layer's number, if there is none."""
    if isinstance(layer, Layer):
        return layer.kind
    name, home = type(layer).__name__, type(layer).__module__
    if name not in BY_NAME or not home.startswith(_HOMES):
        raise InputError(f"layer {number}: {name} is not supported (supported: {', '.join(BY_NAME)})")
    return BY_NAME[name]
