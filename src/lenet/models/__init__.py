"""Networks: the layer table, and the LeNet family as nn.Sequential."""

from lenet.models.layers import KINDS, Kind, Normalize, kind_of, padding_of
from lenet.models.network import Layer, build, describe, has_batch_norm, output_shapes, parameter_count, trace
from lenet.models.shapes import SHAPES, Shape, fitted, lenet, shape_named

__all__ = [
    "KINDS",
    "SHAPES",
    "Kind",
    "Layer",
    "Normalize",
    "Shape",
    "build",
    "describe",
    "fitted",
    "has_batch_norm",
    "kind_of",
    "lenet",
    "output_shapes",
    "padding_of",
    "parameter_count",
    "shape_named",
    "trace",
]
