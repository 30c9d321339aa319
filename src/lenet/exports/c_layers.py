"""The layers of a network as C functions. Maps are stored [row][column][channel].

The innermost loop of a convolution or linear layer runs over output channels, for which compilers use vector
instructions; weights are stored in that order.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from lenet.exports.c_code import Layer, block_of, constants, flatten, indented, max_pool, times
from lenet.exports.c_text import real
from lenet.exports.steps import Activation, AveragePool, Conv, Flatten, Linear, MaxPool, Residual, Scale, Step

_PART = 8  # output channels at once; with 16, vectors of AVX2 no longer stay in registers, and gcc is 1.6 times slower


def layer_of(step: Step, name: str) -> Layer | None:
    """The step's C code, whose constants' names start with `name`; None if it changes nothing."""
    return _WRITERS[type(step)](step, name)


def _conv(step: Conv, name: str) -> Layer:
    """Several neighbouring outputs of a row at once, `part` channels of each, so that their sums stay in registers.

    The last block of a row begins where it still fits; the outputs that it shares with the one before are the same.
    """
    channels, _, width = step.input
    outputs, rows, columns = step.output
    groups, (_, own_in, kernel_y, kernel_x) = step.groups, step.weight.shape
    own_out = outputs // groups
    part = 1 if own_out == 1 else _PART
    apart = step.stride[1] * channels
    parts, block = -(-own_out // part), block_of(columns)
    wide = np.zeros((groups, parts * part, own_in, kernel_y, kernel_x), np.float32)
    wide[:, :own_out] = step.weight.reshape(groups, own_out, own_in, kernel_y, kernel_x)
    bias = np.zeros((groups, parts * part), np.float32)
    bias[:, :own_out] = step.bias.reshape(groups, own_out)
    packed = wide.reshape(groups, parts, part, own_in, kernel_y, kernel_x).transpose(0, 1, 4, 5, 3, 2)
    arrays: dict[str, Any] = {"weight": packed, "bias": bias}

    down = f"{times('row', step.stride[0])} + {times('ky', step.dilation[0])}"
    line, before, row = width, "", f"x + ({down}) * {width * channels}"
    if any(step.padding):
        sources = step.padded_from()
        arrays |= {key: np.array(one, np.int16) for key, one in zip(("rows", "columns"), sources, strict=True)}
        line, row = len(sources[1]), "lines[ky]"
        before = f"""
    for (int ky = 0; ky < {kernel_y}; ++ky)
        for (int i = 0; i < {line}; ++i) {{
            const int r = {name}_rows[{down}], c = {name}_columns[i];
            for (int in = 0; in < {channels}; ++in)
                lines[ky][i * {channels} + in] = r < 0 || c < 0 ? 0.0f : x[(r * {width} + c) * {channels} + in];
        }}"""
    # Where a kernel's row of inputs lies in one piece, one loop runs over it.
    merged = groups == 1 and step.dilation[1] == 1
    across, length = (1, kernel_x * own_in) if merged else (kernel_x, own_in)
    group = f" + part / {parts} * {own_in}" if groups > 1 else ""
    kx = f" + {times('kx', step.dilation[1])}" if across > 1 else ""
    where = f"{times('column', step.stride[1])}{kx}"
    start = times(f"({where})" if kx else where, channels) + group
    first = f"part / {parts} * {own_out} + part % {parts} * {part}" if groups > 1 else f"part * {part}"
    limit = f"{own_out if parts == 1 else part}"
    if parts > 1 and own_out % part:
        limit += f" && part % {parts} * {part} + out < {own_out}"
    over_kx = f"\n                for (int kx = 0; kx < {across}; ++kx)" if across > 1 else ""
    # An array for each output's sums: compilers keep these in registers, and do not if they are parts of one array.
    sums = [f"sums{i}" for i in range(block)]
    products = [
        f"{one}[out] += values[in + {i * apart}] * weights[{times('in', part)} + out];" for i, one in enumerate(sums)
    ]
    stored = [f"to[{i * outputs} + out] = {one}[out];" for i, one in enumerate(sums)]
    place = f"(part * {kernel_y} + ky)" if across == 1 else f"((part * {kernel_y} + ky) * {across} + kx)"
    body = f"""\
