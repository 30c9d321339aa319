"""A trained body with a new head: what a training that starts from another run takes from it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lenet.config import SHAPING, Config, checked
from lenet.errors import InputError
from lenet.models import build, describe, parameter_count
from lenet.runs.run import Run
from lenet.training.training import check_like


@dataclass(frozen=True, eq=False)
class Start:
    """The best network of a run, by validation.

    layers: its list of layers, in plain values; its last is the head, which is not taken over
    body: the tensors of all layers but the last, by name
    input_shape: (height, width, channels) of the images it takes; fit: how they are brought to that size
    settings: the options of its run that gave it its shape
    said: which network this is, in words
    """

    layers: list[dict[str, Any]]
    body: dict[str, torch.Tensor]
    input_shape: tuple[int, int, int]
    fit: str
    settings: dict[str, Any]
    said: str


def read_start(path: str | Path) -> Start:
    """The network that a transfer from this run starts from.

    Raises InputError where there is no such run, it has no weights, or its last layer is not linear.
    """
    checkpoint = Run(path).checkpoint()
    best = checkpoint.best
    network = checkpoint.members[best]
    if len(network) < 2 or not isinstance(network[-1], nn.Linear):
        raise InputError(
            f"{path} ends in a {type(network[-1]).__name__}: a transfer puts a new linear layer in the place of one"
        )
    height, width, channels = checkpoint.input_shape
    many = len(checkpoint.members)
    of = f", the best of its {many} networks (seed {checkpoint.seeds[best]})" if many > 1 else ""
    kept = {name: checkpoint.config[name] for name in ("model", *SHAPING) if checkpoint.config.get(name) is not None}
    return Start(
        layers=describe(network),
        body={name: t for name, t in network.state_dict().items() if int(name.split(".")[0]) < len(network) - 1},
        input_shape=checkpoint.input_shape,
        fit=checkpoint.fit,
        settings=kept,
        said=f"{path}{of}: {height}x{width} {'grey' if channels == 1 else 'colour'}, {len(checkpoint.classes)} classes",
    )


def settled(config: Config, start: Start, given: Mapping[str, Any]) -> Config:
    """The config with what the start decides: the network's shape, and the size, channels and fit of the images.

    given: what the user set. Raises InputError where that asks for another network, or for images it does not take.
    """
    size, _, channels = start.input_shape
    for name, value in (("size", size), ("channels", channels)):
        if given.get(name, value) != value:
            raise InputError(
                f"--{name} {given[name]}: the network of {config.start} takes {name} {value}, and images are brought "
                "to that; leave it out",
                options=[name],
            )
    shape = checked(start.settings, f"{config.start}: ")
    for name in ("model", *SHAPING):
        if given.get(name, shape.get(name)) != shape.get(name):
            raise InputError(
                f"--{name.replace('_', '-')}: the network comes from {config.start}; leave it out", options=[name]
            )
    return replace(config, **(shape | {"size": size, "channels": channels, "fit": given.get("fit", start.fit)}))


def with_new_head(start: Start, classes: int) -> nn.Sequential:
    """The start's network with a last layer for so many classes. Its weights are fresh; `Start.body` goes into them."""
    *body, head = start.layers
    return build([*body, {**head, "out_features": classes}])


def check_body(body: Mapping[str, torch.Tensor], network: nn.Sequential, path: Path) -> None:
    """Raises InputError where the body that was read from `path` is not that of this network."""
    last = len(network) - 1
    try:
        check_like(body, {name: t for name, t in network.state_dict().items() if int(name.split(".")[0]) < last})
    except ValueError as error:
        raise InputError(f"{path} is of another network ({error}): restore it or start over with --overwrite") from None


def learning_parameters(network: nn.Sequential, frozen: int) -> int:
    """How many values learn while the first `frozen` layers do not."""
    return parameter_count(nn.Sequential(*list(network)[frozen:]))
