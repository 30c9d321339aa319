"""The layers of a quantized network as C functions of bytes. Maps are stored [row][column][channel].

The sums are int32; `lenet_byte` makes them bytes. Its only operation that rounds is one division, which no compiler
fuses with another operation, so that every compiler gives the same bytes.
"""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.exports.arithmetic import window_weights
from lenet.exports.c_code import Body, Layer, constants, flatten, max_pool, times
from lenet.exports.c_program import Node, Program, Value
from lenet.exports.c_text import real
from lenet.exports.quantized import Added, Averaged, Integer, Looked, Moved, Quantized, Rescale, Weighted
from lenet.exports.steps import Conv, Flatten, Linear, MaxPool

_ROUNDING = """\
#include <float.h>
#if defined __FAST_MATH__ || defined __ASSOCIATIVE_MATH__ || defined __RECIPROCAL_MATH__ || defined _M_FP_FAST
#error "compile without -ffast-math or /fp:fast: results would differ"
#endif
#if FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "float arithmetic must not be wider than float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

/* A sum as a byte: divided, rounded, halves to even, plus the byte that stands for zero, clipped to low..255.
   Adding 1.5 * 2^23 rounds: float32 has no fractions there. */
static inline uint8_t lenet_byte(int32_t sum, float divisor, int32_t low, int32_t zero) {
    const float quotient = (float)sum / divisor;
    const float least = quotient > -65536.0f ? quotient : -65536.0f;
    const float rounded = (least < 65536.0f ? least : 65536.0f) + 12582912.0f;
    const int32_t byte = (int32_t)rounded - 12582912 + zero;
    const int32_t above = byte > low ? byte : low;
    return (uint8_t)(above < 255 ? above : 255);
}
"""


def integer_body(network: Quantized) -> Body:
    """The network's constants, buffers and functions, and `lenet_run`, from pixels to logits."""
    buffers = ("lenet_a", "lenet_b", "lenet_c", "lenet_d")
    program = Program({"uint8_t": buffers, "float": ("lenet_logits", "lenet_ordered")})
    last = program.run(_nodes(network.steps), Value("pixels", "uint8_t"), keep=True)
    if network.output:
        count, scale = prod(network.steps[-1].step.output), real(1 / network.output.scale)
        bytes, last = last.array, program.value("float", count)
        program.calls.append(f"for (int k = 0; k < {count}; ++k)")
        program.calls.append(f"    {last.array}[k] = (float)({bytes}[k] - {network.output.zero}) / {scale};")
    run = "static void lenet_run(const uint8_t *pixels) {\n    " + "\n    ".join(program.calls) + "\n}\n"
    text = "\n".join([_ROUNDING, program.definitions(), *program.functions, run])
    return Body(text, last.array, program.constants, program.variables)


def _nodes(steps: Sequence[Integer]) -> list[Node]:
    found, gives = [], "uint8_t"
    for step in steps:
        if isinstance(step, (Weighted, Averaged)) and step.rescale.output is None:
            gives = "float"
        branches = (_nodes(step.body), _nodes(step.shortcut)) if isinstance(step, Added) else ()
        found.append(Node(step.step, partial(_layer, step), gives, branches))
    return found


def _layer(step: Integer, name: str) -> Layer | None:
    match step:
        case Weighted(step=Conv() as conv):
            return _conv(step, conv, name)
        case Weighted(step=Linear()):
            return _linear(step, name)
        case Weighted():
            return _scale(step, name)
        case Averaged():
            return _averaged(step, name)
        case Looked():
            body = f"for (int i = 0; i < {prod(step.step.input)}; ++i)\n    y[i] = {name}_values[x[i]];"
            return Layer(*constants(name, values=step.values), body)
        case Moved(step=MaxPool() as pool):
            return max_pool(pool, "uint8_t", "0")
        case Moved(step=Flatten() as flat):
            return flatten(flat)
        case Added():
            return _added(step, name)
    raise AssertionError(step)


