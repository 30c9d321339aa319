"""The native engine's view of a network: which networks it supports, and a network's description for C++.

Nothing here loads PyTorch: an `Inference` predicts in a process that has not loaded it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from lenet import extension
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.layers.network import Place, every_layer, output_shapes, shaped_layers
from lenet.layers.outputs import padding_of
from lenet.layers.table import Layer, kind_of

# Offsets within one image's activations and within one weight are 32-bit numbers in C++. Both bounds leave room for the
# padding of vectors, at most 64 times the values, and 16 times for weights.
_MOST_VALUES = 1 << 24
_MOST_WEIGHTS = 1 << 26


def covers(model: Any, settings: Settings | None = None, shape: tuple[int, ...] | None = None) -> str | None:
    """Why this engine cannot train the model with these settings, naming the layer; None if it can.

    shape: (channels, height, width) of an image, or (features,); without it the layers' sizes are not checked
    """
    if settings is not None and settings.device != "cpu":
        return f"device {settings.device} (the native engine runs on the CPU)"
    places = list(every_layer(model))
    if "linear" not in [place.kind.native for place in places]:
        return "the model has no linear layer"
    flat = places[0].kind.native != "normalize"
    for place in places:
        kind = place.kind
        reason = kind.uncovered(place.layer, flat) if kind.native else "is not supported"
        if kind.native == "normalize" and place.number:
            reason = "is not the first layer"
        if kind.branches and all(kind_of(layer, 0).native == "dropout" for layer in place.layer.body):
            reason = "has only Dropout in its body"
        if reason:
            return f"{place} {reason}"
        flat = flat or kind.native == "flatten"
    return too_large(model, shape) if shape else None


def too_large(model: Any, shape: tuple[int, ...]) -> str | None:
    """Which layer's weight, or activations for an image of this shape, are too large to index; None if none are."""
    for one in shaped_layers(model, shape):
        padded = list(one.input)
        if one.kind.native == "conv":
            padded[1:] = [side + 2 * pad for side, pad in zip(one.input[1:], padding_of(one.layer), strict=True)]
        values = max(prod(padded), prod(one.output))
        weights = max(map(prod, one.kind.tensors(one.layer).values()), default=0)
        for count, most, what in ((values, _MOST_VALUES, "values per image"), (weights, _MOST_WEIGHTS, "weights")):
            if count > most:
                return f"{one} has {count:,} {what}; at most {most:,} work"
    return None


def image_shape(images: np.ndarray) -> tuple[int, ...]:
    """The shape of one image of [N, H, W, C], or [N, features], as layers see it."""
    return (images.shape[3], *images.shape[1:3]) if images.ndim == 4 else images.shape[1:]


def call_of(
    layers: Sequence[Layer],
    images: np.ndarray,
    classes: int,
    *,
    threads: int = 1,
    frozen: int = 0,
    state: Mapping[str, np.ndarray] | None = None,
) -> Any:
    """The extension's description of the network and its images, which `covers` and the caller have checked.

    state: optimizer state by "NUMBER.NAME/PIECE", as `lenet.engine.base.OptimizerState`
    """
    call, places = extension.module.Call(), list(every_layer(layers))
    call.set_network(
        layers=list(_described(layers, state or {}, itertools.count())),
        is_double=any(place.layer.weight.dtype == np.float64 for place in places if place.kind.dense),
        classes=classes,
        threads=threads,
        frozen=frozen,
    )
    (call.set_pixels if images.ndim == 4 else call.set_features)(images)
    return call


class Inference:
    """A network in eval mode, described and packed once and then used for any number of images.

    It has copies of the tensors: later changes of the layers do not reach it. Threads may share it; their calls take
    turns. Equal images have equal results, bit for bit, whatever was computed before.
    """

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, ...], threads: int = 1) -> None:
        """shape: of one image, (height, width, channels) of uint8 or (features,) of float32, which `covers` checked."""
        self.layers, self._shape, self._threads = layers, shape, threads
        self._outputs = output_shapes(layers, (shape[-1], *shape[:-1]))
        self._engine = extension.engine()
        self._packed: dict[int, Any] = {}  # the extension's networks up to a layer, by its number

    def logits(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, classes] of [N, *shape]. Raises InputError for images of another shape."""
        return self._up_to(len(self.layers) - 1, images)

    def maps(self, images: np.ndarray, numbers: Sequence[int]) -> list[np.ndarray]:
        """What the layers with these numbers return for uint8 [N, H, W, C], float32 [N, pixels, channels] each.

        The engine keeps only the last layer's output, so it computes the network up to each of them.
        """
        return [self._up_to(number, images).reshape(len(images), -1, self._outputs[number][0]) for number in numbers]

    def _up_to(self, number: int, images: np.ndarray) -> np.ndarray:
        """float32 [N, values]: what layer `number` returns, in memory's order."""
        if images.shape[1:] != self._shape:
            raise InputError(f"images must have the shape {list(self._shape)}, not {list(images.shape[1:])}")
        count = prod(self._outputs[number])
        if number not in self._packed:
            any_images = np.empty((1, *self._shape), np.uint8 if len(self._shape) == 3 else np.float32)
            call = call_of(self.layers[: number + 1], any_images, count, threads=self._threads)
            self._packed[number] = self._engine.inference(call)
        result = np.empty((len(images), count), np.float32)
        self._packed[number].logits(images, result)
        return result


def _described(
    layers: Sequence[Layer], state: Mapping[str, np.ndarray], numbers: Iterator[int], inside: str = ""
) -> Iterator[Any]:
    """The extension's descriptions of the layers, by the layer table, in the order of `every_layer`.

    A mark comes before each branch. numbers: counts the layers, without the marks; inside: as for `every_layer`
    """
    described, kinds = extension.module.Layer, extension.module.Kind
    for number, layer in enumerate(layers):
        place = Place(f"{inside}{number}", layer, layer.kind)
        for branch in layer.kind.branches:
            yield described(kind=getattr(kinds, branch), index=place.number)
            yield from _described(getattr(layer, branch), state, numbers, f"{place.name}.{branch}.")
        parameters = {name: getattr(layer, name, None) for name in ("weight", "bias")}
        statistics = (getattr(layer, name) for name in layer.kind.statistics)
        yield described(
            kind=getattr(kinds, str(layer.kind.native)),
            index=place.number,
            number=next(numbers),
            **{name: _parameter(f"{place.name}.{name}", value, state) for name, value in parameters.items()},
            **dict(zip(("mean", "variance", "batches_tracked"), statistics, strict=False)),
            **layer.kind.fields(layer),
        )


def _parameter(name: str, value: np.ndarray | None, state: Mapping[str, np.ndarray]) -> Any:
    """The extension's description of a parameter and its optimizer state."""
    if value is None:
        return extension.module.Parameter()

    def piece(*names: str) -> np.ndarray | None:
        return next((state[f"{name}/{each}"] for each in names if f"{name}/{each}" in state), None)

    return extension.module.Parameter(
        value=value,
        first=piece("momentum_buffer", "exp_avg"),
        second=piece("exp_avg_sq"),
        steps=piece("step"),
    )
