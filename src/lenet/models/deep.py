"""Deep networks: stages of 3x3 convolutions with batch norm, the mean of each map, and one linear layer."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from lenet.models.modules import Residual


@dataclass(frozen=True)
class Deep:
    """Stages of two 3x3 convolutions each, with batch norm and ReLU; then the mean of each map and a linear layer.

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
            f"stages of {', '.join(first)} and {last} maps: {stages[self.stage]}, batch norm, relu; mean of each map, "
            f"dropout {self.dropout:g}"
        )

    def layers(self, input_shape: tuple[int, int, int], classes: int) -> list[nn.Module]:
        """The layers after Normalize, for images of (height, width, channels), at least 16 x 16 pixels."""
        stages = {"plain": _plain_stages, "residual": _residual_stages}
        layers = [*stages[self.stage](input_shape[2], self.maps), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if self.dropout:
            layers.append(nn.Dropout(self.dropout))
        return [*layers, nn.Linear(self.maps[-1], classes)]


def _plain_stages(channels: int, maps: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((channels, *maps)):
        if layers:
            layers.append(nn.MaxPool2d(2))
        layers += [*_convolution(inputs, outputs), nn.ReLU(), *_convolution(outputs, outputs), nn.ReLU()]
    return layers


def _residual_stages(channels: int, maps: tuple[int, ...]) -> list[nn.Module]:
    layers = [*_convolution(channels, maps[0]), nn.ReLU()]
    for number, (inputs, outputs) in enumerate(pairwise((maps[0], *maps))):
        stride = 2 if number else 1
        body = [*_convolution(inputs, outputs, stride), nn.ReLU(), *_convolution(outputs, outputs)]
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride)) if number else None
        layers += [Residual(nn.Sequential(*body), shortcut), nn.ReLU()]
    return layers


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the sides, or halves them by stride 2, and its batch norm."""
    return [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.BatchNorm2d(outputs)]
