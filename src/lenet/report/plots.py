"""Pictures of a run. Each is made of data that something else gathered; nothing here computes a figure."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lenet.evaluation.scores import Scores
from lenet.files import make_folder, write_whole
from lenet.runs.metrics import EpochRow
from lenet.training.finish import Tested
from lenet.training.setup import Setup
from lenet.training.training import Training

_NAMED_CELLS = 20  # up to so many classes a confusion matrix has room for names and numbers
_TRAIN, _VAL = "tab:blue", "tab:orange"


def draw_run(setup: Setup, trainings: Sequence[Training], tested: Tested, folder: Path) -> None:
    """curves.png and confusion.png of a run that was just trained and tested."""
    best, several = tested.best, len(tested.trainings) > 1
    title = f"{setup.config.model} on {setup.dataset.name}"
    draw_curves([row for training in trainings for row in training.history], title, folder / "curves.png")
    seed = f" (seed {tested.trainings[best].seed})" if several else ""
    accuracy = f"{100 * tested.scores[best].accuracy:.1f}%"
    draw_confusion(tested.scores[best], f"{title}, test accuracy {accuracy}{seed}", folder / "confusion.png")


def draw_curves(rows: Sequence[EpochRow], title: str, path: Path) -> None:
    """Loss and accuracy over epochs as PNG: a faint line a member, and their mean."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, what, scale in ((panels[0], "loss", 1.0), (panels[1], "accuracy", 100.0)):
        for split, colour in (("train", _TRAIN), ("val", _VAL)):
            lines = _lines(rows, f"{split}_{what}", scale)
            for epochs, values in lines if len(lines) > 1 else []:
                axes.plot(epochs, values, color=colour, alpha=0.35, lw=1)
            epochs, mean = _mean(lines)
            label = {"train": "training", "val": "validation"}[split]
            axes.plot(epochs, mean, color=colour, lw=2, marker="o" if len(epochs) == 1 else "", label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel("cross-entropy (nats)" if what == "loss" else "accuracy (%)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def draw_confusion(scores: Scores, title: str, path: Path) -> None:
    """The confusion matrix as PNG; a row's shares add up to 100%."""
    count = len(scores.classes)
    share = 100 * scores.confusion / np.maximum(scores.confusion.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.55 * count + 1.5), 12.0)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= _NAMED_CELLS:
        axes.set_xticks(range(count), scores.classes, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), scores.classes)
        for row, column in np.ndindex(count, count):
            if share[row, column] >= 0.5:
                colour = "white" if share[row, column] > 55 else "black"
                axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(picture, ax=axes, label="% of the true class", shrink=0.8)
    axes.set_title(title, fontsize=11)
    _save(figure, path)


def draw_runs(runs: Mapping[str, Sequence[EpochRow]], path: Path) -> None:
    """Training loss and validation accuracy of several runs as PNG: a colour a run, a faint line a member."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, what, scale in ((panels[0], "train_loss", 1.0), (panels[1], "val_accuracy", 100.0)):
        for number, (name, rows) in enumerate(runs.items()):
            lines, colour = _lines(rows, what, scale), f"C{number % 10}"
            for epochs, values in lines if len(lines) > 1 else []:
                axes.plot(epochs, values, color=colour, alpha=0.25, lw=0.8)
            epochs, mean = _mean(lines)
            style = "-" if number < 10 else "--"
            axes.plot(epochs, mean, style, color=colour, lw=2, marker="o" if len(epochs) == 1 else "", label=name)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("training cross-entropy (nats)")
    panels[1].set_ylabel("validation accuracy (%)")
    panels[1].legend(frameon=False, fontsize=8)
    _save(figure, path)


def draw_accuracies(groups: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path) -> None:
    """Test accuracies (0..1) by run as PNG: a dot a network, a bar at their mean; a panel a group."""
    rows = [max(len(group), 1) for group in groups.values()]
    figure = Figure(figsize=(8, 1.2 + 0.32 * sum(rows) + 0.5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": rows})[:, 0]
    for axes, (name, group) in zip(panels, groups.items(), strict=True):
        for row, each in enumerate(group.values()):
            axes.plot([100 * value for value in each], [row] * len(each), "o", color=_TRAIN, alpha=0.5, ms=5, mew=0)
            axes.plot(100 * float(np.mean(each)), row, "|", color="black", ms=14, mew=2)
        axes.set_yticks(range(len(group)), list(group))
        axes.set_ylim(len(group) - 0.5, -0.5)
        axes.set_xlabel(f"{name}: test accuracy (%)")
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def draw_per_class(series: Mapping[str, Mapping[int, Sequence[float]]], title: str, path: Path) -> None:
    """Test accuracy (0..1) over training images a class as PNG: a line a series through its means, bars of one sd."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    ticks = sorted({count for points in series.values() for count in points})
    for name, points in series.items():
        counts = sorted(points)
        means = [100 * float(np.mean(points[count])) for count in counts]
        sds = [100 * float(np.std(points[count], ddof=1)) if len(points[count]) > 1 else np.nan for count in counts]
        axes.errorbar(counts, means, yerr=sds, marker="o", ms=4, lw=1.8, capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.minorticks_off()
    axes.set_xlabel("images a class, validation included")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _lines(rows: Sequence[EpochRow], name: str, scale: float) -> list[tuple[list[int], list[float]]]:
    """Each member's epochs and values, unfinished epochs left out."""
    whole = [row for row in rows if row.failed_step is None]
    members = [[row for row in whole if row.seed == seed] for seed in dict.fromkeys(row.seed for row in whole)]
    return [([row.epoch for row in member], [scale * getattr(row, name) for row in member]) for member in members]


def _mean(lines: list[tuple[list[int], list[float]]]) -> tuple[list[int], list[float]]:
    """The mean over the members that reached each epoch."""
    longest = max((epochs for epochs, _ in lines), key=len, default=[])
    return longest, [
        float(np.mean([values[i] for epochs, values in lines if i < len(epochs)])) for i in range(len(longest))
    ]


def _save(figure: Figure, path: Path) -> None:
    make_folder(path.parent)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=130)
    write_whole(path, picture.getvalue())
