"""The run folder: config.toml, metrics.csv, result.json, model.safetensors + model.json, plots/, state/ to resume."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from lenet.config import Config, resolve, to_toml
from lenet.data.arrays import MOST_LABEL
from lenet.errors import InputError
from lenet.files import MOST_CSV, expanded, gone, make_folder, read_json, read_regular, write_json, write_whole
from lenet.layers.network import describe
from lenet.runs.arrays import read_arrays, write_arrays
from lenet.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lenet.runs.kinds import how_to_resume, kind_of
from lenet.runs.metrics import EpochRow, all_diverged, append_metrics, read_metrics, write_metrics
from lenet.runs.result import result_fault
from lenet.runs.split import SplitFile

_DIVERGED = "has no network: the loss of all stopped being finite; train again with a lower --lr"
_MEND = "restore it or start over with --overwrite"


@dataclass(frozen=True)
class Clock:
    """Wall time of the training loop and of the whole command, in seconds, summed over all sessions of a run."""

    loop: float = 0.0
    total: float = 0.0


class Run:
    """The folder of one run.

    path: the folder; plots: that of its pictures
    result: result.json as a dict, with "test_accuracy" and others as {"mean", "sd", "n", "each"}; None until the run is
        finished
    """

    # Every file but metrics.csv is written to a temporary file and renamed into place.

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def split(self) -> SplitFile:
        """Which images the run trains, validates and tests on."""
        return SplitFile(self.path / "split.safetensors")

    @property
    def plots(self) -> Path:
        """The folder of the plots."""
        return self.path / "plots"

    def config(self) -> Config | None:
        """The resolved config that the run was started with; None if it was not started."""
        path = self.path / "config.toml"
        return resolve(path) if path.is_file() else None

    def check_unchanged(self) -> None:
        """Raises InputError if config.toml or layers.json was changed since the run was started."""
        config = self.config()
        if config is not None and (changed := self.split.changed(config, self.layers())):
            path = self.path / {"config": "config.toml", "layers": "layers.json"}[changed[0]]
            raise InputError(f"{path} was changed since the run was started: {_MEND}")

    def write_config(self, config: Config, comment: str) -> None:
        """Write config.toml, before training starts. It is a recipe that repeats the run."""
        write_whole(self.path / "config.toml", to_toml(vars(config), comment))

    def layers(self) -> list[dict[str, Any]] | None:
        """The content of layers.json; None before the run has started. Raises InputError if it is damaged."""
        path = self.path / "layers.json"
        if not path.is_file():
            return None
        layers = read_json(path, _MEND)
        if not isinstance(layers, list):
            raise InputError(f"{path} is damaged (not a list of layers): {_MEND}")
        return layers

    def check_layers(self, model: Iterable[Any]) -> None:
        """Raises InputError if the run was started with another network of the user's than this one."""
        # Through JSON, in which a tuple is a list.
        if (kept := self.layers()) is not None and kept != json.loads(json.dumps(describe(model))):
            raise InputError(f"{self.path} was started with another network: leave model out, or use another --out",
                             options=["model"])  # fmt: skip

    def write_layers(self, model: Iterable[Any]) -> None:
        """Write layers.json: the user's network as it was given, or the network of a named model or a transfer.

        A run of the user's network, or of a transfer, is resumed from it.
        """
        write_json(self.path / "layers.json", describe(model))

    def keep_labels(self, config: Config) -> None:
        """Copy the file of corrected labels, if there is one: it may be edited later for another run."""
        if config.labels is not None and not self._labels.is_file():
            write_whole(self._labels, read_regular(Path(config.labels), MOST_CSV))

    def with_own_labels(self, config: Config) -> Config:
        """The config with the run's copy of its labels. The copy is for reading; config.toml names the original."""
        return replace(config, labels=str(self._labels)) if config.labels and self._labels.is_file() else config

    def make_state_folder(self) -> None:
        """Make state/, once, before the first epoch: a run that is deleted while it trains must not reappear."""
        make_folder(self.path / "state")

    def write_predictions(self, predictions: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> None:
        """Write predicted classes, int64 [networks, N], and the N test images' labels and indices, int64 [N]."""
        arrays = {"predictions": predictions, "labels": labels, "indices": indices}
        write_arrays(self.path / "predictions.safetensors", arrays)

    def predictions(self) -> dict[str, np.ndarray]:
        """The arrays of `write_predictions`, by name. Raises InputError if the file is missing or damaged."""
        path = self.path / "predictions.safetensors"
        if not path.is_file():
            raise InputError(f"{self.path} has no {path.name}: the run is not finished, or the file was removed")
        kept = read_arrays(path)
        dimensions = {"predictions": 2, "labels": 1, "indices": 1}
        valid = kept.keys() == dimensions.keys() and all(
            kept[name].dtype == np.int64 and kept[name].ndim == count and kept[name].shape[-1:] == kept["labels"].shape
            for name, count in dimensions.items()
        )
        classes = [kept[name] for name in ("predictions", "labels") if valid and kept["predictions"].size]
        if not classes or any(each.min() < 0 or each.max() > MOST_LABEL for each in classes):
            raise InputError(f"{path} does not hold a class for each test image: restore it or train again")
        return kept

    def write_metrics(self, rows: Iterable[EpochRow]) -> None:
        """Write metrics.csv with these rows."""
        write_metrics(self._metrics, rows)

    def append_metrics(self, row: EpochRow) -> None:
        """Append one row to metrics.csv."""
        append_metrics(self._metrics, row)

    def rows(self) -> list[EpochRow]:
        """All epochs of all networks. Raises InputError if metrics.csv is missing or damaged."""
        return read_metrics(self._metrics)

    def metrics(self) -> list[dict[str, Any]]:
        """All epochs of all networks as dicts of plain values. Raises as `rows` does."""
        return [asdict(row) for row in self.rows()]

    def clock(self) -> "Clock":
        """The wall time of earlier sessions, zero without any. Raises InputError if the file is damaged."""
        path = self.path / "state" / "clock.json"
        if not path.is_file():
            return Clock()
        mend = "restore it, or remove it to count from zero"
        values = read_json(path, mend)
        named = isinstance(values, dict) and values.keys() == {"loop", "total"}
        if not named or not all(type(one) in (int, float) and 0 <= one < 1e12 for one in values.values()):
            raise InputError(f"{path} is damaged (not two numbers of seconds): {mend}")
        return Clock(**values)

    def write_clock(self, clock: "Clock") -> None:
        """Write the wall time so far."""
        write_whole(self.path / "state" / "clock.json", json.dumps(asdict(clock)) + "\n", sync=False)

    @property
    def diverged(self) -> bool:
        """Whether the loss of all networks of an unfinished run stopped being finite, so that it cannot be resumed."""
        config = self.config()
        return config is not None and self._metrics.is_file() and all_diverged(self.rows(), config.seeds)

    def checkpoint(self) -> Checkpoint:
        """The best weights of every network. Raises InputError if they are missing or damaged."""
        self.check_exists()
        if not (self.path / "model.json").is_file() and self.diverged:
            raise InputError(f"{self.path} {_DIVERGED}")
        if kind_of(self.path) == "search":
            raise InputError(
                f"{self.path} is a search: give the run that confirms its best trial, in {self.path}/confirm, or a "
                f"trial that it kept, in {self.path}/keep"
            )
        return load_checkpoint(self.path / "model")

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the best weights of every network that did not diverge."""
        save_checkpoint(self.path / "model", checkpoint)

    @property
    def result(self) -> dict[str, Any] | None:
        """result.json, which is written last; None if the run is not finished. Raises InputError if it is damaged."""
        path = self.path / "result.json"
        if not path.is_file():
            return None
        mend = "delete it and run again with --resume"
        result = read_json(path, mend)
        if fault := result_fault(result):
            raise InputError(f"{path} is damaged ({fault}): {mend}")
        return dict(result)

    def finished_result(self) -> dict[str, Any]:
        """result.json. Raises InputError if the run does not exist or is not finished."""
        self.check_exists()
        result = self.result
        if result is None:
            kind = kind_of(self.path)
            if kind == "search":
                why = f"is not finished: resume it with '{how_to_resume(self.path, 'tune')}'"
            elif self.is_kept_trial:
                why = "is a trial that a search kept, which was not evaluated on the test set"
            elif self.diverged:
                why = _DIVERGED
            else:
                why = f"is not finished: resume it with '{how_to_resume(self.path)}'"
            raise InputError(f"{self.path} {why if kind in ('run', 'search') else 'is no run: give the folder of one'}")
        return result

    @property
    def is_kept_trial(self) -> bool:
        """Whether this is a trial that a search kept: a network without what a training writes when it begins."""
        begun = (self.path / "layers.json", self.split.path)
        return (self.path / "model.json").is_file() and not any(map(Path.is_file, begun))

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json, the last file: a run that has it is finished."""
        write_json(self.path / "result.json", result)

    def check_not_deleted(self, marker: str = "config.toml") -> None:
        """Raises InputError if a file that was written at the start is missing: the folder was deleted meanwhile."""
        names = (marker,) if marker != "config.toml" else (marker, "layers.json", self.split.path.name)
        if missing := [name for name in names if not (self.path / name).is_file()]:
            raise gone(self.path if missing[0] == marker else self.path / missing[0])

    def check_exists(self) -> None:
        """Raises InputError if the folder does not exist, and suggests one beside it with a similar name."""
        if self.path.is_dir():
            return
        siblings = self.path.parent.iterdir() if self.path.parent.is_dir() else ()
        near = get_close_matches(self.path.name, [path.name for path in siblings if path.is_dir()], n=1)
        hint = f", did you mean '{self.path.with_name(near[0])}'?" if near else ""
        raise InputError(f"no run at {self.path}: give the run folder that 'lenet train' printed{hint}")

    def state_path(self, seed: int | str) -> Path:
        """The file of a network's state, by its seed; "start": the file of the tensors that all networks start from."""
        return self.path / "state" / f"{seed}.safetensors"

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def _labels(self) -> Path:
        return self.path / "labels.csv"
