"""A search in words: what is shown before, during and after it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from lenet.characters import visible
from lenet.config import augmentation_line
from lenet.errors import counted
from lenet.report.console import PlainConsole
from lenet.report.text import clock, diverged, metric_name, percent, seen_images, test_lines
from lenet.runs.metrics import EpochRow
from lenet.training.setup import OWN_MODEL
from lenet.tuning.setup import SearchSetup
from lenet.tuning.space import shown
from lenet.tuning.trials import TrialRecord, Trials

_OTHER_LINES = 6  # of the terminal, beside the trials
_STYLES = {"running": "bold", "stopped": "dim", "failed": "red", "finished": "", "waiting": "dim"}


Watch = Callable[[SearchSetup, Trials], None]


class SearchPrinter:
    """Prints a search: a table with a line per trial on a terminal, a line per ended trial elsewhere.

    Pass it as `watch`, inside its own `with`, then call `show_result`.
    """

    def __init__(self, console: PlainConsole | None = None) -> None:
        self.console = console or PlainConsole()
        self._live: Live | None = None
        self._setup: SearchSetup | None = None

    def __enter__(self) -> "SearchPrinter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, setup: SearchSetup, trials: Trials) -> None:
        """Show how the trials stand now; the first call prints what the search starts from."""
        if setup is not self._setup:
            self._begin(setup, trials)
        over = sum(trial.over for trial in trials)
        if self._live:
            passed = clock(time.perf_counter() - self._started)
            self._live.update(trials_table(trials, setup.search.trials, passed, self.console.height), refresh=True)
            if over == setup.search.trials:
                self._live.stop()
            return
        for trial in trials:
            if trial.over and trial.number not in self._printed:
                self._printed.add(trial.number)
                self.console.lines(trial_line(trial, trials))

    def show_result(self, path: Path, result: Mapping[str, Any]) -> None:
        """Print the figures of a finished search. result: result.json."""
        self.console.lines(*result_lines(path, result))

    def _begin(self, setup: SearchSetup, trials: Trials) -> None:
        self.console.lines(*opening_lines(setup))
        self._setup, self._started = setup, time.perf_counter()
        self._printed = {trial.number for trial in trials if trial.over}
        if self.console.redraws:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()


def opening_lines(setup: SearchSetup) -> list[str]:
    """The lines above the trials."""
    search, dataset = setup.search, setup.dataset
    config, (height, width, channels) = search.config, dataset.images.shape[1:]
    factor, rung, rungs = search.reduction_factor, search.grace_period, []
    while search.scheduler == "asha" and rung < config.epochs:
        rungs.append(str(rung))
        rung *= factor
    stops = f"after epoch {', '.join(rungs)} the best 1/{factor} continue" if rungs else "none is stopped early"
    return [
        f"data    {dataset.name} ({dataset.source})",
        *([f"note    {dataset.substitute}"] if dataset.substitute else []),
        f"images  {len(dataset.train):,} training, {len(dataset.val):,} validation; {height}x{width}x{channels}, "
        f"{len(dataset.classes)} classes",
        *(f"        {line}" for line in dataset.notes),
        f"model   {config.model}; {config.optimizer} {config.schedule}",
        *([] if "augment" in search.space.names else [f"augm.   {augmentation_line(config)}"]),
        f"space   {', '.join(f'{name} {text}' for name, text in search.space.texts().items())}",
        f"search  {counted(search.trials, 'trial')}, {search.searcher}, of at most {counted(config.epochs, 'epoch')}; "
        f"{stops}",
        f"engine  {setup.engine}",
        f"run     {setup.run.path}",
        *(f"note    {note}" for note in setup.notes),
    ]


def trials_table(trials: Trials, total: int, passed: str, height: int) -> Table:
    """Running trials, then the best of the others, as many as fit into a terminal of `height` lines."""
    ranked = trials.ranked()
    best = ranked[0].number if ranked else None
    chosen: dict[int, TrialRecord] = {}
    for trial in [*trials.with_status("running"), *ranked, *trials]:
        chosen.setdefault(trial.number, trial)
    over, running = sum(trial.over for trial in trials), len(trials.with_status("running"))
    caption = f"{over} of {total} trials done{f', {running} running' if over < total else ''}, {passed}"
    table = Table(box=None, pad_edge=False, header_style="dim", caption=caption, caption_justify="left")
    metric = trials.metric.replace("accuracy", "acc").replace("_", " ")
    for name in ("trial", *trials.names, "epoch", "loss", metric, "best", ""):
        # Rich first narrows columns that may wrap: the searched options, whose texts are cut instead.
        searched = name in trials.names
        table.add_column(_cut(name) if searched else name, justify="right" if name else "left", no_wrap=not searched)
    for trial in sorted(list(chosen.values())[: max(3, height - _OTHER_LINES)], key=lambda trial: trial.number):
        style = "bold green" if trial.number == best else _STYLES[trial.status]
        table.add_row(*_cells(trial, trials), style=style)
    return table


def _cells(trial: TrialRecord, trials: Trials) -> list[str | Text]:
    last = trial.at(trial.epoch)
    return [
        str(trial.number),
        *map(_cut, _values(trial, trials).values()),
        f"{trial.epoch}/{trials.epochs}",
        f"{last.train_loss:.3f}" if last else "",
        figure(trials.metric, last),
        figure(trials.metric, trial.best(trials.metric)),
        trial.status,
    ]


def _cut(text: str) -> Text:
    return Text(visible(text), no_wrap=True, overflow="ellipsis")


def trial_line(trial: TrialRecord, trials: Trials) -> str:
    """An ended trial in one line."""
    values = ", ".join(f"{name} {value}" for name, value in _values(trial, trials).items())
    best = figure(trials.metric, trial.best(trials.metric))
    line = f"trial {trial.number}  {values}  {trial.status} at epoch {trial.epoch}/{trials.epochs}"
    return line + (f"  best {best}" if best else "") + (f": {trial.error}" if trial.error else "")


def _values(trial: TrialRecord, trials: Trials) -> dict[str, str]:
    return {name: shown(trial.values.get(name, "")) for name in trials.names}


def figure(metric: str, row: EpochRow | None) -> str:
    """A metric of an epoch as it is shown."""
    if row is None:
        return ""
    return shown_metric(metric, getattr(row, metric))


def shown_metric(metric: str, value: float) -> str:
    """A metric's value as it is shown: all but losses in percent."""
    return f"{value:.4f}" if metric.endswith("loss") else f"{100 * value:.1f}%"


