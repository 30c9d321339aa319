"""Checks of memory, batch size and device, before a run writes anything."""

import re
from math import prod

import torch
from torch import nn

from lenet.config import Config, RunConfig
from lenet.cores import free_memory
from lenet.errors import InputError
from lenet.models import layer_costs, needs_two_images, parameter_count
from lenet.training.features import frozen_layers

_TARGET_BYTES = 6  # of a class's logit and probability, float16 and float32
_MOST_PARAMETERS = 50_000_000  # 1 GB with gradients, optimizer state and best weights


def check_memory(config: Config, network: nn.Sequential, input_shape: tuple[int, int, int]) -> None:
    """Raises InputError if the networks and one batch do not fit into the free memory.

    This is a lower bound: weights, gradients, optimizer state and best weights of every network, for Muon two square
    matrices of the shorter side of each weight, and the activations of one batch with their gradients. The network may
    be on the meta device.
    """
    count = parameter_count(network)
    if count > _MOST_PARAMETERS:
        raise InputError(f"the network has {count:,} parameters; lenet trains at most {_MOST_PARAMETERS:,}")
    activations = sum(prod(layer.output) for layer in layer_costs(network, input_shape))
    matrices = [p for p in network.parameters() if p.ndim > 1][:-1] if config.optimizer == "muon" else []
    square = 2 * sum(min(len(p), p[0].numel()) ** 2 for p in matrices)
    weights, batch = (5 * count + square) * config.seeds, 2 * activations * config.batch_size
    need, free = 4 * (weights + batch), free_memory()
    if need > free:
        smaller = "use a smaller network or fewer seeds" if weights > batch else "use a smaller --batch-size"
        raise InputError(
            f"training needs at least {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: {smaller}"
        )


def check_targets(images: int, classes: int, networks: int) -> None:
    """Raises InputError if the teachers' targets for all training images of an epoch do not fit into the free memory.

    networks: number of networks trained at once, each with its own
    """
    need, free = _TARGET_BYTES * images * classes * networks, free_memory()
    if need > free:
        raise InputError(
            f"the teachers' predictions for the images of an epoch need {need / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} GiB are free: use fewer images (--per-class) or fewer --seeds",
            options=["teacher"],
        )


def check_batch_size(config: Config, network: nn.Sequential, input_shape: tuple[int, int, int], images: int) -> None:
    """Raises InputError if batch norm would train on one value per channel, which PyTorch refuses too.

    images: number of training images
    """
    if min(config.batch_size, images) > 1:
        return
    frozen = 0 if config.unfreeze_after else frozen_layers(config.freeze, len(network))
    height, width, channels = input_shape
    if layer := needs_two_images(network, (channels, height, width), frozen):
        what = f"{layer} cannot train on a single image"
        if config.batch_size > 1:
            raise InputError(f"one training image: {what}; use two images or more")
        raise InputError(f"--batch-size 1: {what}; use 2 or more", options=["batch_size"])


def check_device(config: RunConfig) -> None:
    """Raises InputError if the device is unknown or not available."""
    if config.device == "cpu":
        return
    if not (named := re.fullmatch(r"cuda(?::(\d{1,4}))?", config.device)):
        raise InputError(f"no device '{config.device}': use cpu, cuda, or cuda:1 and so on", options=["device"])
    if not torch.cuda.is_available():
        raise InputError(
            f"--device {config.device}: PyTorch finds no CUDA device here; leave --device out", options=["device"]
        )
    if int(named[1] or 0) >= (count := torch.cuda.device_count()):
        raise InputError(
            f"--device {config.device}: PyTorch finds {count} CUDA device(s) here, numbered from 0", options=["device"]
        )
