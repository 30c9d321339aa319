"""The layer table: one entry for each kind of layer, with everything that lenet knows about it.

Checkpoints, shape checks and costs (network.py) and the native engine read this table. docs/engine.md describes how to
add a layer. Its functions read a layer's attributes, which are PyTorch's, of a module as well as of a `Layer`; nothing
here loads PyTorch, so that a prediction need not wait for it.

Shapes are those of one image: (channels, height, width) before Flatten, (features,) after it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lenet.errors import InputError
from lenet.layers import coverage, outputs
from lenet.layers.arguments import Check, flag, must_be_true, number, one_of, optional, pair, per_channel, whole
from lenet.layers.outputs import Shape, padding_of, pair_of


@dataclass(frozen=True)
class Kind:
    """What lenet knows about one kind of layer.

    name: that of the PyTorch class, in checkpoints and messages
    output: (layer, input shape, output shape of each branch) -> output shape; raises ValueError if the layer does not
        accept the input
    arguments: constructor arguments that a checkpoint stores, by name, each with its check
    together: arguments -> None; raises ValueError if they contradict each other
    tensors: layer -> shapes of its parameters and buffers by name, as its arguments imply them
    branches: names of its branches, which are sequences of layers that all take this layer's input; a checkpoint stores
        them as lists of layers, beside the arguments
    in_branch: whether a branch may hold it: it takes maps and returns maps
    dense: whether its weight is applied at every position of the output, which gives its multiply-adds
    native: name in the native engine; None if that has no such layer
    uncovered: (layer, whether its input is flattened) -> why the native engine does not support it, or None
    fields: layer -> the numbers that the native engine takes
    statistics: names of the buffers that the native engine takes as mean, variance and number of batches
    """

    name: str
    output: Callable[..., Shape] = lambda layer, shape: shape
    arguments: Mapping[str, Check] = field(default_factory=dict)
    together: Callable[[Mapping[str, Any]], None] = lambda arguments: None
    tensors: Callable[[Any], dict[str, Shape]] = lambda layer: {}
    branches: tuple[str, ...] = ()
    in_branch: bool = True
    dense: bool = False
    native: str | None = None
    uncovered: Callable[[Any, bool], str | None] = lambda layer, flat: None
    fields: Callable[[Any], dict[str, Any]] = lambda layer: {}
    statistics: tuple[str, ...] = ()


class Layer:
    """A layer without PyTorch: its kind's arguments, branches and tensors are its attributes.

    Tensors are NumPy arrays, branches tuples of Layer. Without a bias, `bias` is None, as in PyTorch.

    arguments: the kind's arguments and branches, by name
    """

    def __init__(self, kind: Kind, arguments: Mapping[str, Any]) -> None:
        self.kind = kind
        self.arguments = dict(arguments)
        vars(self).update(arguments)
        if "bias" in arguments and not arguments["bias"]:
            self.bias = None

    def without_tensors(self) -> "Layer":
        """Another layer with the same arguments, and such layers in its branches."""
        branches = {name: tuple(one.without_tensors() for one in getattr(self, name)) for name in self.kind.branches}
        return Layer(self.kind, self.arguments | branches)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


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
    if arguments["padding"] == "same" and pair_of(arguments["stride"]) != (1, 1):
        raise ValueError("padding='same' is not supported for strided convolutions")


# Numbers that the native engine takes.


def _window(layer: Any) -> dict[str, int]:
    (stride_y, stride_x), (pad_y, pad_x) = pair_of(layer.stride), padding_of(layer)
    kernel = pair_of(layer.kernel_size)[0]
    return {"kernel": kernel, "stride_y": stride_y, "stride_x": stride_x, "pad_y": pad_y, "pad_x": pad_x}


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
        output=outputs.normalized,
        arguments={"mean": per_channel, "std": per_channel},
        tensors=lambda layer: dict.fromkeys(("mean", "std"), (len(layer.mean),)),
        in_branch=False,
        native="normalize",
        statistics=("mean", "std"),
    ),
    Kind(
        "Conv2d",
        output=outputs.convolved,
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
            lambda layer: (layer.out_channels, layer.in_channels // layer.groups, *pair_of(layer.kernel_size))
        ),
        dense=True,
        native="conv",
        uncovered=coverage.conv,
        fields=lambda layer: {
            "inputs": layer.in_channels,
            "outputs": layer.out_channels,
            "groups": layer.groups,
            **_window(layer),
        },
    ),
    *(
        Kind(
            name,
            output=output,
            arguments=_BATCH_NORM,
            tensors=_running,
            in_branch=not flattened,
            native="batch_norm",
            uncovered=coverage.norm(flattened),
            fields=lambda layer: {
                "inputs": layer.num_features,
                "outputs": layer.num_features,
                "eps": layer.eps,
                "momentum": layer.momentum,
            },
            statistics=_NORM_STATISTICS,
        )
        for name, output, flattened in (
            ("BatchNorm2d", outputs.normalized_maps, False),
            ("BatchNorm1d", outputs.normalized_features, True),
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
        output=outputs.pooled,
        arguments={**_POOL, "dilation": pair(1), "ceil_mode": flag},
        native="max_pool",
        uncovered=coverage.pool,
        fields=_window,
    ),
    Kind(
        "AvgPool2d",
        output=outputs.pooled,
        arguments={
            **_POOL,
            "ceil_mode": flag,
            "count_include_pad": flag,
            "divisor_override": optional(whole(1)),
        },
        native="average_pool",
        uncovered=coverage.pool,
        fields=_window,
    ),
    Kind(
        "AdaptiveAvgPool2d",
        output=outputs.pooled_to,
        arguments={"output_size": pair(1)},
        native="global_average_pool",
        uncovered=lambda layer, flat: (
            "has an output size other than 1"
            if pair_of(layer.output_size) != (1, 1)
            else coverage.only_maps(layer, flat)
        ),
    ),
    Kind(
        "Flatten",
        output=outputs.flattened,
        arguments={"start_dim": whole(0, 4), "end_dim": whole(-4, 4)},
        in_branch=False,
        native="flatten",
    ),
    Kind(
        "Linear",
        output=outputs.multiplied,
        arguments={"in_features": whole(1), "out_features": whole(1), "bias": flag},
        tensors=_weighted(lambda layer: (layer.out_features, layer.in_features)),
        in_branch=False,
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
    Kind(
        "Residual",
        output=outputs.added,
        branches=("body", "shortcut"),
        in_branch=False,
        native="add",
        uncovered=coverage.only_maps,
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
ACTIVATIONS = ("ReLU", "Tanh", "LeakyReLU", "GELU")
_HOMES = ("torch.nn.modules.", "lenet.models.")  # a class of the same name elsewhere may compute something else


def where(name: int | str) -> str:
    """The place of a layer in messages, by its name in a state dict: "layer 3, body 0" for "3.body.0"."""
    number, *inside = str(name).split(".")
    return " ".join([f"layer {number}{',' * bool(inside)}", *inside])


def kind_of(layer: Any, name: int | str) -> Kind:
    """The table's entry for a module or `Layer`, which a state dict names so: 3, "3.body.0".

    Raises InputError, with its place, if there is none, and for a layer that cannot be in a branch.
    """
    if isinstance(layer, Layer):
        return layer.kind
    found, home = type(layer).__name__, type(layer).__module__
    return kind_named(found if home.startswith(_HOMES) else None, name, found)


def kind_named(kind: Any, name: int | str, shown: str) -> Kind:
    """The table's entry with the name `kind`, which may be any value, for a layer that a state dict names `name`.

    Raises InputError, in which `shown` stands for the kind, as `kind_of` does.
    """
    inside = "." in str(name)
    supported = {each.name: each for each in KINDS if each.in_branch or not inside}
    if isinstance(kind, str) and kind in supported:
        return supported[kind]
    cannot = isinstance(kind, str) and kind in BY_NAME
    what, there = ("cannot be in a branch", " there") if cannot else ("is not supported", " there" * inside)
    raise InputError(f"{where(name)}: {shown} {what} (supported{there}: {', '.join(supported)})")
