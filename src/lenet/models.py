"""The LeNet family: a table of named shapes, and one function that makes a plain nn.Sequential of any of them.

Every model takes raw pixels, uint8 [B, H, W, C] of its input size, and gives logits [B, classes].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from lenet.errors import InputError, did_you_mean

_LEAST_DEVIATION = 1 / 255  # a constant channel must not be divided by nought


@dataclass(frozen=True)
class Shape:
    """A LeNet's shape: two convolutions, each with an activation and 2x2 pooling, then two linear layers and the head.

    maps: output channels of the two convolutions; fc: widths of the two linear layers
    batch_norm: nowhere, after the first linear layer ("first-fc"), or after both convolutions and both linear layers
    dropout: between 0 and 1, after each linear layer's activation
    origin: where it comes from, and what of it is our own choice
    """

    maps: tuple[int, int] = (6, 16)
    fc: tuple[int, int] = (120, 84)
    kernel: int = 5
    activation: Literal["relu", "tanh"] = "relu"
    pool: Literal["max", "average"] = "max"
    batch_norm: Literal["none", "first-fc", "all"] = "none"
    dropout: float = 0.0
    origin: str = ""


SHAPES: dict[str, Shape] = {
    "lenet5": Shape(
        activation="tanh",
        pool="average",
        origin="LeCun et al. 1998; the CIFAR-100 study's vanilla. "
        "Our choice: plain averages, full connections, a linear head.",
    ),
    "lenet-dropout": Shape(
        pool="average",
        dropout=0.2,
        origin="The CIFAR-10 study's. Our choice: LeNet-5's widths, ReLU after convolutions too, dropout of 0.2.",
    ),
    "lenet5-tuned": Shape(
        fc=(64, 128),
        batch_norm="first-fc",
        origin="The CIFAR-100 study's tuned network. Our choice: batch norm before the activation.",
    ),
    "lenet5-modern": Shape(
        batch_norm="all",
        origin="Ours, and the default: LeNet-5's widths with ReLU, max pooling and batch norm throughout.",
    ),
}


class Normalize(nn.Module):
    """First layer of every model: uint8 [B, H, W, C] to float [B, C, H, W], (pixel / 255 - mean) / deviation.

    mean, std: one value a channel, of pixels scaled to 0..1; a deviation is taken as at least 1/255.
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


def shape_named(name: str, **changes: Any) -> Shape:
    """The shape of that name with some of its fields changed; None leaves a field as it is. Raises InputError."""
    if name not in SHAPES:
        raise InputError(f"no model '{name}'{did_you_mean(name, SHAPES)}", options=["model"])
    return replace(SHAPES[name], **{field: value for field, value in changes.items() if value is not None})


