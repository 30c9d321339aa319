"""What an engine was really given, read back where it was given: a trial's values as they trained, not as asked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from lenet.config import Config
from lenet.data.plan import Plan, learning_rates
from lenet.engine import Engine, Metrics, OptimizerState, Settings
from lenet.models import has_batch_norm

_CLOSE = 1e-9  # a rate that went through a schedule and back has lost its last bit or two


class Witness:
    """An engine that passes every call on to another, and keeps what it saw."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.forget()

    def forget(self) -> None:
        """Start over, before an epoch."""
        self._rates: list[np.ndarray] = []
        self._batch, self._flips, self._shift = 0, False, 0
        self._settings: Settings | None = None
        self._model: nn.Sequential | None = None
        self._image_shape: tuple[int, ...] = ()

    def train(
        self,
        model: nn.Sequential,
        optimizer_state: OptimizerState,
        images: np.ndarray,
        targets: np.ndarray,
        plan: Plan,
        settings: Settings,
    ) -> Metrics:
        """See lenet.engine.base.Engine.train."""
        if len(plan.steps):
            self._rates.append(plan.learning_rates)
            self._batch = max(self._batch, int((plan.steps[:, 1] - plan.steps[:, 0]).max()))
        self._flips |= bool(plan.flips.any())
        self._shift = max(self._shift, int(np.abs(plan.shifts.astype(int)).max(initial=0)))
        self._settings, self._model, self._image_shape = settings, model, images.shape[1:]
        return self._engine.train(model, optimizer_state, images, targets, plan, settings)

    def logits(self, model: nn.Sequential, images: np.ndarray, settings: Settings) -> np.ndarray:
        """See lenet.engine.base.Engine.logits."""
        return self._engine.logits(model, images, settings)

    def used(self, config: Config, epoch: int, images: int) -> dict[str, Any]:
        """The options that show at the engine, by name: of the epoch (from 0) over so many images since `forget`.

        lr is the schedule's peak, worked back from the rates of the steps; it is None where they follow no such
        schedule.
        """
        settings, model = self._settings, self._model
        if settings is None or model is None:
            return {}
        layers = list(model)
        convolutions = tuple(layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d))
        linear = tuple(layer.out_features for layer in layers if isinstance(layer, nn.Linear))
        dropout = {layer.p for layer in layers if isinstance(layer, nn.Dropout)}
        seen = {} if len(self._image_shape) < 3 else {"size": self._image_shape[0], "channels": self._image_shape[-1]}
        return seen | {
            "lr": self._peak(config, epoch, images, model),
            "batch_size": self._batch,
            "optimizer": settings.training.optimizer,
            "momentum": settings.training.momentum,
            "nesterov": settings.training.nesterov,
            "weight_decay": settings.training.decay,
            "label_smoothing": settings.training.label_smoothing,
            "dropout": dropout.pop() if len(dropout) == 1 else None if dropout else 0.0,
            "maps": convolutions,
            "fc": linear[:-1],
            "augment": "-".join([*(["flip"] * self._flips), *(["shift"] * (self._shift > 0))]) or "none",
            "max_shift": self._shift,
        }

    def _peak(self, config: Config, epoch: int, images: int, model: nn.Sequential) -> float | None:
        rates = np.concatenate(self._rates)
        steps = -(-images // config.batch_size)
        if has_batch_norm(model) and images > 1 and images % config.batch_size == 1:
            steps -= 1  # the plan drops a single left-over image
        course = learning_rates(config.schedule, 1.0, steps * epoch, steps, steps * config.epochs)[: len(rates)]
        peak = rates[np.argmax(course)] / course.max()
        if len(course) < len(rates) or not np.allclose(rates, peak * course, rtol=_CLOSE, atol=_CLOSE * peak):
            return None
        return float(f"{peak:.12g}")


def contradictions(asked: Mapping[str, Any], used: Mapping[str, Any], images: int) -> list[str]:
    """What was trained otherwise than asked, a line each; `images` an epoch bound the batch.

    Options without effect in this very trial (momentum beside Adam, how far a shift goes where there is none) may
    differ.
    """
    found = []
    for name, wanted in asked.items():
        if name not in used or (name in ("momentum", "nesterov") and used["optimizer"] != "sgd"):
            continue
        if name == "max_shift" and "shift" not in used["augment"]:
            continue
        if name == "augment" and (wanted == "auto" or not used["max_shift"]):
            continue
        got, wanted = used[name], min(wanted, images) if name == "batch_size" else wanted
        alike = np.isclose(got, wanted, rtol=_CLOSE, atol=0) if isinstance(wanted, float) and got is not None else False
        if got != wanted and not alike:
            found.append(f"{name} was {got}, not {wanted}")
    return found
