"""What a search says: before it starts, at its end, and in result.json."""

import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from lenet.errors import InputError
from lenet.evaluation.scores import mean_sd
from lenet.report.text import clock, percent, test_line
from lenet.runs.run import Run
from lenet.training.finish import versions
from lenet.training.setup import engine_for, network_for
from lenet.tuning.display import figure
from lenet.tuning.search import FACTOR, GRACE, Search
from lenet.tuning.space import shown
from lenet.tuning.table import Table, TrialRecord
from lenet.tuning.trial import Images, Job, trial_seed

_CONFIRMING = 2**32 - 1  # the trial number, beyond any trial's, whose seed the confirmation starts from


def say_opening(run: Run, search: Search, images: Images, note: str, console: Console) -> None:
    """What stands above the table of trials."""
    config, dataset = search.config, images.dataset
    engine = f"torch on {config.device}, as each trial's machine has it"
    if config.device == "cpu":
        choice, _, _ = engine_for(config, network_for(config, dataset, statistics=images.statistics))
        engine = f"{choice.name} ({choice.why})"
    height, width, channels = dataset.images.shape[1:]
    ends = "ASHA ends the worse half after epoch 1, 2, 4, ..." if search.scheduler == "asha" else "none ended early"
    for line in (
        f"data    {dataset.name} ({dataset.source}){': ' + note if note else ''}",
        f"images  {len(dataset.train):,} training, {len(dataset.val):,} validation; {height}x{width}x{channels}, "
        f"{len(dataset.classes)} classes",
        *(f"        {line}" for line in dataset.notes),
        f"model   {config.model}; {config.optimizer} {config.schedule}",
        f"space   {', '.join(f'{name} {text}' for name, text in search.space.texts().items())}",
        f"search  {search.trials} trials, {search.searcher}, of at most {config.epochs} epochs; {ends}",
        f"engine  {engine}",
        f"run     {run.path}",
    ):
        console.print(line, soft_wrap=True)


def say_result(run: Run, result: Mapping[str, Any], console: Console) -> None:
    """The best values, what the search saw of them, and what holds."""
    facts = result["search"]
    best, seconds = facts["best"], facts["seconds"]
    values = ", ".join(f"{name} {shown(value)}" for name, value in best["values"].items())
    lines = [
        "",
        f"best    trial {best['trial']}: {values}",
        f"seen    {100 * best['val_accuracy']:.1f}% validation (epoch {best['epoch']} of {result['epochs']}), one "
        f"seed, the best of {facts['trials']} trials",
    ]
    if result["members"]:
        lines += [
            f"holds   {percent(result['val_accuracy'])} validation, fresh seeds",
            test_line(result),
        ]
    failed = "; ".join(f"trial {number}: {error}" for number, error in facts["failed"].items())
    lines += [f"failed  {failed}"] if failed else []
    lines += [
        f"took    {clock(result['seconds']['total'])}: first step after {seconds['start']:.1f} s, trials "
        f"{clock(seconds['search'])}, confirming {clock(seconds['confirm'])}; {facts['trial_epochs']} trial-epochs, "
        f"{facts['stopped']} trials stopped",
        f"files   {run.path}: trials.csv, best.toml, trials/, keep/, plots/, result.json",
        f"again   lenet train --recipe {run.path}/trials/{best['trial']}.toml makes the trial again, to the bit; the "
        "search as a whole does not repeat: which trials are stopped hangs on timing",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def winner_of(table: Table) -> TrialRecord:
    """The best trial. Raises InputError where all failed."""
    ranked = table.ranked()
    if ranked:
        return ranked[0]
    failed = [trial for trial in table if trial.status == "failed"]
    first = f"; trial {failed[0].number}: {failed[0].error}" if failed else ""
    raise InputError(f"all {len(failed)} trials failed{first}")


def fresh_seed(search: Search, count: int) -> int:
    """The first of `count` seeds in a row that no trial had."""
    seed = trial_seed(search.config.seed, _CONFIRMING) % (2**31 - count)
    taken = {trial_seed(search.config.seed, number) for number in range(search.trials)}
    while hit := taken & set(range(seed, seed + count)):
        seed = (max(hit) + 1) % (2**31 - count)
    return seed


def search_facts(
    search: Search, table: Table, winner: TrialRecord, clocks: Mapping[str, float], cores: int, earlier: float = 0.0
) -> dict[str, Any]:
    """What result.json says of the search itself.

    clocks: seconds on the wall: "start" until the first training step, "search" from there to the last result
    cores: how many trials ran side by side. Ray's share is what these cores did not train or validate in "search"
    earlier: seconds of training and validation that were done before the search was resumed
    """
    train, val = table.seconds()
    best = winner.best(search.metric)
    assert best is not None  # a winner has a figure
    counted = {status: sum(trial.status == status for trial in table) for status in ("stopped", "finished")}
    return {
        "trials": search.trials,
        "trial_epochs": table.trial_epochs(),
        **counted,
        "failed": {str(trial.number): trial.error for trial in table if trial.status == "failed"},
        "metric": search.metric,
        "scheduler": f"asha, grace {GRACE}, factor {FACTOR}" if search.scheduler == "asha" else "none",
        "searcher": search.searcher,
        "space": search.space.texts(),
        "best": {
            "trial": winner.number,
            "seed": winner.seed,
            "values": winner.values,
            "epoch": best.epoch,
            "val_accuracy": best.val_accuracy,
            search.metric: getattr(best, search.metric),
        },
        "workers": cores,
        "seconds": {**clocks, "train": train, "validation": val},
        "ray_share": max(0.0, 1 - (train + val - earlier) / max(clocks["search"] * cores, 1e-9)),
    }


def result_of(
    search: Search,
    table: Table,
    job: Job,
    winner: TrialRecord,
    facts: Mapping[str, Any],
    confirmed: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """result.json: the confirmation's figures where there is one, otherwise those of the winner in the search.

    facts: of `search_facts`; confirmed: the confirmation's own result; seconds: of the whole command
    """
    config, data, best = job.config_of(winner.number, winner.asked), job.images_of(winner.asked).dataset, facts["best"]
    train, val = table.seconds()
    result = {
        "data": data.name,
        "data_sha256": data.sha256,
        "model": config.model,
        "parameters": None,
        "members": 0,
        "engine": winner.rows[best["epoch"] - 1].engine,
        "epochs": search.config.epochs,
        "images_per_second": len(data.train) * table.trial_epochs() / max(train, 1e-9),
        "val_accuracy": mean_sd([best["val_accuracy"]]),
        "test_accuracy": None,
        "test_loss": None,
        "test_images": 0,
        "best_epoch": [best["epoch"]],
    }
    return {name: confirmed.get(name, value) for name, value in result.items()} | {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seconds": {"train": train, "validation": val, "total": seconds},
        "seed": search.config.seed,
        "config": vars(config),
        "search": facts,
        "versions": versions() | {name: version(name) for name in ("ray", "optuna")},
    }


def seen_figure(search: Search, trial: TrialRecord) -> str:
    """A trial's best figure in the search, as it is shown."""
    return figure(search.metric, trial.best(search.metric))
