"""Training: one network, an epoch at a time. Printing, saving, early stopping and searching are its callers'."""

import copy
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from lenet.config import Config
from lenet.data.dataset import Dataset
from lenet.data.plan import Plan, epoch_plan
from lenet.engine import Choice, Metrics, OptimizerState, Settings
from lenet.evaluation.scores import cross_entropy
from lenet.models import has_batch_norm
from lenet.runs.metrics import EpochRow
from lenet.training.features import Features, features_of, frozen_layers

_PART_SECONDS = 0.1  # how long an engine's call should take: Ctrl-C and the progress bar wait for no more
_FIRST_PART = 4  # steps of the first call, when nothing is known of the speed yet
_EVAL_IMAGES = 512  # images a call when validating, for the same reason
_HISTORY = "history"


class Stopped(Exception):
    """The epoch was given up because `Training.stop` was set; what `state` gave before it still holds."""


class Training:
    """One member of a run: a network, its optimizer's state, and where it stands.

    `advance` does one epoch; nothing survives between two epochs but what `state` gives, so that a training resumed
    from it goes on as if it had never stopped. Weights start from `seed`, and so does every epoch's plan.

    body: tensors by name that take the place of drawn ones: a trained network's, but for its last layer
    """

    def __init__(
        self,
        model: nn.Sequential,
        dataset: Dataset,
        config: Config,
        seed: int,
        choice: Choice,
        settings: Settings,
        body: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.model = initialised(model, seed)
        self.model.load_state_dict(body or {}, strict=False)
        self._frozen = frozen_layers(config.freeze, len(model))
        self._features: Features | None = None
        self._features_tried = False
        self.dataset, self.config, self.seed = dataset, config, seed
        self.choice, self.settings = choice, settings
        self.optimizer_state: OptimizerState = {}
        self.history: list[EpochRow] = []
        self.best_weights: dict[str, torch.Tensor] = {}
        # Read by whoever shows progress, while `advance` runs in another thread.
        self.so_far = Metrics()
        self.stop = threading.Event()

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return len(self.history)

    @property
    def failed(self) -> bool:
        """Whether the loss stopped being finite; such a network learns nothing more."""
        return bool(self.history) and self.history[-1].failed_step is not None

    @property
    def finished(self) -> bool:
        """All epochs are done, or the loss is no longer finite, or validation has not improved for `patience`."""
        patience = self.config.patience
        stale = patience > 0 and self.epoch - (self.best.epoch if self.best else 0) >= patience
        return self.failed or self.epoch >= self.config.epochs or stale

    @property
    def best(self) -> EpochRow | None:
        """The first epoch with the highest validation accuracy."""
        whole = [row for row in self.history if row.failed_step is None]
        return max(whole, key=lambda row: row.val_accuracy, default=None)

    def advance(self) -> EpochRow:
        """Train one epoch, then validate. Raises Stopped if `stop` is set meanwhile."""
        started = time.perf_counter()
        self.so_far = Metrics()
        failed_step = None
        features = self._kept_features()
        for first, part in self._parts(self._plan(features)):
            self.so_far += self._train(features, part)
            if self.so_far.nonfinite_step is not None:
                failed_step = first + self.so_far.nonfinite_step
                break
        trained = time.perf_counter()
        val_loss, val_accuracy = self._validated(features)
        if failed_step is None and not np.isfinite(val_loss):
            failed_step = first + len(part.steps) - 1  # the last update broke it, and no step came after to tell
        row = EpochRow(
            seed=self.seed,
            epoch=self.epoch + 1,
            engine=self.choice.name,
            train_loss=self.so_far.loss,
            train_accuracy=self.so_far.accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            train_seconds=trained - started,
            val_seconds=time.perf_counter() - trained,
            failed_step=failed_step,
        )
        self.history.append(row)
        if self.best is row:
            self.best_weights = {name: tensor.cpu().clone() for name, tensor in self.model.state_dict().items()}
        return row

    def logits(self, indices: np.ndarray) -> np.ndarray:
        """float32 [len(indices), classes] of these images, by the weights as they are now."""
        return self._logits(self.model, self.dataset.images, indices)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that outlives an epoch, as tensors by name; a copy, so that training on leaves it alone."""
        history = json.dumps([asdict(row) for row in self.history]).encode()
        named = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer_state,
            "best": self.best_weights,
            _HISTORY: {"json": torch.frombuffer(bytearray(history), dtype=torch.uint8)},
        }
        return {
            f"{part}:{name}": tensor.detach().cpu().clone() for part, of in named.items() for name, tensor in of.items()
        }

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave. Raises ValueError, and changes nothing, where it is not this training's."""
        rows = history_of(state)
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "best": {}}
        for key, tensor in state.items():
            part, _, name = key.partition(":")
            if part in parts:
                parts[part][name] = tensor.clone()
        own = self.model.state_dict()
        check_like(parts["model"], own, "model:")
        if parts["best"] or any(row.failed_step is None for row in rows):
            check_like(parts["best"], own, "best:")
        for key, tensor in parts["optimizer"].items():
            name, _, piece = key.rpartition("/")
            shape = () if piece == "step" or name not in own else own[name].shape
            if name not in own or tensor.shape != shape or not tensor.is_floating_point():
                raise ValueError(f"optimizer:{key} is not as the network has it")
        if not [row.epoch for row in rows] == list(range(1, len(rows) + 1)) or {row.seed for row in rows} - {self.seed}:
            raise ValueError("its history is not of this network's epochs")
        failed = bool(rows) and rows[-1].failed_step is not None
        if not failed and any(tensor.isnan().any() for part in parts.values() for tensor in part.values()):
            raise ValueError("it holds NaN")
        self.model.load_state_dict(parts["model"])
        self.optimizer_state, self.best_weights = parts["optimizer"], parts["best"]
        self.history = rows
        self._features, self._features_tried = None, False

    @property
    def frozen(self) -> int:
        """How many of the first layers do not learn in the epoch to come."""
        until = self.config.unfreeze_after
        return 0 if until and self.epoch >= until else self._frozen

    def _kept_features(self) -> Features | None:
        """What the frozen layers make of the images, where that is the same in every epoch."""
        if not self.frozen or self.config.augment != "none":
            self._features = None
        elif not self._features_tried:
            self._features = features_of(self.model, self.frozen, self.dataset, self.choice, self.settings)
            self._features_tried = True
        return self._features

    def _train(self, features: Features | None, part: Plan) -> Metrics:
        engine = self.choice.engine
        if features is None:
            settings = replace(self.settings, frozen=self.frozen)
            return engine.train(
                self.model, self.optimizer_state, self.dataset.images, self.dataset.labels, part, settings
            )
        dataset, state = features.dataset, features.to_tail(self.optimizer_state)
        metrics = engine.train(features.tail, state, dataset.images, dataset.labels, part, self.settings)
        self.optimizer_state.update(features.to_whole(state))
        return metrics

    def _logits(self, model: nn.Sequential, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
        parts = []
        for begin in range(0, len(indices), _EVAL_IMAGES):
            self._check_stop()
            some = images[indices[begin : begin + _EVAL_IMAGES]]
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
            flip="flip" in config.augment,
            max_shift=config.max_shift if "shift" in config.augment else 0,
            drop_single=has_batch_norm(self.model),
        )

    def _parts(self, plan: Plan) -> Iterator[tuple[int, Plan]]:
        """The plan's steps in turn, each part with its first step; a part takes about a tenth of a second."""
        first, count = 0, _FIRST_PART
        while first < len(plan.steps):
            self._check_stop()
            started = time.perf_counter()
            yield first, plan.part(first, first + count)
            first += count
            pace = _PART_SECONDS / max(time.perf_counter() - started, 1e-6)
            count = max(1, round(count * min(max(pace, 0.25), 8.0)))

    def _validated(self, features: Features | None) -> tuple[float, float]:
        """Mean cross-entropy and accuracy over the validation images."""
        model, dataset = (features.tail, features.dataset) if features else (self.model, self.dataset)
        logits = self._logits(model, dataset.images, dataset.val)
        labels = dataset.labels[dataset.val]
        return cross_entropy(logits, labels), float((logits.argmax(axis=1) == labels).mean())

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Stopped


