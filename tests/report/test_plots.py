"""Pictures of runs: what is gathered for them, and what the figures then show."""

import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from lenet.evaluation.scores import scores
from lenet.report.plots import (
    accuracies_figure,
    axis_end,
    confusion_figure,
    curves_figure,
    curves_of,
    draw_confusion,
    draw_curves,
    per_class_figure,
    runs_figure,
)
from lenet.runs.metrics import EpochRow

NAN = math.nan


def row(seed, epoch, *, loss=None, accuracy=None, failed_step=None):
    """An epoch whose losses are 2 / epoch and whose validation accuracy is highest in epoch 3."""
    loss = 2 / epoch if loss is None else loss
    accuracy = 0.5 - 0.1 * abs(epoch - 3) + 0.01 * seed if accuracy is None else accuracy
    return EpochRow(seed, epoch, "torch", loss, 0.5, 1.5 * loss, accuracy, 1.0, 0.1, failed_step, accuracy, accuracy)


def network(seed, epochs, **changes):
    return [row(seed, epoch, **changes) for epoch in range(1, epochs + 1)]


def diverged(seed):
    return [row(seed, 1, loss=4e5, accuracy=0.1), row(seed, 2, loss=NAN, accuracy=0.1, failed_step=3)]


def lines(axes, label=None):
    """What is drawn as lines or dots: (label, x, y, style, marker)."""
    found = [
        (line.get_label(), list(line.get_xdata()), list(line.get_ydata()), line.get_linestyle(), line.get_marker())
        for line in axes.lines
    ]
    return found if label is None else [line for line in found if line[0] == label]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# ---- curves ---------------------------------------------------------------------------------------------------------


def test_the_mean_at_an_epoch_is_over_the_networks_that_reached_it():
    curves = curves_of(network(0, 4) + network(1, 2), "val_accuracy", 100)
    assert [(curve.seed, curve.epochs, curve.best) for curve in curves.each] == [(0, [1, 2, 3, 4], 3), (1, [1, 2], 2)]
    assert curves.each[1].values == pytest.approx([31, 41])
    assert curves.epochs == [1, 2, 3, 4]
    assert curves.mean == pytest.approx([30.5, 40.5, 50, 40])


def test_a_network_that_diverged_is_in_neither_the_mean_nor_the_axis():
    curves = curves_of(network(0, 3) + diverged(1), "train_loss")
    assert [(curve.seed, curve.values, curve.best) for curve in curves.each] == [
        (0, [2, 1, 2 / 3], 3),
        (1, [4e5], None),
    ]
    assert curves.mean == [2, 1, 2 / 3]
    assert curves.end == 2


def test_curves_of_networks_that_all_diverged_are_shown_as_they_are():
    curves = curves_of(diverged(0), "train_loss")
    assert (curves.epochs, curves.mean, curves.each[0].best) == ([1], [4e5], None)


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ([], 1),
        ([0.3, 0.2, 0.001], 1),  # an axis of small losses needs no limit
        ([2.3, 0.4, 0.01], 2.3),  # a gap below 1 is none
        ([2.3, 9.0, 60.0, 400.0], 400.0),  # grows without a gap
        ([2.3, 2.0, 1.9, 5e4], 2.3),
        ([2.3, 2.0, 1.9, 300.0, 5e9], 2.3),
        ([1.0, 1e3, 1e3, 1e3], 1e3),  # most values are that high
    ],
)
def test_the_axis_leaves_out_only_what_lies_above_a_large_gap(values, end):
    assert axis_end(values) == end


