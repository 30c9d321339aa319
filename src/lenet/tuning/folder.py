"""A search's folder: search.toml, trials.csv, best.toml, trials/ (recipes), state/ (to resume), keep/ (best trials)."""

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lenet.config import Config, recipe_values, to_toml
from lenet.data.source import MEMORY
from lenet.errors import InputError
from lenet.files import MOST_TEXT, make_folder, read_regular, write_whole
from lenet.runs.checkpoint import Checkpoint, save_checkpoint
from lenet.runs.metrics import SELECT
from lenet.runs.provenance import versions
from lenet.runs.tensors import read_tensors
from lenet.training.finish import calibrated, likeness_of
from lenet.training.setup import OWN_MODEL
from lenet.tuning.search import Search
from lenet.tuning.trial import Job, state_path, training_of
from lenet.tuning.trials import DIED, TrialRecord, Trials

_BEST = "best:"  # prefix of the best weights in Training.state


def read_trials(folder: Path, search: Search, *, resumed: bool = False) -> Trials:
    """The trials that the folder holds. Those that were running wait again.

    resumed: those whose worker died too often wait again too; until then they have failed, and no ranking has them

    Raises InputError for a damaged trials.csv, and if the recipe of a trial that ended was changed (`resumed`: or
    removed).
    """
    trials, told = Trials(search.space.names, search.metric, search.config.epochs), dict[int, list[str]]()
    if (folder / "trials.csv").is_file():
        told = trials.read(folder / "trials.csv")
    for number in range(search.trials):
        if values := _recipe_values(folder, number, trials.names):
            trials.trial(number).values = values
        if number in told and (values or resumed) and trials.texts(number) != told[number]:
            if trials.trial(number).over:
                path = folder / "trials" / f"{number}.toml"
                raise InputError(f"{path} does not have the values that trials.csv has for the trial: restore it")
            trials.trial(number).rows = []  # lenet was killed when the trial had begun again, with other values
    for trial in trials:
        if trial.status == "running" or (resumed and trial.error.startswith(DIED)):
            trial.status, trial.error = "waiting", ""
    return trials


def _recipe_values(folder: Path, number: int, names: tuple[str, ...]) -> dict[str, Any]:
    path = folder / "trials" / f"{number}.toml"
    values = recipe_values(path) if path.is_file() else {}
    return {name: values[name] for name in names if name in values}


def write_recipe(folder: Path, number: int, config: Config) -> None:
    """trials/NUMBER.toml, with which `lenet train --recipe` repeats the trial."""
    path = folder / "trials" / f"{number}.toml"
    text = to_toml(vars(config), f"Trial {number} of a search; bit-identical: {how_to_train(path, config)}")
    if not path.is_file() or read_regular(path, MOST_TEXT) != text.encode():
        make_folder(path.parent)
        write_whole(path, text)


def write_best(folder: Path, trial: TrialRecord, config: Config, search: Search, figure: str) -> None:
    """best.toml: the best trial's recipe."""
    path = folder / "best.toml"
    comment = (
        f"{how_to_train(path, config)}\n"
        f"Trial {trial.number}, the best of {search.trials} by {search.metric}: {figure} with one seed, which is "
        "optimistically biased."
    )
    write_whole(path, to_toml(vars(config), comment))


def how_to_train(recipe: Path, config: Config) -> str:
    """The command that trains a recipe. A network of the user's own is in no recipe, but in main.py."""
    return f"{'python main.py' if config.model == OWN_MODEL else 'lenet train'} --recipe {shlex.quote(str(recipe))}"


def how_to_search(search: Search) -> str:
    """The command of a new search with these settings; empty if its data or network were passed from Python."""
    config = search.config
    if config.data == MEMORY or config.model == OWN_MODEL:
        return ""
    words = ["lenet", "tune", config.data, "--recipe", "none", "--epochs", str(config.epochs)]
    for name, text in search.space.texts().items():
        words += ["--space", f"{name}={text}"]
    words += [] if search.searcher == "grid" else ["--trials", str(search.trials)]
    usual = {"metric": SELECT[config.select]}
    for one in fields(Search):
        value, flag = getattr(search, one.name), {"searcher": "search"}.get(one.name, one.name)
        unused = one.name in ("grace_period", "reduction_factor") and search.scheduler == "none"
        if one.name not in ("config", "space", "trials") and not unused and value != usual.get(one.name, one.default):
            words += [f"--{flag.replace('_', '-')}", str(value)]
    hidden = {"data", "data_sha256", "start_sha256", "teacher_sha256", "data_dir", "epochs", *search.space.names}
    for name, value in vars(config).items():
        if name not in hidden and value is not None and value != getattr(Config(), name):
            words += _flag(name.replace("_", "-"), value)
    return shlex.join(words)


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *(list(map(str, value)) or ["none"] if isinstance(value, tuple) else [str(value)])]


def confirmation_path(folder: Path, number: int, seeds: int) -> Path:
    """Where the best trial's values are trained again; another trial or number of seeds is another run."""
    return folder / "confirm" / f"trial-{number}-x{seeds}"


def confirmation_of(folder: Path, number: int, result: Mapping[str, Any]) -> Path | None:
    """Where a finished search's best trial was confirmed; None if it was not. result: the search's result.json."""
    seeds = result["members"] + len(result["failed"])
    return confirmation_path(folder, number, seeds) if seeds else None


def prune(folder: Path, trials: Trials, keep: int) -> None:
    """Delete the states of trials that ended, except those of the `keep` best. trials.csv must have their epochs."""
    kept = set([trial.number for trial in trials.ranked() if trial.over][:keep])
    for trial in trials:
        if trial.over and trial.number not in kept:
            state_path(folder / "state", trial.number).unlink(missing_ok=True)


def write_kept(folder: Path, trials: Trials, job: Job) -> list[int]:
    """keep/NUMBER for each of the best trials: a folder that `lenet predict` and `lenet eval` take.

    Returns their numbers, without those of trials whose state is on another machine.
    """
    kept, best_trials = [], trials.ranked()[: job.search.keep]
    for trial in best_trials:
        # The weights of the epoch that `select` chooses, whatever metric ranks the trials.
        path, best = state_path(job.states, trial.number), trial.best(SELECT[job.search.config.select])
        state = read_tensors(path, mend="restore it, or remove it and resume") if path.is_file() else {}
        weights = {name.removeprefix(_BEST): tensor for name, tensor in state.items() if name.startswith(_BEST)}
        target = folder / "keep" / str(trial.number)
        if not weights or best is None:
            if (target / "model.json").is_file():  # kept before its state was removed
                kept.append(trial.number)
            continue
        training = training_of(job, trial.number, trial.values)
        training.model.load_state_dict(weights)
        temperature, accepted = calibrated(training)
        height, width, channels = training.dataset.images.shape[1:]
        checkpoint = Checkpoint(
            networks=[training.model],
            classes=training.dataset.classes,
            input_shape=(height, width, channels),
            fit=training.config.fit,
            seeds=[training.seed],
            val_accuracy=[best.val_accuracy],
            temperature=[temperature],
            acceptance=[accepted],
            likeness=[likeness_of(training)],
            config=vars(training.config),
            versions=versions(),
        )
        make_folder(target)
        write_whole(target / "config.toml", to_toml(vars(training.config)))
        save_checkpoint(target / "model", checkpoint)
        kept.append(trial.number)
    best_numbers = {trial.number for trial in best_trials}
    for old in (folder / "keep").glob("*"):
        if old.name.isdigit() and int(old.name) not in best_numbers:
            shutil.rmtree(old)  # trials added later were better
    return kept
