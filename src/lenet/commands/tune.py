"""Tune: a search over the options of a training; the best trial's settings are trained again with new seeds."""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from torch import nn

from lenet.commands.train import Interrupted, train
from lenet.config.keywords import SEARCH_DEFAULTS, Options, with_options
from lenet.data.memory import Images, given_data
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError
from lenet.models import describe, own_network
from lenet.report.progress import combined
from lenet.runs.kinds import SEARCH_FILE, how_to_resume
from lenet.runs.opening import opened_run
from lenet.runs.run import Clock, Run
from lenet.training.setup import OWN_MODEL
from lenet.tuning import folder
from lenet.tuning.display import SearchPrinter, Watch, figure
from lenet.tuning.results import best_trial, facts_of, fresh_seed, result_of
from lenet.tuning.search import read_search, request_of, resumed_search, wanted_search
from lenet.tuning.session import Machine, check_ray, ray_session, workers_here
from lenet.tuning.setup import SearchSetup, begin, prepare
from lenet.tuning.trials import TrialRecord

if TYPE_CHECKING:
    from ray.tune import ResultGrid

_WRITE_SECONDS, _WATCH_SECONDS = 1.0, 0.1  # between two versions of trials.csv, and two calls of `watch`
_WRITE_SHARE = 0.1  # of the time, at most, goes into trials.csv, however many trials it has


@dataclass(frozen=True)
class Tuned:
    """A finished search, as plain data.

    trials: one dict per trial: number, status, values, seed, rows (a dict per epoch), error, host
    best: the best trial's entry of `trials`; result: result.json
    confirmed: the run of the best trial's settings with new seeds; None where none was asked for
    result_grid: Ray's own results; None where no trial ran
    """

    path: Path
    trials: list[dict[str, Any]]
    best: dict[str, Any]
    result: dict[str, Any]
    confirmed: Run | None
    result_grid: "ResultGrid | None"