def _output(rescale: Rescale, name: str, value: str, channel: str) -> str:
    """The output's value of an int32 sum."""
    divisor = f"{name}_divisor[{channel}]"
    if rescale.output is None:
        return f"(float){value} / {divisor}"
    return f"lenet_byte({value}, {divisor}, {rescale.low}, {rescale.output.zero})"


def _bias(step: Weighted, groups: int = 1) -> NDArray[np.int32]:
    """The bias for inputs from which nothing is subtracted."""
    weight = step.weight.astype(np.int64)
    if isinstance(step.step, (Conv, Linear)):
        inputs = step.zeros.astype(np.int64).reshape(groups, -1).repeat(len(weight) // groups, axis=0)
        shifts = (weight.reshape(*weight.shape[:2], -1).sum(axis=2) * inputs).sum(axis=1)
    else:
        shifts = weight * step.zeros
    return np.asarray(step.bias - shifts, np.int32)


def _conv(step: Weighted, conv: Conv, name: str) -> Layer:
    """The kernel's inputs as one `patch` of int16, which has a dot product with the weights of each output channel.

    The patch is copied from `lines`, the rows under the kernel with their padding. A kernel's row of inputs lies in one
    piece, whose length in the patch is a multiple of eight, unless there are groups or dilation.
    """
    channels, _, width = conv.input
    outputs, rows, columns = conv.output
    groups, (_, own_in, kernel_y, kernel_x) = conv.groups, step.weight.shape
    own_out = outputs // groups
    in_one = groups == 1 and conv.dilation[1] == 1
    across, length = (1, kernel_x * own_in) if in_one else (kernel_x, own_in)
    slot = -(-length // 8) * 8 if in_one and length > 4 else length
    size = _padded(kernel_y * across * slot)
    weight = np.zeros((outputs, kernel_y * across, slot), np.int8)
    weight[:, :, :length] = step.weight.transpose(0, 2, 3, 1).reshape(outputs, kernel_y * across, length)
    packed = np.zeros((outputs, size), np.int8)
    packed[:, : kernel_y * across * slot] = weight.reshape(outputs, -1)
    arrays: dict[str, Any] = {"weight": packed, "bias": _bias(step, groups), "divisor": step.rescale.divisor}

    down = f"{times('row', conv.stride[0])} + {times('ky', conv.dilation[0])}"
    if any(conv.padding):
        sources = conv.padded_from()
        line = len(sources[1])
        arrays |= {key: np.array(one, np.int16) for key, one in zip(("rows", "columns"), sources, strict=True)}
        arrays["zeros"] = step.zeros
        filled = f"""\
        for (int i = 0; i < {line}; ++i) {{
            const int r = {name}_rows[{down}], c = {name}_columns[i];
            const uint8_t *from = r < 0 || c < 0 ? {name}_zeros : x + (r * {width} + c) * {channels};
            for (int in = 0; in < {channels}; ++in)
                lines[ky][i * {channels} + in] = from[in];
        }}"""
    else:
        line = width
        filled = f"""\
        for (int i = 0; i < {width * channels}; ++i)
            lines[ky][i] = x[({down}) * {width * channels} + i];"""
    start = times(f"(column * {conv.stride[1]} + kx * {conv.dilation[1]})", channels)
    body = f"""\
static int16_t lines[{kernel_y}][{line * channels + slot - length}], patch[{size}];
for (int row = 0; row < {rows}; ++row) {{
    for (int ky = 0; ky < {kernel_y}; ++ky)
{filled}
    for (int column = 0; column < {columns}; ++column)
        for (int group = 0; group < {groups}; ++group) {{
            int32_t sums[{own_out}];
            for (int ky = 0; ky < {kernel_y}; ++ky)
                for (int kx = 0; kx < {across}; ++kx)
                    for (int i = 0; i < {slot}; ++i)
                        patch[(ky * {across} + kx) * {slot} + i] = lines[ky][{start} + group * {own_in} + i];
            for (int out = 0; out < {own_out}; ++out) {{
                const int8_t *weight = {name}_weight + (group * {own_out} + out) * {size};
                int32_t sum = {name}_bias[group * {own_out} + out];
                for (int i = 0; i < {size}; ++i)
                    sum += patch[i] * weight[i];
                sums[out] = sum;
            }}
            for (int out = 0; out < {own_out}; ++out)
                y[(row * {columns} + column) * {outputs} + group * {own_out} + out] =
                    {_output(step.rescale, name, "sums[out]", f"group * {own_out} + out")};
        }}
}}"""
    text, bytes = constants(name, **arrays)
    return Layer(text, bytes, body, variables=2 * (kernel_y * (line * channels + slot - length) + size))


def _padded(count: int) -> int:
    """The next multiple of 16, for which compilers use vector instructions without a remainder; added weights are 0."""
    return -(-count // 16) * 16


def _linear(step: Weighted, name: str) -> Layer:
    outputs, inputs = step.weight.shape
    size = _padded(inputs)
    weight = np.zeros((outputs, size), np.int8)
    weight[:, :inputs] = step.weight
    body = f"""\
static int16_t wide[{size}];
int32_t sums[{outputs}];
for (int i = 0; i < {inputs}; ++i)
    wide[i] = x[i];
for (int out = 0; out < {outputs}; ++out) {{
    const int8_t *weight = {name}_weight + out * {size};
    int32_t sum = {name}_bias[out];
    for (int i = 0; i < {size}; ++i)
        sum += wide[i] * weight[i];
    sums[out] = sum;
}}
for (int out = 0; out < {outputs}; ++out)
    y[out] = {_output(step.rescale, name, "sums[out]", "out")};"""
    arrays = {"weight": weight, "bias": _bias(step), "divisor": step.rescale.divisor}
    return Layer(*constants(name, **arrays), body, variables=2 * size)


def _scale(step: Weighted, name: str) -> Layer:
    channels = step.step.input[0]
    value = _output(step.rescale, name, f"(x[i * {channels} + c] * {name}_weight[c] + {name}_bias[c])", "c")
    body = f"""\
for (int i = 0; i < {prod(step.step.input) // channels}; ++i)
    for (int c = 0; c < {channels}; ++c)
        y[i * {channels} + c] = {value};"""
    arrays = {"weight": step.weight, "bias": _bias(step), "divisor": step.rescale.divisor}
    return Layer(*constants(name, **arrays), body)


def _averaged(step: Averaged, name: str) -> Layer:
    channels, _, width = step.step.input
    _, rows, columns = step.step.output
    arrays: dict[str, Any] = {}
    for key, spans in (("row", step.step.rows), ("column", step.step.columns)):
        arrays[f"{key}_begin"] = np.array([span.begin for span in spans], np.int16)
        arrays[f"{key}_end"] = np.array([span.end for span in spans], np.int16)
    divisors = step.rescale.divisor
    same = bool((window_weights(step.step) == window_weights(step.step)[0, 0]).all())
    arrays["divisor"] = divisors[:1, 0] if same else divisors
    value = _output(step.rescale, name, "sum", "0" if same else f"row * {columns} + column")
    subtracted = f"-{step.zero} * (bottom - top) * (right - left)" if step.zero else "0"
    body = f"""\
for (int row = 0; row < {rows}; ++row)
    for (int column = 0; column < {columns}; ++column) {{
        const int top = {name}_row_begin[row], bottom = {name}_row_end[row];
        const int left = {name}_column_begin[column], right = {name}_column_end[column];
        for (int channel = 0; channel < {channels}; ++channel) {{
            int32_t sum = {subtracted};
            for (int r = top; r < bottom; ++r)
                for (int c = left; c < right; ++c)
                    sum += x[(r * {width} + c) * {channels} + channel];
            y[(row * {columns} + column) * {channels} + channel] = {value};
        }}
    }}"""
    return Layer(*constants(name, **arrays), body)


def _added(step: Added, name: str) -> Layer:
    (one, other), (zero, zero_too) = step.factors, step.zeros
    value = _output(step.rescale, name, f"{one} * (x[i] - {zero}) + {other} * (z[i] - {zero_too})", "0")
    body = f"for (int i = 0; i < {prod(step.step.output)}; ++i)\n    y[i] = {value};"
    return Layer(*constants(name, divisor=step.rescale.divisor), body)
