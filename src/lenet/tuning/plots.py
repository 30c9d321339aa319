"""Pictures of a search. Each is drawn from data that a function here gathers; trials compare at equal epochs alone."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lenet.files import make_folder
from lenet.tuning.search import METRICS
from lenet.tuning.space import Axis, Space, shown
from lenet.tuning.table import Table, TrialRecord

_LEAST = 4  # trials that must have reached an epoch for a comparison at it
_COLOURS = "viridis"
_STATUS = {"stopped": ("0.65", "x"), "failed": ("tab:red", "X")}


@dataclass(frozen=True)
class AtEpoch:
    """The trials that reached an epoch whole, and their metric there."""

    epoch: int
    trials: list[TrialRecord]
    figures: np.ndarray  # float64 [trials]


def draw_search(table: Table, space: Space, folder: Path) -> None:
    """All pictures of a search as PNG; what a search is too small for is left out."""
    make_folder(folder)
    draw_courses(table, folder / "trials.png")
    slices = comparable(table)
    if not slices:
        return
    draw_values(table, space, slices, folder / "values.png")
    draw_parallel(table, space, slices[-1], folder / "parallel.png")
    mattered = importance(space, slices, METRICS[table.metric])
    if mattered:
        draw_importance(mattered, folder / "importance.png")


def comparable(table: Table) -> list[AtEpoch]:
    """At epoch 1, 2, 4, ...: the trials that got there, as long as they are enough to compare."""
    found, epoch = [], 1
    while epoch <= table.epochs:
        rows = [(trial, row) for trial in table if (row := trial.at(epoch)) is not None]
        if len(rows) < _LEAST:
            break
        figures = np.array([getattr(row, table.metric) for _, row in rows], np.float64)
        found.append(AtEpoch(epoch, [trial for trial, _ in rows], figures))
        epoch *= 2
    return found


def importance(space: Space, slices: Sequence[AtEpoch], sign: int) -> dict[int, dict[str, float]]:
    """epoch -> option -> its share of what the options together mattered, by Optuna's PED-ANOVA.

    Epochs at which all trials are alike, or too few for a figure, are left out.
    """
    axes = [axis for axis in space.axes if axis.every() is None or len(axis.every() or ()) > 1]
    found: dict[int, dict[str, float]] = {}
    for one in slices if axes else ():
        if len(one.trials) < 2 * _LEAST or np.ptp(one.figures) == 0:
            continue
        study = _study(axes, one, sign)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna marks its evaluator experimental
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=True)
        if all(np.isfinite(share) for share in shares.values()):
            found[one.epoch] = {axis.name: float(shares.get(axis.name, 0.0)) for axis in axes}
    return found


def _study(axes: Sequence[Axis], one: AtEpoch, sign: int) -> "optuna.Study":
    """The trials as Optuna knows them; more is better."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    distributions: dict[str, Any] = {}
    for axis in axes:
        if axis.kind == "choice":
            distributions[axis.name] = optuna.distributions.CategoricalDistribution([*map(axis.encoded, axis.values)])
        elif axis.whole:
            distributions[axis.name] = optuna.distributions.IntDistribution(
                round(axis.low), round(axis.high), log=axis.kind == "loguniform", step=round(axis.step or 1)
            )
        else:
            distributions[axis.name] = optuna.distributions.FloatDistribution(
                axis.low, axis.high, log=axis.kind == "loguniform"
            )
    for trial, figure in zip(one.trials, one.figures.tolist(), strict=True):
        parameters = {axis.name: axis.encoded(trial.asked[axis.name]) for axis in axes}
        study.add_trial(optuna.trial.create_trial(params=parameters, distributions=distributions, value=sign * figure))
    return study