@with_options(defaults=SEARCH_DEFAULTS)
def tune(
    data: str | Path | Images | Any = None,
    *,
    model: str | nn.Sequential | None = None,
    space: Mapping[str, Any] | Iterable[str | Path] | str | Path | None = None,
    trials: int | None = None,
    metric: str | None = None,
    scheduler: str | None = None,
    grace_period: int | None = None,
    reduction_factor: int | None = None,
    search: str | None = None,
    recipe: str | Path | None = None,
    confirm: int | None = None,
    keep: int | None = None,
    workers: int | None = None,
    gpus_per_trial: float = 0,
    address: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
    verbose: bool = False,
    **options: Unpack[Options],
) -> Tuned:
    """Search over options of a training, train the best trial's settings again with new seeds, and return all figures.

    data: as for lenet.train; default: CIFAR-10, or the embedded digits where it cannot be had
    model: a named model, or an nn.Sequential of layers that lenet supports; trials start from fresh weights
    space: option -> "choice(4, 8)", "uniform(0.2, 0.5, 0.05)" or "loguniform(1e-4, 1e-2)"; or texts such as "lr=...",
        or paths of TOML files
    trials: number of trials (10); with `resume` the total
    metric: val_accuracy, val_balanced_accuracy, val_macro_f1, val_loss, train_accuracy or train_loss; by default the
        score of `select`
    scheduler: asha (default) or none; grace_period, reduction_factor: asha's (1 and 2)
    search: random (default), tpe or grid
    recipe: the options that are not searched ("none": lenet's defaults; default: cifar10-lenet)
    confirm: number of new seeds for the best trial's settings (5); keep: number of trials whose weights are kept (3)
    workers: trials at once, by default one per core; gpus_per_trial: the fraction of a GPU for each, such as 0.25
    address: a running Ray cluster, "auto" or "HOST:PORT"; by default Ray is started here, and stopped afterwards
    watch: called about ten times a second with the setup and the trials, first before the first trial
    verbose: print the progress of trials and of the confirmation

    Raises InputError (a ValueError) for whatever is impossible, Interrupted (a KeyboardInterrupt) on Ctrl-C.
    """
    started = time.time()
    check_ray()
    own = own_network(model)
    named, memory = given_data(data)
    request = request_of(recipe, {"data": named, "model": model if own is None else OWN_MODEL, **options})
    asked = {
        "metric": metric, "scheduler": scheduler, "grace_period": grace_period, "reduction_factor": reduction_factor,
        "searcher": search, "confirm": confirm, "keep": keep,
        "gpus_per_trial": None if gpus_per_trial == 0 else gpus_per_trial,  # 0 when resuming: those of the search
    }  # fmt: skip
    asked = {name: value for name, value in asked.items() if value is not None}
    machine = Machine(workers, address).check()
    with request.naming_recipe(), preserved_torch():
        layers = None if own is None else describe(own)
        wanted = wanted_search(request, space, trials, asked, layers)
        with (
            opened_run(
                out,
                data=request.settings.get("data"),
                resume=resume,
                overwrite=overwrite,
                marker=SEARCH_FILE,
                read=request.paths_read,
            ) as run,
            SearchPrinter() if verbose else nullcontext() as printer,
        ):
            watching = combined(printer, watch)
            saved = read_search(run.path / SEARCH_FILE)
            if saved is not None:
                wanted = resumed_search(run.path, saved, wanted, request, asked, space).extended(trials)
            if saved is not None and run.result is not None and wanted == saved:
                table, grid = folder.read_trials(run.path, saved), None
            else:
                notes = [f"nothing to resume in {run.path}: starting a new search"] if resume and saved is None else []
                or_digits = data is None and saved is None
                setup = prepare(wanted, run, request, own, or_digits=or_digits, notes=notes, memory=memory)
                table, grid = setup.trials, _searched(setup, machine, watching, verbose, started)
            result = run.finished_result()
            if "search" not in result:
                raise InputError(f"{run.path}/result.json is not of a search: delete it and run again with --resume")
            if printer:
                printer.show_result(run.path, result)
    records = [asdict(trial) for trial in table]
    best = next(trial for trial in records if trial["number"] == result["search"]["best"]["trial"])
    confirmed = folder.confirmation_of(run.path, best["number"], result)
    return Tuned(run.path, records, best, result, Run(confirmed) if confirmed else None, grid)


def _searched(setup: SearchSetup, machine: Machine, watch: Watch, verbose: bool, started: float) -> "ResultGrid | None":
    """Run the trials that have not ended, then confirm the best; returns Ray's results, None if all had ended."""
    trained, before = sum(setup.trials.seconds()), setup.run.clock()
    with ExitStack() as ray:  # closed before the confirmation, which uses its cores
        left = len(setup.job.past) < setup.search.trials
        cores = _start_ray(ray, machine, setup) if left else 0
        begin(setup)
        grid, clocks = _run_trials(setup, cores, watch, started, before)
    _finish(setup, facts_of(setup, clocks, cores, trained, before), verbose, started, before)
    return grid


def _start_ray(stack: ExitStack, machine: Machine, setup: SearchSetup) -> int:
    """Start or join Ray while Ray Tune is imported; returns how many trials run at once."""
    size = sum(dataset.images.nbytes for dataset, _ in setup.job.images.values())
    workers = machine.workers or 0 if machine.address else workers_here(machine.workers, size)
    loading = threading.Thread(target=import_module, args=("lenet.tuning.tuner",), daemon=True)
    loading.start()
    gpus = setup.search.gpus_per_trial
    ray = stack.enter_context(ray_session(machine.address, workers, size, gpus))
    loading.join()
    resources = ray.cluster_resources()
    if resources.get("GPU", 0) < gpus:
        raise InputError(f"--gpus-per-trial {gpus:g}: Ray finds {resources.get('GPU', 0):g} GPUs here")
    return workers or int(resources.get("CPU", 1))


