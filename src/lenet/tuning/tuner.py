"""One part of a search, run by Ray Tune: its Tuner, its searchers, its ASHA, as they are."""

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.exceptions import RayError
from ray.tune import TuneError
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

from lenet.errors import InputError
from lenet.tuning.search import FACTOR, GRACE, Search
from lenet.tuning.space import Axis
from lenet.tuning.table import BROKEN, Table, TrialRecord
from lenet.tuning.trial import NUMBER, Job, Trial, number_of

_RETRIES = 10  # of a trial whose worker died; our own errors end a trial at once, so these are the machine's


class Watch(tune.Callback):
    """Tells the search at hand what Ray does. Has no state of its own, since Ray pickles it with its snapshots."""

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray's loop begins a round; in the first it knows what a snapshot knew."""
        _tell("begun", trials)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker begins the trial, or begins it again."""
        _tell("started", trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is done."""
        _tell("result", result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial is over, by itself or by the scheduler."""
        _tell("ended", trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's worker died too often."""
        _tell("broken", trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray's loop went round."""
        _tell("turn")


class Listener:
    """Keeps the table by what Watch tells, and calls `changed`: with a trial that began or ended, else with None."""

    def __init__(self, table: Table, job: Job, changed: Callable[[TrialRecord | None], None]) -> None:
        self.table, self._job, self._changed = table, job, changed
        self._begun = False
        self.failure: Exception | None = None

    def begun(self, trials: list[Any]) -> None:
        """Take in the trials that were over when the snapshot was taken that Ray goes on from."""
        if not self._begun:
            self._begun = True
            for trial in trials:
                if trial.status == "TERMINATED" and not self.table.trial(self._number(trial)).over:
                    self.ended(trial)

    def started(self, trial: Any) -> None:
        record = self.table.trial(self._number(trial))
        asked = self._job.space.values(trial.config)
        if record.asked != asked:
            record.asked, record.values, record.rows = asked, asked, []
        record.status = "running"
        self._changed(record)

    def result(self, result: dict[str, Any]) -> None:
        record = self.table.take(result)
        if result["fatal"]:
            raise InputError(record.error)
        if record.error:
            record.status = "failed"
        self._changed(None)

    def ended(self, trial: Any) -> None:
        record = self.table.take(trial.last_result)
        own_end = bool(record.rows) and (record.epoch >= self.table.epochs or bool(trial.last_result["ended"]))
        record.status = "failed" if record.error else "finished" if own_end else "stopped"
        self._changed(record)

    def broken(self, trial: Any) -> None:
        record = self.table.trial(self._number(trial))
        record.status = "failed"
        why = trial.get_error() if hasattr(trial, "get_error") else None
        record.error = f"{BROKEN} {_RETRIES + 1} times ({_last_line(why)})"
        self._changed(record)

    def turn(self) -> None:
        self._changed(None)

    def _number(self, trial: Any) -> int:
        return number_of(trial.trial_id, trial.config, self._job.first)


class NumberedOptuna(OptunaSearch):
    """Optuna's searcher, whose trials know their number: Ray gives a searcher's trials random names."""

    def __init__(self, first: int, **options: Any) -> None:
        super().__init__(**options)
        self._numbers: dict[str, int] = {}
        self._first = first

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Values for a trial, and its number. Called by Ray."""
        found = super().suggest(trial_id)
        if found is None:
            return None
        return {**found, NUMBER: self._numbers.setdefault(trial_id, self._first + len(self._numbers))}


_listener: list[Listener] = []


def _tell(what: str, *told: Any) -> None:
    """Pass on what Ray does; what goes wrong in it is kept, since Ray wraps it into an error of its own."""
    listener = _listener[-1]
    try:
        getattr(listener, what)(*told)
    except Exception as error:
        listener.failure = error
        raise


def run_part(
    search: Search,
    job: Job,
    *,
    count: int,
    table: Table,
    folder: Path,
    workers: int,
    gpus: float,
    changed: Callable[[TrialRecord | None], None],
) -> Any:
    """Run `count` trials from number job.first on, or go on with them, and return Ray's ResultGrid.

    folder: where Ray keeps its snapshots of this part; those it holds are gone on from
    workers: at most so many trials side by side (0: as many as the cluster has cores)
    """
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong with a trial stands in the table
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trainable = tune.with_resources(tune.with_parameters(Trial, job=job), {"cpu": 1, "gpu": gpus})
    numbers = range(job.first, job.first + count)
    known = [table.trial(number).asked for number in takewhile(lambda n: table.trial(n).asked, numbers)]
    listener = Listener(table, job, changed)
    _listener.append(listener)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tuner = _restored(search, folder, trainable)
            results = tuner.fit() if tuner else None
            if not all(table.trial(number).over for number in numbers):
                # Nothing was there to go on from, or Ray made less of it than the search: the trials' own states, and
                # the values they had, make up for it.
                shutil.rmtree(folder, ignore_errors=True)
                results = _fresh(search, job, count, folder, workers, trainable, known).fit()
        return results
    except (RayError, TuneError) as error:
        if listener.failure is not None:
            raise listener.failure from None
        raise InputError(f"Ray gave up ({_last_line(error)}): go on with --resume") from error
    finally:
        _listener.pop()


def _restored(search: Search, folder: Path, trainable: Any) -> tune.Tuner | None:
    """The tuner that Ray's snapshot describes; None where there is none, or not a whole one."""
    snapshots = sorted(folder.glob("experiment_state-*.json"))
    if not snapshots or not (folder / "tuner.pkl").is_file():
        return None
    try:
        json.loads(snapshots[-1].read_text())
        # The space too: Ray starts over by itself where it finds its newest snapshot cut short.
        return tune.Tuner.restore(
            str(folder),
            trainable=trainable,
            resume_unfinished=True,
            resume_errored=True,
            param_space=_param_space(search),
        )
    except Exception:  # a snapshot cut short can fail in any way
        return None


def _fresh(
    search: Search,
    job: Job,
    count: int,
    folder: Path,
    workers: int,
    trainable: Any,
    known: list[dict[str, Any]],
) -> tune.Tuner:
    grid = search.searcher == "grid"
    return tune.Tuner(
        trainable,
        param_space=_param_space(search),
        tune_config=tune.TuneConfig(
            num_samples=1 if grid else count,
            metric="score",
            mode="max",
            search_alg=_searcher(search, job, workers, known),
            scheduler=_scheduler(search),
            reuse_actors=True,
            trial_dirname_creator=_dirname,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent.absolute()),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[Watch()],
            verbose=0,
        ),
    )


def _param_space(search: Search) -> dict[str, Any]:
    return {axis.name: _domain(axis, search.searcher) for axis in search.space.axes}


def _scheduler(search: Search) -> TrialScheduler:
    if search.scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    epochs = search.config.epochs
    return ASHAScheduler(max_t=epochs, grace_period=min(GRACE, epochs), reduction_factor=FACTOR)


def _searcher(search: Search, job: Job, workers: int, known: list[dict[str, Any]]) -> Any:
    """Ray's searcher, seeded; `known` are the values that the first trials had when they ran before."""
    # Another part's draws must not repeat the first's.
    seed = search.config.seed + job.first
    if search.searcher == "tpe":
        # More suggestions at once than workers would be drawn before the earlier trials tell anything.
        points = [{axis.name: axis.encoded(values[axis.name]) for axis in search.space.axes} for values in known]
        optuna_search = NumberedOptuna(job.first, seed=seed, points_to_evaluate=points or None)
        return ConcurrencyLimiter(optuna_search, max_concurrent=max(workers, 1))
    return BasicVariantGenerator(random_state=seed, max_concurrent=workers)


def _domain(axis: Axis, searcher: str) -> Any:
    """An axis in Ray's own words."""
    every = axis.every()
    if searcher == "grid" and every is not None:
        return tune.grid_search([axis.encoded(value) for value in every])
    if axis.kind == "choice":
        return tune.choice([axis.encoded(value) for value in axis.values])
    if axis.kind == "loguniform":
        if axis.whole:
            return tune.lograndint(round(axis.low), round(axis.high) + 1)
        return tune.loguniform(axis.low, axis.high)
    if axis.whole and not axis.step:
        return tune.randint(round(axis.low), round(axis.high) + 1)
    if axis.step:
        # Optuna takes steps for an order; Ray itself would draw the two ends half as often as the values between.
        if searcher == "tpe":
            return tune.quniform(axis.low, axis.high, axis.step)
        return tune.choice(list(every or ()))
    return tune.uniform(axis.low, axis.high)


def _dirname(trial: Any) -> str:
    return str(trial.trial_id)


def _last_line(error: Any) -> str:
    return (str(error).strip().splitlines() or ["unknown"])[-1]