def metric_label(metric: str) -> str:
    """A metric with its unit, for an axis."""
    split = "validation " if metric.startswith("val") else ""
    return f"{split}{metric_name(metric)} {'(nats)' if metric.endswith('loss') else '(%)'}"


def scaled(metric: str, row: EpochRow) -> float:
    """A metric of an epoch in the unit of its axis: losses in nats, all others in percent."""
    return float(getattr(row, metric)) * (1 if metric.endswith("loss") else 100)


def _kept_lines(facts: Mapping[str, Any]) -> list[str]:
    missing = facts.get("not_kept", 0)
    kept = f"the weights of {counted(len(facts['kept']), 'trial')}"
    why = "were deleted when their trials ended, or are on another machine"
    return [f"kept    {kept}; those of {missing} more {why}"] if missing else []


def result_lines(path: Path, result: Mapping[str, Any]) -> list[str]:
    """A finished search: its best settings, their accuracy in the search and with new seeds. result: result.json."""
    facts = result["search"]
    best, seconds, stopped = facts["best"], facts["seconds"], facts["stopped"]
    values = ", ".join(f"{name} {shown(value)}" for name, value in best["values"].items())
    lines = [
        "",
        f"best    trial {best['trial']}: {values}",
        f"search  {100 * best['val_accuracy']:.1f}% validation (epoch {best['epoch']} of {result['epochs']}), one "
        f"seed, the best of {facts['trials']} trials: optimistically biased",
    ]
    if result["members"]:
        lines += [f"confirm {percent(result['val_accuracy'])} validation, new seeds", *test_lines(result)]
        lines += [f"        {note}" for note in seen_images(result)]
    if (metric := facts["metric"]) != "val_accuracy":
        lines.append(f"        ranked by {metric_name(metric)}: {shown_metric(metric, best[metric])}")
    failed = "; ".join(f"trial {number}: {error}" for number, error in facts["failed"].items())
    again = "python main.py" if result["model"] == OWN_MODEL else "lenet train"
    return [
        *lines,
        *([f"failed  {failed}"] if failed else []),
        *([f"failed  of the confirmation: {lost}"] if (lost := diverged(result)) else []),
        *_kept_lines(facts),
        f"took    {clock(result['seconds']['total'])}: first step after {seconds['start']:.1f} s, trials "
        f"{clock(seconds['search'])}, confirmation {clock(seconds['confirm'])}; "
        f"{counted(facts['trial_epochs'], 'trial epoch')}, {counted(stopped, 'trial')} stopped",
        f"files   {path}: trials.csv, best.toml, trials/, keep/, plots/, result.json",
        f"repeat  {again} --recipe {path}/trials/{best['trial']}.toml repeats the trial bit-identically",
        *(["        which trials asha stops depends on timing: the search as a whole does not repeat"] * (stopped > 0)),
    ]
