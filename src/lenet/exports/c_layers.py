"""The layers of a network as C functions. Maps are stored [row][column][channel].

The innermost loop of a convolution or linear layer runs over output channels, for which compilers use vector
instructions; weights are stored in that order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from lenet.exports.c_text import array, real
from lenet.exports.steps import Activation, AveragePool, Conv, Flatten, Linear, MaxPool, Scale, Step


@dataclass(frozen=True)
class Layer:
    """constants: their definitions; bytes: their size; body: of the function; in_place: whether it has only x, no y."""

    constants: str
    bytes: int
    body: str
    in_place: bool = False


def layer_of(step: Step, name: str) -> Layer | None:
    """The step's C code, whose constants' names start with `name`; None if it changes nothing."""
    return _WRITERS[type(step)](step, name)


def _constants(name: str, **arrays: Any) -> tuple[str, int]:
    """Definitions of arrays, float or int16_t, and their bytes."""
    found = [(key, np.asarray(values)) for key, values in arrays.items()]
    text = "".join(
        array("float" if values.dtype.kind == "f" else "int16_t", f"{name}_{key}", values) for key, values in found
    )
    return text, sum(values.size * (4 if values.dtype.kind == "f" else 2) for _, values in found)


def _conv(step: Conv, name: str) -> Layer:
    _, height, width = step.input
    outputs, rows, columns = step.output
    groups, own_out, own_in = step.groups, outputs // step.groups, step.weight.shape[1]
    kernel_y, kernel_x = step.weight.shape[2:]
    packed = step.weight.reshape(groups, own_out, own_in, kernel_y, kernel_x).transpose(0, 3, 4, 2, 1)
    arrays: dict[str, Any] = {"weight": packed, "bias": step.bias}
    top, left = step.padding[:2]
    row = f"row * {step.stride[0]} + ky * {step.dilation[0]}"
    column = f"column * {step.stride[1]} + kx * {step.dilation[1]}"
    row_lines, column_lines = [f"const int r = {row};"], [f"const int c = {column};"]
    if any(step.padding):
        if step.padding_mode == "zeros":
            row_lines = [f"const int r = {row} - {top};", f"if (r < 0 || r >= {height})", "    continue;"]
            column_lines = [f"const int c = {column} - {left};", f"if (c < 0 || c >= {width})", "    continue;"]
        else:
            sources = step.padded_from()
            arrays |= {key: np.array(one, np.int16) for key, one in zip(("rows", "columns"), sources, strict=True)}
            row_lines, column_lines = (
                [f"const int r = {name}_rows[{row}];"],
                [f"const int c = {name}_columns[{column}];"],
            )
    place = f"((group * {kernel_y} + ky) * {kernel_x} + kx)"
    body = f"""\
for (int row = 0; row < {rows}; ++row)
    for (int column = 0; column < {columns}; ++column)
        for (int group = 0; group < {groups}; ++group) {{
            float sums[{own_out}];
            for (int out = 0; out < {own_out}; ++out)
                sums[out] = {name}_bias[group * {own_out} + out];
            for (int ky = 0; ky < {kernel_y}; ++ky) {{
                {_indented(row_lines, 16)}
                for (int kx = 0; kx < {kernel_x}; ++kx) {{
                    {_indented(column_lines, 20)}
                    const float *values = x + (r * {width} + c) * {step.input[0]} + group * {own_in};
                    const float *weights = {name}_weight + {place} * {own_in * own_out};
                    for (int in = 0; in < {own_in}; ++in)
                        for (int out = 0; out < {own_out}; ++out)
                            sums[out] += values[in] * weights[in * {own_out} + out];
                }}
            }}
            for (int out = 0; out < {own_out}; ++out)
                y[(row * {columns} + column) * {outputs} + group * {own_out} + out] = sums[out];
        }}"""
    return Layer(*_constants(name, **arrays), body)


def _linear(step: Linear, name: str) -> Layer:
    outputs, inputs = step.weight.shape
    body = f"""\
for (int out = 0; out < {outputs}; ++out)
    y[out] = {name}_bias[out];
for (int in = 0; in < {inputs}; ++in)
    for (int out = 0; out < {outputs}; ++out)
        y[out] += x[in] * {name}_weight[in * {outputs} + out];"""
    return Layer(*_constants(name, weight=step.weight.T, bias=step.bias), body)


def _scale(step: Scale, name: str) -> Layer:
    channels = step.input[0]
    body = f"""\
for (int i = 0; i < {prod(step.input) // channels}; ++i)
    for (int c = 0; c < {channels}; ++c)
        x[i * {channels} + c] = x[i * {channels} + c] * {name}_factor[c] + {name}_shift[c];"""
    return Layer(*_constants(name, factor=step.factor, shift=step.shift), body, in_place=True)


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


def _max_pool(step: MaxPool, name: str) -> Layer:
    channels, height, width = step.input
    _, rows, columns = step.output
    top, left, *_ = step.padding
    row_lines = [f"const int r = row * {step.stride[0]} + ky * {step.dilation[0]} - {top};"]
    column_lines = [f"const int c = column * {step.stride[1]} + kx * {step.dilation[1]} - {left};"]
    if any(step.padding):
        row_lines += [f"if (r < 0 || r >= {height})", "    continue;"]
        column_lines += [f"if (c < 0 || c >= {width})", "    continue;"]
    body = f"""\
for (int row = 0; row < {rows}; ++row)
    for (int column = 0; column < {columns}; ++column) {{
        float *most = y + (row * {columns} + column) * {channels};
        for (int channel = 0; channel < {channels}; ++channel)
            most[channel] = -INFINITY;
        for (int ky = 0; ky < {step.kernel[0]}; ++ky) {{
            {_indented(row_lines, 12)}
            for (int kx = 0; kx < {step.kernel[1]}; ++kx) {{
                {_indented(column_lines, 16)}
                const float *values = x + (r * {width} + c) * {channels};
                for (int channel = 0; channel < {channels}; ++channel)
                    most[channel] = values[channel] > most[channel] ? values[channel] : most[channel];
            }}
        }}
    }}"""
    return Layer("", 0, body)


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
    return Layer(*_constants(name, **arrays), body)


def _flatten(step: Flatten, name: str) -> Layer | None:
    channels, height, width = step.input
    if channels == 1 or height * width == 1:
        return None
    body = f"""\
for (int c = 0; c < {channels}; ++c)
    for (int i = 0; i < {height * width}; ++i)
        y[c * {height * width} + i] = x[i * {channels} + c];"""
    return Layer("", 0, body)


_WRITERS: dict[type[Step], Callable[[Any, str], Layer | None]] = {
    Conv: _conv,
    Linear: _linear,
    Scale: _scale,
    Activation: _activation,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    Flatten: _flatten,
}


def _indented(lines: list[str], spaces: int) -> str:
    return ("\n" + " " * spaces).join(lines)
