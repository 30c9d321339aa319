"""The named networks: a table of their shapes, and the nn.Sequential of any of them or of the user.

A model takes raw pixels, uint8 [B, H, W, C] of its input size, and returns logits [B, classes].
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lenet.errors import InputError, counted, did_you_mean
from lenet.layers.network import describe, trace
from lenet.layers.table import kind_of
from lenet.models.deep import Deep
from lenet.models.lenet import LeNet
from lenet.models.modules import Normalize

Shape = LeNet | Deep

SHAPES: dict[str, Shape] = {
    "lenet5": LeNet(
        activation="tanh",
        pool="average",
        origin="LeCun et al. 1998; the vanilla network of the CIFAR-100 study. "
        "Added by lenet: averages without weights, full connections, a linear last layer.",
    ),
    "lenet-dropout": LeNet(
        pool="average",
        dropout=0.2,
        origin="The CIFAR-10 study. Added by lenet: LeNet-5's widths, ReLU after convolutions too, dropout 0.2.",
    ),
    "lenet5-tuned": LeNet(
        fc=(64, 128),
        batch_norm="first-fc",
        origin="The tuned network of the CIFAR-100 study. Added by lenet: batch norm before the activation.",
    ),
    "lenet5-modern": LeNet(
        batch_norm="all",
        origin="The default: LeNet-5's widths with ReLU, max pooling and batch norm after every layer.",
    ),
    "lenet-62k": LeNet(
        maps=(31, 63),
        fc=(),
        padding=2,
        pool="max-average",
        pool_sizes=(2, 4),
        batch_norm="all",
        norm="after-pool",
        origin="LeNet-5's number of parameters (on CIFAR-10), most of them in the convolutions. By lenet.",
    ),
    "small-vgg": Deep(
        maps=(16, 32, 56),
        stage="plain",
        origin="LeNet-5's number of parameters (on CIFAR-10) in six convolutions, in the manner of VGG. By lenet.",
    ),
}


def shape_named(name: str, **changes: Any) -> Shape:
    """The named shape with the fields of `changes`; None keeps a field.

    Raises InputError for an unknown name, and for a field or a number of maps that the shape does not have.
    """
    if name not in SHAPES:
        raise InputError(f"no model '{name}'{did_you_mean(name, SHAPES)}", options=["model"])
    shape = SHAPES[name]
    given = {field: value for field, value in changes.items() if value is not None}
    for field in given:
        if not hasattr(shape, field):
            known = " and ".join(known for known in changes if hasattr(shape, known))
            option = field.replace("_", "-")
            raise InputError(f"{option} does not change {name}, which takes {known}: leave it out, or use a LeNet",
                             options=["model", field])  # fmt: skip
    if len(maps := given.get("maps", shape.maps)) != len(shape.maps):
        example = " ".join(map(str, shape.maps))
        raise InputError(f"maps takes {counted(len(shape.maps), 'number')} for {name}, such as {example}, not "
                         f"{len(maps)}", options=["model", "maps"])  # fmt: skip
    return replace(shape, **given)


def network_of(
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
    channels = input_shape[2]
    mean, std = (list(values) * channels if len(values) == 1 else values for values in (mean, std))
    return nn.Sequential(Normalize(mean, std), *shape.layers(input_shape, classes))


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
