"""What is said of figures, and the pictures drawn of them."""

import numpy as np
import pytest
from PIL import Image

from lenet.evaluation.scores import mean_sd, scores
from lenet.report.plots import draw_confusion, draw_curves
from lenet.report.text import clock, percent
from lenet.runs.metrics import EpochRow
from lenet.training.finish import versions


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (12.2, "12 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (185, "3:05"),
        (3600, "1:00:00"),
        (86_399, "23:59:59"),
    ],
)
def test_clock(seconds, said):
    assert clock(seconds) == said


def test_percent_has_its_spread_where_there_are_several():
    assert percent(mean_sd([0.7541])) == "75.4%"
    assert percent(mean_sd([0.75, 0.76])) == "75.5% ± 0.7 (n = 2)"


def test_versions_name_what_bits_depend_on():
    assert versions().keys() >= {"python", "lenet", "torch", "numpy"}


def row(seed, epoch, **changes):
    return EpochRow(seed, epoch, "torch", 1 / epoch, 0.5, 2 / epoch, 0.4, 1.0, 0.1, **changes)


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, 1)],
        [row(seed, epoch) for seed in range(3) for epoch in range(1, 6 - seed)],  # members that stopped early
        [row(0, 1), row(0, 2), row(1, 1, failed_step=3)],
        [row(0, 1, failed_step=3), row(1, 1), row(1, 2)],
    ],
)
def test_curves_are_drawn_of_one_member_or_many_that_failed_or_stopped(tmp_path, rows):
    draw_curves(rows, "50% of [a] $b$ 模", tmp_path / "plots" / "curves.png")
    with Image.open(tmp_path / "plots" / "curves.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert len(set(np.asarray(picture.convert("L")).ravel().tolist())) > 20  # something is drawn


@pytest.mark.parametrize("count", [2, 10, 21, 100])
def test_confusion_is_drawn_of_few_classes_or_many(tmp_path, count):
    classes = tuple(f"class_{number} $x" for number in range(count))
    labels = np.arange(count)
    judged = scores(np.eye(count)[labels[::-1]], labels, classes)
    draw_confusion(judged, "title", tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert picture.format == "PNG"
        assert max(picture.size) < 2_000
