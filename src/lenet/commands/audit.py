"""Audit: which labels of a dataset are probably wrong."""

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.commands.train import Interrupted
from lenet.config import SHAPING, Config, checked, to_toml
from lenet.config.keywords import AUDIT_DEFAULTS, AUDIT_LACKS, Options, with_options
from lenet.config.request import Request
from lenet.data import Dataset, load_dataset
from lenet.data.identity import check_images, same_data
from lenet.data.memory import Images, given_data
from lenet.data.source import MEMORY, Source
from lenet.data.splits import GivenSplits, Indices, held_out_folds
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError
from lenet.evaluation.audit import Audit
from lenet.evaluation.label_errors import label_errors
from lenet.evaluation.scores import probabilities
from lenet.files import read_toml, write_json, write_whole
from lenet.models import own_network
from lenet.models.audit import audit_network
from lenet.report.audit import AuditPrinter, write_audit
from lenet.report.progress import combined
from lenet.report.text import stopped
from lenet.runs.kinds import AUDIT_FILE
from lenet.runs.opening import opened_run
from lenet.runs.provenance import command, versions
from lenet.runs.run import Clock, Run
from lenet.training.loop import Watch, load_trainings, train_all
from lenet.training.setup import Setup, make_setup
from lenet.training.training import Training

_RESULT = "audit.json"
_DEFAULTS = {"seeds": 2}
_FOLDS = 5
_MOST_FOLDS = 20
_IMAGES = 150_000  # in all epochs of a network together, within these bounds of its epochs
_EPOCHS = (6, 20)
_VALIDATED = 500  # held-out images on which each epoch is validated, for the progress display alone


@with_options(leave_out=AUDIT_LACKS, defaults=AUDIT_DEFAULTS)
def audit(
    data: str | Path | Images | Any = None,
    *,
    model: str | nn.Sequential | None = None,
    folds: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    watch: Watch | None = None,
    **options: Unpack[Options],
) -> Audit:
    """Find labels that are probably wrong, among the training, validation and test images of a dataset.

    The images are divided into folds. Networks are trained on all folds but one and predict that one. Writes audit.csv
    (every image, the most suspect first, with the probability that its label is wrong), audit.png (the first of them)
    and labels.csv (those that are wrong with a probability of 10% or more, for you to edit and pass to `lenet.train` as
    labels).

    data: as for `lenet.train`
    model: a named network, or any nn.Sequential; by default one that is made for audits
    folds: number of folds, 2 to 20; default: 5
    out, resume, overwrite, verbose, watch: as for `lenet.train`

    Raises InputError (a ValueError) if an argument is invalid or a class has fewer images than folds, and Interrupted
    (a KeyboardInterrupt) on Ctrl-C.
    """
    started = time.perf_counter()
    named, memory = given_data(data)
    own = own_network(model)
    given = {"data": named, "model": model if own is None else None, **options}
    request = Request.of(None, given, _DEFAULTS)
    _check(request, folds, own)
    with (
        preserved_torch(),
        opened_run(
            out, data=data, resume=resume, overwrite=overwrite, marker=AUDIT_FILE, read=request.paths_read
        ) as run,
        AuditPrinter(run.path) if verbose else nullcontext() as printer,
    ):
        watching = combined(printer, watch)
        setup, dataset, parts = _prepare(run, request, folds, own, memory)
        trainings = load_trainings(setup, run)
        run.write_metrics(row for training in trainings for row in training.history)
        try:
            clock = train_all(setup, trainings, run, watching, started)
            found = _predicted(setup, dataset, trainings, parts, clock)
        except KeyboardInterrupt:
            raise Interrupted(stopped(run, trainings, "audit")) from None
        run.check_not_deleted(AUDIT_FILE)
        write_audit(found, run.path)
        facts = {
            "command": command(),
            "data": dataset.name,
            "data_sha256": dataset.sha256,
            "images": len(found.indices),
            "estimated": found.errors.estimated,
            "agreement": found.agreement,
            "folds": len(parts),
            "networks": len(trainings),
            "failed": found.failed,
            "seconds": found.seconds,
            "config": vars(setup.config),
            "versions": versions(),
        }
        write_json(run.path / _RESULT, facts)
    if printer:
        printer.show_result(found)
    return found


def _check(request: Request, folds: int | None, own: nn.Sequential | None) -> None:
    """Raises InputError for invalid options, before a folder is made."""
    request.config()
    if folds is not None and (type(folds) is not int or not 2 <= folds <= _MOST_FOLDS):
        raise InputError(f"folds must lie between 2 and {_MOST_FOLDS}, not {folds}")
    if name := next((name for name in AUDIT_LACKS if name in request.given), None):
        raise InputError(f"an audit does not take {name.replace('_', '-')}: leave it out")
    if own is None and "model" not in request.given:
        for name in SHAPING:
            if name != "dropout" and name in request.given:
                raise InputError(f"--{name.replace('_', '-')} changes a named network: give --model too")


