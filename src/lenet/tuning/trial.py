"""One trial: a training that Ray drives an epoch at a time. Runs in Ray's worker processes.

Its state is one file of ours, written aside and renamed after every epoch; Ray is given no checkpoints. Ray deletes a
checkpoint it no longer keeps before its snapshot knows of the next, and copies files by parts: a kill in between would
lose the trial. So whenever Ray starts a trial again, from whatever it remembers, the trial reports what its state holds
in no time, the same figures, and goes on where it really was.
"""

import json
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ray import tune

from lenet.config import Config, to_toml
from lenet.data.dataset import Dataset
from lenet.engine import Engine
from lenet.errors import InputError
from lenet.files import make_folder
from lenet.runs.checkpoint import read_tensors, write_tensors
from lenet.runs.metrics import EpochRow
from lenet.training.setup import make_setup, resolved
from lenet.training.state import history_of
from lenet.training.training import Training
from lenet.tuning.space import IMAGE_OPTIONS, Space
from lenet.tuning.witness import Witness, contradictions

NUMBER = "number"  # where a searcher without numbered trials puts a trial's
STATE_MEND = "restore it, or remove it, and go on with: lenet tune --resume"
_CONFIG, _HISTORY = "trial:config", "history:json"


@dataclass(frozen=True)
class Images:
    """One version of the images, with the (mean, deviation) of its training pixels."""

    dataset: Dataset
    statistics: tuple[list[float], list[float]]


@dataclass(frozen=True)
class Job:
    """What all trials of a search share. Lies in the object store, once a node, its arrays read without a copy.

    images: by the values of the searched options that change them
    first: the number of this part's first trial; seed: the search's
    states: the folder of the trials' states
    metric: of EpochRow; sign: 1 where more is better, -1 where less is
    """

    config: Config
    space: Space
    images: dict[tuple[Any, ...], Images]
    seed: int
    first: int
    states: Path
    metric: str
    sign: int

    def images_of(self, values: dict[str, Any]) -> Images:
        """The images that a trial of these values trains on."""
        return self.images[tuple(values[name] for name in IMAGE_OPTIONS if name in values)]

    def config_of(self, number: int, values: dict[str, Any]) -> Config:
        """A trial's config: a recipe that makes it again."""
        config = replace(self.config, **values, seed=trial_seed(self.seed, number), seeds=1, threads=1)
        return resolved(config, self.images_of(values).dataset)


