"""metrics.csv: one row per epoch and network."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lenet.errors import InputError, one_line
from lenet.files import MOST_CSV, gone, read_regular, unwritable, write_whole


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one network.

    epoch: counts from 1; engine: "native" or "torch"
    train_loss, val_loss: mean cross-entropy in nats; train_accuracy, val_accuracy: fractions from 0 to 1. The training
        values are means over the epoch's batches, in training mode, each before its update; only train_loss has label
        smoothing and class weights
    failed_step: the step whose loss was not finite, from 0; None if the epoch was completed
    val_balanced_accuracy, val_macro_f1: from 0 to 1, see `Scores`
    """

    seed: int
    epoch: int
    engine: str
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    train_seconds: float
    val_seconds: float
    failed_step: int | None
    val_balanced_accuracy: float
    val_macro_f1: float


def checked_row(values: Any) -> EpochRow:
    """The row of these values by name. Raises ValueError if one is missing, unknown or impossible."""
    if not isinstance(values, dict):
        raise ValueError(f"{values!s:.40} is no epoch")
    if wrong := sorted(map(str, values.keys() ^ _CHECKS.keys())):
        raise ValueError(f"{wrong[0]:.40} is missing or unknown")
    failed = values["failed_step"] is not None
    for name, value in values.items():
        if not _CHECKS[name](value, failed):
            raise ValueError(f"{name} {value!s:.40}")
    return EpochRow(**values)


def _loss(value: Any, failed: bool) -> bool:
    return type(value) is float and (failed or value >= 0)


def _accuracy(value: Any, failed: bool) -> bool:
    return type(value) is float and (failed or 0 <= value <= 1)


def _seconds(value: Any, failed: bool) -> bool:
    return type(value) is float and 0 <= value < 1e12


def _count(value: Any, failed: bool) -> bool:
    return type(value) is int and value >= 0


# Whether a value of a row is valid. Losses and accuracies of an epoch in which the network diverged may be any float.
_CHECKS: dict[str, Callable[[Any, bool], bool]] = {
    "seed": _count,
    "epoch": _count,
    "engine": lambda value, failed: value in ("native", "torch"),
    "train_loss": _loss,
    "train_accuracy": _accuracy,
    "val_loss": _loss,
    "val_accuracy": _accuracy,
    "train_seconds": _seconds,
    "val_seconds": _seconds,
    "failed_step": lambda value, failed: value is None or _count(value, failed),
    "val_balanced_accuracy": _accuracy,
    "val_macro_f1": _accuracy,
}


# What epochs can be compared by: 1 where a higher value is better, -1 where a lower one is.
METRICS: dict[str, int] = {
    "val_accuracy": 1, "val_balanced_accuracy": 1, "val_macro_f1": 1, "val_loss": -1,
    "train_accuracy": 1, "train_loss": -1,
}  # fmt: skip
# The option `select` as a metric. The best epoch by its number is the last one.
SELECT = {
    "accuracy": "val_accuracy", "balanced": "val_balanced_accuracy", "loss": "val_loss", "f1": "val_macro_f1",
    "last": "epoch",
}  # fmt: skip


def best_row(rows: Sequence[EpochRow], metric: str) -> EpochRow | None:
    """The first epoch with the best value of a metric; None if no epoch was completed."""
    completed = [row for row in rows if row.failed_step is None]
    return max(completed, key=lambda row: _sign(metric) * getattr(row, metric), default=None)


def best_of(values: Sequence[float], metric: str) -> int:
    """The index of the best of a metric's values, the first of equal ones."""
    return max(range(len(values)), key=lambda index: _sign(metric) * values[index])


def _sign(metric: str) -> int:
    return METRICS.get(metric, 1)


def selected(config: Mapping[str, Any]) -> str:
    """The metric that chose a run's best epochs, by the config in its result.json."""
    return SELECT.get(str(config.get("select")), "val_accuracy")


_NAMES = [field.name for field in fields(EpochRow)]


def write_metrics(path: Path, rows: Iterable[EpochRow]) -> None:
    """Write the whole file. Raises InputError if it cannot be written."""
    write_whole(path, _lines(rows, header=True))


def append_metrics(path: Path, row: EpochRow) -> None:
    """Append one row, since rewriting all rows at every epoch is slow in a long run of many networks.

    Raises InputError if the file does not exist or cannot be written.
    """
    try:
        # In one write, so that readers never see part of a line, even if the process is killed.
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, _lines([row], header=False).encode())
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise gone(path.parent) from None
    except OSError as error:
        raise unwritable(path, error) from None


def read_metrics(path: Path) -> list[EpochRow]:
    """All rows, in the file's order. Raises InputError if the file is missing, too large or damaged."""
    kinds = {"seed": int, "epoch": int, "engine": str, "failed_step": int}

    def value(name: str, text: str) -> Any:
        return None if name == "failed_step" and not text else kinds.get(name, float)(text)

    file = io.TextIOWrapper(io.BytesIO(read_regular(path, MOST_CSV)), encoding="utf-8", newline="")
    try:
        return [checked_row({name: value(name, text) for name, text in row.items()}) for row in csv.DictReader(file)]
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is damaged ({one_line(error)}): restore it") from None


def all_diverged(rows: Iterable[EpochRow], networks: int) -> bool:
    """Whether the loss of each of so many networks stopped being finite in its last epoch."""
    last = {row.seed: row for row in rows}
    return len(last) == networks and all(row.failed_step is not None for row in last.values())


def images_trained(rows: Iterable[EpochRow], images: int, batch_size: int) -> int:
    """Number of images that epochs of `images` trained on; of one that diverged, only those of the steps before."""
    return sum(images if row.failed_step is None else min(row.failed_step * batch_size, images) for row in rows)


def lacks_epochs(rows: Sequence[EpochRow]) -> bool:
    """Whether an epoch of a finished run is missing: there is none, or a network's do not count from 1 without gaps."""
    epochs = defaultdict[int, list[int]](list)
    for row in rows:
        epochs[row.seed].append(row.epoch)
    return not epochs or any(sorted(numbers) != list(range(1, len(numbers) + 1)) for numbers in epochs.values())


def _lines(rows: Iterable[EpochRow], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _NAMES, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
