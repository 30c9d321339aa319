"""The image in an ONNX graph: brought to the network's size by the whole numbers of `lenet.exports.fit`."""

import numpy as np

from lenet.exports.fit import PRECISION, tall_first
from lenet.exports.network import Exported
from lenet.exports.onnx_graph import Graph


def as_maps(graph: Graph) -> str:
    return graph.cast(graph.add("Transpose", "image", perm=[0, 3, 1, 2]), "FLOAT")


def fitted(graph: Graph, exported: Exported) -> str:
    """float32 [N, C, size, size] of the images, which may have any size.

    A resize is a matrix product for each axis, in float64, in which the sums are exact.
    """
    size, _, channels = exported.input_shape
    shape = graph.add("Shape", "image")
    count, height, width = (graph.add("Gather", shape, graph.whole([axis])) for axis in range(3))
    there = graph.whole([size])
    same = graph.add("And", graph.add("Equal", height, there), graph.add("Equal", width, there))

    def resized() -> str:
        inner = {side: _inner(graph, side, height, width, size, exported.fit) for side in (height, width)}
        rows, columns = (
            graph.cast(_resize_weights(graph, side, height, width, size, inner[side], exported.fit), "DOUBLE")
            for side in (height, width)
        )

        def columns_first() -> str:
            x = graph.add("Transpose", "image", perm=[2, 0, 1, 3])
            x = _product(graph, columns, x, width)
            x = graph.add("Reshape", x, graph.joined(size, count, height, channels))
            x = _product(graph, rows, graph.add("Transpose", x, perm=[2, 1, 0, 3]), height)
            x = graph.add("Reshape", x, graph.joined(size, -1, size, channels))
            return graph.cast(graph.add("Transpose", x, perm=[1, 3, 0, 2]), "FLOAT")

        def rows_first() -> str:
            x = _product(graph, rows, graph.add("Transpose", "image", perm=[1, 0, 2, 3]), height)
            x = graph.add("Reshape", x, graph.joined(size, count, width, channels))
            x = _product(graph, columns, graph.add("Transpose", x, perm=[2, 1, 0, 3]), width)
            x = graph.add("Reshape", x, graph.joined(size, -1, size, channels))
            return graph.cast(graph.add("Transpose", x, perm=[1, 3, 2, 0]), "FLOAT")

        if not tall_first():
            return columns_first()
        down, across = (graph.add("Sub", side, inner[side]) for side in (height, width))
        twice = graph.add("Mul", graph.add("Max", across, graph.whole([0])), graph.whole([2]))
        return graph.choose(graph.add("Greater", down, twice), rows_first, columns_first)

    return graph.choose(same, lambda: as_maps(graph), resized)


def _product(graph: Graph, weights: str, x: str, side: str) -> str:
    """Rounded weights [size, side] times pixels [side, ...]: float64 [size, product of the rest]."""
    flat = graph.cast(graph.add("Reshape", x, graph.joined(side, -1)), "DOUBLE")
    return _rounded(graph, graph.add("MatMul", weights, flat))


def _rounded(graph: Graph, sums: str) -> str:
    """Sums in units of 2^-22 to whole pixel values, 0 to 255."""
    half, unit = (graph.constant(2.0**power, np.float64) for power in (PRECISION - 1, -PRECISION))
    x = graph.add("Floor", graph.add("Mul", graph.add("Add", sums, half), unit))
    return graph.add("Clip", x, graph.constant(0, np.float64), graph.constant(255, np.float64))


def _inner(graph: Graph, side: str, height: str, width: str, size: int, fit: str) -> str:
    """int64 [1]: how many outputs show the image along one axis."""
    return _padded_side(graph, side, graph.add("Max", height, width), size) if fit == "pad" else graph.whole([size])


def _resize_weights(graph: Graph, side: str, height: str, width: str, size: int, inner: str, fit: str) -> str:
    """int64 [size, side]: the weights along one axis, in the terms of `lenet.exports.fit`."""
    one, two, zero = (graph.whole([value]) for value in (1, 2, 0))
    outputs = graph.whole(np.arange(size)[:, None])
    extent, start = side, zero
    if fit == "crop":
        extent = graph.add("Min", height, width)
        start = graph.add("Sub", side, extent)
    elif fit == "pad":
        outputs = graph.add("Sub", outputs, graph.add("Div", graph.add("Sub", graph.whole([size]), inner), two))
    middle = graph.add("Add", graph.add("Mul", outputs, two), one)
    centre = graph.add("Add", graph.add("Mul", start, inner), graph.add("Mul", middle, extent))
    inputs = graph.add("Range", graph.whole(0), graph.add("Squeeze", side), graph.whole(1))
    place = graph.add("Mul", graph.add("Add", graph.add("Mul", inputs, two), one), inner)
    reach = graph.add("Mul", graph.add("Max", extent, inner), two)
    weights = graph.add("Sub", reach, graph.add("Abs", graph.add("Sub", place, centre)))
    weights = graph.add("Max", weights, zero)
    if fit == "pad":  # the other outputs are black
        inside = graph.add("And", graph.add("GreaterOrEqual", outputs, zero), graph.add("Less", outputs, inner))
        weights = graph.add("Mul", weights, graph.cast(inside, "INT64"))
    total = graph.add("Max", graph.add("ReduceSum", weights, graph.whole([1]), keepdims=1), one)
    twice = graph.add("Add", graph.add("Mul", weights, graph.whole([2 << PRECISION])), total)
    return graph.add("Div", twice, graph.add("Mul", total, two))


def _padded_side(graph: Graph, side: str, longest: str, size: int) -> str:
    """round(side * size / longest), halves to even as Python rounds them, and at least 1."""
    two = graph.whole([2])
    twice, divisor = graph.add("Mul", side, graph.whole([2 * size])), graph.add("Mul", longest, two)
    up = graph.add("Div", graph.add("Add", twice, longest), divisor)
    tie = graph.cast(graph.add("Equal", graph.add("Mod", twice, divisor), longest), "INT64")
    odd = graph.add("Mod", up, two)
    return graph.add("Max", graph.add("Sub", up, graph.add("Mul", tie, odd)), graph.whole([1]))
