"""The layers of a quantized network as an ONNX graph.

The whole numbers are float32 values, in which sums below 2^24 are exact: every runtime that computes in float32 gives
the same ones. A linear layer whose sums may be larger computes them in float64. ONNX leaves the rounding of its
quantized operators to the runtime, and with signed weights ONNX Runtime's overflow on processors without VNNI. Weights
are stored as int8 and cast when the file is loaded.
"""

from collections.abc import Sequence

import numpy as np

from lenet.exports.arithmetic import windows
from lenet.exports.onnx_graph import Graph
from lenet.exports.onnx_layers import conv, max_pool
from lenet.exports.quantized import (
    LIMIT,
    Added,
    Averaged,
    Integer,
    Looked,
    Moved,
    Quantized,
    Rescale,
    Weighted,
    zero_after,
)  # fmt: skip
from lenet.exports.steps import Conv, Linear, MaxPool


def integer_layers(graph: Graph, network: Quantized, x: str) -> str:
    """The logits, float32 [N, classes], of pixels, float32 [N, C, H, W]. Bytes q are kept as q - zero."""
    x = _through(graph, network.steps, x, 0)
    if network.output:
        x = graph.add("Div", x, graph.constant(1 / network.output.scale))
    return x


def _through(graph: Graph, steps: Sequence[Integer], x: str, zero: int) -> str:
    """zero: the byte of x that stands for zero."""
    left = list(steps)
    while left:
        step = left.pop(0)
        if isinstance(step, (Weighted, Averaged)):
            x = _weighted(graph, step, x, zero) if isinstance(step, Weighted) else _averaged(graph, step, x)
            while left and isinstance(left[0], Moved):  # rescaling keeps order: after the pool it is cheaper
                pool = left[0].step
                if not isinstance(pool, MaxPool) or not isinstance(step, Weighted):
                    break
                x = max_pool(graph, pool, x)
                left.pop(0)
            x = _rescaled(graph, step, x)
        elif isinstance(step, Looked):
            x = _looked(graph, step, x)
        elif isinstance(step, Added):
            x = _rescaled(graph, step, _added(graph, step, x, zero))
        else:
            pool = step.step
            x = max_pool(graph, pool, x) if isinstance(pool, MaxPool) else graph.add("Flatten", x, axis=1)
        zero = zero_after(step, zero)
    return x


def _weighted(graph: Graph, step: Weighted, x: str, zero: int) -> str:
    layer, per_channel = step.step, (-1, 1, 1)[: len(step.step.input)]
    above = step.zeros.astype(np.float32) - zero
    if above.any():
        x = graph.add("Sub", x, graph.constant(above.reshape(per_channel)))
    shaped = step.weight if isinstance(layer, (Conv, Linear)) else step.weight.reshape(per_channel)
    integers = graph.constant(shaped, np.int8)
    if isinstance(layer, Linear) and step.wide:
        bias, x = graph.constant(step.bias, np.float64), graph.cast(x, "DOUBLE")
        return graph.cast(graph.add("Gemm", x, graph.cast(integers, "DOUBLE"), bias, transB=1), "FLOAT")
    weight = graph.cast(integers, "FLOAT")
    if isinstance(layer, Conv):
        return conv(graph, layer, x, weight, graph.constant(step.bias))
    if isinstance(layer, Linear):
        return graph.add("Gemm", x, weight, graph.constant(step.bias), transB=1)
    return graph.add("Add", graph.add("Mul", x, weight), graph.constant(step.bias.reshape(per_channel)))


def _averaged(graph: Graph, step: Averaged, x: str) -> str:
    rows, columns = windows(step.step)
    x = graph.add("MatMul", graph.constant(rows), graph.add("MatMul", x, graph.constant(columns.T)))
    # The clip changes nothing; it keeps ONNX Runtime from making a division by one number part of the product.
    return graph.add("Clip", x, graph.constant(-LIMIT), graph.constant(LIMIT))


def _added(graph: Graph, step: Added, x: str, zero: int) -> str:
    ends = [
        graph.add("Mul", _through(graph, branch, x, zero), graph.constant(factor))
        for branch, factor in zip((step.body, step.shortcut), step.factors, strict=True)
    ]
    return graph.add("Add", *ends)


def _rescaled(graph: Graph, step: Weighted | Averaged | Added, x: str) -> str:
    rescale: Rescale = step.rescale
    divisor = rescale.divisor
    if isinstance(step, Weighted):
        divisor = divisor.reshape((-1, 1, 1)[: len(step.step.output)])
    x = graph.add("Div", x, graph.constant(divisor))
    if rescale.output is None:
        return x
    zero = rescale.output.zero
    x = graph.add("Clip", x, graph.constant(rescale.low - zero), graph.constant(255 - zero))
    return graph.add("Round", x)


def _looked(graph: Graph, step: Looked, x: str) -> str:
    if step.zero:
        x = graph.add("Add", x, graph.constant(step.zero))
    values = step.values.astype(np.float32) - step.output.zero
    return graph.add("Gather", graph.constant(values), graph.cast(x, "INT64"))
