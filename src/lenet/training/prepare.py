"""Prepare: what is asked for, against what the run's folder holds already, becomes a setup and its trainings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from lenet.config import Config
from lenet.config.request import Request
from lenet.data import load_dataset
from lenet.data.identity import check_images, differing_images, is_folder, same_folder
from lenet.errors import InputError
from lenet.runs.run import MAY_CHANGE, Run
from lenet.training.loop import load_trainings
from lenet.training.setup import Setup, make_setup
from lenet.training.start import config_from_start, read_start
from lenet.training.training import Training


def prepare(run: Run, request: Request, own: nn.Sequential | None, *, or_digits: bool, notes: Sequence[str]) -> Setup:
    """The setup of a new run, or of one that is resumed. Reads the images; writes nothing.

    own, or_digits: see `lenet.train`

    Raises InputError if the request does not go together, or not with the run that is resumed.
    """
    saved = run.config()
    run.check_config()
    config = _resumed(run, saved, request, or_digits) if saved else request.config()
    begun = run.start() is not None and run.layers() is not None
    start = read_start(config.start) if config.start and not begun else None
    if start and own is not None:
        raise InputError(f"the network comes from {config.start}: leave model out", options=["start"])
    differing = []
    if start and start.sha256 != (config.start_sha256 or start.sha256):
        if saved or "start_sha256" in request.given:
            raise InputError(f"the network of {config.start} is not the one of start_sha256: restore that run")
        differing.append(f"the network of {config.start} differs from that of {request.recipe}")
    if start and not saved:
        config = config_from_start(config, start, request.settings)
    dataset = load_dataset(config, or_digits=or_digits)
    check_images(dataset, request.given.get("data_sha256"), "of data_sha256")
    check_images(dataset, saved.data_sha256 if saved else None, f"{run.path} was started with")
    differing.append(differing_images(dataset, request.recipe, request.values, request.given))
    told = tuple(note for note in (*notes, *differing) if note)
    return make_setup(config, run.split_again(dataset), own=own, start=start, run=run, notes=told)


def begin(setup: Setup, run: Run) -> list[Training]:
    """Write what a run must hold before its first epoch, and make its trainings, each from its saved state if any."""
    saved = run.config()
    if saved is None or saved.data != setup.config.data:
        run.write_config(setup.config, setup.dataset.substitute)
    run.write_layers(setup.networks[0])
    run.make_state_folder()
    if setup.body is not None and run.start() is None:
        run.write_start(dict(setup.body))
    run.kept_split(setup.dataset, setup.config)
    trainings = load_trainings(setup, run)
    # Whole, since a kill may have come between a state and its row.
    run.write_metrics(row for training in trainings for row in training.history)
    return trainings


def check_same_images(run: Run, request: Request, or_digits: bool) -> None:
    """Raises InputError if a finished run is asked for with other settings or images."""
    saved = run.config()
    if saved is None:
        return
    config = _resumed(run, saved, request, or_digits)
    if config.data != saved.data:
        check_images(load_dataset(config, or_digits=or_digits), saved.data_sha256, f"{run.path} was started with")


def _resumed(run: Run, saved: Config, request: Request, or_digits: bool) -> Config:
    """The saved config. What is asked may only repeat it, except for the few options that change no figure."""
    asked = request.settings
    automatic = {name for name in ("data", "augment") if asked.get(name) == "auto"}
    if or_digits and saved.data == "digits":
        automatic.add("data")
    if is_folder(asked.get("data", "auto")) and is_folder(saved.data):  # it may have moved
        automatic.add("data")
        if not same_folder(asked["data"], saved.data):
            saved = replace(saved, data=asked["data"])
    automatic.add("data_sha256")  # the images themselves are compared with it
    automatic.add("start_sha256")
    if asked.get("start") and saved.start and Path(asked["start"]).absolute() == Path(saved.start):
        automatic.add("start")
    told = {name: value for name, value in asked.items() if name not in automatic}
    changed = [name for name, value in told.items() if name not in MAY_CHANGE and value != getattr(saved, name)]
    if changed:
        listed = ", ".join(f"{name} {getattr(saved, name)} -> {told[name]}" for name in changed)
        raise InputError(
            f"{run.path} was started with other settings ({listed}): leave them out, or use another --out",
            options=changed,
        )
    return replace(saved, **{name: told[name] for name in MAY_CHANGE if name in told})
