"""What is printed of the runs in a folder: a table of 80 columns, or JSON."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from lenet.characters import visible
from lenet.errors import counted
from lenet.report.text import clock, plus_minus
from lenet.runs.listing import Listed, Listing

COLUMNS = ("run", "data", "model", "ep.", "n", "val %", "test %", "date", "time")
# Columns that are left out of a table narrower than so many characters.
_NARROW = ((50, ("data", "model", "ep.", "date", "time")), (72, ("ep.", "date", "time")))
_COMMANDS = 5  # unfinished runs whose command is printed


def runs_table(listing: Listing, width: int = 80) -> Table:
    """A row for each run. An unfinished one has its state in place of the test accuracy.

    width: in characters; a narrow table lacks columns, but not the run and its accuracies
    """
    left_out = next((names for most, names in _NARROW if width < most), ())
    shown = [name for name in COLUMNS if name not in left_out]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in shown:
        if name in COLUMNS[:3]:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for run in listing.runs:
        cells = dict(zip(COLUMNS, cells_of(run), strict=True))
        cells["run"] += "*" if run.kind == "search" else ""
        table.add_row(*(visible(cells[name]) for name in shown))
    return table


def cells_of(run: Listed) -> list[str]:
    """A run's row of `COLUMNS`."""
    epochs = str(run.epochs) if run.state == "finished" or run.kind == "search" else f"{run.done}/{run.epochs}"
    test = _accuracy(run.test_accuracy) if run.state == "finished" else run.state
    known = len(run.val_accuracy["each"]) if run.val_accuracy else run.seeds
    networks = str(run.seeds) if known == run.seeds else f"{known} of {run.seeds}"
    return [
        run.path.name, run.data, run.model, epochs, networks, _accuracy(run.val_accuracy), test,
        f"{run.date:%Y-%m-%d}", clock(run.seconds) if run.seconds else "-",
    ]  # fmt: skip


def _accuracy(values: Mapping[str, Any] | None) -> str:
    return plus_minus(values, scale=100) if values else "-"


def runs_lines(listing: Listing) -> list[str]:
    """What the table does not show: how to resume, damaged folders, and folders with runs of their own."""
    lines = []
    if listing.left_out:
        lines.append(f"hidden  {counted(listing.left_out, 'run')}, by --data, --model or --state")
    elif not listing.runs:
        lines.append(f"no runs in {listing.folder}: 'lenet train' makes one")
    if any(run.kind == "search" for run in listing.runs):
        lines.append("*       a hyperparameter search")
    stopped = [run for run in listing.runs if run.state == "interrupted"]
    lines += [f"resume  {run.resume}" for run in stopped[:_COMMANDS]]
    if len(stopped) > _COMMANDS:
        lines.append(f"        and {len(stopped) - _COMMANDS} more, likewise")
    lines += [f"damaged {name}: {why}" for name, why in listing.damaged.items()]
    return lines + [
        f"more    {counted(count, 'run')} in {name}: lenet runs {shlex.quote(str(listing.folder / name))}"
        for name, count in listing.groups.items()
    ]


def runs_json(listing: Listing) -> str:
    """All of it, as JSON; accuracies are fractions, dates ISO 8601."""
    facts = {
        "folder": str(listing.folder),
        "runs": [_plain(run) for run in listing.runs],
        "left_out": listing.left_out,
        "damaged": listing.damaged,
        "groups": listing.groups,
    }
    return json.dumps(facts, indent=1) + "\n"


def _plain(run: Listed) -> dict[str, Any]:
    told = {"path": str(run.path), "date": run.date.isoformat(timespec="seconds"), "resume": run.resume or None}
    return {"name": run.path.name} | vars(run) | told