def history_of(state: Mapping[str, torch.Tensor]) -> list[EpochRow]:
    """The epochs done, out of what `Training.state` gave. Raises ValueError where it holds no such thing."""
    packed = state.get(f"{_HISTORY}:json")
    if packed is None or packed.dtype != torch.uint8:
        raise ValueError("it has no history")
    try:
        listed = json.loads(packed.numpy().tobytes())
    except RecursionError:
        listed = None
    if not isinstance(listed, list):
        raise ValueError("its history is damaged")
    rows = []
    for values in listed:
        kinds = {"seed": int, "epoch": int, "engine": str, "failed_step": int | None}
        row = (
            EpochRow(**values)
            if isinstance(values, dict) and values.keys() == EpochRow.__annotations__.keys()
            else None
        )
        if row is None or not all(isinstance(value, kinds.get(name, float)) for name, value in asdict(row).items()):
            raise ValueError("its history is damaged")
        rows.append(row)
    return rows


def check_like(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], part: str = "") -> None:
    """Raises ValueError where the tensors have not the names, shapes and dtypes wanted."""
    for name in sorted(found.keys() | wanted.keys()):
        one, other = found.get(name), wanted.get(name)
        if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
            raise ValueError(f"{part}{name} is not as the network has it")


def initialised(model: nn.Sequential, seed: int) -> nn.Sequential:
    """A copy of the network whose layers start afresh, as PyTorch starts them, from this seed alone."""
    model = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in model.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return model
