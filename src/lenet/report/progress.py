"""Progress of a training: a live table on a terminal, a plain line per epoch elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import ParamSpec

from rich.live import Live
from rich.table import Table
from rich.text import Text

from lenet.config.values import shown
from lenet.errors import InputError
from lenet.report.console import PlainConsole
from lenet.report.text import clock, opening_lines, result_lines
from lenet.runs.metrics import SELECT, EpochRow
from lenet.runs.run import Run
from lenet.training.setup import Setup
from lenet.training.training import Training

P = ParamSpec("P")
Opening = Callable[[Setup, Sequence[Training]], list[str]]

_ROWS = 12  # networks shown at once
_BAR = ""  # the bar's column has no name
_COLUMNS = ("epoch", _BAR, "loss", "acc", "val loss", "val acc", "val bal", "val F1", "img/s", "left")
_SHORT = {"val_accuracy": "acc", "val_balanced_accuracy": "bal", "val_macro_f1": "F1"}
_LEAVE_OUT = ("img/s", "acc", "loss", "left")  # in this order, on a terminal too narrow for all figures
_BAR_WIDTHS = (4, 16)
_GAP = 2  # spaces between columns


class Printer:
    """Prints a training to a console: pass it as `watch`, inside its own `with`, then call `show_result`.

    opening: returns the lines on what the training starts from, instead of `opening_lines`
    """

    def __init__(self, console: PlainConsole | None = None, opening: Opening | None = None) -> None:
        self.console = console or PlainConsole()
        self._opening = opening
        self._setup: Setup | None = None
        self._live: Live | None = None

    def __enter__(self) -> "Printer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, setup: Setup, trainings: Sequence[Training]) -> None:
        """Show where the training is now; the first call prints what it starts from."""
        if setup is not self._setup:
            self._begin(setup, trainings)
        if self._live:
            self._live.update(table_of(self._rows(), self.console.width), refresh=True)
            return
        for number, training in enumerate(trainings):
            for row in training.history[self._printed[number] :]:
                self.console.lines(self._line(training, row))
                self._printed[number] += 1

    def show_result(self, run: Run) -> None:
        """Print the figures of a finished run."""
        self.console.lines(*result_lines(run))
        if self._setup and self._setup.dataset.substitute:  # again, since the figures are of other images
            self.console.lines(f"note    {self._setup.dataset.substitute}")

    def _begin(self, setup: Setup, trainings: Sequence[Training]) -> None:
        self.console.lines(*(self._opening or opening_lines)(setup, trainings))
        self._setup, self._trainings = setup, trainings
        self._printed = [training.epoch for training in trainings]
        self._started, self._at_start = time.perf_counter(), self._done()
        if self.console.redraws:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()

    def _line(self, training: Training, row: EpochRow) -> str:
        epoch = f"{self._who(training)}epoch {row.epoch}/{training.config.epochs}"
        if row.failed_step is not None:
            return f"{epoch}  diverged: the loss is not finite at step {row.failed_step + 1}"
        score, value = _score(training, row)
        return (
            f"{epoch}  loss {row.train_loss:.3f}  acc {100 * row.train_accuracy:.1f}%  "
            f"val loss {row.val_loss:.3f}  {score} {value}  {self._left()} left"
        )

    def _rows(self) -> list[tuple[float, dict[str, str]]]:
        """Of each network shown, the fraction of the epoch that is done, and the cells by column."""
        waiting = [t for t in self._trainings if t.epoch == 0 and t.so_far.images == 0]
        begun = [t for t in self._trainings if t not in waiting] or waiting[:1]
        return [self._row(training) for training in begun[-_ROWS:]]

    def _row(self, training: Training) -> tuple[float, dict[str, str]]:
        config, so_far, best = training.config, training.so_far, training.best
        last = training.history[-1] if training.history else None
        running = not training.finished
        fraction = so_far.images / max(len(training.dataset.train), 1) if running else 1.0
        if last is None or (running and so_far.images and fraction < 1):
            loss, accuracy = so_far.loss, so_far.accuracy
        else:
            loss, accuracy = last.train_loss, last.train_accuracy
        score, value = _score(training, last)
        cells = {
            "epoch": f"{self._who(training)}{min(training.epoch + running, config.epochs)}/{config.epochs}",
            "loss": f"{loss:.3f}",
            "acc": f"{100 * accuracy:.1f}%",
            "val loss": f"{last.val_loss:.3f}" if last else "",
            f"val {score}": value,
            "img/s": f"{self._speed():,.0f}" if running else f"best {best.epoch}" if best else "",
            "left": "diverged" if training.failed else self._left() if running else "done",
        }
        return fraction, cells

    def _who(self, training: Training) -> str:
        what = "network" if training.dataset.folds else "seed"  # with folds one seed is several networks
        return f"{what} {training.seed} " if len(self._trainings) > 1 else ""

    def _done(self) -> float:
        """Images trained on by all networks together."""
        total = 0.0
        for training in self._trainings:
            size = len(training.dataset.train)
            total += training.epoch * size
            if not training.finished and training.so_far.images < size:
                total += training.so_far.images
        return total

    def _speed(self) -> float:
        return (self._done() - self._at_start) / max(time.perf_counter() - self._started, 1e-9)

    def _left(self) -> str:
        whole = sum((t.epoch if t.finished else t.config.epochs) * len(t.dataset.train) for t in self._trainings)
        speed = self._speed()
        return clock((whole - self._done()) / speed) if speed > 0 else "?"


def table_of(rows: Sequence[tuple[float, Mapping[str, str]]], width: int) -> Table:
    """The live table in so many columns of the terminal: first the bar gets narrower, then columns are left out."""
    columns, bar = fitted([cells for _, cells in rows], width)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for fraction, cells in rows:
        table.add_row(*(_bar(fraction, bar) if column == _BAR else cells[column] for column in columns))
    return table


def fitted(rows: Sequence[Mapping[str, str]], width: int) -> tuple[list[str], int]:
    """The columns that fit, and the width of the bar among them."""
    (least, most), known = _BAR_WIDTHS, {_BAR, *(rows[0] if rows else _COLUMNS)}
    columns = [column for column in _COLUMNS if column in known]
    for left_out in (None, _BAR, *_LEAVE_OUT):
        if left_out is not None:
            columns.remove(left_out)
        cells = [[column, *(row[column] for row in rows)] for column in columns if column != _BAR]
        room = width - sum(max(map(len, each)) for each in cells) - _GAP * (len(columns) - 1)
        if room >= (least if _BAR in columns else 0):
            break
    return columns, min(room, most)


def _score(training: Training, row: EpochRow | None) -> tuple[str, str]:
    """The short name and the value of the score that chooses the epoch; the accuracy where that is the loss."""
    metric = SELECT[training.config.select]
    metric = metric if metric in _SHORT else "val_accuracy"
    return _SHORT[metric], f"{100 * getattr(row, metric):.1f}%" if row else ""


def _bar(fraction: float, width: int) -> Text:
    done = round(min(fraction, 1.0) * width)
    return Text.assemble("━" * done, ("─" * (width - done), "dim"))


def combined(*watches: Callable[P, None] | None) -> Callable[P, None]:
    """A function that calls each of these that is not None, with its own arguments.

    Raises InputError if one is no function.
    """
    for one in watches:
        if one is not None and not callable(one):
            raise InputError(f"watch takes a function, not {shown(one)}")

    def watch(*arguments: P.args, **options: P.kwargs) -> None:
        for one in watches:
            if one is not None:
                one(*arguments, **options)

    return watch
