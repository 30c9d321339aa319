"""Train: from a config to a finished run's folder."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from lenet.config import Config, checked, recipe_values, resolve
from lenet.data.dataset import Dataset
from lenet.data.wanted import check_images, differing_images, is_folder, load_data, same_folder
from lenet.engine import Choice, Settings
from lenet.errors import InputError, naming
from lenet.models import build, parameter_count
from lenet.report.console import PlainConsole
from lenet.report.progress import Progress
from lenet.report.text import say_result
from lenet.runs.run import STATE_MEND, Run, nothing_to_resume, open_run
from lenet.training.features import frozen_layers
from lenet.training.finish import epochs_seconds, finish
from lenet.training.setup import OWN_MODEL, concrete, engine_for, network_for, threads_each
from lenet.training.start import Start, check_body, learning_parameters, read_start, settled, with_new_head
from lenet.training.training import Stopped, Training

_MAY_CHANGE = ("engine", "device", "data_dir")  # on resume; anything else would be another training


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; the message says how to go on."""


def train(
    data: str | None = None,
    *,
    model: str | nn.Sequential | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    or_digits: bool = False,
    defaults: Mapping[str, Any] | None = None,
    console: Console | None = None,
    **options: Any,
) -> Run:
    """Train one network or several that differ by seed, test them once, and return the run's folder.

    data: "auto", "cifar10", "cifar100", "digits" or a folder of class folders
    model: a named shape, or any nn.Sequential of the layers lenet knows, which starts from fresh weights
    recipe: a name or a TOML file; options: every field of `lenet.config.Config`
    out: exactly this folder; without it a fresh numbered one under runs/
    resume: go on from whatever the folder holds; overwrite: delete the run that it holds first
    or_digits: where the data is not on disk and cannot be had, train on the embedded digits and say so
    defaults: options that stand in the place of lenet's own defaults, under the recipe
    console: where progress goes (by default standard output)

    Raises InputError (a ValueError) for whatever in these cannot work, Interrupted on Ctrl-C.
    """
    started = time.perf_counter()
    console = console or PlainConsole()
    named = {"data": data, "model": None if isinstance(model, nn.Sequential) else model}
    given = checked({name: value for name, value in (named | options).items() if value is not None}, "")
    resolve(recipe, given)  # whatever is wrong with it is said before a folder is made
    values = recipe_values(recipe)
    run = open_run(out, resume=resume, overwrite=overwrite)
    if resume and run.config() is None:
        console.print(nothing_to_resume(run), highlight=False, soft_wrap=True)
    try:
        with naming(recipe, values, given):
            return _train(run, defaults or {}, recipe, values, given, model, or_digits, console, started)
    finally:
        if run.path.is_dir() and not any(run.path.iterdir()):
            run.path.rmdir()  # nothing came of it


