"""From a config and its images to what a training starts from: its network, its engine."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from torch import nn

from lenet.config import SHAPING, Config, checked
from lenet.cores import free_memory, usable_cores
from lenet.data.dataset import Dataset
from lenet.data.statistics import pixel_statistics
from lenet.engine import Choice, Settings, choose
from lenet.errors import InputError
from lenet.models import fitted, lenet, parameter_count, shape_named, trace
from lenet.training.features import frozen_layers

# The batch size from which one network trains faster on two cores (1.7 times); a smaller one is a single slice.
_SPLIT_FROM = 4

_MOST_PARAMETERS = 50_000_000  # a gigabyte with gradient, optimizer state and best weights

OWN_MODEL = "own"  # what the config calls a network that came as nn.Sequential; its layers are in model.json


def concrete(config: Config, dataset: Dataset, own: nn.Sequential | None) -> Config:
    """The config with everything that was left to lenet written out, so that it means the same tomorrow, from anywhere.

    It says where the images lie, and what they are: their hash, by which whoever reads them again knows them.
    """
    augment = config.augment
    if augment == "auto":
        # Features of frozen layers are computed once where images stay as they are.
        frozen = config.freeze == "all-but-last" and not config.unfreeze_after
        augment = "none" if dataset.name == "digits" or frozen else "flip-shift"
    data = dataset.source if dataset.files is not None else dataset.name
    data_dir = None if config.data_dir is None else str(Path(config.data_dir).expanduser().absolute())
    places = checked({"data": data, "data_dir": data_dir}, "")  # of which the user may have written the last part alone
    model = OWN_MODEL if own is not None else config.model
    size, channels = dataset.images.shape[2:]
    seeds = len(dataset.folds) or config.seeds
    if config.seeds not in (1, seeds):
        raise InputError(
            f"--seeds {config.seeds}: a network is trained on each of the {seeds} folds; leave it out",
            options=["seeds"],
        )
    return replace(
        config,
        **places,
        data_sha256=dataset.sha256,
        augment=augment,
        model=model,
        size=size,
        channels=channels,
        seeds=seeds,
        lr=config.peak_lr,
        weight_decay=config.decay,
    )


def network_for(
    config: Config,
    dataset: Dataset,
    own: nn.Sequential | None = None,
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
) -> nn.Sequential:
    """The network that all members start from, before their own weights are drawn.

    own: a network of the user's, in place of the config's named shape
    statistics: (mean, deviation) of the training images' pixels, where they are known already

    Raises InputError where the network and the images, or the config, do not go together.
    """
    if config.start:
        raise InputError(
            "start: only 'lenet train' and 'lenet transfer' start from another run; leave it out", options=["start"]
        )
    height, width, channels = dataset.images.shape[1:]
    input_shape, classes = (height, width, channels), len(dataset.classes)
    mean, std = statistics or pixel_statistics(dataset.images, dataset.train)
    if own is None:
        shape = shape_named(config.model, maps=config.maps, fc=config.fc, dropout=config.dropout,
                            activation=config.activation, pool=config.pool, batch_norm=config.batch_norm)  # fmt: skip
        with torch.device("meta"):  # of any size: nothing is allocated
            check_memory(config, lenet(shape, input_shape, classes, mean=mean, std=std), input_shape)
        return lenet(shape, input_shape, classes, mean=mean, std=std)
    for name in SHAPING:
        if name != "dropout" and getattr(config, name) is not None:
            raise InputError(f"{name} shapes a named model: change it in the nn.Sequential itself", options=[name])
    network = copy.deepcopy(fitted(own, input_shape, classes, mean, std))
    for layer in network:
        if isinstance(layer, nn.Dropout) and config.dropout is not None:
            layer.p = config.dropout
    return network


def engine_for(config: Config, network: nn.Sequential) -> tuple[Choice, Settings, int]:
    """The engine, its settings, and how many members train side by side."""
    if config.device != "cpu" and not config.device.startswith("cuda"):
        raise InputError(f"no device '{config.device}': use cpu, cuda, or cuda:1 and so on", options=["device"])
    if config.device != "cpu" and not torch.cuda.is_available():
        raise InputError(
            f"--device {config.device}: PyTorch finds no CUDA device here; leave --device out", options=["device"]
        )
    settings = Settings(config, threads=config.threads or 1, device=config.device)
    assert config.size is not None  # `concrete` has set both
    assert config.channels is not None
    shape = (config.size, config.size, config.channels)
    _check_batch_size(config, network, shape)
    check_memory(config, network, shape)
    choice = choose(config.engine, network, settings, shape)
    if choice.name == "torch":
        return choice, settings, 1
    threads = threads_each(config, choice, config.seeds)
    return choice, replace(settings, threads=threads), max(1, usable_cores() // threads)


def check_memory(config: Config, network: nn.Sequential, input_shape: tuple[int, int, int]) -> None:
    """Raises InputError where the networks and a batch would not fit into the free memory.

    Counts what is certainly held: weights, gradient, optimizer state and best weights of every network, and one batch's
    activations with their gradients.
    """
    count = parameter_count(network)
    if count > _MOST_PARAMETERS:
        raise InputError(f"the network has {count:,} parameters; lenet trains at most {_MOST_PARAMETERS:,}")
    activations = sum(prod(layer.output) for layer in trace(network, input_shape))
    weights, batch = 5 * count * config.seeds, 2 * activations * config.batch_size
    need, free = 4 * (weights + batch), free_memory()
    if free is not None and need > free:
        smaller = "use a smaller network or fewer seeds" if weights > batch else "use a smaller --batch-size"
        raise InputError(
            f"training needs at least {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: {smaller}"
        )


def _check_batch_size(config: Config, network: nn.Sequential, input_shape: tuple[int, int, int]) -> None:
    """Raises InputError where batch norm would have to learn from a single value per channel, as PyTorch does."""
    if config.batch_size > 1:
        return
    frozen = 0 if config.unfreeze_after else frozen_layers(config.freeze, len(network))
    for number, (layer, row) in enumerate(zip(network, trace(network, input_shape), strict=True)):
        norm = isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))
        if norm and number >= frozen and prod(row.output[1:]) == 1:
            raise InputError(
                f"--batch-size 1: layer {number} ({row.kind}) cannot learn from a single image; use 2 or more"
            )


def threads_each(config: Config, choice: Choice, networks: int) -> int:
    """How many threads each of so many networks may use that train at once.

    The torch engine keeps to what the config says: its bits depend on it.
    """
    if choice.name == "torch":
        return config.threads or 1
    cores = usable_cores()
    if config.threads:
        return min(config.threads, cores)
    return max(1, cores // networks) if config.batch_size >= _SPLIT_FROM else 1
