"""Networks as nn.Sequential: built by the layer table."""

from lenet.layers.network import Row, describe, every_layer, has_batch_norm, output_shapes, shaped_layers, trace
from lenet.layers.outputs import padding_of
from lenet.layers.shapes import SHAPES, Shape, shape_named
from lenet.layers.table import KINDS, Kind, kind_of
from lenet.models.modules import MODULES, Normalize, Residual, build, network_of, parameter_count, plain, with_tensors
from lenet.models.own import fitted

__all__ = [
    "KINDS",
    "MODULES",
    "SHAPES",
    "Kind",
    "Normalize",
    "Residual",
    "Row",
    "Shape",
    "build",
    "describe",
    "every_layer",
    "fitted",
    "has_batch_norm",
    "kind_of",
    "network_of",
    "output_shapes",
    "padding_of",
    "parameter_count",
    "plain",
    "shape_named",
    "shaped_layers",
    "trace",
    "with_tensors",
]
