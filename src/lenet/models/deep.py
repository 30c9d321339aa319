"""Deep networks: stages of 3x3 convolutions with batch norm, the mean of each map, and one linear layer."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class Deep:
    """Stages of two 3x3 convolutions each, with batch norm and ReLU; then the mean of each map and a linear layer.

    maps: output channels of each stage's convolutions
    stage: "plain": 2x2 max pooling halves the sides between two stages
    dropout: probability, 0 to less than 1, before the linear layer
    origin: its source, and what lenet changes in it
    """

    maps: tuple[int, ...]
    stage: Literal["plain"]
    dropout: float = 0.0
    origin: str = ""

    def described(self) -> str:
        """Its layers on one line."""
        *first, last = map(str, self.maps)
        return (
            f"stages of {', '.join(first)} and {last} maps: two 3x3 convolutions each, batch norm, relu; "
            f"2x2 max pool between stages, mean of each map, dropout {self.dropout:g}"
        )

    def layers(self, input_shape: tuple[int, int, int], classes: int) -> list[nn.Module]:
        """The layers after Normalize, for images of (height, width, channels), at least 16 x 16 pixels."""
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((input_shape[2], *self.maps)):
            if layers:
                layers.append(nn.MaxPool2d(2))
            layers += [*_convolution(inputs, outputs), nn.ReLU(), *_convolution(outputs, outputs), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if self.dropout:
            layers.append(nn.Dropout(self.dropout))
        return [*layers, nn.Linear(self.maps[-1], classes)]


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """A convolution that keeps the sides, and its batch norm."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