def trial_seed(seed: int, number: int) -> int:
    """A trial's seed: the first 32-bit word of numpy's SeedSequence([search's seed, trial's number]), its half."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) >> 1


def number_of(trial_id: str, found: dict[str, Any], first: int) -> int:
    """A trial's number: what the searcher gave with its values, otherwise its place in Ray's own count."""
    return int(found[NUMBER]) if NUMBER in found else first + int(trial_id.rsplit("_", 1)[1])


class Trial(tune.Trainable):
    """A training as Ray sees it: `step` is one epoch. One actor trains one trial after another."""

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Called by Ray when the worker starts."""
        assert job is not None
        torch.set_num_threads(1)
        self._job = job
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Ray when the worker goes on to another trial."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch, out of the state where it is there already. Called by Ray."""
        try:
            return self._step()
        except InputError as error:
            # The trial ends, named, and the search goes on; a full disk ends the search.
            return self._report([], done=True, error=str(error), fatal=isinstance(error.__context__, OSError))

    def _begin(self, found: dict[str, Any]) -> None:
        self._number = number_of(self.trial_id, found, self._job.first)
        self._values = self._job.space.values(found)
        self._config = self._job.config_of(self._number, self._values)
        self._training: Training | None = None
        self._used: dict[str, Any] = {}
        self._reported = 0
        self._began: float | None = None
        self._kept, self._state = self._read_state()

    def _step(self) -> dict[str, Any]:
        if self._reported < len(self._kept):
            rows = self._kept[: self._reported + 1]
        else:
            training = self._training or self._started()
            self._training = training
            self._advance(training)
            rows = self._kept = list(training.history)
        self._reported += 1
        row = rows[-1]
        ended = row.failed_step is not None or row.epoch >= self._config.epochs or _stale(rows, self._config.patience)
        error = f"the loss is no longer finite in step {row.failed_step + 1}" if row.failed_step is not None else ""
        return self._report(rows, done=ended, error=error)

    def _started(self) -> Training:
        """The training where its state left it; from the start again where only its figures were kept."""
        images = self._job.images_of(self._values)
        setup = make_setup(self._config, images.dataset, statistics=images.statistics)
        self._witness = Witness(setup.choice.engine)
        choice = replace(setup.choice, engine=cast(Engine, self._witness))
        training = Training(replace(setup, choice=choice, settings=replace(setup.settings, threads=1)))
        if self._state:
            try:
                training.load(self._state)
            except ValueError as error:
                raise InputError(f"{self._path()} is of another network ({error}): {STATE_MEND}") from None
        while training.epoch < len(self._kept):
            self._advance(training)
        return training

    def _advance(self, training: Training) -> None:
        self._witness.forget()
        self._began = self._began or time.time()
        training.advance()
        images = len(training.dataset.train)
        if not training.failed:
            self._used = self._witness.used(self._config, training.epoch - 1, images)
            if wrong := contradictions(self._values, self._used, images):
                raise InputError(f"a value did not reach its training: {'; '.join(wrong)}")
            if "lr" in self._values:
                self._used["lr"] = self._values["lr"]  # the same but for the last bits that the schedule took
        self._write_state(training)

    def _write_state(self, training: Training) -> None:
        about = {"config": self._identity(), "used": self._used}
        state = training.state() | {_CONFIG: _packed(about)}
        make_folder(self._job.states)
        write_tensors(self._path(), state)

    def _read_state(self) -> tuple[list[EpochRow], dict[str, torch.Tensor]]:
        """(epochs done, the training's state); the state empty where only the figures were kept.

        A state of other values under this number is of a trial that Ray's snapshot never knew: it is passed over.
        """
        if not self._path().is_file():
            return [], {}
        try:
            state = read_tensors(self._path())
            about = _unpacked(state.pop(_CONFIG))
            if about["config"] != self._identity():
                return [], {}
            self._used = about["used"]
            rows = history_of(state)
        except (InputError, KeyError, ValueError, TypeError):
            return [], {}
        return rows, state if len(state) > 1 else {}

    def _identity(self) -> str:
        """What the trial trains, wherever its images lie: they are told by their hash."""
        return to_toml(vars(replace(self._config, data="", data_dir=None)))

    def _path(self) -> Path:
        return state_path(self._job.states, self._number)

    def _report(self, rows: list[EpochRow], *, done: bool, error: str = "", fatal: bool = False) -> dict[str, Any]:
        """A result for Ray. All rows so far are in each: whichever of them reaches the driver is enough."""
        value = getattr(rows[-1], self._job.metric) if rows and not error else float("nan")
        config = vars(self._config)
        return {
            # Ray's ASHA takes percentiles, and Optuna takes no infinity: the worst there is, as a number.
            "score": float(self._job.sign * value) if np.isfinite(value) else -1e9,
            "done": done,
            "ended": done,  # Ray sets done where it stops a trial too
            "number": self._number,
            "values": self._values,
            "seed": self._config.seed,
            "used": {name: self._used.get(name, config[name]) for name in self._values},
            "rows": [asdict(row) for row in rows],
            "error": error,
            "fatal": fatal,
            "began": self._began,
            "host": socket.gethostname(),
        }


def state_path(states: Path, number: int) -> Path:
    """Where a trial's state lies."""
    return states / f"{number}.safetensors"


def forget_weights(path: Path) -> None:
    """Leave of a trial's state its figures alone."""
    state = read_tensors(path, mend=STATE_MEND)
    if len(state) > 2:
        write_tensors(path, {name: state[name] for name in (_CONFIG, _HISTORY)})


def _stale(rows: list[EpochRow], patience: int) -> bool:
    """Whether validation has not improved for `patience` epochs, as Training.finished has it."""
    best = max(rows, key=lambda row: row.val_accuracy)
    return patience > 0 and rows[-1].epoch - best.epoch >= patience


def _packed(value: Any) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _unpacked(tensor: torch.Tensor) -> Any:
    return json.loads(bytes(tensor.tolist()))
