"""metrics.csv: rows are read as written, and the best epoch is found."""

from dataclasses import replace

import pytest

from lenet.errors import InputError
from lenet.runs.metrics import EpochRow, append_metrics, best_row, read_metrics, write_metrics

ROW = EpochRow(0, 1, "torch", 0.5, 0.25, 0.75, 1 / 3, 1.5, 0.5)


def test_rows_are_read_as_written(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [ROW, replace(ROW, seed=1, engine="native"), replace(ROW, epoch=2, failed_step=7, val_loss=float("inf"))]
    write_metrics(path, rows[:1])
    for row in rows[1:]:
        append_metrics(path, row)
    assert read_metrics(path) == rows


def test_rows_are_not_appended_to_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} is gone"):
        append_metrics(tmp_path / "metrics.csv", ROW)
    assert not (tmp_path / "metrics.csv").exists()


def test_best_row_is_the_first_with_highest_validation_accuracy_and_never_a_failed_one():
    rows = [replace(ROW, epoch=epoch, val_accuracy=accuracy) for epoch, accuracy in enumerate((0.2, 0.6, 0.6, 0.4), 1)]
    failed = replace(ROW, epoch=5, val_accuracy=0.9, failed_step=0)
    assert best_row([*rows, failed]) == rows[1]
    assert best_row([failed]) is None
    assert best_row([]) is None
