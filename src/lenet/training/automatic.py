"""`--model auto`: the named network for a dataset, by measured accuracies and the time that training may take."""

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from lenet.config import SHAPING, Config
from lenet.data.dataset import Dataset
from lenet.errors import InputError, counted
from lenet.layers.shapes import AUTO_MODEL
from lenet.training.setup import make_setup
from lenet.training.training import Training

# Validation accuracy by (training images, epochs), on images of CIFAR-10, 32x32: one network each, default options,
# benchmarks/network_choice.py.
MEASURED: dict[tuple[int, int], dict[str, float]] = {
    (500, 20): {"lenet5-modern": 0.384, "lenet-62k": 0.452, "small-vgg": 0.455, "resnet8": 0.407},
    (500, 60): {"lenet5-modern": 0.400, "lenet-62k": 0.480, "small-vgg": 0.515, "resnet8": 0.488},
    (2000, 20): {"lenet5-modern": 0.525, "lenet-62k": 0.599, "small-vgg": 0.623, "resnet8": 0.604},
    (2000, 60): {"lenet5-modern": 0.523, "lenet-62k": 0.619, "small-vgg": 0.669, "resnet8": 0.664},
    (5000, 20): {"lenet5-modern": 0.601, "lenet-62k": 0.695, "small-vgg": 0.707, "resnet8": 0.691},
    (5000, 60): {"lenet5-modern": 0.617, "lenet-62k": 0.699, "small-vgg": 0.752, "resnet8": 0.751},
}

_TIMED_BATCHES = 4


def choose_network(config: Config, dataset: Dataset, own: nn.Sequential | None = None) -> tuple[Config, str]:
    """The config with a named network in place of `auto`, and a note that says why, empty if nothing was to choose.

    The network is the most accurate in MEASURED, at the number of training images and epochs nearest to these. With
    config.minutes it is the most accurate that is expected to train in that time, by a few timed steps here.

    Raises InputError if no network trains in that time, or an option changes a network that is not named.
    """
    if config.model != AUTO_MODEL or own is not None:
        if config.minutes is not None:
            raise InputError("minutes chooses a network: give --model auto, or leave it out", options=["minutes"])
        return config, ""
    for name in SHAPING:
        if getattr(config, name) is not None:
            raise InputError(
                f"{name.replace('_', '-')} changes a named network: name it instead of --model auto, or leave "
                f"{name.replace('_', '-')} out",
                options=["model", name],
            )  # fmt: skip
    images = dataset.fewest_trained
    measured = min(MEASURED, key=lambda row: abs(math.log(row[0] / images)) + abs(math.log(row[1] / config.epochs)))
    accuracies = MEASURED[measured]
    ranked = sorted(accuracies, key=lambda name: -accuracies[name])
    found, expected = _first_in_time(ranked, config, dataset)
    listed = ", ".join(f"{name} {100 * accuracies[name]:.0f}%" for name in ranked)
    note = (
        f"--model auto chose {found}{expected}. Validation accuracies on {measured[0]:,} images of CIFAR-10, "
        f"{counted(measured[1], 'epoch')}: {listed}"
    )
    return replace(config, model=found, minutes=None), note


def _first_in_time(ranked: Sequence[str], config: Config, dataset: Dataset) -> tuple[str, str]:
    """The first that is expected to train in config.minutes, and the note's end. Raises InputError if there is none."""
    if config.minutes is None:
        return ranked[0], ""
    times = {}
    for name in ranked:
        times[name] = expected_minutes(replace(config, model=name, minutes=None), dataset)
        if times[name] <= config.minutes:
            return name, f", which takes about {times[name]:.2g} of {config.minutes:g} min here"
    fastest = min(times, key=lambda name: times[name])
    raise InputError(
        f"minutes {config.minutes:g}: {fastest}, the fastest network, takes about {times[fastest]:.2g} min "
        f"for {counted(config.epochs, 'epoch')}; give fewer --epochs or more --minutes",
        options=["minutes", "epochs"],
    )


def expected_minutes(config: Config, dataset: Dataset) -> float:
    """How long all networks of this config are expected to train, from the second of two short epochs."""
    train, val = dataset.folds[0] if dataset.folds else (dataset.train, dataset.val)
    step = max(1, len(train) // (_TIMED_BATCHES * config.batch_size))
    few = replace(dataset, train=train[::step], val=val[: _TIMED_BATCHES * config.batch_size], folds=())
    seeds = len(dataset.folds) or config.seeds
    short = replace(config, epochs=2, seeds=seeds, patience=0, class_weights="none")
    setup = make_setup(short, few)
    training = Training(setup)
    training.advance()
    row = training.advance()
    epoch = row.train_seconds * len(train) / len(few.train) + row.val_seconds * len(val) / len(few.val)
    return config.epochs * epoch * math.ceil(seeds / setup.workers) / 60
