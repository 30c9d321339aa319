"""Compare: finished runs side by side, with confidence intervals of their differences in test accuracy."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lenet.config.values import shown
from lenet.data.identity import CONVERSION
from lenet.errors import InputError
from lenet.evaluation.comparison import Paired, paired
from lenet.files import check_made_here, expanded, make_folder, write_json
from lenet.report.comparison import comparison_lines, table_of
from lenet.report.console import PlainConsole
from lenet.report.markdown import markdown_table, repeating
from lenet.report.plots import draw_runs
from lenet.runs.kinds import SEARCH_FILE
from lenet.runs.metrics import selected
from lenet.runs.run import Run
from lenet.runs.study import FIGURES
from lenet.tuning.contents import command_of
from lenet.tuning.folder import confirmation_of, how_to_train, read_trials
from lenet.tuning.search import read_search


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    runs: by name; a search is replaced by its confirmation
    pairs: by the names of two runs with the same test images, the difference in test accuracy and its interval, a
        `lenet.evaluation.comparison.Paired`
    notes: for each other pair that was asked for, why it has no paired difference
    """

    runs: Mapping[str, Run]
    pairs: Mapping[tuple[str, str], Paired]
    notes: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """The comparison in plain values, as in comparison.json."""
        pairs = [
            {"first": one, "second": another, **asdict(pair), "covers_seeds": pair.covers_seeds, "better": pair.better}
            for (one, another), pair in self.pairs.items()
        ]
        runs = {name: {key: run.finished_result().get(key) for key in FIGURES} for name, run in self.runs.items()}
        return {"runs": runs, "pairs": pairs}


def compare(runs: Iterable[str | Path | Run], *, out: str | Path | None = None, verbose: bool = False) -> Comparison:
    """Compare each finished run with the first one, on the same test images.

    runs: finished runs; a finished search is replaced by its confirmation
    out: folder for comparison.json and curves.png; by default nothing is written
    verbose: print what the command line prints

    Raises InputError if a run does not exist, is not finished or is a search without confirmation, and unless at least
    two different runs are given.
    """
    if isinstance(runs, (str, bytes, os.PathLike, Run)) or not isinstance(runs, Iterable):
        raise InputError(f"compare takes a list of at least two runs, not {shown(runs)}")
    runs = list(runs)
    if len(runs) < 2:
        raise InputError("give at least two runs to compare")
    folders = list(map(_tested, _opened(runs)))
    if out is not None:
        check_made_here(expanded(out), "comparison.json", "comparison")
    for run in folders:
        run.finished_result()
    if len({run.path.resolve() for run in folders}) < len(folders):
        raise InputError("a run is given twice: give different runs")
    named = {str(run.path): run for run in folders}
    first, *others = named
    comparison = compared(named, [(first, other) for other in others])
    if out is not None:
        folder = expanded(out)
        make_folder(folder)
        write_json(folder / "comparison.json", comparison.values())
        metrics = {name: selected(run.finished_result()["config"]) for name, run in named.items()}
        draw_runs({name: run.rows() for name, run in named.items()}, folder / "curves.png", metrics)
    if verbose:
        console = PlainConsole()
        console.print(table_of(named, console.width))
        console.lines(*comparison_lines(named, comparison.pairs, comparison.notes))
        if out is not None:
            console.lines(f"files   {out}: comparison.json, curves.png")
    return comparison


def markdown(runs: Sequence[str | Path | Run]) -> str:
    """Finished runs as a Markdown table, such as README's results.

    Raises InputError if a run does not exist or is not finished, or has no test result.
    """
    named = {str(run.path): run for run in _opened(runs)}
    for run in named.values():
        _check_tested(run)
    return markdown_table(named, {name: _repeating(run) for name, run in named.items()})


def _opened(runs: Sequence[str | Path | Run]) -> list[Run]:
    return [run if isinstance(run, Run) else Run(run) for run in runs]


def _check_tested(run: Run) -> None:
    if run.finished_result()["test_accuracy"] is None:
        raise InputError(f"{run.path} is a search without confirmation, which has no test result: leave it out")


def _tested(run: Run) -> Run:
    """The run itself, or the confirmation of a finished search, which has the predictions on the test images."""
    search = read_search(run.path / SEARCH_FILE)
    if search is None:
        return run
    _check_tested(run)
    ranked = read_trials(run.path, search).ranked()
    confirmed = confirmation_of(run.path, ranked[0].number, run.finished_result()) if ranked else None
    return Run(confirmed) if confirmed else run


def _repeating(run: Run) -> str:
    """The command that repeats the run or the search."""
    figures, search = run.finished_result(), read_search(run.path / SEARCH_FILE)
    if search is None:
        return repeating(str(figures.get("command") or ""), run)
    return command_of(figures, search) or how_to_train(run.path / "best.toml", search.config)


def compared(runs: Mapping[str, Run], wanted: Sequence[tuple[str, str]]) -> Comparison:
    """The comparison of the pairs named in `wanted`. A pair with different test images gets a note."""
    pairs, notes = {}, []
    for first, second in wanted:
        if reason := _not_comparable(runs[first], runs[second]):
            notes.append(f"{second} and {first} {reason}: no paired difference")
        else:
            pairs[first, second] = _paired_runs(runs[first], runs[second])
    return Comparison(runs, pairs, tuple(notes))


def _not_comparable(first: Run, second: Run) -> str | None:
    """Why the runs cannot be compared image by image; None if they can."""
    one, other = first.predictions(), second.predictions()
    if first.finished_result()["data_sha256"] != second.finished_result()["data_sha256"]:
        # Labels of other images than those of the test may have been corrected.
        images, others = first.split.digests(one["indices"]), second.split.digests(other["indices"])
        if images is None or others is None or first.checkpoint().classes != second.checkpoint().classes:
            return "have different images or labels"
        same = np.array_equal(images, others) and np.array_equal(one["labels"], other["labels"])
        if same:
            return None
        configs = [run.finished_result()["config"] for run in (first, second)]
        if any(configs[0].get(name) != configs[1].get(name) for name in CONVERSION):
            return "converted their images to different sizes, channels or by another fit"
        return "were tested on different images or labels"
    if not np.array_equal(one["indices"], other["indices"]):
        return "were tested on different images"
    return None


def _paired_runs(first: Run, second: Run) -> Paired:
    correct = []
    for run in (first, second):
        kept = run.predictions()
        correct.append(kept["predictions"] == kept["labels"])
    return paired(
        correct[0], correct[1], (first.finished_result()["best_network"], second.finished_result()["best_network"])
    )
