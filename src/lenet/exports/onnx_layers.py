"""The layers that float and int8 ONNX graphs write alike."""

import numpy as np

from lenet.exports.onnx_graph import Graph
from lenet.exports.steps import Conv, MaxPool


def conv(graph: Graph, step: Conv, x: str, weight: str, bias: str) -> str:
    """The convolution with these weights, padded as the step says."""
    pads = step.padding
    if step.padding_mode != "zeros":
        for axis, index in enumerate(step.padded_from(), 2):
            x = graph.add("Gather", x, graph.whole(index), axis=axis)
        pads = (0, 0, 0, 0)
    return graph.add(
        "Conv", x, weight, bias, kernel_shape=step.weight.shape[2:], strides=step.stride, dilations=step.dilation,
        pads=pads, group=step.groups,
    )  # fmt: skip


def max_pool(graph: Graph, step: MaxPool, x: str) -> str:
    """The maximum of each window."""
    top, left, bottom, right = step.padding
    if any(step.padding):  # a pad of its own: runtimes differ in which paddings a pooling may have
        x = graph.add("Pad", x, graph.whole([0, 0, top, left, 0, 0, bottom, right]), graph.constant(-np.inf))
    return graph.add("MaxPool", x, kernel_shape=step.kernel, strides=step.stride, dilations=step.dilation)
