"""The trials of a search as they stand: what Ray's results add up to, as rows, as CSV, as the best of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from lenet.errors import InputError
from lenet.files import write_whole
from lenet.runs.metrics import EpochRow
from lenet.tuning.search import METRICS

Status = Literal["waiting", "running", "stopped", "finished", "failed"]
BROKEN = "its worker died"
_FIGURES = tuple(field.name for field in fields(EpochRow) if field.name not in ("seed", "epoch"))


@dataclass
class TrialRecord:
    """One trial. status: "stopped" by the scheduler before its last epoch, "finished" by itself, "failed" with `error`.

    values: the searched options as the engine was given them; asked: as the searcher gave them
    rows: an entry an epoch, from epoch 1 on
    """

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    status: Status = "waiting"
    rows: list[EpochRow] = field(default_factory=list)
    error: str = ""
    host: str = ""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.rows)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("stopped", "finished", "failed")

    @property
    def broken(self) -> bool:
        """Whether its worker died too often: the machine's doing, so that it may be tried again."""
        return self.error.startswith(BROKEN)

    def best(self, metric: str) -> EpochRow | None:
        """The first epoch with the best value of the metric; None where there is none."""
        whole = [row for row in self.rows if row.failed_step is None]
        return max(whole, key=lambda row: METRICS[metric] * getattr(row, metric), default=None)

    def at(self, epoch: int) -> EpochRow | None:
        """The row of an epoch (from 1), where it was reached whole."""
        row = self.rows[epoch - 1] if 1 <= epoch <= len(self.rows) else None
        return row if row and row.failed_step is None else None


class Table:
    """All trials by number."""

    def __init__(self, names: Sequence[str], metric: str, epochs: int) -> None:
        self.names, self.metric, self.epochs = tuple(names), metric, epochs
        self.trials: dict[int, TrialRecord] = {}
        self.began: float | None = None  # when the first epoch of this search's workers was begun, on time.time's clock

    def __iter__(self) -> Any:
        return iter(sorted(self.trials.values(), key=lambda trial: trial.number))

    def trial(self, number: int) -> TrialRecord:
        """The trial of this number, which is new where it was not there."""
        return self.trials.setdefault(number, TrialRecord(number))

    def take(self, result: Mapping[str, Any]) -> TrialRecord:
        """Take in one of Ray's results; each holds all of its trial's epochs so far."""
        trial = self.trial(int(result["number"]))
        rows = [EpochRow(**row) for row in result["rows"]]
        asked = {name: _tuple(value) for name, value in result["values"].items()}
        if len(rows) >= len(trial.rows) or trial.asked != asked:  # a trial that begins again repeats what it did
            trial.rows, trial.asked = rows, asked
            trial.values = {name: _tuple(value) for name, value in result["used"].items()}
        if result["began"] is not None:
            self.began = min(self.began or result["began"], result["began"])
        trial.seed, trial.host, trial.error = int(result["seed"]), str(result["host"]), str(result["error"])
        return trial

    def ranked(self) -> list[TrialRecord]:
        """Trials that have a figure, the best first; of equals the first."""
        scored = []
        for trial in self:
            best = trial.best(self.metric)
            if best is not None and trial.status != "failed":
                scored.append((-METRICS[self.metric] * getattr(best, self.metric), trial.number, trial))
        return [trial for _, _, trial in sorted(scored, key=lambda one: one[:2])]

    def seconds(self) -> tuple[float, float]:
        """(training, validation) of all trials, added up over cores."""
        rows = [row for trial in self.trials.values() for row in trial.rows]
        return sum(row.train_seconds for row in rows), sum(row.val_seconds for row in rows)

    def trial_epochs(self) -> int:
        """Epochs of all trials together."""
        return sum(trial.epoch for trial in self.trials.values())

    def write(self, path: Path) -> None:
        """trials.csv: a line for every epoch of every trial; a trial that began and has none has a line of epoch 0."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["trial", "status", *self.names, "seed", "epoch", *_FIGURES, "host", "error"])
        for trial in self:
            if trial.status == "waiting" and not trial.rows:
                continue
            values = [_text(trial.values.get(name)) for name in self.names]
            for epoch, row in enumerate(trial.rows, 1) if trial.rows else [(0, None)]:
                figures = ["" if row is None else _text(getattr(row, name)) for name in _FIGURES]
                writer.writerow(
                    [trial.number, trial.status, *values, trial.seed, epoch, *figures, trial.host, trial.error]
                )
        write_whole(path, text.getvalue())

    def read(self, path: Path) -> None:
        """Take in what `write` wrote. Raises InputError where it is damaged."""
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for line in csv.DictReader(file):
                    self._read_line(line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}): restore it or start over with --overwrite") from None

    def _read_line(self, line: dict[str, str]) -> None:
        trial = self.trial(int(line["trial"]))
        trial.status = line["status"]  # type: ignore[assignment]
        trial.values = {name: _tuple(json.loads(line[name])) for name in self.names if line[name]}
        trial.asked = trial.values
        trial.seed, trial.host, trial.error = int(line["seed"]), line["host"], line["error"]
        if int(line["epoch"]):
            figures: dict[str, Any] = {name: json.loads(line[name]) if line[name] else None for name in _FIGURES}
            trial.rows.append(EpochRow(seed=trial.seed, epoch=int(line["epoch"]), **figures))


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
