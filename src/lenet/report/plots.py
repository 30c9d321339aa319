"""Pictures of runs. A function gathers what is drawn, so that it can be tested; another draws it as PNG."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lenet.characters import visible
from lenet.evaluation.scores import Scores
from lenet.files import make_folder, write_whole
from lenet.runs.metrics import SELECT, EpochRow, best_row
from lenet.training.finish import Tested
from lenet.training.setup import Setup
from lenet.training.training import Training

_TRAIN, _VAL, _SELECTED = "tab:blue", "tab:orange", "tab:green"
# Scores that are drawn if they choose the epoch.
_BESIDE = {"val_balanced_accuracy": "balanced accuracy", "val_macro_f1": "macro F1"}
_DPI = 130
_NUMBERED = 20  # up to this number of classes, the cells of a confusion matrix hold numbers
_NAMED = 200  # up to this number, its axes name the classes
_LONGEST_NAME = 28  # characters of a class name in a picture
_SPIKE = 10  # a loss this many times as high as the next lower one is left out of the picture


@dataclass(frozen=True)
class Curve:
    """One network's values by epoch, without the epoch in which it diverged.

    best: the epoch of its checkpoint; None where it diverged
    """

    seed: int
    epochs: list[int]
    values: list[float]
    best: int | None


@dataclass(frozen=True)
class Curves:
    """One figure of all networks of a run. The mean is that of the networks that did not diverge, as in result.json.

    end: where the axis ends, so that a network that diverged, or a spike, leaves the others readable
    """

    each: list[Curve]
    epochs: list[int]
    mean: list[float]
    end: float


def curves_of(rows: Sequence[EpochRow], name: str, scale: float = 1.0, metric: str = "val_accuracy") -> Curves:
    """The curves of a field of `EpochRow`, times `scale`. metric: what chose the epochs of the checkpoints.

    Where networks stopped early, the mean at an epoch is over those that reached it.
    """
    each = []
    for seed in dict.fromkeys(row.seed for row in rows):
        own = [row for row in rows if row.seed == seed]
        whole = [row for row in own if row.failed_step is None]
        best = best_row(own, metric) if len(whole) == len(own) else None
        values = [scale * getattr(row, name) for row in whole]
        each.append(Curve(seed, [row.epoch for row in whole], values, best.epoch if best else None))
    sound = [curve for curve in each if curve.best is not None] or each
    epochs = max((curve.epochs for curve in sound), key=len, default=[])
    reached = [[curve.values[i] for curve in sound if i < len(curve.values)] for i in range(len(epochs))]
    end = axis_end([value for curve in sound for value in curve.values])
    return Curves(each, epochs, [float(np.mean(values)) for values in reached], end)


def axis_end(values: Sequence[float]) -> float:
    """The highest value to show: all but those that lie above a gap of factor 10 in the upper half of the values."""
    ordered = np.sort(np.maximum(values, 1.0)) if len(values) else np.ones(1)
    jumps = np.flatnonzero(ordered[1:] > _SPIKE * ordered[:-1])
    jumps = jumps[2 * (jumps + 1) >= len(ordered)]
    return float(ordered[jumps[0]] if jumps.size else ordered[-1])


def draw_run(setup: Setup, trainings: Sequence[Training], tested: Tested, folder: Path) -> None:
    """curves.png and, of up to 1,000 classes, confusion.png of a run that was just trained and tested."""
    best, several = tested.best, len(tested.trainings) > 1
    title = f"{setup.config.model} on {setup.dataset.name}"
    rows = [row for training in trainings for row in training.history]
    draw_curves(rows, title, folder / "curves.png", SELECT[setup.config.select])
    if not tested.scores[best].has_matrix:
        return
    seed = f" (seed {tested.trainings[best].seed})" if several else ""
    accuracy = f"{100 * tested.scores[best].accuracy:.1f}%"
    draw_confusion(tested.scores[best], f"{title}, test accuracy {accuracy}{seed}", folder / "confusion.png")


def draw_curves(rows: Sequence[EpochRow], title: str, path: Path, metric: str = "val_accuracy") -> None:
    """Loss and accuracy over epochs: a faint line per network, their mean, and the epoch of each checkpoint.

    metric: what chose these epochs; balanced accuracy and macro F1 are then drawn too
    """
    save_figure(curves_figure(rows, title, metric), path)


def curves_figure(rows: Sequence[EpochRow], title: str, metric: str = "val_accuracy") -> Figure:
    """See `draw_curves`."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, what, scale in ((panels[0], "loss", 1.0), (panels[1], "accuracy", 100.0)):
        ends = []
        for split, colour, label in (("train", _TRAIN, "training"), ("val", _VAL, "validation")):
            curves = curves_of(rows, f"{split}_{what}", scale, metric)
            _draw(axes, curves, colour, label, mark="saved epoch" if split == "val" else None)
            ends.append(curves.end)
        if what == "accuracy" and metric in _BESIDE:
            _draw(axes, curves_of(rows, metric, scale, metric), _SELECTED, f"validation, {_BESIDE[metric]}", mark="")
            _legend(axes)
        if what == "loss":
            end_axis(axes, max(ends))
        axes.set_ylabel("cross-entropy (nats)" if what == "loss" else "accuracy (%)")
        _epoch_axis(axes)
    _legend(panels[0])
    _title(figure, title)
    return figure


