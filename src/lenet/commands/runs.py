"""Runs: what the runs in a folder are, and what came of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from lenet.config import Config, checked
from lenet.config.values import shown
from lenet.errors import InputError, did_you_mean
from lenet.evaluation.scores import mean_sd
from lenet.files import expanded
from lenet.runs.kinds import SEARCH_FILE, how_to_resume, kind_of, state_of
from lenet.runs.listing import Listed, Listing, Order, State
from lenet.runs.metrics import EpochRow, all_diverged, best_row, selected
from lenet.runs.opening import RUNS
from lenet.runs.run import Run
from lenet.tuning.folder import read_trials
from lenet.tuning.search import read_search


def list_runs(
    folder: str | Path = "runs", *, sort: Order = "date", data: str | None = None, model: str | None = None,
    state: State | None = None,
) -> Listing:  # fmt: skip
    """The runs and searches in a folder.

    sort: date: the newest first; val, test: the highest accuracy first; time: the shortest first; name
    data, model, state: only the runs that have this; None: all

    Raises InputError if the folder does not exist or is itself a run, or if none of its runs has that data, model or
    state.
    """
    wanted = {"data": data, "model": model, "state": state}
    for name, value in {"sort": sort, **wanted}.items():
        if not isinstance(value, str) and (value is not None or name == "sort"):
            raise InputError(f"{name} takes text, not {shown(value)}")
    if sort not in _ORDERS:
        raise InputError(f"unknown sort '{sort}'{did_you_mean(sort, _ORDERS)}")
    folder = expanded(folder)
    if not folder.is_dir():
        if folder == RUNS:
            return Listing(folder)
        names = [str(path) for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
        raise InputError(f"no folder {folder}{did_you_mean(str(folder), names)}")
    if _is_run(folder):
        raise InputError(f"{folder} is a run: give the folder of its runs, {folder.absolute().parent}")
    listing = Listing(folder)
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            if _is_run(path):
                listing.runs.append(_listed(path))
            elif inner := sum(map(_is_run, filter(Path.is_dir, path.iterdir()))):
                listing.groups[path.name] = inner
        except (InputError, OSError) as error:
            listing.damaged[path.name] = str(error)
    found = listing.runs
    for key, value in wanted.items():
        known = get_args(State) if key == "state" else {getattr(run, key) for run in found}
        if value is not None and value not in known and found:
            raise InputError(f"no run in {folder} has {key} '{value}'{did_you_mean(value, known)}")
    kept = [run for run in found if all(value in (None, getattr(run, key)) for key, value in wanted.items())]
    # The newest first, where the order asked for leaves runs equal.
    kept.sort(key=lambda run: (run.date, run.path.name), reverse=True)
    kept.sort(key=_ORDERS[sort])
    return replace(listing, runs=kept, left_out=len(found) - len(kept))


def _highest(accuracy: Mapping[str, Any] | None) -> float:
    return -accuracy["mean"] if accuracy else 0.0


_ORDERS: dict[str, Callable[[Listed], Any]] = {
    "date": lambda run: 0,
    "name": lambda run: run.path.name,
    "val": lambda run: _highest(run.val_accuracy),
    "test": lambda run: _highest(run.test_accuracy),
    "time": lambda run: run.seconds,
}


def _is_run(path: Path) -> bool:
    return kind_of(path) in ("run", "search")


def _listed(path: Path) -> Listed:
    """Raises InputError if a file that is read is damaged."""
    run = Run(path)
    kind: Literal["run", "search"] = "search" if kind_of(path) == "search" else "run"
    result = run.result
    if result is None and run.is_kept_trial:
        return _kept_trial(run)
    if result is None:
        return _unfinished_search(path) if kind == "search" else _unfinished(run)
    config, confirmed = result["config"], kind == "run" or result["members"] > 0
    return Listed(
        path=path,
        kind=kind,
        state="finished",
        data=result["data"],
        model=str(config.get("model")),
        epochs=result["epochs"],
        done=result["epochs"],
        seeds=len(result["val_accuracy"]["each"]) if confirmed else 0,
        val_accuracy=result["val_accuracy"] if confirmed else None,  # that of the best trial is too high
        test_accuracy=result["test_accuracy"],
        date=_date(path / "result.json"),
        seconds=float(result["seconds"]["total"]),
    )


def _kept_trial(run: Run) -> Listed:
    checkpoint = run.checkpoint()
    config = Config(**checked(checkpoint.config, f"{run.path}/model.json: "))
    return Listed(
        path=run.path,
        kind="run",
        state="finished",
        data=_data_name(config.data),
        model=config.model,
        epochs=config.epochs,
        done=config.epochs,
        seeds=len(checkpoint.networks),
        val_accuracy=mean_sd(checkpoint.val_accuracy),
        test_accuracy=None,
        date=_date(run.path / "model.json"),
        seconds=0.0,
    )


def _unfinished(run: Run) -> Listed:
    config = run.config()
    if config is None:
        raise InputError(f"{run.path} has no config.toml: restore it")
    file = run.path / "metrics.csv"
    rows = run.rows() if file.is_file() else []
    by_seed: dict[int, list[EpochRow]] = {}
    for row in rows:
        by_seed.setdefault(row.seed, []).append(row)
    trained = [own for _, own in sorted(by_seed.items()) if own[-1].failed_step is None]
    best = [best_row(own, selected(vars(config))) for own in trained]
    values = [row.val_accuracy for row in best if row]
    known = len(by_seed) == config.seeds
    diverged = all_diverged(rows, config.seeds)
    return Listed(
        path=run.path,
        kind="run",
        state="diverged" if diverged else state_of(run.path),
        data=_data_name(config.data),
        model=config.model,
        epochs=config.epochs,
        done=min(own[-1].epoch for own in by_seed.values()) if known else 0,
        seeds=config.seeds,
        val_accuracy=mean_sd(values) if values else None,
        test_accuracy=None,
        date=_date(file if rows else run.path / "config.toml"),
        seconds=run.clock().total,
        resume="" if diverged else how_to_resume(run.path),
    )


def _unfinished_search(path: Path) -> Listed:
    search = read_search(path / SEARCH_FILE)
    assert search is not None  # otherwise it is no search
    config, failed = search.config, read_trials(path, search).all_failed(search.trials)
    return Listed(
        path=path,
        kind="search",
        state="failed" if failed else state_of(path),
        data=_data_name(config.data),
        model=config.model,
        epochs=config.epochs,
        done=0,
        seeds=search.confirm,
        val_accuracy=None,
        test_accuracy=None,
        date=_date(next(filter(Path.is_file, (path / "trials.csv", path / SEARCH_FILE)))),
        seconds=Run(path).clock().total,
        resume="" if failed else how_to_resume(path, "tune"),
    )


def _data_name(data: str) -> str:
    """The name of a dataset as result.json has it: of a file without its ending."""
    return Path(data).stem if Path(data).is_file() else Path(data).name


def _date(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone()