def draw_courses(table: Table, path: Path) -> None:
    """The metric over epochs, a line a trial; a cross where the scheduler stopped one."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    ranked = table.ranked()
    for trial in table:
        rows = [row for row in trial.rows if row.failed_step is None]
        if not rows:
            continue
        best = bool(ranked) and trial.number == ranked[0].number
        colour, mark = _STATUS.get(trial.status, ("tab:blue", "o"))
        colour, width = ("tab:orange", 2.5) if best else (colour, 1.2)
        values = [_scaled(table.metric, getattr(row, table.metric)) for row in rows]
        label = f"trial {trial.number}, the best" if best else None
        axes.plot(range(1, len(rows) + 1), values, color=colour, lw=width, zorder=3 if best else 2, label=label)
        axes.plot(len(rows), values[-1], mark, color=colour, ms=6, zorder=3)
    axes.plot([], [], "x", color="0.65", label="stopped by the scheduler")
    axes.set_xlabel("epoch")
    axes.set_ylabel(_label(table.metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    _plain(axes)
    figure.savefig(path, dpi=130)


def draw_values(table: Table, space: Space, slices: Sequence[AtEpoch], path: Path) -> None:
    """The metric against each value: a row of panels for epoch 1, which all trials reached, and one for the last."""
    chosen = slices if len(slices) == 1 else [slices[0], slices[-1]]
    figure = Figure(figsize=(3.2 * len(space.axes) + 0.6, 2.9 * len(chosen) + 0.3), layout="constrained")
    panels = figure.subplots(len(chosen), len(space.axes), squeeze=False)
    for row, one in zip(panels, chosen, strict=True):
        for axes, axis in zip(row, space.axes, strict=True):
            places, ticks = _places(axis, [trial.asked[axis.name] for trial in one.trials])
            axes.scatter(places, [_scaled(table.metric, value) for value in one.figures], s=22, alpha=0.8)
            _set_scale(axes, axis, ticks)
            axes.set_xlabel(axis.name.replace("_", " "))
            _plain(axes)
        row[0].set_ylabel(f"{_label(table.metric)}\nat epoch {one.epoch}, {len(one.trials)} trials")
    figure.savefig(path, dpi=130)


def draw_parallel(table: Table, space: Space, one: AtEpoch, path: Path) -> None:
    """A line a trial through its values, its colour the metric at an epoch that all of them reached."""
    figure = Figure(figsize=(2.0 * len(space.axes) + 3, 4.5), layout="constrained")
    axes = figure.subplots()
    columns = []
    for number, axis in enumerate(space.axes):
        places, ticks = _places(axis, [trial.asked[axis.name] for trial in one.trials])
        if ticks is None:
            raw = np.log(places) if axis.kind == "loguniform" else np.asarray(places, float)
            low, high = (np.log(axis.low), np.log(axis.high)) if axis.kind == "loguniform" else (axis.low, axis.high)
            marks = [(0.0, f"{axis.low:g}"), (1.0, f"{axis.high:g}")]
        else:
            raw, low, high = np.asarray(places, float), 0.0, max(len(ticks) - 1.0, 1e-9)
            marks = [(i / high, tick) for i, tick in enumerate(ticks)]
        columns.append((raw - low) / (high - low))
        axes.axvline(number, color="0.8", lw=1, zorder=1)
        for height, text in marks:
            axes.annotate(text, (number, height), (4, 0), textcoords="offset points", fontsize=8, va="center")
    scaled = np.array([_scaled(table.metric, value) for value in one.figures])
    spread = max(float(np.ptp(scaled)), 1e-12)
    colours = colormaps[_COLOURS]
    for number in np.argsort(scaled):
        line = [column[number] for column in columns]
        xs = range(len(columns)) if len(columns) > 1 else (0, 0.2)
        axes.plot(
            xs, line if len(line) > 1 else line * 2, color=colours((scaled[number] - scaled.min()) / spread), lw=1.4
        )
    bar = ScalarMappable(Normalize(scaled.min(), scaled.min() + spread), colours)
    figure.colorbar(bar, ax=axes, label=f"{_label(table.metric)} at epoch {one.epoch}, {len(one.trials)} trials")
    axes.set_xticks(range(len(columns)), [axis.name.replace("_", " ") for axis in space.axes])
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(columns) - 0.5)
    axes.spines[:].set_visible(False)
    figure.savefig(path, dpi=130)


def draw_importance(mattered: dict[int, dict[str, float]], path: Path) -> None:
    """A bar for each option and epoch: its share of what mattered among the trials that got there."""
    names = list(next(iter(mattered.values())))
    figure = Figure(figsize=(7, 0.55 * len(names) * len(mattered) ** 0.6 + 1.6), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(mattered)
    for number, (epoch, shares) in enumerate(mattered.items()):
        places = np.arange(len(names)) + (number - (len(mattered) - 1) / 2) * height
        axes.barh(places, [100 * shares[name] for name in names], height, label=f"at epoch {epoch}")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("share of what mattered (PED-ANOVA, %)")
    axes.legend(frameon=False)
    _plain(axes)
    figure.savefig(path, dpi=130)


def _places(axis: Axis, values: Sequence[Any]) -> tuple[list[float], list[str] | None]:
    """Where values stand on an axis, and its ticks where it has places for words, or few numbers."""
    if axis.kind == "choice":
        return [float(axis.values.index(value)) for value in values], [shown(value) for value in axis.values]
    return [float(value) for value in values], None


def _set_scale(axes: Axes, axis: Axis, ticks: list[str] | None) -> None:
    if ticks is not None:
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlim(-0.5, len(ticks) - 0.5)
        return
    if axis.kind == "loguniform":
        axes.set_xscale("log")
        axes.set_xlim(axis.low / 1.2, axis.high * 1.2)
    else:
        margin = 0.05 * (axis.high - axis.low)
        axes.set_xlim(axis.low - margin, axis.high + margin)


def _scaled(metric: str, value: float) -> float:
    return 100 * value if metric.endswith("accuracy") else value


def _label(metric: str) -> str:
    split, what = metric.split("_")
    name = {"val": "validation", "train": "training"}[split]
    return f"{name} accuracy (%)" if what == "accuracy" else f"{name} loss (nats)"


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