def _train(
    run: Run,
    defaults: Mapping[str, Any],
    recipe: str | Path | None,
    values: dict[str, Any],
    given: dict[str, Any],
    model: str | nn.Sequential | None,
    or_digits: bool,
    console: Console,
    started: float,
) -> Run:
    if isinstance(model, nn.Sequential):
        given = given | {"model": OWN_MODEL}  # whatever a recipe names
    saved, settings = run.config(), values | given
    wanted = _resumed(run, saved, settings, or_digits) if saved else replace(Config(), **{**defaults, **settings})
    if run.result is not None:
        if saved and wanted.data != saved.data:
            check_images(load_data(wanted, or_digits)[0], saved.data_sha256, f"{run.path} was started with")
        say_result(run, console)
        return run

    kept, layers = run.start(), run.layers()
    start = read_start(wanted.start) if wanted.start and not (kept and layers) else None
    own = model if isinstance(model, nn.Sequential) else None
    if start and own:
        raise InputError(f"the network comes from {wanted.start}: leave model out", options=["start"])
    if start and not saved:
        wanted = settled(wanted, start, settings)
    dataset, note = load_data(wanted, or_digits)
    check_images(dataset, given.get("data_sha256"), "of data_sha256")
    check_images(dataset, saved.data_sha256 if saved else None, f"{run.path} was started with")
    differing = differing_images(dataset, recipe, values, given)
    config = concrete(wanted, dataset, own)
    networks = _networks(config, dataset, own, run, start)
    network = networks[0]
    frozen_layers(config.freeze, len(network))  # refused before anything is written
    choice, engine_settings, workers = engine_for(config, network)
    if saved is None or saved.data != config.data:
        run.write_config(config, note)
    run.write_layers(network)
    run.make_state_folder()
    body = start.body if start else kept
    if start:
        run.write_start(start.body)
    elif kept:
        check_body(kept, network, run.state_path("start"))
    dataset = run.kept_split(dataset)

    trainings = [
        Training(net, dataset.of_member(number), config, config.seed + number, choice, engine_settings, body)
        for number, net in enumerate(networks)
    ]
    for training in trainings:
        _go_on(run, training)
    if any(training.epoch for training in trainings):  # a kill may have come between a state and its metrics
        run.write_metrics(row for training in trainings for row in training.history)
    said = start.said if start else wanted.start or ""
    earlier = sum(epochs_seconds(trainings, workers))
    opening = _opening(run, dataset, note, config, network, choice, engine_settings, trainings, said)
    for line in [*opening, *filter(None, [differing])]:
        console.print(line, highlight=False, soft_wrap=True)
    try:
        _advance_all(trainings, run, workers, console)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_go_on(run, trainings)) from None
    finish(run, config, dataset, trainings, workers, earlier + time.perf_counter() - started)
    say_result(run, console)
    if note:
        console.print(note, highlight=False, soft_wrap=True)
    return run


def _advance_all(trainings: list[Training], run: Run, workers: int, console: Console) -> None:
    """Every member to its end, `workers` at a time, each epoch saved as it ends. The loop of the house."""

    saving = threading.Lock()  # metrics.csv is of all members

    def advance(training: Training) -> None:
        while not training.finished:
            # The last of them also take the cores of those that are done; their bits are the same.
            left = sum(not member.finished for member in trainings)
            threads = threads_each(training.config, training.choice, min(left, workers))
            training.settings = replace(training.settings, threads=threads)
            training.advance()
            run.write_state(training.seed, training.state())
            with saving:
                run.write_metrics(row for member in trainings for row in list(member.history))

    with ThreadPoolExecutor(workers) as pool, Progress(trainings, console) as progress:
        tasks = [pool.submit(advance, training) for training in trainings]
        try:
            while wait(tasks, timeout=0.1, return_when=FIRST_EXCEPTION).not_done:
                progress.update()
                if any(task.done() and task.exception() for task in tasks):
                    break
        finally:
            for training, task in zip(trainings, tasks, strict=True):
                training.stop.set()
                task.cancel()
    for task in tasks:
        if not task.cancelled() and not isinstance(task.exception(), Stopped):
            task.result()


def _resumed(run: Run, saved: Config, given: dict[str, Any], or_digits: bool) -> Config:
    """The saved config; what was given may only repeat it, but for the few options that change no figure."""
    automatic = {name for name in ("data", "augment") if given.get(name) == "auto"}
    if or_digits and saved.data == "digits":
        automatic.add("data")
    if is_folder(given.get("data", "auto")) and is_folder(saved.data):  # wherever it lies now
        automatic.add("data")
        if not same_folder(given["data"], saved.data):
            saved = replace(saved, data=given["data"])
    automatic.add("data_sha256")  # the images themselves are compared with it
    told = {name: value for name, value in given.items() if name not in automatic}
    changed = [name for name, value in told.items() if name not in _MAY_CHANGE and value != getattr(saved, name)]
    if changed:
        listed = ", ".join(f"{name} {getattr(saved, name)} -> {told[name]}" for name in changed)
        raise InputError(
            f"{run.path} was started with other settings ({listed}): leave them out, or use another --out",
            options=changed,
        )
    return replace(saved, **{name: told[name] for name in _MAY_CHANGE if name in told})


