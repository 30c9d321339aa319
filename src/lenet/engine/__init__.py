"""Engines, and which of them trains a network."""

from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from lenet.engine import native as native_engine
from lenet.engine import torch as torch_engine
from lenet.engine.base import Engine, Metrics, OptimizerState, Settings
from lenet.errors import InputError

__all__ = ["Choice", "Engine", "Metrics", "OptimizerState", "Settings", "choose"]


@dataclass(frozen=True)
class Choice:
    """The engine that trains, its name, and why it was taken."""

    name: Literal["native", "torch"]
    engine: Engine
    why: str


def choose(wanted: str, model: nn.Sequential, settings: Settings) -> Choice:
    """The engine for this network: the one that is wanted, or with "auto" native where it fits.

    Raises InputError where native is wanted and was not built, or does not cover the network (the layer is named), and
    where LENET_ISA asks for a level this processor has not.
    """
    if wanted == "torch":
        return Choice("torch", cast(Engine, torch_engine), "as asked")
    reason = native_engine.available() or native_engine.covers(model, settings)
    if reason is None:
        why = "as asked" if wanted == "native" else "it covers every layer"
        return Choice("native", cast(Engine, native_engine), f"{why}; {native_engine.level()}")
    if wanted == "native":
        raise InputError(f"--engine native: {reason}; --engine torch trains any network")
    return Choice("torch", cast(Engine, torch_engine), reason)
