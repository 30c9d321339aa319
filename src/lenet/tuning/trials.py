"""The trials of a search: their values, their epochs, their ranking, and trials.csv."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from lenet.errors import InputError, one_line
from lenet.files import MOST_CSV, read_regular, write_whole
from lenet.runs.metrics import METRICS, EpochRow, best_row, checked_row

Status = Literal["waiting", "running", "stopped", "finished", "failed"]
DIED = "its worker died"
_FIGURES = tuple(one.name for one in fields(EpochRow) if one.name not in ("seed", "epoch"))


@dataclass
class TrialRecord:
    """One trial. values: the searched options; rows: one per epoch, from epoch 1 on.

    status: "stopped" by the scheduler before its last epoch, "finished" by itself, "failed" with `error`
    """

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    status: Status = "waiting"
    rows: list[EpochRow] = field(default_factory=list)
    error: str = ""
    host: str = ""

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.rows)

    @property
    def over(self) -> bool:
        """Whether the trial has ended."""
        return self.status in ("stopped", "finished", "failed")

    def best(self, metric: str) -> EpochRow | None:
        """The first epoch with the best value of the metric; None where there is none."""
        return best_row(self.rows, metric)

    def at(self, epoch: int) -> EpochRow | None:
        """The row of an epoch (from 1); None where the trial did not complete it."""
        row = self.rows[epoch - 1] if 1 <= epoch <= len(self.rows) else None
        return row if row and row.failed_step is None else None


class Trials:
    """All trials of a search. names: the searched options; epochs: the most that a trial trains."""

    def __init__(self, names: Sequence[str], metric: str, epochs: int) -> None:
        self.names, self.metric, self.epochs = tuple(names), metric, epochs
        self.by_number: dict[int, TrialRecord] = {}

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(sorted(self.by_number.values(), key=lambda trial: trial.number))

    def __len__(self) -> int:
        return len(self.by_number)

    def trial(self, number: int) -> TrialRecord:
        """The trial of this number, added where it is new."""
        return self.by_number.setdefault(number, TrialRecord(number))

    def take(self, result: Mapping[str, Any]) -> TrialRecord:
        """Add one of Ray's results, which holds one epoch; a restarted trial repeats those that it did before."""
        trial = self.trial(int(result["number"]))
        if not trial.over:
            if result["row"] is not None:
                row = checked_row(result["row"])
                trial.rows[row.epoch - 1 : row.epoch] = [row]
            trial.seed, trial.host, trial.error = int(result["seed"]), str(result["host"]), str(result["error"])
        return trial

    def ranked(self) -> list[TrialRecord]:
        """Trials that have a value of the metric, the best first; of equal ones the first."""
        best = {trial.number: trial.best(self.metric) for trial in self if trial.status != "failed"}
        scores = {n: METRICS[self.metric] * getattr(row, self.metric) for n, row in best.items() if row is not None}
        return [self.by_number[number] for number in sorted(scores, key=lambda number: (-scores[number], number))]

    def with_status(self, status: Status) -> list[TrialRecord]:
        """The trials of this status."""
        return [trial for trial in self if trial.status == status]

    def all_failed(self, count: int) -> bool:
        """Whether all `count` trials of the search failed, and would again: none because its worker died."""
        return len(self) == count and all(one.status == "failed" and not one.error.startswith(DIED) for one in self)

    def seconds(self) -> tuple[float, float]:
        """(training, validation) seconds of all trials, summed over cores."""
        rows = [row for trial in self for row in trial.rows]
        return sum(row.train_seconds for row in rows), sum(row.val_seconds for row in rows)

    def trial_epochs(self) -> int:
        """Number of epochs of all trials together."""
        return sum(trial.epoch for trial in self)

    def write(self, path: Path) -> None:
        """trials.csv: a line per epoch of each trial; a trial that began and has none has a line of epoch 0."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["trial", "status", *self.names, "seed", "epoch", *_FIGURES, "host", "error"])
        for trial in self:
            if trial.status == "waiting" and not trial.rows:
                continue
            values = self.texts(trial.number)
            rows: Sequence[EpochRow | None] = trial.rows or [None]
            for row in rows:
                figures = ["" if row is None else _text(getattr(row, name)) for name in _FIGURES]
                epoch = 0 if row is None else row.epoch
                writer.writerow(
                    [trial.number, trial.status, *values, trial.seed, epoch, *figures, trial.host, trial.error]
                )
        write_whole(path, text.getvalue())

    def texts(self, number: int) -> list[str]:
        """A trial's values as trials.csv has them."""
        return [_text(self.by_number[number].values.get(name)) for name in self.names]

    def read(self, path: Path) -> dict[int, list[str]]:
        """Add what `write` wrote, except the values, which the trials' recipes hold; returns their texts by trial.

        Raises InputError.
        """
        told = dict[int, list[str]]()
        file = io.TextIOWrapper(io.BytesIO(read_regular(path, MOST_CSV)), encoding="utf-8", newline="")
        try:
            for line in csv.DictReader(file):
                trial = self.trial(int(line["trial"]))
                if line["status"] not in get_args(Status):
                    raise ValueError(f"status '{line['status']}'")
                trial.status = line["status"]  # type: ignore[assignment]
                trial.seed, trial.host, trial.error = int(line["seed"]), line["host"], line["error"]
                told[trial.number] = [line[name] for name in self.names]
                if epoch := int(line["epoch"]):
                    figures: dict[str, Any] = {
                        name: line[name] if name == "engine" else json.loads(line[name] or "null") for name in _FIGURES
                    }
                    if epoch != len(trial.rows) + 1:
                        raise ValueError(f"trial {trial.number} has no epoch {len(trial.rows) + 1}")
                    trial.rows.append(checked_row({"seed": trial.seed, "epoch": epoch, **figures}))
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"{path} is damaged ({one_line(error)}): restore it or start over with --overwrite"
            ) from None
        return told


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
