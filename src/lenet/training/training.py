"""Training: one network, one epoch at a time. Callers print, save and search."""

import copy
import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from lenet.config import drawn
from lenet.data.plan import Plan, epoch_plan
from lenet.engine.base import Metrics, OptimizerState
from lenet.engine.native_network import image_shape
from lenet.evaluation.scores import Scores, scores
from lenet.models import needs_two_images
from lenet.runs.metrics import SELECT, EpochRow, best_row
from lenet.training import ema
from lenet.training.features import Features, features_of, frozen_layers
from lenet.training.setup import Setup
from lenet.training.state import State, read_state

_PART_SECONDS = 1.0  # target duration of one call of the engine: Ctrl-C and the progress bar wait for it
_FIRST_PART = 4  # steps of the first call, before the speed is known
_EVAL_IMAGES = 512  # images per call in evaluation, which keeps these calls short too


class Stopped(Exception):
    """`Training.stop` was set and the epoch abandoned. States that `Training.state` returned earlier remain valid."""


class Training:
    """One network of a setup: its weights, its optimizer state and its epochs so far.

    `advance` trains one epoch. Only what `state` returns is kept from one epoch to the next, so a training resumed from
    it is bit-identical to an uninterrupted one. The network's seed determines its initial weights and every epoch's
    plan.

    number: index of the network in the setup, from 0
    """

    def __init__(self, setup: Setup, number: int = 0) -> None:
        self.config = setup.config
        self.dataset = setup.dataset.for_network(number)
        self.seed = setup.config.seed + number
        self.choice, self.teacher = setup.choice, setup.teacher
        self.settings = replace(setup.settings, class_weights=setup.class_weights(number))
        self.model = initialised(setup.networks[number], self.seed)
        self.model.load_state_dict(setup.body or {}, strict=False)
        self.optimizer_state: OptimizerState = {}
        self.average: dict[str, torch.Tensor] = {}
        self.best_weights: dict[str, torch.Tensor] = {}
        self.history: list[EpochRow] = []
        self._frozen = frozen_layers(setup.config.freeze, len(self.model))
        self._features: Features | None = None
        self._features_tried = False
        # Callers read so_far to show progress, and set stop, while `advance` runs in another thread.
        self.so_far = Metrics()
        self.stop = threading.Event()

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.history)

    @property
    def failed(self) -> bool:
        """Whether the loss is no longer finite. Such a network is not trained any further."""
        return bool(self.history) and self.history[-1].failed_step is not None

    @property
    def finished(self) -> bool:
        """Whether all epochs are trained, the network failed, or validation did not improve for `patience` epochs."""
        patience = self.config.patience
        stale = patience > 0 and self.epoch - (self.best.epoch if self.best else 0) >= patience
        return self.failed or self.epoch >= self.config.epochs or stale

    @property
    def best(self) -> EpochRow | None:
        """The first epoch with the best validation score, by the option `select`; None if no epoch was completed."""
        return best_row(self.history, SELECT[self.config.select])

    def advance(self) -> EpochRow:
        """Train one epoch, then validate. Raises Stopped if `stop` is set in the meantime."""
        started = time.perf_counter()
        self.so_far = Metrics()
        failed_step = None
        features = self._kept_features()
        plan = self._plan(features)
        soft = self.teacher.targets(self.dataset, plan, self.settings, self._check_stop) if self.teacher else None
        for first, part in self._parts(plan):
            self.so_far += self._train(features, part, soft)
            if self.so_far.nonfinite_step is not None:
                failed_step = first + self.so_far.nonfinite_step
                break
            if self.config.ema:
                done = self.epoch * len(plan.steps) + first
                ema.update(self.average, self.model, self.config.ema, len(part.steps), done)
        trained = time.perf_counter()
        val = self._validate(features)
        if failed_step is None and not np.isfinite(val.loss):
            failed_step = first + len(part.steps) - 1  # the last update did it: any earlier one shows in the next loss
        row = EpochRow(
            seed=self.seed,
            epoch=self.epoch + 1,
            engine=self.choice.name,
            train_loss=self.so_far.loss,
            train_accuracy=self.so_far.accuracy,
            val_loss=val.loss,
            val_accuracy=val.accuracy,
            train_seconds=trained - started,
            val_seconds=time.perf_counter() - trained,
            failed_step=failed_step,
            val_balanced_accuracy=val.balanced_accuracy,
            val_macro_f1=val.macro_f1,
        )
        self.history.append(row)
        if self.best is row:
            weights = self.average or self.model.state_dict()
            self.best_weights = {name: tensor.cpu().clone() for name, tensor in weights.items()}
        return row

    def logits(self, indices: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
        """Logits of these images with the current weights, float32 [len(indices), classes].

        mirrored: of the images with left and right exchanged
        """
        return self._logits(self.model, self.dataset.images, indices, mirrored)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that is kept from one epoch to the next, as copied tensors by name (see `State.tensors`)."""
        return State(
            self.model.state_dict(), self.optimizer_state, self.best_weights, self.average, self.history
        ).tensors()

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Resume from what `state` returned. Raises ValueError, and changes nothing, if it is of another training."""
        state = read_state(tensors, self.model.state_dict(), self.seed)
        if len(state.history) > self.config.epochs:
            raise ValueError(f"it has {len(state.history)} epochs of {self.config.epochs}")
        # A network may diverge before its average starts.
        completed = any(row.failed_step is None for row in state.history)
        if (state.average and not self.config.ema) or (self.config.ema and completed and not state.average):
            raise ValueError("it was trained with another weight averaging")
        self.model.load_state_dict(state.model)
        self.optimizer_state, self.best_weights, self.history = state.optimizer, state.best, state.history
        self.average = state.average
        self._features, self._features_tried = None, False

    @property
    def frozen(self) -> int:
        """Number of first layers that are not trained in the next epoch."""
        until = self.config.unfreeze_after
        return 0 if until and self.epoch >= until else self._frozen

    def _kept_features(self) -> Features | None:
        """The frozen layers' outputs, computed once; None if they change from epoch to epoch or cannot be used."""
        if not self.frozen or self.config.augment != "none" or self.teacher:
            self._features = None
        elif not self._features_tried:
            self._features = features_of(self.model, self.frozen, self.dataset, self.choice, self.settings)
            self._features_tried = True
        return self._features

    def _train(self, features: Features | None, part: Plan, soft_targets: np.ndarray | None) -> Metrics:
        engine, dataset = self.choice.engine, features.dataset if features else self.dataset
        if features is None:
            settings = replace(self.settings, frozen=self.frozen)
            return engine.train(
                self.model, self.optimizer_state, dataset.images, dataset.labels, part, settings, soft_targets
            )
        state = features.to_tail(self.optimizer_state)
        metrics = engine.train(features.tail, state, dataset.images, dataset.labels, part, self.settings, soft_targets)
        self.optimizer_state.update(features.to_whole(state))
        return metrics

    def _logits(
        self, model: nn.Sequential, images: np.ndarray, indices: np.ndarray, mirrored: bool = False
    ) -> np.ndarray:
        parts = []
        for begin in range(0, len(indices), _EVAL_IMAGES):
            self._check_stop()
            some = images[indices[begin : begin + _EVAL_IMAGES]]
            some = np.ascontiguousarray(some[:, :, ::-1]) if mirrored else some
            parts.append(self.choice.engine.logits(model, some, self.settings))
        return np.concatenate(parts)

    def _plan(self, features: Features | None = None) -> Plan:
        config = self.config
        return epoch_plan(
            (features.dataset if features else self.dataset).train,
            seed=self.seed,
            epoch=self.epoch,
            epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=config.peak_lr,
            schedule=config.schedule,
            image_size=(*self.dataset.images.shape[1:3],),
            augment=drawn(config),
            drop_single=needs_two_images(self.model, image_shape(self.dataset.images), self.frozen) is not None,
        )

    def _parts(self, plan: Plan) -> Iterator[tuple[int, Plan]]:
        """The plan in parts that take about _PART_SECONDS, each with the number of its first step.

        Shorter parts would cost more: in each call the native engine takes new memory, 20 ms for a deep network.
        With weight averaging parts have a fixed length, since the average must not depend on the machine's speed.
        """
        first, count = 0, _FIRST_PART
        while first < len(plan.steps):
            self._check_stop()
            count = ema.STEPS if self.config.ema else count
            started = time.perf_counter()
            yield first, plan.part(first, first + count)
            first += count
            pace = _PART_SECONDS / max(time.perf_counter() - started, 1e-6)
            count = max(1, round(count * min(max(pace, 0.25), 8.0)))

    def _validate(self, features: Features | None) -> Scores:
        """The scores on the validation images."""
        model, dataset = ema.averaged(self.model, self.average), self.dataset
        if features:
            model, dataset = nn.Sequential(*list(model)[features.first :]), features.dataset
        logits, labels = self._logits(model, dataset.images, dataset.val), dataset.labels[dataset.val]
        return scores(logits, labels, dataset.classes)

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Stopped


def initialised(model: nn.Sequential, seed: int) -> nn.Sequential:
    """A copy of the network with the weights that PyTorch's own initialisation draws after `torch.manual_seed(seed)`.

    They are drawn from a generator of their own: threads share the global one, and would take values from each other.
    """
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
    return model