def draw_runs(runs: Mapping[str, Sequence[EpochRow]], path: Path, metrics: Mapping[str, str]) -> None:
    """Training loss and validation accuracy of several runs: a colour per run, a faint line per network.

    metrics: what chose the epochs of each run's checkpoints
    """
    save_figure(runs_figure(runs, metrics), path)


def runs_figure(runs: Mapping[str, Sequence[EpochRow]], metrics: Mapping[str, str]) -> Figure:
    """See `draw_runs`."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, what, scale in ((panels[0], "train_loss", 1.0), (panels[1], "val_accuracy", 100.0)):
        ends = []
        for number, (name, rows) in enumerate(runs.items()):
            curves = curves_of(rows, what, scale, metrics[name])
            mark = "" if what == "val_accuracy" else None
            _draw(axes, curves, f"C{number % 10}", name, style="-" if number < 10 else "--", mark=mark)
            ends.append(curves.end)
        if what == "train_loss":
            end_axis(axes, max(ends))
        _epoch_axis(axes)
    panels[0].set_ylabel("training cross-entropy (nats)")
    panels[1].set_ylabel("validation accuracy (%)")
    panels[1].plot([], [], "o", color="0.4", ms=5, label="saved epoch")
    _legend(panels[1], fontsize=8)
    return figure


def draw_confusion(scores: Scores, title: str, path: Path) -> None:
    """The confusion matrix in per cent of the true class: each row adds up to 100."""
    save_figure(confusion_figure(scores, title), path)


def confusion_figure(scores: Scores, title: str) -> Figure:
    """See `draw_confusion`. Of up to 200 classes the axes hold the names: the more classes, the larger the picture."""
    count = len(scores.classes)
    percent = 100 * scores.confusion / np.maximum(scores.counts[:, None], 1)
    if count <= _NUMBERED:
        side, size = max(4.0, 0.55 * count + 1.5), 10.0
    elif count <= _NAMED:
        side, size = max(12.0, 0.13 * count + 1.5), 6.0  # 0.13 inches: a line of this font with some space
    else:
        side, size = 14.0, 10.0
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    # Among many classes an error of 1% would be white on white: the colour follows the square root there.
    picture = axes.imshow(percent, cmap="Blues", norm=PowerNorm(1.0 if count <= _NUMBERED else 0.5, vmin=0, vmax=100))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= _NAMED:
        names = [_short(name) for name in scores.classes]
        turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        if count > _NUMBERED:
            turned = {"rotation": 90}
            axes.tick_params(length=2, pad=1)
        axes.set_xticks(range(count), names, fontsize=size, parse_math=False, **turned)
        axes.set_yticks(range(count), names, fontsize=size, parse_math=False)
    if count <= _NUMBERED:
        for row, column in np.ndindex(count, count):
            if percent[row, column] >= 0.5:
                colour = "white" if percent[row, column] > 55 else "black"
                axes.text(
                    column, row, f"{percent[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8
                )
    figure.colorbar(picture, ax=axes, label="% of the true class", shrink=0.8, aspect=30, fraction=0.04)
    axes.set_title(visible(title), fontsize=11, parse_math=False)
    return figure


def draw_accuracies(groups: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path) -> None:
    """Test accuracies (0..1) by run: a dot per network, a bar at their mean; a panel per group."""
    save_figure(accuracies_figure(groups, title), path)


def accuracies_figure(groups: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> Figure:
    """See `draw_accuracies`."""
    rows = [max(len(group), 1) for group in groups.values()]
    figure = Figure(figsize=(8, 1.2 + 0.32 * sum(rows) + 0.5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": rows})[:, 0]
    for axes, (name, group) in zip(panels, groups.items(), strict=True):
        for row, each in enumerate(group.values()):
            axes.plot([100 * value for value in each], [row] * len(each), "o", color=_TRAIN, alpha=0.5, ms=5, mew=0)
            axes.plot(100 * float(np.mean(each)), row, "|", color="black", ms=14, mew=2)
        axes.set_yticks(range(len(group)), [visible(run) for run in group], parse_math=False)
        axes.set_ylim(len(group) - 0.5, -0.5)
        axes.set_xlabel(f"{visible(name)}: test accuracy (%)", parse_math=False)
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    _title(figure, title)
    return figure


def draw_per_class(series: Mapping[str, Mapping[int, Sequence[float]]], title: str, path: Path) -> None:
    """Test accuracy (0..1) over training images per class: a line per series through its means, bars of one sd."""
    save_figure(per_class_figure(series, title), path)


def per_class_figure(series: Mapping[str, Mapping[int, Sequence[float]]], title: str) -> Figure:
    """See `draw_per_class`."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    ticks = sorted({count for points in series.values() for count in points})
    for name, points in series.items():
        counts = sorted(points)
        means = [100 * float(np.mean(points[count])) for count in counts]
        sds = [100 * float(np.std(points[count], ddof=1)) if len(points[count]) > 1 else np.nan for count in counts]
        axes.errorbar(counts, means, yerr=sds, marker="o", ms=4, lw=1.8, capsize=3, label=_labelled(name))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training and validation images per class")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(axes)
    _title(figure, title)
    return figure


