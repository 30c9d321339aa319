"""Networks as nn.Sequential: built by the layer table."""

from lenet.layers.network import (
    describe,
    every_layer,
    has_dropout,
    layer_costs,
    needs_two_images,
    output_shapes,
    shaped_layers,
)
from lenet.layers.outputs import padding_of
from lenet.layers.shapes import SHAPES, Shape, shape_named
from lenet.layers.table import KINDS, kind_of
from lenet.models.modules import MODULES, Normalize, Residual, build, network_of, parameter_count, plain, with_tensors
from lenet.models.own import fitted, own_network, with_dropout

__all__ = [
    "KINDS",
    "MODULES",
    "SHAPES",
    "Normalize",
    "Residual",
    "Shape",
    "build",
    "describe",
    "every_layer",
    "fitted",
    "has_dropout",
    "kind_of",
    "layer_costs",
    "needs_two_images",
    "network_of",
    "output_shapes",
    "own_network",
    "padding_of",
    "parameter_count",
    "plain",
    "shape_named",
    "shaped_layers",
    "with_dropout",
    "with_tensors",
]
