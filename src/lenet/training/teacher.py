"""Distillation: targets that mix the labels with the predictions of trained networks, the teachers.

Hinton, Vinyals & Dean 2015. The target of an image is (1 - weight) times its label plus weight times the teachers'
probabilities at a temperature, softmax(mean logits / temperature); the loss is the cross-entropy with it. An image that
is flipped and shifted by up to s pixels has 2 (2s + 1)^2 views. The teachers see each view once: their logits are kept
in a table (logits_table.py). With other augmentations hardly any view comes twice, and the teachers see every image in
every epoch.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.config import Config, drawn
from lenet.cores import free_memory
from lenet.data.augment import augmented
from lenet.data.dataset import Dataset
from lenet.data.plan import Plan
from lenet.engine import native
from lenet.engine.base import Settings
from lenet.engine.choice import Choice, choose
from lenet.errors import InputError
from lenet.models import describe
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run
from lenet.runs.tensors import tensors_digest
from lenet.training.logits_table import Table, table_path

_IMAGES = 512  # per call of the engine
_PART_OF_MEMORY = 4  # the table takes at most this part of the free memory; without it logits are computed anew
_PART_OF_MEMORY_WRITTEN = 8  # and to be kept on disk this part: writing it takes two more copies, reading it one or two


@dataclass(eq=False)
class Teacher:
    """The teachers of a training, and their logits so far. Several trainings share one.

    networks: they take the dataset's images, uint8 [B, H, W, C], and return logits of its classes
    choices: the engine of each; threads: of the torch engine, whose logits depend on their number
    weight, temperature: see the module; sha256: of all networks' tensors
    table: of flipped and shifted views; None if it would take too much memory, or a network needs PyTorch, whose logits
        of an image depend on the images beside it: a resumed run would differ
    """

    networks: Sequence[nn.Sequential]
    choices: Sequence[Choice]
    threads: int
    weight: float
    temperature: float
    sha256: str
    table: Table | None

    def known(self, train: NDArray[np.int64]) -> float:
        """The fraction of these images' views whose logits are known."""
        return 0.0 if self.table is None else self.table.known_of(train)

    def targets(
        self, dataset: Dataset, plan: Plan, settings: Settings, check_stop: Callable[[], None]
    ) -> NDArray[np.float32]:
        """float32 [P, classes]: the target at each position of the plan.

        check_stop: called now and then; what it raises ends the work
        """
        known = self._logits(dataset, plan, replace(settings, frozen=0), check_stop)
        scaled = known.astype(np.float32) / np.float32(self.temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        targets: NDArray[np.float32] = np.exp(scaled, out=scaled)
        targets *= np.float32(self.weight) / targets.sum(axis=1, keepdims=True)
        targets[np.arange(len(targets)), dataset.labels[plan.order]] += np.float32(1 - self.weight)
        return targets

    def _logits(
        self, dataset: Dataset, plan: Plan, settings: Settings, check_stop: Callable[[], None]
    ) -> NDArray[np.float16]:
        """float16 [P, classes]: the mean logits at each position of the plan; those not yet in the table are added."""

        fixed = replace(settings, threads=self.threads)

        def computed(positions: NDArray[np.int64]) -> NDArray[np.float16]:
            found = np.empty((len(positions), len(dataset.classes)), np.float16)
            for begin in range(0, len(positions), _IMAGES):
                check_stop()
                at = positions[begin : begin + _IMAGES]
                views = augmented(dataset.images, plan, at)
                each = zip(self.choices, self.networks, strict=True)
                logits = [
                    choice.engine.logits(network, views, fixed if choice.name == "torch" else settings)
                    for choice, network in each
                ]
                found[begin : begin + _IMAGES] = np.clip(np.mean(logits, axis=0), -60_000, 60_000)
            return found

        table = self.table
        if table is None or any(one is not None for one in (plan.warps, plan.colours, plan.boxes)):  # countless views
            return computed(np.arange(len(plan.order)))
        places = table.places(plan)
        missing = np.flatnonzero(~table.known[places])
        if len(missing):
            began = time.perf_counter()
            table.fill(places[missing], computed(missing), time.perf_counter() - began)
        return table.logits[places]


def _table_for(config: Config, dataset: Dataset, **origin: object) -> Table | None:
    """The table for the flips and shifts that the config draws; see `Teacher.table`. origin: of the teachers' logits

    Versions and instruction sets differ in rounding, and a run must not depend on what another has left in the cache.
    """
    images, classes, draws = len(dataset.images), len(dataset.classes), drawn(config)
    max_shift, flips = draws.max_shift, draws.flips is not None
    size, free = images * (1 + flips) * (2 * max_shift + 1) ** 2 * (2 * classes + 1), free_memory()
    if size * _PART_OF_MEMORY > free:
        return None
    path = None
    if size * _PART_OF_MEMORY_WRITTEN <= free:
        path = table_path(data=dataset.sha256, max_shift=max_shift, flips=flips, lenet=version("lenet"), **origin)
    return Table(images, classes, max_shift, flips, path)


def read_teacher(config: Config, dataset: Dataset, settings: Settings) -> Teacher | None:
    """The networks of all runs of `config.teacher`; None if the config names none.

    config: as `resolved` returns it; settings: of the engine that trains the student

    Raises InputError if a run does not exist or has no weights, its networks take other images or know other classes
    than the dataset, or the networks are not those of `config.teacher_sha256`.
    """
    if not config.teacher:
        return None
    networks: list[nn.Sequential] = []
    choices: list[Choice] = []
    for path in config.teacher:
        checkpoint = _checkpoint(path)
        shape = dataset.images.shape[1:]
        if checkpoint.input_shape != shape:
            theirs, ours = ("x".join(map(str, one)) for one in (checkpoint.input_shape, shape))
            raise InputError(f"teacher {path} takes images of {theirs}, not {ours}: train it on images of that size",
                             options=["teacher"])  # fmt: skip
        if checkpoint.classes != dataset.classes:
            raise InputError(f"teacher {path} knows other classes than the data: use a run on the same classes",
                             options=["teacher"])  # fmt: skip
        for network in checkpoint.networks:
            networks.append(network)
            choices.append(choose("auto", network, settings, checkpoint.input_shape))
    sha256 = _digest(networks)
    _check_digest(config, sha256)
    table = None
    if all(choice.name == "native" for choice in choices):
        layers = [describe(network) for network in networks]
        table = _table_for(config, dataset, teachers=sha256, layers=layers, level=native.level())
    return Teacher(
        networks,
        choices,
        config.threads or 1,
        config.teacher_weight,
        config.teacher_temperature,
        sha256,
        table,
    )


def teacher_digest(paths: Sequence[str]) -> str:
    """The `teacher_sha256` of these runs. Raises InputError if one does not exist or has no weights."""
    return _digest([network for path in paths for network in _checkpoint(path).networks])


def with_teacher_sha256(config: Config) -> Config:
    """The config with the `teacher_sha256` of its teachers, if it names any.

    Raises InputError as `teacher_digest` does, or if the config has another `teacher_sha256`.
    """
    if not config.teacher:
        return config
    sha256 = teacher_digest(config.teacher)
    _check_digest(config, sha256)
    return replace(config, teacher_sha256=sha256)


def _check_digest(config: Config, sha256: str) -> None:
    if sha256 != (config.teacher_sha256 or sha256):
        raise InputError("the networks of --teacher are not those of teacher_sha256, in the recipe or in what is "
                         "resumed: restore those runs", options=["teacher_sha256"])  # fmt: skip


def _checkpoint(path: str) -> Checkpoint:
    try:
        checkpoint = Run(path).checkpoint()
        checkpoint.check_finite(path)
        return checkpoint
    except InputError as error:
        raise InputError(f"teacher: {error}", options=["teacher"]) from None


def _digest(networks: Sequence[nn.Sequential]) -> str:
    digests = hashlib.sha256()
    for network in networks:
        digests.update(bytes.fromhex(tensors_digest(network.state_dict())))
    return digests.hexdigest()
