"""What a search shows while it runs: one table with a line a trial on a terminal, a plain line a trial elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from lenet.report.text import clock
from lenet.tuning.space import shown
from lenet.tuning.table import Table, TrialRecord

_REFRESH = 0.25  # seconds between two pictures
_AROUND = 6  # lines of the terminal that are not trials
_STYLES = {"running": "bold", "stopped": "dim", "failed": "red", "finished": "", "waiting": "dim"}


class TrialsView:
    """Follows the table of trials; `update` is called by whoever changes it."""

    def __init__(self, table: Table, total: int, console: Console) -> None:
        self._table, self._total, self._console = table, total, console
        self._printed = {trial.number for trial in table if trial.over}
        self._started, self._drawn = time.perf_counter(), 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "TrialsView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.update(now=True)
        if self._live:
            self._live.stop()

    def update(self, *, now: bool = False) -> None:
        """Show where the trials stand, unless that was shown just before."""
        if not now and time.perf_counter() - self._drawn < _REFRESH:
            return
        self._drawn = time.perf_counter()
        if self._live:
            self._live.update(self.picture(), refresh=True)
            return
        for trial in self._table:
            if trial.over and trial.number not in self._printed:
                self._printed.add(trial.number)
                self._console.print(self._line(trial), soft_wrap=True)

    def picture(self) -> RichTable:
        """The table of trials: running ones, then the best of the others, as many as the terminal has lines for."""
        room = max(3, self._console.height - _AROUND)
        ranked = self._table.ranked()
        best = ranked[0].number if ranked else None
        trials = list(self._table)
        chosen = [trial for trial in trials if trial.status == "running"]
        chosen += [trial for trial in ranked if trial not in chosen]
        chosen += [trial for trial in trials if trial not in chosen]
        table = RichTable(box=None, pad_edge=False, header_style="dim", caption=self._caption(), caption_justify="left")
        for name in (
            "trial",
            *self._table.names,
            "epoch",
            "loss",
            self._table.metric.replace("accuracy", "acc").replace("_", " "),
            "best",
            "",
        ):
            table.add_column(name, justify="left" if not name else "right", no_wrap=True)
        for trial in sorted(chosen[:room], key=lambda trial: trial.number):
            style = "bold green" if trial.number == best else _STYLES[trial.status]
            table.add_row(*self._cells(trial), style=style)
        return table

    def _cells(self, trial: TrialRecord) -> list[str | Text]:
        last, best = trial.at(trial.epoch), trial.best(self._table.metric)
        return [
            str(trial.number),
            *(shown(trial.values.get(name, "")) for name in self._table.names),
            f"{trial.epoch}/{self._table.epochs}",
            f"{last.train_loss:.3f}" if last else "",
            figure(self._table.metric, last),
            figure(self._table.metric, best),
            trial.status,
        ]

    def _caption(self) -> str:
        over = sum(trial.over for trial in self._table)
        running = sum(trial.status == "running" for trial in self._table)
        left = f", {running} running" if over < self._total else ""
        return f"{over} of {self._total} trials done{left}, {clock(time.perf_counter() - self._started)}"

    def _line(self, trial: TrialRecord) -> str:
        values = ", ".join(f"{name} {shown(trial.values.get(name, ''))}" for name in self._table.names)
        end = {"stopped": "stopped after", "finished": "finished", "failed": "failed in"}[trial.status]
        why = f": {trial.error}" if trial.error else ""
        best = figure(self._table.metric, trial.best(self._table.metric))
        figures = f"  best {best}" if best else ""
        return f"trial {trial.number}  {values}  {end} epoch {trial.epoch}/{self._table.epochs}{figures}{why}"


def figure(metric: str, row: Any) -> str:
    """A metric of an epoch as it is shown: accuracies in percent."""
    if row is None:
        return ""
    value = getattr(row, metric)
    return f"{100 * value:.1f}%" if metric.endswith("accuracy") else f"{value:.4f}"