def _prepare(
    run: Run, request: Request, folds: int | None, own: nn.Sequential | None, memory: Source | None
) -> tuple[Setup, Dataset, list[Indices]]:
    """The setup of all networks, the dataset, and the parts of it that they predict; saves what a resumed audit needs.

    Network n predicts part n modulo the number of folds.
    """
    path = run.path / AUDIT_FILE
    saved = _saved(run, request, folds) if path.is_file() else None
    config, folds = saved or (request.config(), folds or _FOLDS)
    if memory is not None:
        config = replace(config, data=MEMORY)
    dataset = load_dataset(config, memory=memory, strict=False)  # the folds are drawn from all splits
    check_images(dataset, config.data_sha256, f"{run.path} was started with")
    if own is None and saved is None and "model" not in request.given:
        height, width, channels = dataset.images.shape[1:]
        own = audit_network((height, width, channels), len(dataset.classes))
    if saved is not None and own is not None:
        run.check_layers(own)
    first = None if dataset.facts is None else dataset.facts.first
    name = dataset.name if dataset.files is None else dataset.source
    given = GivenSplits(name, dataset.classes, dataset.labels, dataset.train, dataset.val, dataset.test, first=first)
    parts = held_out_folds(given, folds, config.split_seed)
    if saved is None and "epochs" not in request.given:
        config = replace(config, epochs=_epochs(sum(map(len, parts))))
    every = np.sort(np.concatenate(parts))
    pairs = [(np.setdiff1d(every, part, assume_unique=True), _sample(part)) for part in parts]
    shared = replace(dataset, folds=tuple(pairs) * config.seeds, train=pairs[0][0], val=pairs[0][1], test=every[:0])
    setup = make_setup(replace(config, seeds=1), shared, own=own, run=run)
    if saved is None:
        run.write_layers(setup.given)
        kept = replace(setup.config, seeds=config.seeds)
        write_whole(path, to_toml({"folds": folds, "digest": _digest(run, kept, folds), **vars(kept)}))
    run.make_state_folder()
    return setup, dataset, parts


def _saved(run: Run, request: Request, folds: int | None) -> tuple[Config, int]:
    """The config and number of folds of an interrupted audit.

    Raises InputError if it is finished, was changed since it was started, or others are asked.
    """
    path = run.path / AUDIT_FILE
    if path.with_name(_RESULT).is_file():
        raise InputError(f"{path.parent} is finished: use --overwrite to start over, which replaces its labels.csv")
    values = read_toml(path)
    kept, digest = values.pop("folds", None), values.pop("digest", None)
    config = Config(**checked(values, f"{path}: "))
    if type(kept) is not int or not 2 <= kept <= _MOST_FOLDS:
        raise InputError(f"{path} is damaged (folds {kept!s:.40}): start over with --overwrite")
    if digest != _digest(run, config, kept):  # the networks would predict images on which they were trained
        raise InputError(
            f"{path} or layers.json was changed since the audit was started: restore it or start over with --overwrite"
        )
    data = request.given.get("data", config.data)
    asked = [
        name for name, value in request.given.items() if name != "data" and (name, value) != ("model", config.model)
    ]
    if asked or folds not in (None, kept) or not same_data(data, config.data):
        raise InputError(f"{path.parent} was started with other settings: leave all options but --out out")
    return replace(config, data=data), kept


def _digest(run: Run, config: Config, folds: int) -> str:
    """Identifies the settings and the network of an audit."""
    settings = to_toml({"folds": folds, "layers": json.dumps(run.layers()), **vars(config)})
    return hashlib.sha256(settings.encode()).hexdigest()


def _epochs(images: int) -> int:
    """The default number of epochs: few images are trained on more often."""
    return int(np.clip(round(_IMAGES / images), *_EPOCHS))


def _sample(part: Indices) -> Indices:
    """About _VALIDATED images of a part, evenly spread."""
    return part[:: max(1, len(part) // _VALIDATED)]


def _predicted(
    setup: Setup, dataset: Dataset, trainings: Sequence[Training], parts: Sequence[Indices], clock: Clock
) -> Audit:
    """The mean probabilities of the networks that were not trained on an image; networks that diverged are left out."""
    begun = time.perf_counter()
    indices = np.sort(np.concatenate(parts))
    total = np.zeros((len(dataset.labels), len(dataset.classes)))
    count = np.zeros(len(dataset.labels), dtype=np.int64)
    flip = "flip" in setup.config.augment
    kept = [(training, parts[number % len(parts)]) for number, training in enumerate(trainings) if not training.failed]
    for training, _ in kept:
        training.stop.clear()
    with ThreadPoolExecutor(setup.workers) as pool:
        tasks = [pool.submit(_probabilities, training, part, flip) for training, part in kept]
        try:
            for task, (_, part) in zip(tasks, kept, strict=True):
                total[part] += task.result()
                count[part] += 1
        except KeyboardInterrupt:  # the pool waits for what has begun
            for training, _ in kept:
                training.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not count[indices].all():
        raise InputError(
            f"the loss is no longer finite in all networks of a fold: lower --lr (it is {setup.config.peak_lr:g})"
        )
    mean = total[indices] / count[indices, None]
    errors = label_errors(mean, dataset.labels[indices])
    failed = tuple(training.seed for training in trainings if training.failed)
    return Audit(dataset, setup.config, indices, mean, errors, clock.total + time.perf_counter() - begun, failed)


def _probabilities(training: Training, part: Indices, flip: bool) -> NDArray[np.float64]:
    """float64 [len(part), classes]: by the weights after the last epoch, and the mean over mirrored images too.

    flip: whether the network was trained on mirrored images
    """
    found = probabilities(training.logits(part))
    return (found + probabilities(training.logits(part, mirrored=True))) / 2 if flip else found