def _run_trials(
    setup: SearchSetup, workers: int, watch: Watch, started: float, before: Clock
) -> "tuple[ResultGrid | None, dict[str, float]]":
    """Run the trials that have not ended; returns Ray's results and the seconds until and after the first step.

    before: the wall time of earlier sessions
    """
    path, trials, next_write, watched, begun = setup.run.path, setup.trials, 0.0, 0.0, time.time()

    def write() -> None:
        setup.run.check_not_deleted(SEARCH_FILE)  # otherwise trials would make the folder again, in part
        trials.write(path / "trials.csv")
        folder.prune(path, trials, setup.search.keep)
        _write_clock(setup, before.loop + time.time() - begun, started, before)

    def changed(trial: TrialRecord | None) -> None:
        nonlocal next_write, watched
        if trial is not None and not trial.over:
            folder.write_recipe(path, trial.number, setup.job.config_of(trial.number, trial.values))
        if (now := time.time()) > next_write:
            write()
            next_write = now + max(_WRITE_SECONDS, (time.time() - now) / _WRITE_SHARE)
        if now - watched > _WATCH_SECONDS:
            watch(setup, trials)
            watched = now

    watch(setup, trials)
    if not workers:  # all trials have ended
        return None, {"start": 0.0, "search": 0.0}
    from lenet.tuning.tuner import run_search

    try:
        grid, began = run_search(setup.job, trials, workers=workers, changed=changed)
    except KeyboardInterrupt:
        over = sum(trial.over for trial in trials)
        where = f"stopped after {over} of {setup.search.trials} trials"
        raise Interrupted(f"{where}; resume with: {how_to_resume(path, 'tune')}") from None
    finally:
        if len(trials):
            write()
    watch(setup, trials)
    start = max(0.0, (began or started) - started)
    return grid, {"start": start, "search": time.time() - started - start}


def _write_clock(setup: SearchSetup, search: float, started: float, before: Clock) -> Clock:
    """Write the wall time so far, and return it. search: seconds of the trials, those of earlier sessions included."""
    clock = Clock(loop=search, total=before.total + time.time() - started)
    setup.run.make_state_folder()
    setup.run.write_clock(clock)
    return clock


def _finish(setup: SearchSetup, facts: dict[str, Any], verbose: bool, started: float, before: Clock) -> None:
    """The best trial's recipe, the plots, the confirmation, and result.json last of all."""
    from lenet.tuning.plots import draw_search

    search, job, path, trials = setup.search, setup.job, setup.run.path, setup.trials
    best = best_trial(trials)
    config = job.config_of(best.number, best.values)
    facts["kept"] = folder.write_kept(path, trials, job)
    facts["not_kept"] = min(search.keep, len(trials.ranked())) - len(facts["kept"])
    folder.write_best(path, best, config, search, figure(search.metric, best.best(search.metric)))
    draw_search(trials, search.space, setup.run.plots)
    try:
        confirmed = _confirmed(setup, best.number, config.data_sha256, verbose) if search.confirm else {}
    finally:
        setup.run.check_not_deleted(SEARCH_FILE)
        clock = _write_clock(setup, facts["seconds"]["search"], started, before)
    facts["seconds"]["confirm"] = confirmed.get("seconds", {}).get("total", 0.0)
    setup.run.write_result(result_of(setup, facts, confirmed, clock.total))


def _confirmed(setup: SearchSetup, number: int, data_sha256: str | None, verbose: bool) -> dict[str, Any]:
    """Train the best trial's settings with new seeds; returns that run's result.json."""
    search, path = setup.search, setup.run.path
    again, seed = folder.confirmation_path(path, number, search.confirm), fresh_seed(search, search.confirm)
    how = how_to_resume(path, "tune")
    try:
        # By their hash, since the images may have changed while the trials ran.
        run = train(setup.memory, recipe=path / "best.toml", model=setup.own, out=again, resume=again.exists(),
                    verbose=verbose, data_sha256=data_sha256, seed=seed, seeds=search.confirm)  # fmt: skip
    except Interrupted:
        raise Interrupted(f"stopped while trial {number} was confirmed; resume with: {how}") from None
    except InputError as error:
        raise InputError(
            f"{error}; this was the confirmation of trial {number}, and '{how} --confirm 0' ends the search without one"
        ) from None
    return dict(run.result or {})
