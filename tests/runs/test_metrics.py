"""metrics.csv: rows are read as written, and the best epoch is found."""

from dataclasses import replace

import pytest

from lenet.errors import InputError
from lenet.runs import metrics
from lenet.runs.metrics import (
    SELECT,
    EpochRow,
    append_metrics,
    best_row,
    read_metrics,
    write_metrics,
)

ROW = EpochRow(0, 1, "torch", 0.5, 0.25, 0.75, 1 / 3, 1.5, 0.5, None, 0.25, 0.125)


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
    assert best_row([*rows, failed], "val_accuracy") == rows[1]
    assert best_row([failed], "val_accuracy") is None
    assert best_row([], "val_accuracy") is None


@pytest.mark.parametrize(("select", "epoch"), [("accuracy", 1), ("balanced", 2), ("loss", 3), ("f1", 4), ("last", 5)])
def test_each_score_selects_the_first_epoch_with_its_best_value(select, epoch):
    names, rows = list(SELECT.values())[:4], []
    for number in (1, 2, 3, 4, 4):  # each row is the best by another score; the last one repeats the one before
        best = names[number - 1]
        scores = dict.fromkeys(names, 0.1) | {"val_loss": 2.0} | {best: 1.0 if best == "val_loss" else 0.9}
        rows.append(replace(ROW, epoch=len(rows) + 1, **scores))
    assert best_row(rows, SELECT[select]).epoch == epoch


def test_an_empty_field_is_refused_where_a_value_is_needed(tmp_path):
    path = tmp_path / "metrics.csv"
    write_metrics(path, [ROW])
    path.write_text(path.read_text().replace("0.75", ""))
    with pytest.raises(InputError, match=r"metrics.csv is damaged"):
        read_metrics(path)


def test_metrics_csv_is_read_up_to_a_size(tmp_path, monkeypatch):
    path = tmp_path / "metrics.csv"
    write_metrics(path, [ROW])
    size = path.stat().st_size
    monkeypatch.setattr(metrics, "MOST_CSV", size, raising=False)
    assert read_metrics(path) == [ROW]
    monkeypatch.setattr(metrics, "MOST_CSV", size - 1, raising=False)
    with pytest.raises(InputError, match=f"^{path} is too large: lenet reads at most {size - 1} bytes of such a file$"):
        read_metrics(path)


def test_a_missing_metrics_csv_and_a_value_of_two_lines_are_named_in_one_line(tmp_path):
    path = tmp_path / "metrics.csv"
    with pytest.raises(InputError, match=f"cannot read {path} .No such file or directory."):
        read_metrics(path)
    write_metrics(path, [replace(ROW, engine="to\nrch")])
    with pytest.raises(InputError) as error:
        read_metrics(path)
    assert str(error.value) == f"{path} is damaged (engine to rch): restore it"
