"""Transfer: the network that a training starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lenet.config import SHAPING, Config, checked
from lenet.errors import InputError
from lenet.layers.network import output_shapes, parsed
from lenet.models import build, describe, parameter_count
from lenet.runs.run import Run
from lenet.runs.tensors import tensors_digest
from lenet.training.state import check_like


@dataclass(frozen=True, eq=False)
class Start:
    """The network of a run with the best validation score.

    layers: its layers, in plain values; the last one, the head, is replaced
    body: the tensors of all layers but the last, by name; sha256: their digest
    input_shape: (height, width, channels) of its input; fit: how images are converted to that size
    settings: the options of its run that shape the network
    description: of the network, for the user
    """

    layers: list[dict[str, Any]]
    body: dict[str, torch.Tensor]
    input_shape: tuple[int, int, int]
    fit: str
    settings: dict[str, Any]
    description: str
    sha256: str


def read_start(path: str | Path) -> Start:
    """The network that a transfer from this run starts from.

    Raises InputError if the run does not exist, has no weights or infinite ones, or its network's last layer is not
    linear.
    """
    checkpoint = Run(path).checkpoint()
    checkpoint.check_finite(path)
    best = checkpoint.best
    network = checkpoint.networks[best]
    if len(network) < 2 or not isinstance(network[-1], nn.Linear):
        raise InputError(
            f"{path} ends in a {type(network[-1]).__name__} layer: start from a network whose last layer is linear"
        )
    height, width, channels = checkpoint.input_shape
    colour = "grey" if channels == 1 else "colour"
    many = len(checkpoint.networks)
    of = f", the best of its {many} networks (seed {checkpoint.seeds[best]})" if many > 1 else ""
    kept = {name: checkpoint.config[name] for name in ("model", *SHAPING) if checkpoint.config.get(name) is not None}
    body = {name: t for name, t in network.state_dict().items() if _layer(name) < len(network) - 1}
    return Start(
        layers=describe(network),
        body=body,
        input_shape=checkpoint.input_shape,
        fit=checkpoint.fit,
        settings=kept,
        description=f"{path}{of}: {height}x{width} {colour}, {len(checkpoint.classes)} classes",
        sha256=tensors_digest(body),
    )


def config_from_start(config: Config, start: Start, asked: Mapping[str, Any]) -> Config:
    """The config with the start's network shape, channels and fit, and its image size unless another is asked for.

    asked: the options that the user or a recipe set

    A network that ends in the means of its maps takes images of other sizes too.

    Raises InputError if they contradict the start's network or its input.
    """
    size, _, channels = start.input_shape
    if asked.get("channels", channels) != channels:
        raise InputError(f"--channels {asked['channels']}: the network of {config.start} takes channels {channels}, to "
                         "which images are converted; leave --channels out", options=["channels"])  # fmt: skip
    own_size, size = size, asked.get("size") or size
    try:
        output_shapes(parsed(start.layers), (channels, size, size))
    except InputError as error:
        raise InputError(f"--size {size}: the network of {config.start} takes size {own_size} ({error}); leave --size "
                         "out", options=["size"]) from None  # fmt: skip
    shape = checked(start.settings, f"{config.start}: ")
    for name in ("model", *SHAPING):
        if asked.get(name, shape.get(name)) != shape.get(name):
            raise InputError(
                f"--{name.replace('_', '-')}: the network comes from {config.start}; leave it out", options=[name]
            )
    own = {"size": size, "channels": channels, "fit": asked.get("fit", start.fit), "start_sha256": start.sha256}
    return replace(config, **(shape | own))


def with_new_head(start: Start, classes: int) -> nn.Sequential:
    """The start's network with a last layer for `classes` classes. `Start.body` is not loaded yet."""
    *body, head = start.layers
    return build([*body, {**head, "out_features": classes}])


def check_body(body: Mapping[str, torch.Tensor], network: nn.Sequential, path: Path) -> None:
    """Raises InputError if the tensors, read from `path`, do not match the network without its head."""
    last = len(network) - 1
    try:
        check_like(body, {name: t for name, t in network.state_dict().items() if _layer(name) < last})
    except ValueError as error:
        raise InputError(f"{path} is of another network ({error}): restore it or start over with --overwrite") from None


def trained_parameters(network: nn.Sequential, frozen: int) -> int:
    """Number of parameters that are trained while the first `frozen` layers are frozen."""
    return parameter_count(nn.Sequential(*list(network)[frozen:]))


def _layer(name: str) -> int:
    return int(name.split(".")[0])
