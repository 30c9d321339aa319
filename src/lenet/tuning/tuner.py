"""A search by Ray Tune: its Tuner, its searchers and its ASHA, unmodified."""

import logging
import warnings
from collections.abc import Callable
from itertools import takewhile
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
from lenet.tuning.search import Search
from lenet.tuning.session import temporary_folder
from lenet.tuning.space import Axis
from lenet.tuning.trial import Job
from lenet.tuning.trials import DIED, TrialRecord, Trials
from lenet.tuning.worker import NUMBER, Trial, number_of

_RETRIES = 10  # of a trial whose worker died; an error in the trial itself ends it at once


class Follower(tune.Callback):
    """Keeps the trials as Ray reports them, and calls `changed`: with a trial that began or ended, else with None."""

    def __init__(self, job: Job, trials: Trials, changed: Callable[[TrialRecord | None], None]) -> None:
        self._job, self._trials, self._changed = job, trials, changed
        self.began: float | None = None  # when the first epoch began, on time.time's clock
        self.failure: Exception | None = None  # Ray wraps what a callback raises into an error of its own

    def __reduce__(self) -> Any:
        return tune.Callback, ()  # Ray pickles it with its snapshots, which lenet never reads

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker begins the trial, or begins it again."""
        record, values = self._record(trial), self._job.search.space.values(trial.config)
        if record.values != values:
            record.values, record.rows, record.status = values, [], "waiting"
        if not record.over:
            record.status = "running"
        self._call(record)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is done."""
        self._trials.take(result)
        if result["began"] is not None:
            self.began = min(self.began or result["began"], result["began"])
        if result["fatal"]:
            self.failure = InputError(result["error"])
            raise self.failure
        self._call(None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial has ended, by itself or by the scheduler."""
        record, result = self._record(trial), trial.last_result
        if not record.over:
            record.status = "failed" if record.error else "finished" if result["ended"] else "stopped"
        self._call(record)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's worker died too often."""
        record = self._record(trial)
        record.status, record.error = "failed", f"{DIED} {_RETRIES + 1} times ({_last_line(trial.get_error())})"
        self._call(record)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Ray about ten times a second."""
        self._call(None)

    def _record(self, trial: Any) -> TrialRecord:
        return self._trials.trial(number_of(trial.trial_id, trial.config))

    def _call(self, record: TrialRecord | None) -> None:
        try:
            self._changed(record)
        except Exception as error:
            self.failure = error
            raise


class NumberedOptuna(OptunaSearch):
    """Optuna's searcher, with a number for each trial: Ray gives a searcher's trials random names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Values for a trial, and its number. Called by Ray."""
        found = super().suggest(trial_id)
        return None if found is None else {**found, NUMBER: self._numbers.setdefault(trial_id, len(self._numbers))}


def run_search(
    job: Job, trials: Trials, *, workers: int, changed: Callable[[TrialRecord | None], None]
) -> tuple[Any, float | None]:
    """Run all trials; those of job.past repeat their results without training.

    Returns Ray's ResultGrid, and when the first epoch began on time.time's clock (None where all was done before).

    workers: at most this many trials at once (0: as many as the cluster has cores)
    """
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the table of trials names what fails
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search, follower = job.search, Follower(job, trials, changed)
    with temporary_folder() as snapshots, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(Trial, job=job), {"cpu": 1, "gpu": search.gpus_per_trial}),
            param_space={axis.name: _domain(axis, search.searcher) for axis in search.space.axes},
            tune_config=tune.TuneConfig(
                num_samples=1 if search.searcher == "grid" else search.trials,
                metric="score",
                mode="max",
                search_alg=_searcher(search, trials, workers),
                scheduler=_scheduler(search),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                storage_path=str(snapshots),
                failure_config=tune.FailureConfig(max_failures=_RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[follower],
                verbose=0,
            ),
        )
        try:
            return tuner.fit(), follower.began
        except (RayError, TuneError) as error:
            if follower.failure is not None:
                raise follower.failure from None
            raise InputError(f"Ray stopped ({_last_line(error)}): resume the search with --resume") from error


def _scheduler(search: Search) -> TrialScheduler:
    if search.scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    grace = min(search.grace_period, search.config.epochs)
    return ASHAScheduler(max_t=search.config.epochs, grace_period=grace, reduction_factor=search.reduction_factor)


def _searcher(search: Search, trials: Trials, workers: int) -> Any:
    """Ray's searcher, seeded. tpe first repeats the values that it gave before; the others draw them again."""
    if search.searcher == "tpe":
        values = (trials.trial(number).values for number in range(search.trials))
        known = list(takewhile(bool, values))
        points = [{axis.name: axis.encoded(values[axis.name]) for axis in search.space.axes} for values in known]
        # With the same seed, the first suggestions after the known values would repeat them.
        optuna_search = NumberedOptuna(seed=search.config.seed + len(points), points_to_evaluate=points or None)
        # More suggestions at once than workers would be drawn before the earlier trials' results are known.
        return ConcurrencyLimiter(optuna_search, max_concurrent=max(workers, 1))
    return BasicVariantGenerator(random_state=search.config.seed, max_concurrent=workers)


def _domain(axis: Axis, searcher: str) -> Any:
    """An axis as Ray's search spaces have it."""
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


def _last_line(error: Any) -> str:
    return (str(error).strip().splitlines() or ["unknown"])[-1]
