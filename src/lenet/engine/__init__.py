"""Engines, and which of them trains a network."""

from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from lenet.engine import native as native_engine
from lenet.engine import torch as torch_engine
from lenet.engine.base import Engine, Metrics, OptimizerState, Settings
from lenet.engine.native_checks import covers
from lenet.errors import InputError
from lenet.models import trace

__all__ = ["Choice", "Engine", "Metrics", "OptimizerState", "Settings", "choose"]


@dataclass(frozen=True)
class Choice:
    """The engine that trains, its name, and why it was taken."""

    name: Literal["native", "torch"]
    engine: Engine
    why: str


# Where oneDNN's convolutions overtake the native engine's: measured on one core with AVX-512 and with AVX2 at batch 8
# and 64, native was up to 1.2 times as fast at 25 million multiply-adds, and 0.7 to 1.0 times at 91 (docs/LOG.md).
_WIDE = 40_000_000


def choose(
    wanted: str, model: nn.Sequential, settings: Settings, input_shape: tuple[int, int, int] | None = None
) -> Choice:
    """The engine for this network: the one that is wanted, or with "auto" native where it fits and is the faster.

    input_shape: (height, width, channels), by which "auto" knows a wide network

    Raises InputError where native is wanted and was not built, or does not cover the network (the layer is named), and
    where LENET_ISA asks for a level this processor has not.
    """
    if wanted == "torch":
        return Choice("torch", cast(Engine, torch_engine), "as asked")
    reason = native_engine.available() or covers(model, settings)
    if reason and wanted == "native":
        raise InputError(f"--engine native: {reason}; --engine torch trains any network")
    if reason is None and wanted == "auto" and input_shape:
        adds = sum(layer.multiply_adds for layer in trace(model, input_shape))
        if adds > _WIDE:
            reason = (
                f"it is the faster beyond {_WIDE / 1e6:.0f} million multiply-adds an image; this has {adds / 1e6:.0f}"
            )
    if reason:
        return Choice("torch", cast(Engine, torch_engine), reason)
    why = "as asked" if wanted == "native" else "it covers every layer"
    return Choice("native", cast(Engine, native_engine), f"{why}; {native_engine.level()}")