for (int row = 0; row < {rows}; ++row) {{{before}
    for (int part = 0; part < {groups * parts}; ++part)
        for (int begin = 0; begin < {columns}; begin += {block}) {{
            const int column = begin < {columns - block} ? begin : {columns - block};
            float {", ".join(f"{one}[{part}]" for one in sums)};
            for (int out = 0; out < {part}; ++out)
                {" = ".join(f"{one}[out]" for one in sums)} = {name}_bias[part * {part} + out];
            for (int ky = 0; ky < {kernel_y}; ++ky){over_kx} {{
                const float *values = {row} + {start};
                const float *weights = {name}_weight + {times(place, length * part)};
                for (int in = 0; in < {length}; ++in)
                    for (int out = 0; out < {part}; ++out) {{
{indented(products, 24)}
                    }}
            }}
            float *to = y + (row * {columns} + column) * {outputs} + {first};
            for (int out = 0; out < {limit}; ++out) {{
{indented(stored, 16)}
            }}
        }}
}}"""
    if before:
        body = f"static float lines[{kernel_y}][{line * channels}];\n{body}"
    text, size = constants(name, **arrays)
    return Layer(text, size, body, variables=4 * kernel_y * line * channels if before else 0)


def _linear(step: Linear, name: str) -> Layer:
    outputs, inputs = step.weight.shape
    body = f"""\
for (int out = 0; out < {outputs}; ++out)
    y[out] = {name}_bias[out];
for (int in = 0; in < {inputs}; ++in)
    for (int out = 0; out < {outputs}; ++out)
        y[out] += x[in] * {name}_weight[in * {outputs} + out];"""
    return Layer(*constants(name, weight=step.weight.T, bias=step.bias), body)


def _scale(step: Scale, name: str) -> Layer:
    channels = step.input[0]
    body = f"""\
for (int i = 0; i < {prod(step.input) // channels}; ++i)
    for (int c = 0; c < {channels}; ++c)
        x[i * {channels} + c] = x[i * {channels} + c] * {name}_factor[c] + {name}_shift[c];"""
    return Layer(*constants(name, factor=step.factor, shift=step.shift), body, in_place=True)


def _activation(step: Activation, name: str) -> Layer:
    cubic = f"{real(np.sqrt(2 / np.pi))} * (x[i] + 0.044715f * x[i] * x[i] * x[i])"
    value = {
        "relu": "x[i] > 0.0f ? x[i] : 0.0f",
        "leaky_relu": f"x[i] > 0.0f ? x[i] : x[i] * {real(step.slope)}",
        "tanh": "tanhf(x[i])",
        "gelu": f"0.5f * x[i] * (1.0f + erff(x[i] * {real(np.sqrt(0.5))}))",
        "gelu_tanh": f"0.5f * x[i] * (1.0f + tanhf({cubic}))",
    }[step.function]
    return Layer("", 0, f"for (int i = 0; i < {prod(step.input)}; ++i)\n    x[i] = {value};", in_place=True)


def _average_pool(step: AveragePool, name: str) -> Layer:
    channels, _, width = step.input
    _, rows, columns = step.output
    arrays: dict[str, Any] = {}
    for key, spans in (("row", step.rows), ("column", step.columns)):
        arrays[f"{key}_begin"] = np.array([span.begin for span in spans], np.int16)
        arrays[f"{key}_end"] = np.array([span.end for span in spans], np.int16)
        arrays[f"{key}_weight"] = np.array([span.weight for span in spans], np.float32)
    body = f"""\
for (int row = 0; row < {rows}; ++row)
    for (int column = 0; column < {columns}; ++column) {{
        float *means = y + (row * {columns} + column) * {channels};
        const float weight = {name}_row_weight[row] * {name}_column_weight[column];
        for (int channel = 0; channel < {channels}; ++channel)
            means[channel] = 0.0f;
        for (int r = {name}_row_begin[row]; r < {name}_row_end[row]; ++r)
            for (int c = {name}_column_begin[column]; c < {name}_column_end[column]; ++c)
                for (int channel = 0; channel < {channels}; ++channel)
                    means[channel] += x[(r * {width} + c) * {channels} + channel];
        for (int channel = 0; channel < {channels}; ++channel)
            means[channel] *= weight;
    }}"""
    return Layer(*constants(name, **arrays), body)


def _sum(step: Residual) -> Layer:
    return Layer("", 0, f"for (int i = 0; i < {prod(step.output)}; ++i)\n    y[i] = x[i] + z[i];")


_WRITERS: dict[type[Step], Callable[[Any, str], Layer | None]] = {
    Conv: _conv,
    Linear: _linear,
    Scale: _scale,
    Activation: _activation,
    MaxPool: lambda step, name: max_pool(step, "float", "-INFINITY"),
    AveragePool: _average_pool,
    Flatten: lambda step, name: flatten(step),
    Residual: lambda step, name: _sum(step),
}