def test_curves_of_one_network_mark_its_best_epoch():
    loss, accuracy = curves_figure(network(0, 5), "title").axes
    assert lines(loss, "saved epoch") == [("saved epoch", [3], [1.0], "None", "o")]
    assert lines(accuracy, "saved epoch") == [("saved epoch", [3], [50.0], "None", "o")]
    assert lines(loss, "training")[0][1:3] == ([1, 2, 3, 4, 5], [2 / epoch for epoch in range(1, 6)])
    assert lines(loss, "validation")[0][2] == pytest.approx([3 / epoch for epoch in range(1, 6)])
    assert lines(accuracy, "training")[0][2] == [50.0] * 5
    assert len(loss.lines) == 3  # of a single network its line is the mean
    assert legend(loss) == ["training", "validation", "saved epoch"]
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("cross-entropy (nats)", "accuracy (%)")


def test_curves_of_several_networks_have_a_line_and_a_best_epoch_for_each():
    loss, accuracy = curves_figure(network(0, 5) + network(1, 2) + diverged(2), "title").axes
    assert lines(accuracy, "saved epoch")[0][1:3] == ([3, 2], pytest.approx([50.0, 41.0]))
    assert len([line for line in lines(loss) if line[0].startswith("_child")]) == 6  # two splits of three networks
    assert [line[3] for line in lines(loss) if line[2] == [4e5]] == [":"]
    assert legend(loss) == ["training", "validation", "saved epoch", "diverged"]


@pytest.mark.parametrize("spoilt", [diverged(1), [row(1, 1), row(1, 2, loss=7e7), row(1, 3), row(1, 4)]])
def test_one_network_with_a_huge_loss_does_not_squash_the_axis(spoilt):
    loss, _ = curves_figure(network(0, 5) + spoilt, "title").axes
    low, high = loss.get_ylim()
    assert -1 < low < 0
    assert 3 < high < 4  # the highest loss otherwise is 3
    compared, _ = runs_figure(
        {"a": network(0, 5), "b": network(0, 5) + spoilt}, dict.fromkeys("ab", "val_accuracy")
    ).axes
    assert 2 < compared.get_ylim()[1] < 3


def test_names_are_not_read_as_formulas_and_control_characters_are_escaped(tmp_path):
    title = "50% of [a] $b$ 模 \x1b[31m"
    draw_curves(network(0, 1), title, tmp_path / "plots" / "curves.png")  # any warning would be an error
    assert curves_figure(network(0, 1), title).get_suptitle() == "50% of [a] $b$ 模 \\x1b[31m"
    with Image.open(tmp_path / "plots" / "curves.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1170, 468))


def test_compared_runs_have_a_colour_each_and_their_best_epochs():
    runs = {"runs/1": network(0, 4), "$x$": network(0, 2) + network(1, 2)}
    loss, accuracy = runs_figure(runs, dict.fromkeys(runs, "val_accuracy")).axes
    assert lines(loss, "runs/1")[0][2] == pytest.approx([2, 1, 2 / 3, 0.5])
    assert lines(accuracy, "$x$")[0][2] == pytest.approx([30.5, 40.5])
    assert legend(accuracy) == ["runs/1", "$x$", "saved epoch"]
    dots = [line for line in lines(accuracy) if line[4] == "o" and line[1] and line[0] != "saved epoch"]
    assert [dot[1] for dot in dots] == [[3], [2, 2]]
    _, by_loss = runs_figure(runs, dict.fromkeys(runs, "val_loss")).axes
    dots = [line for line in lines(by_loss) if line[4] == "o" and line[1] and line[0] != "saved epoch"]
    assert [dot[1] for dot in dots] == [[4], [2, 2]], "the epochs that each run chose"


def test_names_that_begin_with_an_underscore_are_in_the_legends():
    runs = {"_old": network(0, 2), "__x": network(0, 2)}
    _, accuracy = runs_figure(runs, dict.fromkeys(runs, "val_accuracy")).axes
    assert legend(accuracy) == [" _old", " __x", "saved epoch"]
    (axes,) = per_class_figure({"_a": {10: [0.3]}, "b": {10: [0.4]}}, "study").axes
    assert legend(axes) == [" _a", "b"]


# ---- confusion matrices ---------------------------------------------------------------------------------------------


def confused(count, names=None):
    """Of each class 3 images, 2 classified correctly and 1 as the next class."""
    labels = np.repeat(np.arange(count), 3)
    predicted = np.where(np.arange(3 * count) % 3 == 2, (labels + 1) % count, labels)
    return scores(np.eye(count)[predicted], labels, names or tuple(f"class_{number} $x$" for number in range(count)))


def test_a_confusion_matrix_holds_per_cent_of_the_true_class():
    figure = confusion_figure(confused(3, ("cat", "a\x1b[2Jb", "x" * 40)), "title")
    axes, bar = figure.axes
    assert axes.images[0].get_array().tolist() == [
        pytest.approx(shares) for shares in ([200 / 3, 100 / 3, 0], [0, 200 / 3, 100 / 3], [100 / 3, 0, 200 / 3])
    ]
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        *[((0, 0), "67"), ((1, 0), "33"), ((1, 1), "67")],
        *[((2, 1), "33"), ((0, 2), "33"), ((2, 2), "67")],
    ]
    names = ["cat", "a\\x1b[2Jb", "x" * 27 + "…"]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert bar.get_ylabel() == "% of the true class"


