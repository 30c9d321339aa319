"""metrics.csv: one row per epoch and network."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lenet.errors import InputError
from lenet.files import gone, unwritable, write_whole


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one network.

    epoch: counts from 1; engine: "native" or "torch"
    train_loss, val_loss: mean cross-entropy in nats; train_accuracy, val_accuracy: fractions from 0 to 1. The training
        values are means over the epoch's batches, in training mode, each before its update
    failed_step: the step whose loss was not finite, from 0; None if the epoch was completed
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
    failed_step: int | None = None


def best_row(rows: Sequence[EpochRow]) -> EpochRow | None:
    """The first epoch with the highest validation accuracy; None if no epoch was completed."""
    completed = [row for row in rows if row.failed_step is None]
    return max(completed, key=lambda row: row.val_accuracy, default=None)


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
    """All rows, in the file's order. Raises InputError if the file is missing or damaged."""
    kinds = {"seed": int, "epoch": int, "engine": str}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                EpochRow(
                    **{name: kinds.get(name, float)(text) for name, text in row.items() if name != "failed_step"},
                    failed_step=int(row["failed_step"]) if row["failed_step"] else None,
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is missing or damaged ({error}): restore it") from None


def _lines(rows: Iterable[EpochRow], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _NAMES, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