def _networks(
    config: Config, dataset: Dataset, own: nn.Sequential | None, run: Run, start: Start | None
) -> list[nn.Sequential]:
    """Each member's network, before its own weights are drawn; a resumed one comes from the run's folder."""
    layers = run.layers()
    if start:
        network = with_new_head(start, len(dataset.classes))
    elif layers and (config.start or (own is None and config.model == OWN_MODEL)):
        network = build(layers)
    elif own is None and config.model == OWN_MODEL:
        raise InputError(f"{run.path} was started with a network of your own: give it again, from Python")
    elif dataset.folds:  # each normalises by the statistics of its own images
        return [network_for(config, dataset.of_member(number), own) for number in range(config.seeds)]
    else:
        network = network_for(config, dataset, own)
    return [network] * config.seeds


def _go_on(run: Run, training: Training) -> None:
    """Take up the member's saved state, where it has one."""
    state = run.state(training.seed)
    if state is None:
        return
    try:
        training.load(state)
    except ValueError as error:
        path = run.state_path(training.seed)
        raise InputError(f"{path} is of another network ({error}): {STATE_MEND}") from None


def _opening(
    run: Run,
    dataset: Dataset,
    note: str,
    config: Config,
    network: nn.Sequential,
    choice: Choice,
    settings: Settings,
    trainings: list[Training],
    said: str,
) -> list[str]:
    """What a run says before it trains."""
    height, width, channels = dataset.images.shape[1:]
    folds = f"{len(dataset.folds)} folds of " if dataset.folds else ""
    sizes = f"{folds}{len(dataset.train):,} training, {len(dataset.val):,} validation, {len(dataset.test):,} test"
    threads = f", {settings.threads} threads" if settings.threads > 1 else ""
    lines = [
        f"data    {dataset.name} ({dataset.source}){': ' + note if note else ''}",
        f"images  {sizes}; {height}x{width}x{channels}, {len(dataset.classes)} classes",
        *(f"        {line}" for line in dataset.notes),
        f"model   {config.model}, {parameter_count(network):,} parameters; "
        f"{config.optimizer} {config.peak_lr:g} {config.schedule}, batch {config.batch_size}",
        *_start_lines(config, network, said),
        f"engine  {choice.name} ({choice.why}){threads}",
        f"run     {run.path}",
    ]
    past = {row.engine for training in trainings for row in training.history}
    if any(training.epoch for training in trainings):
        lines.append(f"        going on after epoch {_epochs_done(trainings)} of {config.epochs}")
    if past - {choice.name}:
        lines.append(f"        earlier epochs were the {past.pop()} engine's: bits differ from a run of one engine")
    return lines


def _start_lines(config: Config, network: nn.Sequential, said: str) -> list[str]:
    """Where the weights come from and which of them learn, where that isn't from chance and all."""
    lines = [f"start   {said}; a new last layer"] if config.start else []
    if frozen := frozen_layers(config.freeze, len(network)):
        until = f" until epoch {config.unfreeze_after}" if config.unfreeze_after else ""
        lines.append(
            f"frozen  the first {frozen} of {len(network)} layers{until}; {learning_parameters(network, frozen):,} "
            f"parameters learn"
        )
    return lines


def _how_to_go_on(run: Run, trainings: list[Training]) -> str:
    of = trainings[0].config.epochs
    return f"stopped after epoch {_epochs_done(trainings)} of {of}; go on with: lenet train --resume --out {run.path}"


def _epochs_done(trainings: list[Training]) -> str:
    """One number, or one for each member where they differ."""
    epochs = [training.epoch for training in trainings]
    return str(epochs[0]) if len(set(epochs)) == 1 else ", ".join(map(str, epochs))
