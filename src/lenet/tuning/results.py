"""The result of a search: its best trial, the seeds of the confirmation, and result.json."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from lenet.errors import InputError
from lenet.evaluation.scores import mean_sd
from lenet.runs.metrics import images_trained
from lenet.runs.provenance import command, versions
from lenet.runs.run import Clock
from lenet.tuning.search import Search
from lenet.tuning.setup import SearchSetup
from lenet.tuning.trial import trial_seed
from lenet.tuning.trials import TrialRecord, Trials

_CONFIRMING = 2**32 - 1  # beyond any trial's number: its seed is where the confirmation's seeds start


def best_trial(trials: Trials) -> TrialRecord:
    """The best trial. Raises InputError where all failed."""
    ranked = trials.ranked()
    if ranked:
        return ranked[0]
    failed = trials.with_status("failed")
    first = f" (trial {failed[0].number}: {failed[0].error})" if failed else ""
    again = trials.all_failed(len(trials))
    mend = "search other values, with --overwrite or another --out" if again else "use --resume"
    raise InputError(f"{'the only trial' if len(failed) == 1 else f'all {len(failed)} trials'} failed{first}: {mend}")


def fresh_seed(search: Search, count: int) -> int:
    """The first of `count` consecutive seeds that no trial had."""
    seed = trial_seed(search.config.seed, _CONFIRMING) % (2**31 - count)
    taken = {trial_seed(search.config.seed, number) for number in range(search.trials)}
    while hit := taken & set(range(seed, seed + count)):
        seed = (max(hit) + 1) % (2**31 - count)
    return seed


def facts_of(
    setup: SearchSetup, clocks: Mapping[str, float], workers: int, trained: float, before: Clock
) -> dict[str, Any]:
    """What result.json says of the search itself.

    clocks: wall seconds of this session: "start" until the first training step, "search" from there to the last result
    workers: how many trials ran at once; 0 if no trial ran in this session
    trained: seconds of training and validation before the search was resumed; before: wall time of earlier sessions
    """
    search, trials, best = setup.search, setup.trials, best_trial(setup.trials)
    train, val = trials.seconds()
    row = best.best(search.metric)
    assert row is not None  # a ranked trial has one
    found = {"val_accuracy": row.val_accuracy, search.metric: getattr(row, search.metric)}
    return {
        "trials": search.trials,
        "trial_epochs": trials.trial_epochs(),
        "stopped": len(trials.with_status("stopped")),
        "finished": len(trials.with_status("finished")),
        "failed": {str(trial.number): trial.error for trial in trials.with_status("failed")},
        "metric": search.metric,
        "scheduler": search.rule,
        "searcher": search.searcher,
        "space": search.space.texts(),
        "best": {"trial": best.number, "seed": best.seed, "values": best.values, "epoch": row.epoch, **found},
        "workers": workers or None,
        "seconds": {**clocks, "search": before.loop + clocks["search"], "train": train, "validation": val},
        "ray_share": max(0.0, 1 - (train + val - trained) / max(clocks["search"] * workers, 1e-9)) if workers else None,
    }


def result_of(
    setup: SearchSetup, facts: Mapping[str, Any], confirmed: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """result.json: the confirmation's figures, or without one those of the best trial.

    facts: of `facts_of`; confirmed: the confirmation's result.json; seconds: wall time of all sessions
    """
    job, trials, best = setup.job, setup.trials, best_trial(setup.trials)
    config, data = job.config_of(best.number, best.values), job.images_of(best.values)[0]
    epoch, seconds_of = facts["best"]["epoch"], facts["seconds"]
    images = sum(
        images_trained(trial.rows, len(data.train), trial.values.get("batch_size", config.batch_size))
        for trial in trials
    )
    result = {
        "data": data.name,
        "data_sha256": data.sha256,
        "model": config.model,
        "parameters": None,
        "learning_parameters": None,
        "members": 0,
        "failed": [],
        "engine": best.rows[epoch - 1].engine,
        "epochs": setup.search.config.epochs,
        "images_per_second": images / max(seconds_of["train"], 1e-9),
        "val_accuracy": mean_sd([facts["best"]["val_accuracy"]]),
        "val_balanced_accuracy": None,
        "val_macro_f1": None,
        "val_loss": mean_sd([best.rows[epoch - 1].val_loss]),
        "test_accuracy": None,
        "test_interval": None,
        "test_balanced_accuracy": None,
        "test_macro_f1": None,
        "test_loss": None,
        "test_calibration_error": None,
        "test_calibration_error_uncalibrated": None,
        "test_images": 0,
        "test_images_seen": 0,
        "val_images": len(data.val),
        "val_images_seen": None,  # not counted without a confirmation
        "best_network": 0,
        "best_epoch": [epoch],
    }
    return {name: confirmed.get(name, value) for name, value in result.items()} | {
        "command": command(),
        "seconds": {"train": seconds_of["train"], "validation": seconds_of["validation"], "total": seconds},
        "seed": setup.search.config.seed,
        "config": vars(config),
        "search": facts,
        "versions": versions() | {name: version(name) for name in ("ray", "optuna")},
    }
