"""The choice between the training engines."""

from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from lenet.engine import native as native_engine
from lenet.engine import torch as torch_engine
from lenet.engine.base import Engine, Settings
from lenet.engine.native_network import covers
from lenet.errors import InputError
from lenet.models import layer_costs


@dataclass(frozen=True)
class Choice:
    """An engine, its name, and the reason for choosing it."""

    name: Literal["native", "torch"]
    engine: Engine
    why: str


# Multiply-adds per image above which PyTorch may be faster. Up to 90 million, native trains 1.3 to 2 times as fast with
# batch norm after the pool, and at worst 0.9 times as fast with batch norm before it (docs/LOG.md).
_WIDE = 100_000_000


def choose(
    wanted: str, model: nn.Sequential, settings: Settings, input_shape: tuple[int, int, int] | None = None
) -> Choice:
    """The engine for a network.

    wanted: "torch", "native", or "auto" for native where it supports the network and is faster, else torch
    input_shape: (height, width, channels) of an image; without it the network's size is not considered

    Raises InputError if native is wanted but is not installed or does not support the network, and if LENET_ISA names a
    level that this processor does not support.
    """
    if wanted == "torch":
        return Choice("torch", cast(Engine, torch_engine), "requested")
    shape = (input_shape[2], *input_shape[:2]) if input_shape else None
    reason = native_engine.available() or covers(model, settings, shape)
    if reason and wanted == "native":
        raise InputError(f"--engine native: {reason}. Use --engine torch, which trains any network")
    if reason is None and wanted == "auto" and input_shape:
        adds = sum(layer.multiply_adds for layer in layer_costs(model, input_shape))
        if adds > _WIDE:
            reason = (
                f"faster above {_WIDE / 1e6:.0f} million multiply-adds per image; this network has {adds / 1e6:.0f}"
            )
    if reason:
        return Choice("torch", cast(Engine, torch_engine), reason)
    why = "requested" if wanted == "native" else "supports every layer"
    return Choice("native", cast(Engine, native_engine), f"{why}; {native_engine.level()}")
