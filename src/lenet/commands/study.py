"""Study: trains all runs of a list, one after another, and compares them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from lenet.commands.compare import Comparison, compared
from lenet.commands.train import Interrupted, train
from lenet.commands.transfer import transfer
from lenet.config import Config, checked
from lenet.config.keywords import Options, with_options
from lenet.config.recipes import recipe_values
from lenet.config.studies import Entry, Study, read_study
from lenet.data import load_dataset
from lenet.data.identity import check_outside
from lenet.errors import InputError
from lenet.files import check_made_here, expanded, make_folder, read_json, write_json
from lenet.report.comparison import comparison_lines, table_of
from lenet.report.console import PlainConsole
from lenet.report.plots import draw_accuracies, draw_per_class
from lenet.report.progress import Printer
from lenet.runs.kinds import STUDY_FILE, kind_of
from lenet.runs.opening import RUNS
from lenet.runs.provenance import command
from lenet.runs.run import Run
from lenet.runs.split import MAY_CHANGE
from lenet.runs.study import Part
from lenet.training.loop import Watch
from lenet.training.start import read_start

_SETTINGS = "settings.json"  # of a study: the names of the options that each run was trained with


@with_options(leave_out=("data", "model"), defaults={"seeds": "the study's"})
def study(
    name: str | Path,
    *,
    out: str | Path | None = None,
    verbose: bool = False,
    watch: Watch | None = None,
    **options: Unpack[Options],
) -> Comparison:
    """Train all runs of a study, each in its own folder, and compare them. Finished runs are kept, others resumed.

    name: the name of a study that comes with lenet, or the path of a TOML file (see `lenet.config.studies`)
    out: folder for all runs; by default runs/NAME
    verbose, watch: as for `lenet.train`
    options: options of all runs; they override the study's

    Writes study.json, accuracy.png and, if the study has runs with labels, per-class.png. Raises InputError if the
    study or one of its runs is invalid or the folder has files that no study made, and Interrupted on Ctrl-C.
    """
    plan = read_study(name)
    asked = checked({name: value for name, value in options.items() if value is not None})
    seeds = asked.pop("seeds", plan.seeds)
    console = PlainConsole() if verbose else None
    folder = expanded(out) if out is not None else RUNS / plan.name
    _check_folder(folder, plan)
    _check_images(plan, folder, asked)
    make_folder(folder)
    runs: dict[str, Run] = {}
    for number, entry in enumerate(plan.entries, 1):
        if console:
            console.print(f"\n[{number} of {len(plan.entries)}] {entry.name}")
        # In a log file the progress of many runs would hide their results.
        live = console is not None and console.redraws
        try:
            run = _run(plan, entry, folder, seeds, asked, verbose=live, watch=watch)
        except Interrupted:
            raise Interrupted(f"stopped in {entry.name}; the same command resumes the study") from None
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from None
        if console and not live:
            Printer(console).show_result(run)
        runs[entry.name] = run
    comparison = compared(runs, plan.compare)
    write_json(folder / STUDY_FILE, _facts(plan, comparison))
    pictures = _draw(plan, runs, folder)
    if console:
        console.print()
        console.print(table_of(runs, console.width))
        console.print()
        console.lines(*comparison_lines(runs, comparison.pairs, comparison.notes))
        console.lines(f"files   {folder}: {', '.join(['study.json', *pictures])}, a folder for each run")
    return comparison


def _check_folder(folder: Path, plan: Study) -> None:
    """Raises InputError if the folder is a run or a search, has files that no study made, or is among the images."""
    if (kind := kind_of(folder)) in ("run", "search"):
        raise InputError(f"{folder} is a {kind}: give a new or empty folder with --out")
    for entry in plan.entries:
        check_outside(folder, {**recipe_values(entry.recipe), **entry.options}.get("data"))
    unfinished: Mapping[str, list[str]] = {}
    with suppress(InputError):  # a file of this name may be another program's
        unfinished = _known_names(folder)
    begun = any((folder / entry.name / "config.toml").is_file() for entry in plan.entries)
    if not unfinished and not begun:
        check_made_here(folder, STUDY_FILE, "study")


def _check_images(plan: Study, folder: Path, asked: Mapping[str, Any]) -> None:
    """Raises InputError, before any run is trained, for one whose images do not fit its options.

    A run that begins with a transfer takes some of its options from another run, and is checked when it begins.
    """
    for entry in plan.entries:
        if entry.transfer or (folder / entry.name / "config.toml").is_file():
            continue
        options = {**recipe_values(entry.recipe), **entry.options, **asked}
        try:
            load_dataset(Config(**options), or_digits="data" not in options)
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from None


def _run(
    plan: Study,
    entry: Entry,
    folder: Path,
    seeds: int,
    asked: Mapping[str, Any],
    *,
    verbose: bool,
    watch: Watch | None,
) -> Run:
    out = folder / entry.name
    settings = {**entry.options, **asked}
    if {**recipe_values(entry.recipe), **settings}.get("protocol") != "folds":  # which trains one network per fold
        settings["seeds"] = seeds
    known, named = _known_names(folder), _names_of(entry, settings)
    begun = (out / "config.toml").is_file()
    gone = [name for name in known.get(entry.name, []) if name not in named]
    if begun and gone:
        raise InputError(f"it was trained with {', '.join(map(str, gone))}, which the study no longer sets: "
                         f"delete {out} to train it again, or use another --out")  # fmt: skip
    if not begun:
        _write_names(folder, {**known, entry.name: named})
    given = {**settings, "recipe": entry.recipe, "out": out, "resume": out.exists()}
    if entry.transfer:
        run = transfer(folder / entry.transfer, verbose=verbose, watch=watch, **given)
    else:
        run = train(verbose=verbose, watch=watch, **given)
    if begun and entry.name not in known:  # the file was deleted; the run has accepted these options
        _write_names(folder, {**known, entry.name: named})
    if not entry.transfer:
        return run
    # A finished run is kept without a look at what it started from, which may have been trained again since.
    started = run.finished_result()["config"].get("start_sha256")
    if started not in (None, read_start(folder / entry.transfer).sha256):
        raise InputError(f"it started from an earlier {entry.transfer}: delete {out} to train it again")
    return run


def _names_of(entry: Entry, settings: Mapping[str, Any]) -> list[str]:
    """The names of the options that the run is trained with.

    `train` and `transfer` compare the options that are set, but do not know of those that were removed.
    """
    return sorted({*settings, *recipe_values(entry.recipe), *(["transfer"] if entry.transfer else [])} - {*MAY_CHANGE})


def _known_names(folder: Path) -> dict[str, list[str]]:
    """`_names_of` of each run that the folder has, by name. Raises InputError if the file is damaged."""
    file = folder / _SETTINGS
    known = read_json(file, "delete it") if file.is_file() else {}
    if not isinstance(known, dict) or not all(isinstance(names, list) for names in known.values()):
        raise InputError(f"{file} is damaged: delete it")
    return known


def _write_names(folder: Path, names: Mapping[str, list[str]]) -> None:
    write_json(folder / _SETTINGS, names)


def _facts(plan: Study, comparison: Comparison) -> dict[str, Any]:
    """study.json, which `lenet.runs.study` reads."""
    parts = {
        entry.name: asdict(Part(entry.transfer, entry.label, run.finished_result()["config"]["per_class"]))
        for entry, run in zip(plan.entries, comparison.runs.values(), strict=True)
    }
    own = {"study": plan.name, "title": plan.title, "command": command(), "parts": parts}
    return {**own, **comparison.values(), "notes": comparison.notes}


def _draw(plan: Study, runs: Mapping[str, Run], folder: Path) -> list[str]:
    """Draw the study's plots, and return their file names."""
    groups: dict[str, dict[str, list[float]]] = {}
    series: dict[str, dict[int, list[float]]] = {}
    for entry in plan.entries:
        result = runs[entry.name].finished_result()
        each, count = result["test_accuracy"]["each"], result["config"]["per_class"]
        # A point of a line in per-class.png, or a row of accuracy.png: also what would replace another run's point.
        if entry.label and count and count not in series.get(entry.label, {}):
            series.setdefault(entry.label, {})[count] = each
        else:
            groups.setdefault(result["data"], {})[entry.name] = each
    pictures = []
    if groups:
        draw_accuracies(groups, plan.title, folder / "accuracy.png")
        pictures.append("accuracy.png")
    if series:
        draw_per_class(series, plan.title, folder / "per-class.png")
        pictures.append("per-class.png")
    return pictures
