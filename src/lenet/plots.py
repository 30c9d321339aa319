"""Pictures of a run. Each is made of data that something else gathered; nothing here computes a figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lenet.evaluation import Scores
from lenet.files import make_folder
from lenet.training import EpochRow

_NAMED_CELLS = 20  # up to so many classes a confusion matrix has room for names and numbers
_TRAIN, _VAL = "tab:blue", "tab:orange"


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
    figure.savefig(path, dpi=130)
