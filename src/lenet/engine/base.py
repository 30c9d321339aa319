"""What an engine is: two functions, and nothing kept between their calls.

    train(model, optimizer_state, images, targets, plan, settings) -> Metrics
    logits(model, images, settings) -> float32 [N, classes]

`train` follows the steps of the plan (all of an epoch, or some), changing the model's parameters and buffers and the
optimizer state in place. The model is a plain nn.Sequential of the layers in `lenet.models`; the optimizer state is
PyTorch's own, by parameter name. What an engine packs for its own use it unpacks before it returns.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from lenet.config import TrainingConfig
from lenet.data.plan import Plan

ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8

# "4.weight/exp_avg" -> tensor: parameter name, then PyTorch's name for that piece of its state. Empty before the first
# step. Adam's step count is kept for each parameter, since a layer may start to learn later than the others.
OptimizerState = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Settings:
    """What is constant over a training. Formulas are those of torch.optim and torch.nn.CrossEntropyLoss.

    training: the optimizer, its hyperparameters and label smoothing; learning rates and batches are the plan's. Adam
        ignores momentum, and SGD without momentum ignores nesterov.
    frozen: number of first layers that are not trained; they run in eval mode, batch norm and dropout included
    threads: number of threads for this network
    device: device of the torch engine ("cpu", "cuda", "cuda:1"); the native engine runs on "cpu" only
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)
    frozen: int = 0
    threads: int = 1
    device: str = "cpu"


@dataclass
class Metrics:
    """Sums over the images trained on; those of an epoch's parts add up to those of the epoch.

    loss_sum: the cross-entropy (with label smoothing, where that is on) summed over images, before each step's update
    correct: how many were classified right, in training mode, before each step's update
    nonfinite_step: the plan's step whose loss was not finite; that step's update, and all after it, were not done
    """

    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    nonfinite_step: int | None = None

    def __iadd__(self, other: "Metrics") -> "Metrics":
        self.images += other.images
        self.loss_sum += other.loss_sum
        self.correct += other.correct
        self.nonfinite_step = other.nonfinite_step
        return self

    @property
    def loss(self) -> float:
        """Mean cross-entropy an image, in nats."""
        return self.loss_sum / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """Between 0 and 1."""
        return self.correct / max(self.images, 1)


class Engine(Protocol):
    """A module with these two functions."""

    def train(
        self,
        model: nn.Sequential,
        optimizer_state: OptimizerState,
        images: np.ndarray,
        targets: np.ndarray,
        plan: Plan,
        settings: Settings,
    ) -> Metrics:
        """Train in place on the plan's steps.

        images: uint8 [N, H, W, C], of which the plan's order picks; for a head alone float32 [N, features]
        targets: int64 [N] classes by image, or float32 [P, classes] soft targets by position
        """

    def logits(self, model: nn.Sequential, images: np.ndarray, settings: Settings) -> np.ndarray:
        """float32 [N, classes] in eval mode, for uint8 [N, H, W, C] images or float32 [N, features]."""
