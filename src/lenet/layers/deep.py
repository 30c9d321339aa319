"""Deep networks: stages of 3x3 convolutions with batch norm, global average pooling, and one linear layer."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from lenet.layers.defaults import batch_norm, conv, dropout, flatten, linear, max_pool, mean_of_maps, relu, residual
from lenet.layers.table import Layer


@dataclass(frozen=True)
class Deep:
    """Stages of two 3x3 convolutions each, with batch norm and ReLU; then global average pooling and a linear layer.

    maps: output channels of each stage's convolutions
    stage: "plain": the convolutions alone, and 2x2 max pooling between two stages; "residual": a residual block, whose
        first convolution has stride 2 in all stages but the first. One more convolution precedes the first block.
    dropout: probability, 0 to less than 1, before the linear layer
    origin: its source, and what lenet changes in it
    """

    maps: tuple[int, ...]
    stage: Literal["plain", "residual"]
    dropout: float = 0.0
    origin: str = ""

    def described(self) -> str:
        """Its layers on one line."""
        *first, last = map(str, self.maps)
        stages = {
            "plain": "two 3x3 convolutions each, 2x2 max pool between stages",
            "residual": "one 3x3 convolution, then a residual block of two each, stride 2 from stage to stage",
        }
        return (
            f"stages of {', '.join(first)} and {last} maps: {stages[self.stage]}, batch norm, relu; global average "
            f"pooling, dropout {self.dropout:g}"
        )

    def layers(self, input_shape: tuple[int, int, int], classes: int) -> list[Layer]:
        """The layers after Normalize, for images of (height, width, channels), at least 16 x 16 pixels."""
        stages = {"plain": _plain_stages, "residual": _residual_stages}
        layers = [*stages[self.stage](input_shape[2], self.maps), mean_of_maps(), flatten()]
        if self.dropout:
            layers.append(dropout(self.dropout))
        return [*layers, linear(self.maps[-1], classes)]


def _plain_stages(channels: int, maps: tuple[int, ...]) -> list[Layer]:
    layers: list[Layer] = []
    for inputs, outputs in pairwise((channels, *maps)):
        if layers:
            layers.append(max_pool(2))
        layers += [*_convolution(inputs, outputs), relu(), *_convolution(outputs, outputs), relu()]
    return layers


def _residual_stages(channels: int, maps: tuple[int, ...]) -> list[Layer]:
    layers = [*_convolution(channels, maps[0]), relu()]
    for number, (inputs, outputs) in enumerate(pairwise((maps[0], *maps))):
        stride = 2 if number else 1
        body = [*_convolution(inputs, outputs, stride), relu(), *_convolution(outputs, outputs)]
        shortcut = [conv(inputs, outputs, 1, stride=stride)] if number else []
        layers += [residual(body, shortcut), relu()]
    return layers


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[Layer]:
    """A convolution that keeps the sides, or halves them by stride 2, and its batch norm."""
    return [conv(inputs, outputs, 3, stride=stride, padding=1), batch_norm(outputs)]
