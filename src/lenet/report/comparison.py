"""What is printed of several runs side by side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from lenet.characters import visible
from lenet.errors import counted
from lenet.evaluation.comparison import Paired
from lenet.report.text import clock, diverged, plus_minus, seen_images
from lenet.runs.run import Run

_BY_CLASS = {"balanced", "F1"}  # columns that equal the accuracy, or nearly so, where all classes have the same size
_LEAVE_OUT = ("epochs", "parameters", "F1")  # in this order, on a terminal too narrow for all columns
_ROUNDING = 1e-9


def comparison_lines(
    runs: Mapping[str, Run], pairs: Mapping[tuple[str, str], Paired], notes: Sequence[str]
) -> list[str]:
    """The paired differences in words, then what is to be known about them."""
    differences = [line for (first, second), pair in pairs.items() for line in said(pair, first, second)]
    return [
        *differences,
        *run_notes({name: run.finished_result() for name, run in runs.items()}),
        *notes,
        *legend(pairs.values()),
    ]


def said(pair: Paired, first: str, second: str) -> list[str]:
    """The paired difference in words: "better" only where the interval covers seeds and excludes 0."""
    low, high = sorted((pair.low, pair.high) if pair.better != "first" else (-pair.low, -pair.high))
    one, other = (first, second) if pair.better == "first" else (second, first)
    if pair.better:
        verdict = f"{one} is better than {other}: {100 * abs(pair.difference):.2f} points"
    else:
        claim = "no difference shown between" if pair.covers_seeds else "not decidable with one network:"
        verdict = f"{claim} {first} and {second}: {second} {100 * pair.difference:+.2f} points"
    scope = "" if pair.covers_seeds else "; without run-to-run variation"
    return [
        f"{verdict} (95%: {100 * low:.2f} to {100 * high:.2f}{scope})",
        f"  only {first} correct: {counted(pair.only_first, 'image')}; only {second} correct: {pair.only_second}; "
        f"McNemar {p_value(pair)}",
    ]


def p_value(pair: Paired) -> str:
    """The p-value of McNemar's test: "p = 0.012"."""
    return "p < 0.001" if pair.p < 0.001 else f"p = {pair.p:.3f}"


def legend(pairs: Iterable[Paired]) -> list[str]:
    """What the figures of `said` cover, once for all of them; each line fits 80 columns."""
    over = [pair.covers_seeds for pair in pairs]
    if not over:
        return []
    lines = []
    if any(over):
        lines.append("95%: confidence interval over test images and seeds.")
    if not all(over):
        lines += [
            "Intervals of a run with one network do not include run-to-run variation, so",
            "neither run is called better: train several networks with --seeds.",
        ]
    if len(over) > 1:
        lines.append("The intervals are not corrected for multiple comparisons.")
    return [*lines, "Only ... correct, McNemar: one network of each run, the best by validation."]


def run_notes(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each run of which a network is missing from these figures, or whose test images are not new to it."""
    notes = [(name, note) for name, figures in runs.items() for note in (diverged(figures), *seen_images(figures))]
    return [f"{name}: {note}" for name, note in notes if note]


def table_of(runs: Mapping[str, Run], width: int) -> Table:
    """A row for each run; accuracies in per cent, mean ± sd over the n networks that did not diverge.

    Balanced accuracy and macro F1 are shown if one of the runs has test classes of different sizes; `width`, in columns
    of the terminal, decides which other columns are left out.
    """
    rows = rows_of({name: run.finished_result() for name, run in runs.items()})
    columns = list(rows[0])
    for column in _LEAVE_OUT:
        if sum(max(len(column), *(len(row[column]) for row in rows)) + 1 for column in columns) - 1 <= width:
            break
        if column in columns:
            columns.remove(column)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in columns:
        if column in ("run", "data"):
            table.add_column(column, overflow="fold", min_width=8)
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    return table


def rows_of(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row for each run, by column, from the figures of its result.json; see `table_of`."""
    rows = [_cells(name, figures) for name, figures in runs.items()]
    left_out = set() if any(map(_uneven, runs.values())) else _BY_CLASS
    return [{column: cell for column, cell in row.items() if column not in left_out} for row in rows]


def _cells(name: str, result: Mapping[str, Any]) -> dict[str, str]:
    """A run's row, by column."""
    n, failed = len(result["test_accuracy"]["each"]), len(result["failed"])
    whole = result["parameters"]
    learn = result["learning_parameters"]
    return {
        "run": visible(name),
        "data": visible(result["data"]),
        "parameters": f"{whole:,}" if learn == whole else f"{learn:,} of {whole:,}",
        "epochs": str(result["epochs"]),
        "n": f"{n} of {n + failed}" if failed else str(n),
        "valid. %": plus_minus(result["val_accuracy"], scale=100),
        "test %": plus_minus(result["test_accuracy"], scale=100),
        "balanced": plus_minus(result["test_balanced_accuracy"], scale=100),
        "F1": plus_minus(result["test_macro_f1"], scale=100),
        "time": clock(result["seconds"]["total"]),
    }


def _uneven(result: Mapping[str, Any]) -> bool:
    """Whether the run's balanced accuracy differs from its accuracy: its test classes have different sizes."""
    return bool(abs(result["test_balanced_accuracy"]["mean"] - result["test_accuracy"]["mean"]) > _ROUNDING)