@pytest.mark.parametrize("count", [20, 21, 100])
def test_class_names_do_not_overlap(count):
    figure = confusion_figure(confused(count), "title")
    axes = figure.axes[0]
    figure.canvas.draw()
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == [f"class_{number} $x$" for number in range(count)]
    boxes = [label.get_window_extent() for label in labels]
    assert all(lower.y1 <= upper.y0 for upper, lower in pairwise(boxes))
    assert labels[0].get_fontsize() >= 6
    across = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert count <= 20 or all(left.x1 <= right.x0 for left, right in pairwise(across))
    assert len(axes.texts) == (2 * count if count <= 20 else 0)


def test_more_classes_than_names_fit_are_numbered():
    axes = confusion_figure(confused(300), "title").axes[0]
    assert len(axes.get_yticklabels()) < 30


def test_the_matrix_of_100_classes_is_large_enough_to_zoom_in():
    width, height = 130 * confusion_figure(confused(100), "title").get_size_inches()  # pixels
    assert 1500 < height <= width < 2500


def test_a_confusion_matrix_is_written_as_png(tmp_path):
    draw_confusion(confused(3), "title", tmp_path / "plots" / "confusion.png")
    with Image.open(tmp_path / "plots" / "confusion.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (624, 520))


# ---- studies --------------------------------------------------------------------------------------------------------


def test_accuracies_are_dots_with_a_bar_at_their_mean():
    figure = accuracies_figure({"cifar10": {"a": [0.5, 0.6], "$b$": [0.7]}, "stl10": {"c": [0.4]}}, "study")
    first, second = figure.axes
    assert [(line[1], line[2]) for line in lines(first)] == [
        *[([50.0, 60.0], [0, 0]), ([pytest.approx(55.0)], [0])],
        *[([70.0], [1]), ([70.0], [1])],
    ]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "$b$"]
    assert (first.get_xlabel(), second.get_xlabel()) == ("cifar10: test accuracy (%)", "stl10: test accuracy (%)")
    assert figure.get_suptitle() == "study"


def test_accuracy_over_images_per_class_shows_mean_and_sd():
    axes = per_class_figure({"from scratch": {100: [0.5, 0.7], 10: [0.3]}}, "study").axes[0]
    (container,) = axes.containers
    assert container.get_label() == "from scratch"
    assert container.lines[0].get_xdata().tolist() == [10, 100]
    assert container.lines[0].get_ydata().tolist() == pytest.approx([30, 60])
    bars = container.lines[2][0].get_segments()
    assert np.size(bars[0]) == 0  # one network has no sd
    assert bars[1][:, 1].tolist() == pytest.approx([60 - 20 / 2**0.5, 60 + 20 / 2**0.5])
    assert axes.get_xscale() == "log"
