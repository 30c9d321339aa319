"""A network's description for checkpoints, its shapes and its costs, layer by layer, by the layer table.

A network is an nn.Sequential or, without PyTorch, a list of `Layer`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from lenet.errors import InputError
from lenet.layers.outputs import Shape
from lenet.layers.table import Kind, Layer, kind_named, kind_of, where

_PARAMETERS = ("weight", "bias")  # what is learned; a layer's other tensors are buffers


@dataclass(frozen=True)
class Place:
    """A layer, its kind, and its name in a network's state dict: "3", or "3.body.0" for a layer in a branch."""

    name: str
    layer: Any
    kind: Kind

    @property
    def number(self) -> int:
        """Number of the network's layer that this one is, or is in."""
        return int(self.name.split(".")[0])

    def __str__(self) -> str:
        return f"{where(self.name)} ({self.kind.name})"


@dataclass(frozen=True)
class Shaped(Place):
    """A layer with the shapes of its input and its output, for one image."""

    input: Shape
    output: Shape


def every_layer(model: Iterable[Any], inside: str = "") -> Iterator[Place]:
    """Every layer in the order of computation: those of a branch before the layer that the branch belongs to.

    inside: what the layers' names begin with, such as "3.body."

    Raises InputError, with its place, for a layer that is not supported.
    """
    for place in _places(model, inside):
        for branch in place.kind.branches:
            yield from every_layer(getattr(place.layer, branch), f"{place.name}.{branch}.")
        yield place


def has_dropout(model: Iterable[Any]) -> bool:
    """Whether a layer, also one in a branch, is a Dropout, which the option dropout changes."""
    return any(place.kind.name == "Dropout" for place in every_layer(model))


def shaped_layers(model: Iterable[Any], shape: Shape, inside: str = "") -> Iterator[Shaped]:
    """`every_layer` with shapes, for an input of (channels, height, width) or (features,).

    Raises InputError, with its place, for the first layer that does not accept its input.
    """
    for place in _places(model, inside):
        ends = []
        for branch in place.kind.branches:
            end = shape
            for one in shaped_layers(getattr(place.layer, branch), shape, f"{place.name}.{branch}."):
                yield one
                end = one.output
            ends.append(end)
        try:
            output = place.kind.output(place.layer, shape, *ends)
        except ValueError as error:
            raise InputError(f"{place} {error}") from None
        yield Shaped(**vars(place), input=shape, output=output)
        shape = output


def output_shapes(model: Iterable[Any], shape: Shape) -> list[Shape]:
    """Output shape of each of the network's own layers, without those in branches; see `shaped_layers`."""
    return [one.output for one in shaped_layers(model, shape) if one.name.isdecimal()]


def needs_two_images(model: Iterable[Any], shape: Shape, frozen: int = 0) -> Shaped | None:
    """The first batch norm layer with one value per channel and image, which cannot train on one; None without any.

    shape: of the input, as for `shaped_layers`; frozen: number of first layers that are not trained
    """
    for one in shaped_layers(model, shape):
        if one.kind.native == "batch_norm" and one.number >= frozen and prod(one.output[1:]) == 1:
            return one
    return None


@dataclass(frozen=True)
class LayerCost:
    """A layer's name and kind, its output shape, its number of parameters, and its multiply-adds, for one image."""

    name: str
    kind: str
    output: Shape
    parameters: int
    multiply_adds: int


def layer_costs(model: Iterable[Any], input_shape: tuple[int, int, int]) -> list[LayerCost]:
    """Output shape and costs of every layer for images of (height, width, channels), without computing anything.

    Raises InputError, with its place, for the first layer that does not accept its input.
    """
    height, width, channels = input_shape
    rows = []
    for one in shaped_layers(model, (channels, height, width)):
        tensors = one.kind.tensors(one.layer)
        learned = {name: prod(shape) for name, shape in tensors.items() if name in _PARAMETERS}
        adds = learned["weight"] * prod(one.output[1:]) if one.kind.dense else 0
        rows.append(LayerCost(one.name, one.kind.name, one.output, sum(learned.values()), adds))
    return rows


def describe(model: Iterable[Any], inside: str = "") -> list[dict[str, Any]]:
    """The layers as JSON values: {"kind", argument: value, ...} each, of which `build` makes the network again.

    inside: as for `every_layer`

    Raises InputError, with its place, for a layer or argument that lenet does not support.
    """
    return [_described(place) for place in _places(model, inside)]


def parsed(layers: Any) -> list[Layer]:
    """The layers for a list from `describe`, without tensors. Raises InputError, with the layer's place."""
    if not isinstance(layers, list) or not layers:
        raise InputError("its layers must be a list with at least one layer")
    return [_parsed(description, str(number)) for number, description in enumerate(layers)]


def _places(model: Iterable[Any], inside: str) -> Iterator[Place]:
    """The model's own layers, without those in branches. Raises InputError for one that is not supported."""
    for number, layer in enumerate(model):
        name = f"{inside}{number}"
        yield Place(name, layer, kind_of(layer, name))


def _described(place: Place) -> dict[str, Any]:
    """The description of one layer."""
    values = {argument: getattr(place.layer, argument) for argument in place.kind.arguments}
    for argument, value in values.items():
        if argument == "bias":
            values[argument] = value is not None
        elif hasattr(value, "tolist"):  # the statistics of Normalize
            values[argument] = value.tolist()
    branches = {
        branch: describe(getattr(place.layer, branch), f"{place.name}.{branch}.") for branch in place.kind.branches
    }
    return {"kind": place.kind.name, **_checked(place, values), **_checked_branches(place, branches)}


def _parsed(description: Any, name: str) -> Layer:
    """The layer for its description."""
    found = description.get("kind") if isinstance(description, dict) else description
    place = Place(name, None, kind_named(found, name, f"kind {found!r:.60}"))
    given = {key: value for key, value in description.items() if key != "kind"}
    expected = (*place.kind.arguments, *place.kind.branches)
    if given.keys() != set(expected):
        wrong = sorted(given.keys() ^ set(expected))[0]
        raise InputError(f"{place}: argument '{wrong:.60}' is {'missing' if wrong in expected else 'unknown'}")
    arguments = _checked(place, given)
    try:
        place.kind.together(arguments)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None
    branches = _checked_branches(place, {branch: given[branch] for branch in place.kind.branches})
    for branch, layers in branches.items():
        inner = enumerate(layers)
        arguments[branch] = tuple(_parsed(layer, f"{name}.{branch}.{number}") for number, layer in inner)
    return Layer(place.kind, arguments)


def _checked(place: Place, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments, each checked by the table. Raises InputError."""
    arguments = {}
    for name, check in place.kind.arguments.items():
        try:
            arguments[name] = check(given[name])
        except ValueError as error:
            raise InputError(f"{place}: {name} {error}, not {given[name]!s:.60}") from None
    return arguments


def _checked_branches(place: Place, branches: dict[str, Any]) -> dict[str, list[Any]]:
    """The branches. Raises InputError if one is not a list, or if there are no layers in the first."""
    for branch, layers in branches.items():
        if not isinstance(layers, list):
            raise InputError(f"{place}: {branch} must be a list of layers, not {layers!s:.60}")
        if not layers and branch == place.kind.branches[0]:
            raise InputError(f"{place}: {branch} has no layers")
    return branches