def lenet(
    shape: Shape,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
) -> nn.Sequential:
    """A network of this shape with PyTorch's default initialisation, drawn from torch's generator.

    input_shape: (height, width, channels), 16 pixels or more a side
    mean, std: one value for each input channel (or one for all), of pixels scaled to 0..1
    """
    height, width, channels = input_shape
    mean, std = (list(values) * channels if len(values) == 1 else values for values in (mean, std))
    activation = nn.ReLU if shape.activation == "relu" else nn.Tanh
    pool = nn.MaxPool2d if shape.pool == "max" else nn.AvgPool2d

    layers: list[nn.Module] = [Normalize(mean, std)]
    for inputs, outputs in zip((channels, shape.maps[0]), shape.maps, strict=True):
        layers.append(nn.Conv2d(inputs, outputs, shape.kernel))
        if shape.batch_norm == "all":
            layers.append(nn.BatchNorm2d(outputs))
        layers += [activation(), pool(2)]
        height, width = ((side - shape.kernel + 1) // 2 for side in (height, width))
    if height < 1 or width < 1:
        raise InputError(f"an input of {input_shape[0]}x{input_shape[1]} pixels is too small for this LeNet")

    layers.append(nn.Flatten())
    features = shape.maps[1] * height * width
    for number, (inputs, outputs) in enumerate(zip((features, shape.fc[0]), shape.fc, strict=True)):
        layers.append(nn.Linear(inputs, outputs))
        if shape.batch_norm == "all" or (shape.batch_norm == "first-fc" and number == 0):
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(activation())
        if shape.dropout:
            layers.append(nn.Dropout(shape.dropout))
    layers.append(nn.Linear(shape.fc[1], classes))
    return nn.Sequential(*layers)


def fitted(
    model: nn.Sequential, input_shape: tuple[int, int, int], classes: int, mean: Sequence[float], std: Sequence[float]
) -> nn.Sequential:
    """A network of the user's own, with Normalize put before it unless it starts with one.

    Raises InputError where it has a layer lenet does not know, does not take such images, or gives other logits.
    """
    if not isinstance(model, nn.Sequential):
        raise InputError(f"a model must be a name or an nn.Sequential, not a {type(model).__name__}")
    if not len(model):
        raise InputError("the model has no layers")
    whole = model if isinstance(model[0], Normalize) else nn.Sequential(Normalize(mean, std), *model)
    describe(whole)
    tensors = [tensor for layer in whole for tensor in layer.state_dict(keep_vars=True).values()]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        raise InputError("two layers of the model share their weights, which lenet cannot keep: give each its own")
    try:
        with torch.inference_mode():
            logits = whole.eval()(torch.zeros(2, *input_shape, dtype=torch.uint8))
    except (RuntimeError, ValueError, IndexError) as error:  # PyTorch's layers raise all three
        height, width, channels = input_shape
        raise InputError(
            f"the model does not take images of {height}x{width} pixels and {channels} channel(s): "
            f"{str(error).splitlines()[0]}"
        ) from None
    if logits.shape != (2, classes):
        raise InputError(f"the model gives {tuple(logits.shape)[1:]} logits, but the data has {classes} classes")
    return whole


# A layer of a checkpoint is its kind and these arguments; nothing else of it shapes what it computes.
_ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    ),
    nn.BatchNorm2d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.BatchNorm1d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.ReLU: (),
    nn.Tanh: (),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.Linear: ("in_features", "out_features"),
    nn.Dropout: ("p",),
}
_WITH_BIAS = (nn.Conv2d, nn.Linear)
_KINDS: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (*_ARGUMENTS, Normalize)}


def describe(model: nn.Sequential) -> list[dict[str, Any]]:
    """The list of layers in plain values, of which `build` makes the same network. Raises InputError on others."""
    return [_described(number, layer) for number, layer in enumerate(model)]


def build(layers: list[dict[str, Any]]) -> nn.Sequential:
    """The network that `describe` described, with fresh weights. Raises InputError on a list that isn't one."""
    model = nn.Sequential()
    for number, description in enumerate(layers):
        arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in description.items()}
        kind = arguments.pop("kind", None)
        if kind not in _KINDS:
            raise InputError(f"layer {number} is of an unknown kind {kind!r}; known: {', '.join(_KINDS)}")
        try:
            model.append(_KINDS[kind](**arguments))
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"layer {number} ({kind}) cannot be made of {arguments}: {error}") from None
    return model


def _described(number: int, layer: nn.Module) -> dict[str, Any]:
    if isinstance(layer, Normalize):
        return {"kind": "Normalize", "mean": layer.mean.tolist(), "std": layer.std.tolist()}
    if type(layer) not in _ARGUMENTS:
        known = ", ".join(_KINDS)
        raise InputError(f"layer {number} is a {type(layer).__name__}, which lenet cannot keep; it knows {known}")
    described = {"kind": type(layer).__name__} | {name: getattr(layer, name) for name in _ARGUMENTS[type(layer)]}
    if isinstance(layer, _WITH_BIAS):
        described["bias"] = layer.bias is not None
    return described


@dataclass(frozen=True)
class Layer:
    """One layer at work on one image: its kind, its output's shape, its parameters and its multiply-adds."""

    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers_of(model: nn.Sequential, input_shape: tuple[int, int, int]) -> list[Layer]:
    """What each layer gives and costs for one image of (height, width, channels)."""
    rows = []
    was_training = model.training
    x = torch.zeros(1, *input_shape, dtype=torch.uint8)
    with torch.inference_mode():
        for layer in model.eval():
            x = layer(x)
            weights = layer.weight.numel() if isinstance(layer, _WITH_BIAS) else 0
            positions = x[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
            parameters = sum(p.numel() for p in layer.parameters())
            rows.append(Layer(type(layer).__name__, tuple(x.shape[1:]), parameters, weights * positions))
    model.train(was_training)
    return rows


def parameter_count(model: nn.Module) -> int:
    """How many values of the model learn."""
    return sum(p.numel() for p in model.parameters())


def has_batch_norm(model: nn.Sequential) -> bool:
    """Whether a batch of a single image may be too small to train on."""
    return any(isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) for layer in model)
