"""Networks as nn.Sequential: layers by the layer table, and the LeNet family."""

from lenet.layers.network import Row, describe, has_batch_norm, output_shapes, trace
from lenet.layers.table import KINDS, Kind, kind_of, padding_of
from lenet.models.modules import MODULES, Normalize, build, parameter_count, plain, with_tensors
from lenet.models.shapes import SHAPES, Shape, fitted, network_of, shape_named

__all__ = [
    "KINDS",
    "MODULES",
    "SHAPES",
    "Kind",
    "Normalize",
    "Row",
    "Shape",
    "build",
    "describe",
    "fitted",
    "has_batch_norm",
    "kind_of",
    "network_of",
    "output_shapes",
    "padding_of",
    "parameter_count",
    "plain",
    "shape_named",
    "trace",
    "with_tensors",
]
