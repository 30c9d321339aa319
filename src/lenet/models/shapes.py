"""The LeNet family: a table of named shapes, and a function that builds an nn.Sequential for any of them.

A model takes raw pixels, uint8 [B, H, W, C] of its input size, and returns logits [B, classes].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from lenet.errors import InputError, did_you_mean
from lenet.layers.network import describe, trace
from lenet.layers.table import kind_of
from lenet.models.modules import Normalize


@dataclass(frozen=True)
class Shape:
    """A LeNet: two convolutions, each with an activation and pooling, up to two hidden linear layers, a last one.

    maps: output channels of the two convolutions
    fc: widths of the hidden linear layers
    kernel, padding: of both convolutions, in pixels
    pool: of windows of 2x2 values, repeated up to the window of pool_sizes; "max-average": the maximum, then means
    pool_sizes: side of the pooling window after each convolution: 2, 4 or 8
    batch_norm: none, after the first linear layer ("first-fc"), or after both convolutions and hidden linear layers
    norm: place of a convolution's batch norm. After the pool the convolution's gradient is zero except where a pool had
        its maximum, which makes the backward pass faster.
    dropout: probability, 0 to less than 1, after the activation of each hidden linear layer
    origin: its source, and what lenet adds to it
    """

    maps: tuple[int, int] = (6, 16)
    fc: tuple[int, ...] = (120, 84)
    kernel: int = 5
    padding: int = 0
    activation: Literal["relu", "tanh"] = "relu"
    pool: Literal["max", "average", "max-average"] = "max"
    pool_sizes: tuple[int, int] = (2, 2)
    batch_norm: Literal["none", "first-fc", "all"] = "none"
    norm: Literal["before-pool", "after-pool"] = "before-pool"
    dropout: float = 0.0
    origin: str = ""

    def described(self) -> str:
        """Its layers on one line."""
        maps, fc = (" and ".join(map(str, widths)) or "none" for widths in (self.maps, self.fc))
        padding = f" padded by {self.padding}" if self.padding else ""
        place = f" {self.norm.replace('-', ' ')}" if self.batch_norm == "all" else ""
        pool = f"{self.pool} pool" + ("" if self.pool_sizes == (2, 2) else " of {} and {}".format(*self.pool_sizes))
        return (
            f"maps {maps} of {self.kernel}x{self.kernel}{padding}, {self.activation}, {pool}, fc {fc}, "
            f"batch norm: {self.batch_norm}{place}, dropout {self.dropout:g}"
        )


SHAPES: dict[str, Shape] = {
    "lenet5": Shape(
        activation="tanh",
        pool="average",
        origin="LeCun et al. 1998; the vanilla network of the CIFAR-100 study. "
        "Added by lenet: averages without weights, full connections, a linear last layer.",
    ),
    "lenet-dropout": Shape(
        pool="average",
        dropout=0.2,
        origin="The CIFAR-10 study. Added by lenet: LeNet-5's widths, ReLU after convolutions too, dropout 0.2.",
    ),
    "lenet5-tuned": Shape(
        fc=(64, 128),
        batch_norm="first-fc",
        origin="The tuned network of the CIFAR-100 study. Added by lenet: batch norm before the activation.",
    ),
    "lenet5-modern": Shape(
        batch_norm="all",
        origin="The default: LeNet-5's widths with ReLU, max pooling and batch norm after every layer.",
    ),
    "lenet-62k": Shape(
        maps=(31, 63),
        fc=(),
        padding=2,
        pool="max-average",
        pool_sizes=(2, 4),
        batch_norm="all",
        norm="after-pool",
        origin="LeNet-5's number of parameters (on CIFAR-10), most of them in the convolutions. By lenet.",
    ),
}


def shape_named(name: str, **changes: Any) -> Shape:
    """The named shape with the fields of `changes`; None keeps a field. Raises InputError for an unknown name."""
    if name not in SHAPES:
        raise InputError(f"no model '{name}'{did_you_mean(name, SHAPES)}", options=["model"])
    return replace(SHAPES[name], **{field: value for field, value in changes.items() if value is not None})


# Number of 2x2 poolings after the first that make one of each size: a maximum of maxima is the maximum, and so with
# means. The native engine computes a convolution and its 2x2 pooling as one layer.
_FURTHER_POOLS = {2: 0, 4: 1, 8: 2}


def lenet(
    shape: Shape,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
) -> nn.Sequential:
    """A network of this shape, initialized as PyTorch does by default, from torch's global generator.

    input_shape: (height, width, channels), at least 16 x 16 pixels
    mean, std: one value per input channel or one for all, of pixels scaled to 0..1

    Raises InputError for images that are too small, and for an option that would change nothing in this shape.
    """
    _check_effects(shape)
    height, width, channels = input_shape
    mean, std = (list(values) * channels if len(values) == 1 else values for values in (mean, std))
    activation = nn.ReLU if shape.activation == "relu" else nn.Tanh
    pool = nn.AvgPool2d if shape.pool == "average" else nn.MaxPool2d
    further = nn.MaxPool2d if shape.pool == "max" else nn.AvgPool2d

    layers: list[nn.Module] = [Normalize(mean, std)]
    for inputs, outputs, size in zip((channels, shape.maps[0]), shape.maps, shape.pool_sizes, strict=True):
        layers.append(nn.Conv2d(inputs, outputs, shape.kernel, padding=shape.padding))
        norm: list[nn.Module] = [nn.BatchNorm2d(outputs)] if shape.batch_norm == "all" else []
        pooled: list[nn.Module] = [activation(), pool(2), *[further(2) for _ in range(_FURTHER_POOLS[size])]]
        layers += norm + pooled if shape.norm == "before-pool" else pooled + norm
        height, width = ((side + 2 * shape.padding - shape.kernel + 1) // size for side in (height, width))
    if height < 1 or width < 1:
        raise InputError(
            f"images of {input_shape[0]}x{input_shape[1]} pixels are too small for this LeNet; use 16x16 or more"
            + ("" if shape.pool_sizes == (2, 2) else ", or smaller pool-sizes")
        )

    layers.append(nn.Flatten())
    inputs = shape.maps[1] * height * width
    for number, outputs in enumerate(shape.fc):
        layers.append(nn.Linear(inputs, outputs))
        if shape.batch_norm == "all" or (shape.batch_norm == "first-fc" and number == 0):
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(activation())
        if shape.dropout:
            layers.append(nn.Dropout(shape.dropout))
        inputs = outputs
    layers.append(nn.Linear(inputs, classes))
    return nn.Sequential(*layers)


def _check_effects(shape: Shape) -> None:
    """Raises InputError for a pool size that is not supported, and for an option of layers that the shape lacks."""
    for size in shape.pool_sizes:
        if size not in _FURTHER_POOLS:
            raise InputError(f"pool-sizes must be 2, 4 or 8, not {size}", options=["pool_sizes"])
    if shape.pool == "max-average" and max(shape.pool_sizes) == 2:
        raise InputError("pool max-average averages maxima of 2x2 values: give pool-sizes above 2, such as 2 4",
                         options=["pool", "pool_sizes"])  # fmt: skip
    if not shape.fc and shape.batch_norm == "first-fc":
        raise InputError("batch-norm first-fc needs a hidden linear layer: give fc a width, or use another batch-norm",
                         options=["batch_norm", "fc"])  # fmt: skip
    if not shape.fc and shape.dropout:
        raise InputError("dropout comes after hidden linear layers: give fc a width, or set dropout to 0",
                         options=["dropout", "fc"])  # fmt: skip
    if shape.norm == "after-pool" and shape.batch_norm != "all":
        raise InputError(f"norm after-pool changes nothing with batch-norm {shape.batch_norm}: use batch-norm all, or "
                         "leave norm out", options=["norm", "batch_norm"])  # fmt: skip


def fitted(
    model: nn.Sequential, input_shape: tuple[int, int, int], classes: int, mean: Sequence[float], std: Sequence[float]
) -> nn.Sequential:
    """The user's network with Normalize(mean, std) in front, unless it starts with Normalize.

    input_shape: (height, width, channels) of the images
    mean, std: one value per channel, of pixels scaled to 0..1

    Raises InputError if it has a layer or state that lenet does not support, does not accept such images, or does not
    return one logit per class.
    """
    if not isinstance(model, nn.Sequential):
        raise InputError(f"a model must be a name or an nn.Sequential, not a {type(model).__name__}")
    if type(model).forward is not nn.Sequential.forward:
        raise InputError(
            f"{type(model).__name__} has its own forward method, which a checkpoint cannot keep: use nn.Sequential"
        )
    if not len(model):
        raise InputError("the model has no layers")
    whole = model if isinstance(model[0], Normalize) else nn.Sequential(Normalize(mean, std), *model)
    describe(whole)
    _check_plain(whole)
    tensors = [tensor for layer in whole for tensor in layer.state_dict(keep_vars=True).values()]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        raise InputError("two layers of the model share weights, which a checkpoint cannot keep: give each its own")
    try:
        output = trace(whole, input_shape)[-1].output
    except InputError as error:
        height, width, channels = input_shape
        raise InputError(
            f"the model does not accept images of {height}x{width} pixels with {channels} channel(s): {error}"
        ) from None
    if output != (classes,):
        raise InputError(f"the model returns logits of shape {output}, but the data has {classes} classes",
                         options=["data", "classes"])  # fmt: skip
    return whole


def _check_plain(model: nn.Sequential) -> None:
    """Raises InputError for what a checkpoint would lose or the engines would treat differently."""
    for number, layer in enumerate(model):
        where = f"layer {number} ({type(layer).__name__})"
        if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:
            raise InputError(f"{where} has hooks, which a checkpoint cannot keep: remove them")
        stray = set(layer.state_dict()) - set(kind_of(layer, number).tensors(layer))
        if stray:
            raise InputError(f"{where} has an extra tensor '{min(stray)}', which a checkpoint cannot keep: remove it")
        for name, parameter in layer.named_parameters():
            if parameter.is_meta:
                raise InputError(f"{where}: {name} is on the meta device and has no values; make the layer on the CPU")
            if not parameter.requires_grad:
                raise InputError(f"{where}: {name} has requires_grad=False; use the option freeze to freeze layers")
            if parameter.dtype != torch.float32:
                raise InputError(f"{where}: {name} is {parameter.dtype}; lenet trains float32: call .float() first")
