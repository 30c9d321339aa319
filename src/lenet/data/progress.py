"""The progress bar of downloads and of reading many images."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    label: str, total: int, *, done: int = 0, in_bytes: bool = True, hidden: bool = False
) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error while the block runs, in a terminal only; yields a function to advance it."""
    if hidden or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as bars
    from rich.console import Console

    amount: tuple[bars.ProgressColumn, ...] = (bars.MofNCompleteColumn(),)
    if in_bytes:
        amount = (bars.DownloadColumn(), bars.TransferSpeedColumn())
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        *amount,
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=total, completed=done)
        yield lambda done: shown.advance(task, done)
