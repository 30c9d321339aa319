"""Engines, and which of them trains a network."""

from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from lenet.engine import torch as torch_engine
from lenet.engine.base import Engine, Metrics, OptimizerState, Settings

__all__ = ["Choice", "Engine", "Metrics", "OptimizerState", "Settings", "choose"]


@dataclass(frozen=True)
class Choice:
    """The engine that trains, its name, and why it was taken."""

    name: Literal["native", "torch"]
    engine: Engine
    why: str


def choose(wanted: str, model: nn.Sequential, input_shape: tuple[int, int, int], settings: Settings) -> Choice:
    """The engine for this network. wanted: "auto", "native" or "torch"."""
    return Choice("torch", cast(Engine, torch_engine), "the only one here")
