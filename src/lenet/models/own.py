"""Networks of the user's own: whether they fit the data, and whether a checkpoint and both engines can keep them."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from lenet.errors import InputError
from lenet.layers.network import describe, every_layer, layer_costs
from lenet.layers.table import where
from lenet.models.modules import Normalize, Residual


def fitted(
    model: nn.Sequential, input_shape: tuple[int, int, int], classes: int, mean: Sequence[float], std: Sequence[float]
) -> nn.Sequential:
    """The user's network with Normalize(mean, std) in front, unless it starts with Normalize.

    input_shape: (height, width, channels) of the images
    mean, std: one value per channel, of pixels scaled to 0..1

    Raises InputError if it has a layer or state that lenet does not support, does not accept such images, or does not
    return one logit per class.
    """
    _check_sequential(model, "a model must be a name or an nn.Sequential")
    if not len(model):
        raise InputError("the model has no layers")
    whole = model if isinstance(model[0], Normalize) else nn.Sequential(Normalize(mean, std), *model)
    for number, layer in enumerate(whole):
        if isinstance(layer, Residual):
            for name, branch in (("body", layer.body), ("shortcut", layer.shortcut)):
                _check_sequential(branch, f"{where(number)} (Residual): {name} must be an nn.Sequential")
    describe(whole)
    _check_plain(whole)
    tensors = [tensor for layer in whole for tensor in layer.state_dict(keep_vars=True).values()]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        raise InputError("two layers of the model share weights, which a checkpoint cannot keep: give each its own")
    try:
        output = layer_costs(whole, input_shape)[-1].output
    except InputError as error:
        height, width, channels = input_shape
        raise InputError(
            f"the model does not accept images of {height}x{width} pixels with {channels} channel(s): {error}"
        ) from None
    if output != (classes,):
        raise InputError(f"the model returns logits of shape {output}, but the data has {classes} classes",
                         options=["data", "classes"])  # fmt: skip
    return whole


def _check_sequential(model: Any, rule: str) -> None:
    """Raises InputError, which begins with the rule, for anything but a plain sequence of layers."""
    if not isinstance(model, nn.Sequential):
        raise InputError(f"{rule}, not a {type(model).__name__}")
    if type(model).forward is not nn.Sequential.forward:
        raise InputError(
            f"{type(model).__name__} has its own forward method, which a checkpoint cannot keep: use nn.Sequential"
        )


def own_network(model: Any) -> nn.Sequential | None:
    """The model if it is a network and no name. Raises InputError for a module that is no plain nn.Sequential."""
    if not isinstance(model, nn.Module):
        return None
    _check_sequential(model, "a model must be a name or an nn.Sequential")
    return cast(nn.Sequential, model)


def with_dropout(network: nn.Sequential, probability: float | None) -> nn.Sequential:
    """The network itself, every Dropout changed to this probability; None leaves them as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.Dropout) and probability is not None:
            layer.p = probability
    return network


def _check_plain(model: nn.Sequential) -> None:
    """Raises InputError for what a checkpoint would lose or the engines would treat differently."""
    places = list(every_layer(model))
    kept = {f"{place.name}.{name}" for place in places for name in place.kind.tensors(place.layer)}
    for place in places:
        layer = place.layer
        for module in (layer, *(getattr(layer, branch) for branch in place.kind.branches)):
            if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
                raise InputError(f"{place} has hooks, which a checkpoint cannot keep: remove them")
        stray = [name for name in layer.state_dict() if f"{place.name}.{name}" not in kept]
        if stray:
            raise InputError(f"{place} has an extra tensor '{min(stray)}', which a checkpoint cannot keep: remove it")
        for name, parameter in layer.named_parameters():
            if parameter.is_meta:
                raise InputError(f"{place}: {name} is on the meta device and has no values; make the layer on the CPU")
            if not parameter.requires_grad:
                raise InputError(f"{place}: {name} has requires_grad=False; use the option freeze to freeze layers")
            if parameter.dtype != torch.float32:
                raise InputError(f"{place}: {name} is {parameter.dtype}; lenet trains float32: call .float() first")
