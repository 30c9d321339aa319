"""Frozen layers: how many there are, and their outputs ("features"), computed once for all epochs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import nn

from lenet.data.allocation import allocate
from lenet.data.dataset import Dataset
from lenet.engine import native
from lenet.engine.base import OptimizerState, Settings
from lenet.engine.choice import Choice
from lenet.engine.native_network import covers, image_shape
from lenet.errors import InputError, did_you_mean
from lenet.layers.network import output_shapes

_SOME = 2048  # images whose features are computed at once; a multiple of what an engine takes at once


def frozen_layers(freeze: str, layers: int) -> int:
    """The number of first layers to freeze, from "none", "all-but-last" or a number as text.

    layers: the network's number of layers

    Raises InputError for any other text, and for a number that leaves no layer to train.
    """
    words = {"none": 0, "all-but-last": layers - 1}
    if freeze in words:
        return words[freeze]
    if not freeze.isdecimal() or len(freeze) > 9:
        raise InputError(
            f"freeze cannot be '{freeze:.60}'{did_you_mean(freeze, [*words, 'a number of layers'])}", options=["freeze"]
        )
    if int(freeze) >= layers:
        raise InputError(
            f"freeze {freeze} is out of range: the network has {layers} layers, and the last must be trained; "
            f"give 0 to {layers - 1}",
            options=["freeze"],
        )
    return int(freeze)


@dataclass(frozen=True, eq=False)
class Features:
    """The outputs of a network's first layers for the training and validation images.

    dataset: `images` holds the outputs, float32 [N, features]; `train` and `val` index them, `test` is empty
    tail: the network's other layers; it shares their modules with the network
    first: number of layers before the tail
    """

    dataset: Dataset
    tail: nn.Sequential
    first: int

    def to_tail(self, state: OptimizerState) -> OptimizerState:
        """The optimizer state under the tail's parameter names."""
        return _renumbered(state, -self.first)

    def to_whole(self, state: OptimizerState) -> OptimizerState:
        """The optimizer state under the whole network's parameter names."""
        return _renumbered(state, self.first)


def features_of(
    model: nn.Sequential, frozen: int, dataset: Dataset, choice: Choice, settings: Settings
) -> Features | None:
    """The features after the first `frozen` layers; None if the tail cannot be trained on them with the same result.

    That is the case if they are not vectors, if the tail has dropout, whose units are drawn by the layer's number, or
    if the native engine trains the network but not its tail alone, which has no linear layer.
    """
    head, tail = nn.Sequential(*list(model)[:frozen]), nn.Sequential(*list(model)[frozen:])
    drops = any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in tail.modules())
    shapes = output_shapes(head, image_shape(dataset.images))
    shape = shapes[-1]
    if drops or len(shape) != 1 or (choice.name == "native" and covers(tail)):
        return None
    if choice.name == "native" and covers(head):  # it has no linear layer, but it is a part of the whole network
        outputs = _native_outputs(model, frozen, dataset.images.shape[1:], shapes)
    else:
        outputs = partial(choice.engine.logits, head, settings=replace(settings, frozen=0))
    used = np.concatenate([dataset.train, dataset.val])
    images = allocate((len(used), *shape), f"{dataset.source} (as features of the frozen layers)", np.float32)
    for begin in range(0, len(used), _SOME):
        some = used[begin : begin + _SOME]
        images[begin : begin + len(some)] = outputs(dataset.images[some])
    train, val = np.split(np.arange(len(used), dtype=np.int64), [len(dataset.train)])
    features = replace(dataset, images=images, labels=dataset.labels[used], train=train, val=val, test=train[:0])
    return Features(features, tail, frozen)


def _native_outputs(
    model: nn.Sequential, frozen: int, image: tuple[int, int, int], shapes: Sequence[tuple[int, ...]]
) -> Callable[[np.ndarray], np.ndarray]:
    """What the first `frozen` layers return for images, in PyTorch's order: maps of [channels, pixels], flattened.

    image: (height, width, channels); shapes: of these layers' outputs; no linear layer is among them
    """
    maps = native.maps(model, image)
    channels = next(shape[0] for shape in reversed(shapes) if len(shape) == 3)

    def outputs(images_nhwc: np.ndarray) -> np.ndarray:
        (found,) = maps(images_nhwc, [frozen - 1])
        by_pixel = found.reshape(len(images_nhwc), -1, channels)
        return by_pixel.transpose(0, 2, 1).reshape(len(images_nhwc), -1)

    return outputs


def _renumbered(state: OptimizerState, by: int) -> OptimizerState:
    """The same tensors, with `by` added to the layer numbers of their names; numbers below zero are left out.

    "12.weight/exp_avg" with by=-12 becomes "0.weight/exp_avg".
    """
    renamed = {}
    for name, tensor in state.items():
        number, rest = name.split(".", 1)
        if int(number) + by >= 0:
            renamed[f"{int(number) + by}.{rest}"] = tensor
    return renamed
