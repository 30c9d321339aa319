"""A network's description for checkpoints, its shapes and its costs, layer by layer, by the layer table.

A network is an nn.Sequential or, without PyTorch, a list of `Layer`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from lenet.errors import InputError
from lenet.layers.table import BY_NAME, Kind, Layer, Shape, kind_of

_PARAMETERS = ("weight", "bias")  # what is learned; a layer's other tensors are buffers


def describe(model: Iterable[Any]) -> list[dict[str, Any]]:
    """The layers as JSON values: {"kind", argument: value, ...} each, of which `build` makes the network again.

    Raises InputError, naming the layer, for a layer or argument that lenet does not support.
    """
    found = []
    for number, layer in enumerate(model):
        kind = kind_of(layer, number)
        found.append(_described(kind, layer, f"layer {number} ({kind.name})"))
    return found


def parsed(layers: Any) -> list[Layer]:
    """The layers for a list from `describe`, without tensors. Raises InputError, naming the layer."""
    if not isinstance(layers, list) or not layers:
        raise InputError("its layers must be a list with at least one layer")
    return [_parsed(number, description) for number, description in enumerate(layers)]


def _described(kind: Kind, layer: Any, where: str) -> dict[str, Any]:
    """The description of one layer."""
    values = {name: getattr(layer, name) for name in kind.arguments}
    for name, value in values.items():
        if name == "bias":
            values[name] = value is not None
        elif hasattr(value, "tolist"):  # the statistics of Normalize
            values[name] = value.tolist()
    return {"kind": kind.name, **_checked(kind, values, where)}


def _parsed(number: int, description: Any) -> Layer:
    """The layer for its description."""
    found = description.get("kind") if isinstance(description, dict) else description
    kind = BY_NAME.get(found) if isinstance(found, str) else None
    if kind is None:
        raise InputError(f"layer {number}: kind {found!r:.60} is not supported (supported: {', '.join(BY_NAME)})")
    where = f"layer {number} ({kind.name})"
    given = {name: value for name, value in description.items() if name != "kind"}
    if given.keys() != kind.arguments.keys():
        wrong = sorted(given.keys() ^ kind.arguments.keys())[0]
        raise InputError(f"{where}: argument '{wrong:.60}' is {'missing' if wrong in kind.arguments else 'unknown'}")
    arguments = _checked(kind, given, where)
    try:
        kind.together(arguments)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return Layer(kind, arguments)


def _checked(kind: Kind, given: dict[str, Any], where: str) -> dict[str, Any]:
    """The arguments, each checked by the table. Raises InputError."""
    arguments = {}
    for name, check in kind.arguments.items():
        try:
            arguments[name] = check(given[name])
        except ValueError as error:
            raise InputError(f"{where}: {name} {error}, not {given[name]!s:.60}") from None
    return arguments


@dataclass(frozen=True)
class Row:
    """A layer's kind, its output shape for one image, its number of parameters, and its multiply-adds per image."""

    kind: str
    output: Shape
    parameters: int
    multiply_adds: int


def trace(model: Iterable[Any], input_shape: tuple[int, int, int]) -> list[Row]:
    """Output shape and costs of each layer for images of (height, width, channels), without computing anything.

    Raises InputError, naming the first layer that does not accept the previous layer's output.
    """
    height, width, channels = input_shape
    rows = []
    for number, (layer, output) in enumerate(zip(model, output_shapes(model, (channels, height, width)), strict=True)):
        kind = kind_of(layer, number)
        learned = {name: prod(shape) for name, shape in kind.tensors(layer).items() if name in _PARAMETERS}
        adds = learned["weight"] * prod(output[1:]) if kind.dense else 0
        rows.append(Row(kind.name, output, sum(learned.values()), adds))
    return rows


def output_shapes(model: Iterable[Any], shape: Shape) -> list[Shape]:
    """Output shape of each layer for an input of (channels, height, width) or (features,).

    Raises InputError, naming the first layer that does not accept the previous layer's output.
    """
    found = []
    for number, layer in enumerate(model):
        kind = kind_of(layer, number)
        try:
            shape = kind.output(layer, shape)
        except ValueError as error:
            raise InputError(f"layer {number} ({kind.name}) {error}") from None
        found.append(shape)
    return found


def has_batch_norm(model: Iterable[Any]) -> bool:
    """Whether the model has a batch norm layer, which may be unable to train on a batch of one image."""
    return any(kind_of(layer, number).native == "batch_norm" for number, layer in enumerate(model))
