"""What is printed of several runs side by side."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from lenet.errors import counted
from lenet.evaluation.comparison import Paired
from lenet.report.console import visible
from lenet.report.text import clock, diverged, plus_minus
from lenet.runs.run import Run


def comparison_lines(
    runs: Mapping[str, Run], pairs: Mapping[tuple[str, str], Paired], notes: Sequence[str]
) -> list[str]:
    """The paired differences in words, then what is to be known about them."""
    differences = [line for (first, second), pair in pairs.items() for line in said(pair, first, second)]
    return [*differences, *diverged_notes(runs), *notes, *legend(pairs.values())]


def said(pair: Paired, first: str, second: str) -> list[str]:
    """The paired difference in words: "better" only where the interval covers seeds and excludes 0."""
    low, high = sorted((pair.low, pair.high) if pair.better != "first" else (-pair.low, -pair.high))
    one, other = (first, second) if pair.better == "first" else (second, first)
    if pair.better:
        verdict = f"{one} is better than {other}: {100 * abs(pair.difference):.2f} points"
    else:
        claim = "no difference shown between" if pair.covers_seeds else "no verdict on"
        verdict = f"{claim} {first} and {second}: {second} {100 * pair.difference:+.2f} points"
    scope = "" if pair.covers_seeds else "; test images only, not the choice of seed"
    p = "p < 0.001" if pair.p < 0.001 else f"p = {pair.p:.3f}"
    return [
        f"{verdict} (95%: {100 * low:.2f} to {100 * high:.2f}{scope})",
        f"  only {first} correct: {counted(pair.only_first, 'image')}; only {second} correct: {pair.only_second}; "
        f"McNemar {p}",
    ]


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


def diverged_notes(runs: Mapping[str, Run]) -> list[str]:
    """A line for each run of which a network is missing from the figures."""
    notes = {name: diverged(run.figures()) for name, run in runs.items()}
    return [f"{name}: {note}" for name, note in notes.items() if note]


def table_of(runs: Mapping[str, Run]) -> Table:
    """A row for each run; accuracies in per cent, mean ± sd over the n networks that did not diverge."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    table.add_column("data", no_wrap=True)
    for name in ("parameters", "epochs", "n", "valid. %", "test %", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, run in runs.items():
        result = run.figures()
        n, failed = len(result["test_accuracy"]["each"]), len(result.get("failed") or [])
        learn, whole = result.get("learning_parameters", result["parameters"]), result["parameters"]
        table.add_row(
            visible(name),
            visible(result["data"]),
            f"{whole:,}" if learn == whole else f"{learn:,} of {whole:,}",
            str(result["epochs"]),
            f"{n} of {n + failed}" if failed else str(n),
            plus_minus(result["val_accuracy"], scale=100),
            plus_minus(result["test_accuracy"], scale=100),
            clock(result["seconds"]["total"]),
        )
    return table
