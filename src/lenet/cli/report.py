"""The commands about finished runs as a whole: report, runs."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from lenet.cli.flags import DataDirOfRun, RunFolder
from lenet.cli.interrupt import loading
from lenet.report.console import PlainConsole
from lenet.runs.listing import Order, State


def report(
    run: RunFolder, file: Path | None = None, /, *, card: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False, data: str | None = None, data_dir: DataDirOfRun = None,
) -> None:  # fmt: skip
    """Write a finished run as one HTML page: results, curves, mistakes, data, and the network itself.

    RUN may also be the folder of a search (trials, importance of options,
    confirmation), of a study (comparisons, transfer) or of several runs (an index).
    The page needs no network access and no other file. Parts whose images or
    weights are not found are left out.

    Parameters
    ----------
    file
        File to write, with the ending .html, or .md with --card. Default: RUN/report.html; RUN/MODEL_CARD.md.
    card
        Write a model card in Markdown instead, with the metadata that the Hugging Face Hub reads.
    overwrite
        Replace an existing file. A RUN/report.html that lenet wrote is always replaced.
    data
        The run's images, if they have moved. Default: where the run found them.
    """
    write(run, file, card=card, overwrite=overwrite, data=data, data_dir=data_dir)


def write(run: Path, file: Path | None = None, **options: Any) -> None:
    """Write a report and print where it is; arguments as for `lenet.write_report`."""
    with loading():
        from lenet.commands.report import write_report
        from lenet.report.written import report_lines

    written = write_report(run, file, **options)
    PlainConsole().lines(*report_lines(written.file, written.bytes, written.missing))


def runs(
    folder: Annotated[Path, Parameter(name="DIR")] = Path("runs"), /, *, sort: Order = "date",
    data: str | None = None, model: str | None = None, state: State | None = None,
    json_: Annotated[bool, Parameter(name="json", negative="")] = False,
) -> None:  # fmt: skip
    """List the runs and searches in a folder: their settings, accuracies and times.

    Accuracies are mean and standard deviation over n networks; those of a search
    are of its confirmation. A run that is not finished shows "interrupted" (it can
    be resumed), "running" or "diverged" (the loss of all its networks is no longer
    finite), and its best validation accuracy so far; a search of which all trials
    failed shows "failed". A narrow terminal shows fewer columns.

    Parameters
    ----------
    folder
        Folder of the runs. Default: runs.
    sort
        Order of the rows: date (the newest first), name, val or test (the highest accuracy first) or time (the
        shortest first). Default: date.
    data
        Only runs on this data, by its name in the table. Default: all.
    model
        Only runs of this network, by its name in the table. Default: all.
    state
        Only runs in this state. Default: all.
    json_
        Print JSON instead of the table.
    """
    with loading():
        from lenet.commands.runs import list_runs
        from lenet.report.runs import runs_json, runs_lines, runs_table

    listing = list_runs(folder, sort=sort, data=data, model=model, state=state)
    if json_:
        sys.stdout.write(runs_json(listing))
        return
    console = PlainConsole()
    if listing.runs:
        console.print(runs_table(listing, console.width))
    console.lines(*runs_lines(listing))
