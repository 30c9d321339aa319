"""Train: options become a finished run."""

import threading
import time
from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from lenet.config.keywords import Options, with_options
from lenet.config.request import Request
from lenet.data.memory import Images, given_data
from lenet.data.source import Source
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError
from lenet.models import own_network
from lenet.report.progress import Printer, combined
from lenet.report.text import stopped
from lenet.report.tracking import Track, Tracker, check_tracking
from lenet.runs.opening import opened_run
from lenet.runs.run import Clock, Run
from lenet.training.finish import evaluate_test_set, result_of
from lenet.training.loop import Watch, train_all
from lenet.training.prepare import begin, check_same_images, prepare
from lenet.training.setup import OWN_MODEL, Setup
from lenet.training.training import Training


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run. The message says how to resume it."""


@with_options()
def train(
    data: str | Path | Images | Any = None,
    *,
    model: str | nn.Sequential | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    watch: Watch | None = None,
    or_digits: bool = False,
    track: Track | None = None,
    **options: Unpack[Options],
) -> Run:
    """Train one network or several that differ by seed, evaluate them once on the test set, and return the run.

    data: "auto", "cifar10", "cifar100", "stl10", "mnist", "fashion_mnist", "digits"; the path of a folder of class
        folders, or of an .npz, IDX, Parquet or CSV file; or images in memory: (images, labels), lenet.Images, a dataset
        of (image, label), or a dict of them by split ("train", "val", "test"). docs/own-data.md shows each
    model: a named network, or any nn.Sequential of the layers that lenet supports; its weights are initialised anew
    recipe: a recipe's name, or the path of a TOML file; options override it
    out: the run folder; by default a new numbered folder under runs/
    resume: resume the run in the folder; overwrite: delete the run in the folder first
    verbose: print what the command line prints
    watch: a function of (setup, trainings), called before the first epoch, about ten times a second, and at the end
    or_digits: train on the embedded digits if the dataset is not on disk and cannot be downloaded
    track: also write each epoch's figures to the run folder for "tensorboard" or "mlflow"; nothing is sent anywhere

    Raises InputError (a ValueError) if an argument is invalid, and Interrupted (a KeyboardInterrupt) on Ctrl-C.
    """
    own = own_network(model)
    named, memory = given_data(data)
    request = Request.of(recipe, {"data": named, "model": model if own is None else OWN_MODEL, **options})
    return run_training(
        request, memory=memory, own=own, out=out, resume=resume, overwrite=overwrite, verbose=verbose, watch=watch,
        or_digits=or_digits, track=track,
    )  # fmt: skip


def run_training(
    request: Request,
    *,
    memory: Source | None = None,
    own: nn.Sequential | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    watch: Watch | None = None,
    or_digits: bool = False,
    track: Track | None = None,
) -> Run:
    """Train and evaluate the run of a request, and write all its files. Arguments and errors as for `train`.

    memory: the images, if they were passed from Python
    """
    started = time.perf_counter()
    request.config()  # raises for invalid options before a folder is made
    check_tracking(track)
    with (
        preserved_torch(),
        request.naming_recipe(),
        opened_run(
            out, data=request.settings.get("data"), resume=resume, overwrite=overwrite, read=request.paths_read
        ) as run,
        Printer() if verbose else nullcontext() as printer,
        Tracker(track, run) if track else nullcontext() as tracker,
    ):
        watching = combined(printer, tracker, watch)
        if own is not None:
            run.check_layers(own)
        if run.result is not None:
            check_same_images(run, request, or_digits, memory)
            if track and not (run.path / track).is_dir():
                raise InputError(f"{run.path} is finished, and was not tracked: leave --track out, or repeat it with "
                                 f"'lenet train --recipe {run.path}/config.toml --track {track}'")  # fmt: skip
            if printer:
                printer.console.lines(f"note    {run.path} is finished: nothing to resume")
        else:
            notes = [f"nothing to resume in {run.path}: starting a new run"] if resume and not run.config() else []
            setup = prepare(run, request, own, memory=memory, or_digits=or_digits, notes=notes)
            trainings = begin(setup, run)
            # matplotlib takes a second to load, which no other core has to wait for.
            threading.Thread(target=_load_plots).start()
            try:
                clock = train_all(setup, trainings, run, watching, started)
                _finish(setup, trainings, run, clock)
            except KeyboardInterrupt:
                raise Interrupted(stopped(run, trainings)) from None
    if printer:
        printer.show_result(run)
    return run


def _load_plots() -> None:
    with suppress(Exception):  # `_finish` loads them again, and reports what is wrong
        import_module("lenet.report.plots")


def _finish(setup: Setup, trainings: list[Training], run: Run, clock: Clock) -> None:
    """Evaluate the test set once, and write what a finished run holds, result.json last."""
    tested = evaluate_test_set(setup, trainings, run)
    from lenet.report.plots import draw_run  # here because matplotlib is slow to load: a thread has loaded it
    from lenet.report.reliability import draw_reliability

    draw_run(setup, trainings, tested, run.plots)
    title = f"{setup.config.model} on {setup.dataset.name}"
    draw_reliability(tested.calibrations[tested.best], title, run.plots / "reliability.png")
    run.check_not_deleted()
    # In order of network and epoch; the rows were appended in the order in which epochs ended.
    run.write_metrics(row for training in trainings for row in training.history)
    run.write_result(result_of(setup, trainings, tested, clock))
