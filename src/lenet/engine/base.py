"""The interface of engines: three functions without state.

    train(model, optimizer_state, images, labels, plan, settings, soft_targets) -> Metrics
    logits(model, images, settings) -> float32 [N, classes]
    maps(model, shape of an image) -> a function of (images, numbers of layers): float32 [N, pixels, channels] each

`train` performs the steps of a plan (an epoch or part of one) and changes the model's parameters and buffers and the
optimizer state in place. The model is an nn.Sequential of layers from the layer table (lenet.models). An engine keeps
nothing between calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lenet.config import TrainingConfig
from lenet.data.plan import Plan

if TYPE_CHECKING:
    import torch
    from torch import nn

ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8

# Parameter name, a slash, and PyTorch's name of the state tensor, such as "4.weight/exp_avg". Empty before the first
# step. Adam's step count is kept per parameter, since a layer may be trained only from a later epoch on.
OptimizerState = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Settings:
    """What is constant over a training. Formulas are those of torch.optim and torch.nn.CrossEntropyLoss.

    training: the optimizer, its hyperparameters and label smoothing; learning rates and batches are the plan's. Adam
        ignores momentum, and SGD without momentum ignores nesterov. Muon is SGD except for the weights of
        all layers but the last one and those with groups.
    frozen: number of first layers that are not trained; they run in eval mode, batch norm and dropout included
    threads: number of threads for this network
    device: device of the torch engine ("cpu", "cuda", "cuda:1"); the native engine runs on "cpu" only
    class_weights: one per class, above 0, as the weight of torch.nn.CrossEntropyLoss; None: every class has weight 1
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)
    frozen: int = 0
    threads: int = 1
    device: str = "cpu"
    class_weights: tuple[float, ...] | None = None


@dataclass
class Metrics:
    """Sums over training images; adding the metrics of an epoch's parts gives those of the epoch.

    images: number of images trained on
    loss_sum: each step's mean loss times its images, in nats, with label smoothing and class weights; before its update
    correct: number of images classified correctly, in training mode, before each step's update
    nonfinite_step: first step of the plan with a loss that is not finite; it and later steps update nothing
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
        """Mean loss per image, in nats; 0 without images."""
        return self.loss_sum / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """Fraction of images classified correctly, 0 to 1; 0 without images."""
        return self.correct / max(self.images, 1)


# Of uint8 [N, H, W, C] images and numbers of layers, in ascending order: these layers' outputs, float32 [N, pixels,
# channels] each, computed on the CPU and one thread.
Maps = Callable[[np.ndarray, Sequence[int]], list[np.ndarray]]


class Engine(Protocol):
    """A module with these functions."""

    def train(
        self,
        model: "nn.Sequential",
        optimizer_state: OptimizerState,
        images: np.ndarray,
        labels: np.ndarray,
        plan: Plan,
        settings: Settings,
        soft_targets: np.ndarray | None = None,
    ) -> Metrics:
        """Train in place for the steps of the plan.

        images: uint8 [N, H, W, C], or float32 [N, features] for a model without Normalize; `plan.order` indexes them
        labels: int64 [N] classes by image, which the accuracy counts
        soft_targets: float32 [P, classes] probabilities by position in `plan.order`, the loss's targets instead
        """

    def logits(self, model: "nn.Sequential", images: np.ndarray, settings: Settings) -> np.ndarray:
        """float32 [N, classes] in eval mode, of uint8 [N, H, W, C] images or float32 [N, features]."""

    def maps(self, model: "nn.Sequential", shape: tuple[int, int, int]) -> Maps:
        """What layers return in eval mode for images of shape (height, width, channels).

        The model must not change while the function is used. Threads need a function each.
        """
