"""Metrics for TensorBoard or MLflow on request: the rows of metrics.csv, in local files. Nothing is sent anywhere."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from lenet.config.values import shown
from lenet.errors import InputError
from lenet.files import unwritable
from lenet.runs.metrics import EpochRow
from lenet.runs.run import Run
from lenet.training.setup import Setup
from lenet.training.training import Training

Track = Literal["tensorboard", "mlflow"]
_MODULES: dict[str, str] = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}
_TAGS = {"train": "train", "val": "validation"}  # of the columns train_loss, val_loss, ...


class _Log(Protocol):
    """The log of one network."""

    def write(self, values: dict[str, float], epoch: int) -> None: ...

    def close(self) -> None: ...


def check_tracking(track: str | None) -> None:
    """Raises InputError if there is no such tracker, or if its package is not installed."""
    if track is None:
        return
    if not isinstance(track, str) or track not in _MODULES:
        raise InputError(f"track must be tensorboard or mlflow, not {shown(track)}")
    try:
        _load(track)
    except ImportError as error:
        name = error.name or _MODULES[track]
        raise InputError(f'--track {track} needs {name}: pip install "lenet[{track}]"') from None


class Tracker:
    """Writes each network's epochs to a log in the run folder: pass it as `watch`, inside its own `with`.

    A resumed run continues its log. The process may have been killed between an epoch's state and its row, so that the
    epochs of earlier sessions are written too, where they are missing.
    """

    def __init__(self, track: str, run: Run) -> None:
        self._track, self._run = track, run
        self._logs: list[_Log] = []
        self._written: list[int] = []

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for log in self._logs:
            log.close()

    def __call__(self, setup: Setup, trainings: Sequence[Training]) -> None:
        """Write the epochs that ended since the last call. Raises InputError if a file cannot be written."""
        with _writable(self._run.path / self._track):
            if not self._logs:
                self._logs = [self._open(setup, training) for training in trainings]
                self._written = [0] * len(trainings)
            for number, training in enumerate(trainings):
                for row in training.history[self._written[number] :]:
                    self._logs[number].write(_values(row), row.epoch)
                    self._written[number] += 1

    def _open(self, setup: Setup, training: Training) -> _Log:
        folder, name = self._run.path / self._track, f"seed-{training.seed}"
        if self._track == "tensorboard":
            return _TensorBoard(folder / name)
        options = {key: str(value) for key, value in vars(setup.config).items()}
        return _MLflow(folder, f"{self._run.path.name}/{name}", options)


class _TensorBoard:
    """Event files, written by tensorboardX, which needs neither TensorFlow nor TensorBoard.

    As metrics.csv, they are written anew from the first epoch when a run is resumed.
    """

    def __init__(self, folder: Path) -> None:
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = _load("tensorboard").SummaryWriter(str(folder))

    def write(self, values: dict[str, float], epoch: int) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """A run of MLflow in a database in the run folder, whatever MLFLOW_TRACKING_URI names.

    A resumed run continues the run of MLflow that has its name.
    """

    def __init__(self, folder: Path, name: str, options: dict[str, str]) -> None:
        folder = folder.absolute()
        folder.mkdir(exist_ok=True)
        mlflow = _load("mlflow")
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
        found = self._client.get_experiment_by_name("lenet")
        experiment = found.experiment_id if found else None
        if experiment is None:
            experiment = self._client.create_experiment("lenet", artifact_location=(folder / "artifacts").as_uri())
        runs = [run.info.run_id for run in self._client.search_runs([experiment]) if run.info.run_name == name]
        self._run = runs[0] if runs else self._client.create_run(experiment, run_name=name).info.run_id
        if not runs:
            for key, value in options.items():
                self._client.log_param(self._run, key, value)
        self._last = max((one.step for one in self._client.get_metric_history(self._run, "train/loss")), default=0)

    def write(self, values: dict[str, float], epoch: int) -> None:
        if epoch > self._last:
            metric, now = self._entities.Metric, int(1000 * time.time())
            metrics = [metric(tag, value, now, epoch) for tag, value in values.items()]
            self._client.log_batch(self._run, metrics)

    def close(self) -> None:
        self._client.set_terminated(self._run)


def _load(track: str) -> Any:
    if track == "mlflow":
        # Read when MLflow is imported, which would otherwise send usage data.
        os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces the tables of its database
    return import_module(_MODULES[track])


def _values(row: EpochRow) -> dict[str, float]:
    """The figures of an epoch by tag, such as "validation/accuracy"; none of an epoch that diverged."""
    named = {name: value for name, value in asdict(row).items() if value is not None and row.failed_step is None}
    parts = {name: name.partition("_") for name in named}
    return {f"{_TAGS[part]}/{what}": named[name] for name, (part, _, what) in parts.items() if part in _TAGS}


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from None
