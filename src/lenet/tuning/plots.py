"""Plots of a search. Trials train for unequal numbers of epochs: each plot says which epoch it shows.

Optuna draws the plots that compare trials at one epoch, the last that all of them reached: at later epochs the
scheduler has selected the trials. The plots of each trial's best epoch are drawn here, with its number of epochs.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lenet.files import make_folder
from lenet.report.plots import axis_end, end_axis, save_figure
from lenet.runs.metrics import METRICS
from lenet.tuning.display import metric_label, scaled
from lenet.tuning.space import Axis, Space, shown
from lenet.tuning.trials import Trials

LEAST = 8  # trials of which Optuna's plots say something


def draw_search(trials: Trials, space: Space, folder: Path) -> None:
    """All plots of a search as PNG; without those that it has too few trials for."""
    make_folder(folder)
    save_figure(courses_figure(trials), folder / "trials.png")
    save_figure(values_figure(trials, space), folder / "values.png")
    epoch, study = study_of(trials, space)
    if not _enough(study):
        return
    draw, name, evaluator = optuna.visualization.matplotlib, metric_label(trials.metric), _evaluator()
    for file, plot in (
        ("parallel", lambda: draw.plot_parallel_coordinate(study, target_name=name)),
        ("importance", lambda: draw.plot_param_importances(study, evaluator=evaluator, target_name=name)),
    ):
        _save_optunas(plot, f"epoch {epoch}, {len(study.trials)} trials", folder / f"{file}.png")


def courses_figure(trials: Trials) -> Figure:
    """The metric over epochs, a line per trial, with a dot at its best epoch and a cross where it was stopped."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes, best = figure.subplots(), trials.ranked()[:1]
    for trial in trials:
        rows = [row for row in trial.rows if row.failed_step is None]
        top = trial.best(trials.metric)
        if top is None:
            continue
        values = [scaled(trials.metric, row) for row in rows]
        colour = {"stopped": "0.65", "failed": "tab:red"}.get(trial.status, "tab:blue")
        colour, width, order = ("tab:orange", 2.5, 3) if trial in best else (colour, 1.2, 2)
        axes.plot(range(1, len(rows) + 1), values, color=colour, lw=width, zorder=order)
        axes.plot(top.epoch, values[top.epoch - 1], "o", color=colour, ms=5, zorder=order)
        if trial.status == "stopped":
            axes.plot(len(rows), values[-1], "x", color=colour, ms=6, zorder=order)
    for line, colour, label in (
        ("-", "tab:orange", f"trial {best[0].number}, the best" if best else "the best trial"),
        ("x", "0.65", "stopped by the scheduler"),
        ("o", "tab:blue", "a trial's best epoch"),
        *([("-", "tab:red", "failed")] if trials.with_status("failed") else []),
    ):
        axes.plot([], [], line, color=colour, label=label)
    axes.legend(frameon=False)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _finish(axes, trials, [row for trial in trials for row in trial.rows if row.failed_step is None])
    return figure


def values_figure(trials: Trials, space: Space) -> Figure:
    """The metric of each trial's best epoch against each searched option; the colour is its number of epochs."""
    rows = [(trial, row) for trial in trials if (row := trial.best(trials.metric)) is not None]
    heights = [scaled(trials.metric, row) for _, row in rows]
    figure = Figure(figsize=(3 * len(space.axes) + 1.5, 3.2), layout="constrained")
    panels = figure.subplots(1, len(space.axes), sharey=True, squeeze=False)[0]
    for axes, axis in zip(panels, space.axes, strict=True):
        places, epochs = [axis.place(trial.values[axis.name]) for trial, _ in rows], [trial.epoch for trial, _ in rows]
        dots = axes.scatter(places, heights, c=epochs, cmap="viridis_r", vmin=1, vmax=max(trials.epochs, 2), s=24,
                            edgecolors="0.4", linewidths=0.4)  # fmt: skip
        if axis.kind == "choice":
            axes.set_xticks(range(len(axis.values)), [shown(value) for value in axis.values])
            axes.set_xlim(-0.5, len(axis.values) - 0.5)
        elif axis.kind == "loguniform":
            axes.set_xscale("log")
        axes.set_xlabel(axis.name.replace("_", " "))
        _finish(axes, trials, [row for _, row in rows])
    for axes in panels[1:]:
        axes.set_ylabel("")
    panels[0].set_ylabel(f"{metric_label(trials.metric)}\nof the best epoch")
    figure.colorbar(dots, ax=panels, label="epochs trained", ticks=MaxNLocator(integer=True))
    return figure


def importances(trials: Trials, space: Space) -> tuple[int, int, dict[str, float]]:
    """(the last epoch that all trials reached, the number of trials there, each option's importance, 0 to 1).

    Without importances if there are too few trials, or all have the same value.
    """
    epoch, study = study_of(trials, space)
    if not _enough(study):
        return epoch, len(study.trials), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study, evaluator=_evaluator())
    return epoch, len(study.trials), {name: float(value) for name, value in found.items()}


def _enough(study: "optuna.Study") -> bool:
    return len(study.trials) >= LEAST and len({trial.value for trial in study.trials}) > 1


def _evaluator() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls it experimental
        return optuna.importance.PedAnovaImportanceEvaluator()


def study_of(trials: Trials, space: Space) -> tuple[int, "optuna.Study"]:
    """(the last epoch that all trials reached, the trials there as Optuna knows them); failed ones may be missing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if METRICS[trials.metric] > 0 else "minimize")
    epoch = min((trial.epoch for trial in trials if trial.status != "failed" and trial.epoch), default=1)
    rows = [(trial, row) for trial in trials if (row := trial.at(epoch)) is not None]
    end = axis_end([scaled(trials.metric, row) for _, row in rows])
    distributions: dict[str, Any] = {axis.name: _distribution(axis) for axis in space.axes}
    for trial, row in rows:
        values = {axis.name: _category(axis, trial.values[axis.name]) for axis in space.axes}
        value = min(scaled(trials.metric, row), end)
        study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=value))
    return epoch, study


def _distribution(axis: Axis) -> Any:
    if axis.kind == "choice":
        return optuna.distributions.CategoricalDistribution([_category(axis, value) for value in axis.values])
    log = axis.kind == "loguniform"
    if axis.whole:
        step = round(axis.step or 1)
        highest = round(axis.high) - round(axis.high - axis.low) % step  # Optuna warns of an end that no step reaches
        return optuna.distributions.IntDistribution(round(axis.low), highest, log, step)
    return optuna.distributions.FloatDistribution(axis.low, axis.high, log)


def _category(axis: Axis, value: Any) -> Any:
    return shown(value) if axis.kind == "choice" and not isinstance(value, (int, float)) else value


def _finish(axes: Axes, trials: Trials, rows: Sequence[Any]) -> None:
    """End an axis of losses below what is too high to show: one trial that diverges leaves the others readable."""
    end_axis(axes, axis_end([scaled(trials.metric, row) for row in rows]))
    axes.set_ylabel(metric_label(trials.metric))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _save_optunas(draw: Callable[[], Axes], title: str, path: Path) -> None:
    """Optuna draws with pyplot: the caller's style and figures stay as they were."""
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its plots and its evaluator experimental
        axes = draw()
        axes.set_title(f"{axes.get_title()}: {title}")
        figure = plt.gcf()
        figure.set_size_inches(9, 4.5)
        save_figure(figure, path, tight=True)
        plt.close(figure)
