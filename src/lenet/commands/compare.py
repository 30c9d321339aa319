"""Compare: finished runs side by side, and what the difference between two of them is worth."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lenet.errors import InputError
from lenet.evaluation.comparison import Paired, paired
from lenet.files import make_folder, write_whole
from lenet.report.console import PlainConsole
from lenet.report.plots import draw_runs
from lenet.report.progress import clock
from lenet.report.text import diverged, plus_minus
from lenet.runs.run import Run


@dataclass(frozen=True)
class Comparison:
    """Runs by name, and the paired differences of those that were judged on the same images as another."""

    runs: Mapping[str, Run]
    pairs: Mapping[tuple[str, str], Paired]


def compare(
    runs: Sequence[str | Path | Run], *, out: str | Path | None = None, console: Console | None = None
) -> Comparison:
    """Say what finished runs came to, draw their curves, and compare each with the first on the same test images.

    out: a folder for comparison.json and curves.png; None: write nothing
    console: where the table goes (by default standard output)

    Raises InputError where a run does not exist or is not finished, or fewer than two are given.
    """
    if len(runs) < 2:
        raise InputError("give at least two runs to compare")
    folders = [run if isinstance(run, Run) else Run(run) for run in runs]
    named = {str(run.path): run for run in folders}
    if len(named) < len(folders):
        raise InputError("a run is given twice: a comparison with itself shows nothing")
    for run in folders:
        finished_result(run)
    first, *others = named
    pairs, notes = {}, []
    for other in others:
        reason = not_comparable(named[first], named[other])
        if reason:
            notes.append(f"{other} and {first} {reason}: no paired difference")
        else:
            pairs[first, other] = paired_runs(named[first], named[other])
    console = console or PlainConsole()
    console.print(table_of(named))
    for (one, another), pair in pairs.items():
        console.print(said(pair, one, another), soft_wrap=True)
    for note in (*diverged_notes(named), *notes, *legend(pairs.values())):
        console.print(note, soft_wrap=True)
    comparison = Comparison(named, pairs)
    if out is not None:
        folder = Path(out)
        make_folder(folder)
        write_whole(folder / "comparison.json", json.dumps(as_values(comparison), indent=1) + "\n")
        draw_runs({name: run.rows() for name, run in named.items()}, folder / "curves.png")
        console.print(f"files   {folder}: comparison.json, curves.png", soft_wrap=True)
    return comparison


def finished_result(run: Run) -> dict[str, Any]:
    """The run's figures. Raises InputError where there are none."""
    run.check_exists()
    result = run.result
    if result is None:
        raise InputError(f"{run.path} is not finished: go on with 'lenet train --resume --out {run.path}'")
    return result


def not_comparable(first: Run, second: Run) -> str | None:
    """Why the two cannot be compared image by image; None where they can."""
    if finished_result(first)["data_sha256"] != finished_result(second)["data_sha256"]:
        return "were not given the same images"
    if not np.array_equal(first.predictions()["indices"], second.predictions()["indices"]):
        return "were not judged on the same images"
    return None


def paired_runs(first: Run, second: Run) -> Paired:
    """The paired difference of two runs that were judged on the same images."""
    right = []
    for run in (first, second):
        kept = run.predictions()
        right.append(kept["predictions"] == kept["labels"])
    best = [int(np.argmax(finished_result(run)["val_accuracy"]["each"])) for run in (first, second)]
    return paired(right[0], right[1], (best[0], best[1]))


def said(pair: Paired, first: str, second: str) -> str:
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
    return (
        f"{verdict} (95%: {100 * low:.2f} to {100 * high:.2f}{scope})\n"
        f"  only {first} correct: {_images(pair.only_first)}; only {second} correct: {pair.only_second}; McNemar {p}"
    )


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
    notes = {name: diverged(finished_result(run)) for name, run in runs.items()}
    return [f"{name}: {note}" for name, note in notes.items() if note]


def table_of(runs: Mapping[str, Run]) -> Table:
    """A row for each run; accuracies in per cent, mean ± sd over the n networks that did not diverge."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    table.add_column("data", no_wrap=True)
    for name in ("parameters", "epochs", "n", "valid. %", "test %", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, run in runs.items():
        result = finished_result(run)
        n, failed = len(result["test_accuracy"]["each"]), len(result.get("failed") or [])
        learn, whole = result.get("learning_parameters", result["parameters"]), result["parameters"]
        table.add_row(
            name,
            result["data"],
            f"{whole:,}" if learn == whole else f"{learn:,} of {whole:,}",
            str(result["epochs"]),
            f"{n} of {n + failed}" if failed else str(n),
            plus_minus(result["val_accuracy"], scale=100),
            plus_minus(result["test_accuracy"], scale=100),
            clock(result["seconds"]["total"]),
        )
    return table


def as_values(comparison: Comparison) -> dict[str, Any]:
    """The comparison in plain values."""
    keys = (
        "data",
        "parameters",
        "learning_parameters",
        "epochs",
        "failed",
        "val_accuracy",
        "test_accuracy",
        "test_loss",
        "seconds",
    )
    return {
        "runs": {
            name: {key: result.get(key) for key in keys}
            for name, result in ((name, finished_result(run)) for name, run in comparison.runs.items())
        },
        "pairs": [
            {"first": one, "second": another, **asdict(pair), "covers_seeds": pair.covers_seeds, "better": pair.better}
            for (one, another), pair in comparison.pairs.items()
        ],
    }


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"
