"""Study: all runs of a list, one after another, and what they come to side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from lenet.commands.compare import (
    Comparison,
    as_values,
    diverged_notes,
    finished_result,
    legend,
    not_comparable,
    paired_runs,
    said,
    table_of,
)
from lenet.commands.train import Interrupted, train
from lenet.commands.transfer import transfer
from lenet.config.studies import Entry, Study, read_study
from lenet.errors import InputError
from lenet.files import make_folder, write_whole
from lenet.report.console import PlainConsole
from lenet.report.plots import draw_accuracies, draw_per_class
from lenet.report.text import say_result
from lenet.runs.run import RUNS, Run


def study(
    name: str | Path,
    *,
    out: str | Path | None = None,
    seeds: int | None = None,
    console: Console | None = None,
    **options: Any,
) -> Comparison:
    """Train all runs of a study, each in its own folder, and say what they came to; runs that are finished are kept.

    name: a study that comes with lenet, or a TOML file; `lenet.config.studies` says what stands in one
    out: the folder for all of its runs; without it runs/NAME. What it holds already is gone on from
    seeds: members of each run, in place of the study's own number
    options: fields of `lenet.config.Config` for all runs, such as data_dir

    Writes study.json, accuracy.png and, of the runs with a label, per-class.png. Raises InputError where the study or
    one of its runs cannot work, Interrupted on Ctrl-C.
    """
    plan = read_study(name)
    console = console or PlainConsole()
    folder = Path(out) if out is not None else RUNS / plan.name
    make_folder(folder)
    runs: dict[str, Run] = {}
    for number, entry in enumerate(plan.entries, 1):
        console.print(f"\n[{number} of {len(plan.entries)}] {entry.name}")
        try:
            runs[entry.name] = _run(plan, entry, folder, seeds or plan.seeds, options, console)
        except Interrupted:
            raise Interrupted(f"stopped in {entry.name}; the same command goes on from there") from None
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from None
    return _close(plan, runs, folder, console)


def _run(plan: Study, entry: Entry, folder: Path, seeds: int, options: Mapping[str, Any], console: Console) -> Run:
    given = {**entry.options, **options, "recipe": entry.recipe}
    if given.get("protocol") != "folds":  # there the folds are the members
        given["seeds"] = seeds
    where, quiet = folder / entry.name, console.quiet
    console.quiet = quiet or not console.is_terminal  # in a log the epochs of many runs would drown what they came to
    try:
        if entry.transfer:
            run = transfer(folder / entry.transfer, out=where, resume=where.exists(), console=console, **given)
        else:
            run = train(out=where, resume=where.exists(), console=console, **given)
    finally:
        console.quiet = quiet
    if not console.is_terminal:
        say_result(run, console)
    return run


def _close(plan: Study, runs: Mapping[str, Run], folder: Path, console: Console) -> Comparison:
    """The study's table, differences and pictures."""
    console.print()
    console.print(table_of(runs))
    console.print()
    pairs = {}
    for first, second in plan.compare:
        reason = not_comparable(runs[first], runs[second])
        if reason:
            console.print(f"{second} and {first} {reason}: no paired difference", soft_wrap=True)
            continue
        pairs[first, second] = paired_runs(runs[first], runs[second])
        console.print(said(pairs[first, second], first, second), soft_wrap=True)
    for line in (*diverged_notes(runs), *legend(pairs.values())):
        console.print(line, soft_wrap=True)
    comparison = Comparison(runs, pairs)
    write_whole(folder / "study.json", json.dumps({"study": plan.name, **as_values(comparison)}, indent=1) + "\n")

    groups: dict[str, dict[str, list[float]]] = {}
    series: dict[str, dict[int, list[float]]] = {}
    for entry in plan.entries:
        result = finished_result(runs[entry.name])
        each, count = result["test_accuracy"]["each"], result["config"]["per_class"]
        if entry.label and count:  # a point of a line in the one picture, not a row of the other
            series.setdefault(entry.label, {})[count] = each
        else:
            groups.setdefault(result["data"], {})[entry.name] = each
    if groups:
        draw_accuracies(groups, plan.title, folder / "accuracy.png")
    if series:
        draw_per_class(series, plan.title, folder / "per-class.png")
    pictures = [name for name, drawn in (("accuracy.png", groups), ("per-class.png", series)) if drawn]
    console.print(f"files   {folder}: study.json, {', '.join(pictures)}, a folder for each run", soft_wrap=True)
    return comparison
