"""Layers that do not learn: how many they are, and what they make of the images, computed once and kept."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from lenet.data.dataset import Dataset
from lenet.engine import Choice, OptimizerState, Settings, choose
from lenet.errors import InputError, did_you_mean


def frozen_layers(freeze: str, layers: int) -> int:
    """How many of a network's first layers do not learn, out of "none", "all-but-last" or a number.

    Raises InputError where it is none of these, or leaves no layer to learn.
    """
    words = {"none": 0, "all-but-last": layers - 1}
    if freeze in words:
        return words[freeze]
    if not freeze.isdecimal() or len(freeze) > 9:
        raise InputError(
            f"freeze cannot be '{freeze}'{did_you_mean(freeze, [*words, 'a number of layers'])}", options=["freeze"]
        )
    if int(freeze) >= layers:
        raise InputError(
            f"freeze {freeze} is out of range: the network has {layers} layers, of which at least the last must learn; "
            f"give 0 to {layers - 1}",
            options=["freeze"],
        )
    return int(freeze)


@dataclass(frozen=True, eq=False)
class Features:
    """What a network's first layers make of the images that are trained and validated on.

    dataset: its `images` are float32 [n, features], its `train` and `val` point into them
    tail: the network's other layers, the very modules
    first: how many layers the features stand for
    """

    dataset: Dataset
    tail: nn.Sequential
    first: int

    def to_tail(self, state: OptimizerState) -> OptimizerState:
        """The optimizer's state by the tail's parameter names."""
        return _renumbered(state, -self.first)

    def to_whole(self, state: OptimizerState) -> OptimizerState:
        """The optimizer's state by the whole network's parameter names."""
        return _renumbered(state, self.first)


def features_of(
    model: nn.Sequential, frozen: int, dataset: Dataset, choice: Choice, settings: Settings
) -> Features | None:
    """The features of the images after `frozen` layers; None where training on them would not be the same training.

    That is where they are still maps, or where a later layer drops units, which are drawn by the layer's number.
    """
    head, tail = nn.Sequential(*list(model)[:frozen]), nn.Sequential(*list(model)[frozen:])
    drops = any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in tail)
    if not frozen or drops or not _gives_features(head, dataset):
        return None
    whole = replace(settings, frozen=0)
    engine = choose("auto" if choice.name == "native" else "torch", head, whole).engine
    used = np.concatenate([dataset.train, dataset.val])
    images = engine.logits(head, dataset.images[used], whole)
    train, val = np.split(np.arange(len(used), dtype=np.int64), [len(dataset.train)])
    features = replace(dataset, images=images, labels=dataset.labels[used], train=train, val=val, test=train[:0])
    return Features(features, tail, frozen)


def _gives_features(head: nn.Sequential, dataset: Dataset) -> bool:
    with torch.inference_mode():
        return bool(head.eval()(torch.from_numpy(np.array(dataset.images[:1]))).ndim == 2)


def _renumbered(state: OptimizerState, by: int) -> OptimizerState:
    """The same tensors; "12.weight/exp_avg" becomes "0.weight/exp_avg" by -12. What falls below nought is left out."""
    moved = {}
    for name, tensor in state.items():
        number, rest = name.split(".", 1)
        if int(number) + by >= 0:
            moved[f"{int(number) + by}.{rest}"] = tensor
    return moved