def _draw(axes: Axes, curves: Curves, colour: str, label: str, *, style: str = "-", mark: str | None = None) -> None:
    """The lines of one run. mark: the legend's text for dots at the networks' best epochs; None: no dots."""
    for curve in curves.each if len(curves.each) > 1 else []:
        line = "-" if curve.best is not None else ":"  # dotted: it diverged
        axes.plot(curve.epochs, curve.values, line, color=colour, alpha=0.35, lw=1)
    marker = "o" if len(curves.epochs) == 1 and mark is None else ""  # a line of one point is not seen
    axes.plot(curves.epochs, curves.mean, style, color=colour, lw=2, marker=marker, label=_labelled(label))
    best = [(curve.best, curve.values[curve.epochs.index(curve.best)]) for curve in curves.each if curve.best]
    if mark is not None and best:
        axes.plot(*zip(*best, strict=True), "o", color=colour, ms=5, mec="black", mew=0.6, label=mark or None, zorder=3)
    if mark and any(curve.best is None for curve in curves.each):
        axes.plot([], [], ":", color="0.4", lw=1, label="diverged")


def end_axis(axes: Axes, end: float) -> None:
    """End the axis of losses below what is too high to show."""
    if axes.get_ylim()[1] > 1.1 * end:
        axes.set_ylim(-0.05 * end, 1.05 * end)


def _epoch_axis(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes, fontsize: float | None = None) -> None:
    for text in axes.legend(frameon=False, fontsize=fontsize).get_texts():
        text.set_parse_math(False)


def _labelled(name: str) -> str:
    """A user's name as the label of a line: matplotlib leaves labels that begin with _ out of legends."""
    return visible(f" {name}" if name.startswith("_") else name)


def _title(figure: Figure, title: str) -> None:
    figure.suptitle(visible(title), fontsize=11).set_parse_math(False)


def _short(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}…"


def save_figure(figure: Figure, path: Path, *, tight: bool = False) -> None:
    """Write a figure as PNG, whole or not at all. tight: cut the margins, of one that has no layout of its own."""
    make_folder(path.parent)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as an empty box
        figure.savefig(picture, dpi=_DPI, bbox_inches="tight" if tight else None)
    write_whole(path, picture.getvalue())
