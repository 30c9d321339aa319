"""One trial of a search: a training that gives a result after every epoch. Runs in Ray's workers, without using Ray.

A trial's state is one file, replaced after every epoch; Ray keeps no checkpoints (docs/LOG.md says why). A trial that
starts again, after its worker died or when the search is resumed, first gives the results of the epochs that it has
done, so that scheduler and searcher see it as if it had never stopped.
"""

import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lenet.config import Config, to_toml
from lenet.data.dataset import Dataset
from lenet.errors import InputError
from lenet.files import make_folder
from lenet.models import build
from lenet.runs.metrics import EpochRow
from lenet.runs.tensors import read_tensors, write_tensors
from lenet.training.setup import Statistics, make_setup, resolved
from lenet.training.training import Training
from lenet.tuning.search import Search
from lenet.tuning.space import IMAGE_OPTIONS
from lenet.tuning.trials import TrialRecord

_CONFIG = "trial:config"  # in a state: what was trained
_WORST = -1e9  # the score of a failed trial: ASHA takes percentiles, and Optuna takes no infinity


@dataclass(frozen=True)
class Job:
    """What all trials of a search share. Ray's object store has one copy per node; workers read its arrays in place.

    images: by the values of the searched options that change them, with the statistics of their training pixels
    layers: of the user's own network, as `lenet.models.describe` gives them; None for a named model
    states: the folder of the trials' states
    past: the trials that ended before the search was resumed
    """

    search: Search
    images: dict[tuple[Any, ...], tuple[Dataset, Statistics]]
    layers: list[dict[str, Any]] | None
    states: Path
    past: dict[int, TrialRecord]

    def images_of(self, values: dict[str, Any]) -> tuple[Dataset, Statistics]:
        """The images of a trial with these values, and their statistics."""
        return self.images[tuple(values[name] for name in IMAGE_OPTIONS if name in values)]

    def config_of(self, number: int, values: dict[str, Any]) -> Config:
        """A trial's config, which is also the recipe that repeats it."""
        seed = trial_seed(self.search.config.seed, number)
        config = replace(self.search.config, **values, seed=seed, seeds=1, threads=None)
        return resolved(config, self.images_of(values)[0])


def trial_seed(seed: int, number: int) -> int:
    """A trial's seed: 31 bits of the first word of numpy's SeedSequence([search's seed, trial's number])."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) >> 1


def training_of(job: Job, number: int, values: dict[str, Any]) -> Training:
    """A trial's training before its first epoch. Raises InputError where it is impossible."""
    dataset, statistics = job.images_of(values)
    own = build(job.layers) if job.layers else None
    setup = make_setup(job.config_of(number, values), dataset, own=own, statistics=statistics)
    return Training(replace(setup, settings=replace(setup.settings, threads=1)))


def results_of(job: Job, number: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A result for Ray after each epoch, the last with done=True. Never raises: an error is the trial's last result."""
    try:
        yield from _epochs(job, number, values)
    except _CannotSave as error:
        yield _result(job, number, done=True, error=str(error), fatal=True)
    except InputError as error:
        yield _result(job, number, done=True, error=str(error))
    except Exception as error:
        first = (str(error).strip().splitlines() or ["no message"])[0]
        yield _result(job, number, done=True, error=f"{type(error).__name__}: {first}")


class _CannotSave(Exception):
    """The state cannot be written: no trial can continue."""


def _epochs(job: Job, number: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    past = job.past.get(number)
    if past and past.values == values:
        for row in past.rows[:-1]:
            yield _result(job, number, row, done=False)
        yield _result(job, number, past.rows[-1] if past.rows else None, done=True, error=past.error)
        return
    training, path = training_of(job, number, values), state_path(job.states, number)
    _load_state(training, path)
    for row in training.history:
        yield _result(job, number, row, done=row is training.history[-1] and training.finished)
    began = time.time()
    while not training.finished:
        row = training.advance()
        try:
            make_folder(job.states)
            write_tensors(path, training.state() | {_CONFIG: _identity(training.config)})
        except InputError as error:
            raise _CannotSave(str(error)) from None
        yield _result(job, number, row, done=training.finished, began=began)


def _result(
    job: Job,
    number: int,
    row: EpochRow | None = None,
    *,
    done: bool,
    error: str = "",
    fatal: bool = False,
    began: float | None = None,
) -> dict[str, Any]:
    """began: when the worker began the trial's first epoch, on time.time's clock; fatal: the search must end."""
    if row is not None and row.failed_step is not None:
        error = f"the loss is no longer finite in step {row.failed_step + 1}"
    value = job.search.sign * getattr(row, job.search.metric) if row and not error else np.nan
    return {
        "score": float(value) if np.isfinite(value) else _WORST,
        "done": done,
        "ended": done,  # Ray sets done where the scheduler stops a trial too
        "number": number,
        "seed": trial_seed(job.search.config.seed, number),
        "row": None if row is None else asdict(row),
        "error": error,
        "fatal": fatal,
        "began": began,
        "host": socket.gethostname(),
    }


def state_path(states: Path, number: int) -> Path:
    """The file of a trial's state."""
    return states / f"{number}.safetensors"


def _load_state(training: Training, path: Path) -> None:
    """Continue from the state, unless it is damaged or of a trial with other values: then train from the start."""
    if not path.is_file():
        return
    try:
        state = read_tensors(path)
        if state.pop(_CONFIG).tolist() == _identity(training.config).tolist():
            training.load(state)
    except (InputError, KeyError, ValueError):
        return


def _identity(config: Config) -> torch.Tensor:
    """What is trained, wherever the images are: their hash identifies them."""
    text = to_toml(vars(replace(config, data="", data_dir=None, labels=None)))
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
