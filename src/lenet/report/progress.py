"""What a training shows while it runs: a live table on a terminal, a plain line an epoch elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lenet.runs.metrics import EpochRow
from lenet.training.training import Training

_ROWS = 12  # members shown at once


class Progress:
    """Follows members as they train; `update` is called by the thread that waits for them."""

    def __init__(self, trainings: Sequence[Training], console: Console) -> None:
        self._trainings, self._console = trainings, console
        self._printed = [training.epoch for training in trainings]
        self._images = [0] * len(trainings)
        self._started, self._at_start = time.perf_counter(), self._done()
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.update()
        if self._live:
            self._live.stop()

    def update(self) -> None:
        """Show where the members stand now."""
        if self._live:
            self._live.update(self._table(), refresh=True)
            return
        for number, training in enumerate(self._trainings):
            for row in training.history[self._printed[number] :]:
                self._console.print(self._line(training, row), highlight=False, soft_wrap=True)
                self._printed[number] += 1

    def _line(self, training: Training, row: EpochRow) -> str:
        who = f"seed {row.seed} " if len(self._trainings) > 1 else ""
        epoch = f"{who}epoch {row.epoch}/{training.config.epochs}"
        if row.failed_step is not None:
            return f"{epoch}  loss is no longer finite at step {row.failed_step + 1}: stopped"
        speed = len(training.dataset.train) / max(row.train_seconds, 1e-9)
        return (
            f"{epoch}  loss {row.train_loss:.3f}  accuracy {100 * row.train_accuracy:.1f}%  "
            f"validation {100 * row.val_accuracy:.1f}%  {speed:,.0f} img/s  {self._left()} left"
        )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="")
        for column in ("epoch", "", "loss", "accuracy", "validation", "img/s", "left"):
            table.add_column(column, justify="left" if not column else "right", no_wrap=True)
        waiting = [t for t in self._trainings if t.epoch == 0 and t.so_far.images == 0]
        shown = [t for t in self._trainings if t not in waiting] or waiting[:1]
        for training in shown[-_ROWS:]:
            table.add_row(*self._cells(training))
        return table

    def _cells(self, training: Training) -> tuple[str | Text, ...]:
        config, so_far = training.config, training.so_far
        last = training.history[-1] if training.history else None
        if training.failed and last:
            return f"{last.epoch}/{config.epochs}", "failed: loss not finite", "", "", "", "", ""
        running = not training.finished
        share = so_far.images / max(len(training.dataset.train), 1) if running else 1.0
        if last is None or (running and so_far.images and share < 1):
            loss, accuracy = so_far.loss, so_far.accuracy
        else:
            loss, accuracy = last.train_loss, last.train_accuracy
        best = training.best
        who = f"seed {training.seed} " if len(self._trainings) > 1 else ""
        return (
            f"{who}{min(training.epoch + running, config.epochs)}/{config.epochs}",
            _bar(share if running else 1.0),
            f"{loss:.3f}",
            f"{100 * accuracy:.1f}%",
            f"{100 * last.val_accuracy:.1f}%" if last else "",
            f"{self._speed():,.0f}" if running else f"best {best.epoch}" if best else "",
            self._left() if running else "done",
        )

    def _done(self) -> float:
        """Images trained on by all members together."""
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


def clock(seconds: float) -> str:
    """12 s, 3:05, 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar(share: float, width: int = 16) -> Text:
    filled = round(share * width)
    return Text.assemble("━" * filled, ("─" * (width - filled), "dim"))
