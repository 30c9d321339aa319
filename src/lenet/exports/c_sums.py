"""Convolutions and linear layers of bytes as C functions: sums of products of bytes and int8 weights.

Most functions have their loops twice, of which the compiler takes one: portable ones of int16, here, which compilers
turn into vector instructions, and those of `c_vectors.py` for processors that multiply bytes four at a time. Sums of
integers are the same in any order. Maps are stored [row][column][channel].
"""

import numpy as np

from lenet.exports.c_code import Layer, constants, indented, times
from lenet.exports.c_vectors import conv_in_vectors, linear_in_vectors, packed_bytes
from lenet.exports.c_weights import LANES, Kernel, arrays_of, padded, vectors_of
from lenet.exports.quantized import Integer, Rescale, Weighted
from lenet.exports.steps import Conv, MaxPool


def output(rescale: Rescale, name: str, value: str, channel: str) -> str:
    """The output's value of an int32 sum."""
    divisor = f"{name}_divisor[{channel}]"
    if rescale.output is None:
        return f"(float){value} / {divisor}"
    return f"lenet_byte({value}, {divisor}, {rescale.low}, {rescale.output.zero})"


def pool_of_sums(step: Integer, then: Integer) -> MaxPool | None:
    """The pool `then`, if `conv_of_bytes` can do it: a larger sum never gives a smaller byte, so that it pools sums."""
    if not (isinstance(step, Weighted) and isinstance(step.step, Conv) and step.rescale.output):
        return None
    pool = then.step
    if not isinstance(pool, MaxPool) or any(pool.padding) or step.step.dilation[0] > 1:
        return None
    return pool if (pool.kernel, pool.stride, pool.dilation) == ((2, 2), (2, 2), (1, 1)) else None


def conv_of_bytes(step: Weighted, conv: Conv, pool: MaxPool | None, name: str) -> Layer:
    """A convolution, and the maxima of its 2x2 squares if a pool is given.

    `lines` are the rows under the kernel, or under those of a square, with their padding. A kernel's row of inputs is
    one piece of a line, unless there are groups or dilation.
    """
    channels, _, width = conv.input
    outputs, rows, columns = (pool or conv).output
    own_in, kernel_y, kernel_x = step.weight.shape[1:]
    in_one = conv.groups == 1 and conv.dilation[1] == 1
    across, length = (1, kernel_x * own_in) if in_one else (kernel_x, own_in)
    slot = -(-length // 8) * 8 if in_one and length > 4 else length
    kernel = Kernel(kernel_y, across, length, slot, conv.stride[1] * channels, 2 if pool else 1)
    weight = np.zeros((outputs, kernel_y * across, slot), np.int8)
    weight[:, :, :length] = step.weight.transpose(0, 2, 3, 1).reshape(outputs, kernel_y * across, length)
    arrays = arrays_of(step, weight.reshape(outputs, -1), conv.groups)

    held = kernel_y + (kernel.side - 1) * conv.stride[0]
    down = f"{times('row', kernel.side * conv.stride[0])} + {times('line', conv.dilation[0])}"
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
        lines[line][i * {channels} + in] = from[in];
}}"""
    else:
        line = width
        filled = f"""\
for (int i = 0; i < {width * channels}; ++i)
    lines[line][i] = x[({down}) * {width * channels} + i];"""
    places = line * channels + slot - length
    static, loops = _portable(step, conv, name, kernel, columns)
    vectors = in_one and slot % 4 == 0 and step.rescale.output is not None
    if vectors:
        static, loops = map(_either, conv_in_vectors(step, conv, name, kernel, columns), (static, loops))
    body = f"""\
static lenet_input lines[{held}][{places}];
{static}
for (int row = 0; row < {rows}; ++row) {{
    for (int line = 0; line < {held}; ++line)
{indented(filled, 8)}
{indented(loops, 4)}
}}"""
    text, bytes = constants(name, **arrays)
    variables = 2 * (held * places + kernel.size)
    return Layer(text, bytes, body, variables=variables, more=packed_bytes(outputs, kernel.size) if vectors else 0)


def linear_of_bytes(step: Weighted, name: str) -> Layer:
    outputs, inputs = step.weight.shape
    size = padded(inputs)
    portable = f"""\
for (int out = 0; out < {outputs}; ++out)
    sums[out] = lenet_sum({name}_bias[out], wide, {name}_weight + out * {size}, {size});"""
    body = f"""\
static lenet_input wide[{size}];
int32_t sums[{LANES * vectors_of(outputs)}];
for (int i = 0; i < {inputs}; ++i)
    wide[i] = x[i];
{_either(linear_in_vectors(name, outputs, size), portable)}
for (int out = 0; out < {outputs}; ++out)
    y[out] = {output(step.rescale, name, "sums[out]", "out")};"""
    text, bytes = constants(name, **arrays_of(step, step.weight))
    return Layer(text, bytes, body, variables=2 * size, more=packed_bytes(outputs, size))


def _either(vectors: str, portable: str) -> str:
    return f"#ifdef LENET_VNNI\n{vectors}\n#else\n{portable}\n#endif"


def _portable(step: Weighted, conv: Conv, name: str, kernel: Kernel, columns: int) -> tuple[str, str]:
    """Static variables, and the loops for a row of outputs: each output's inputs as one `patch`, in a dot product."""
    channels, outputs, groups, side = conv.input[0], conv.output[0], conv.groups, kernel.side
    own_in, own_out, size, slot, across = channels // groups, outputs // groups, kernel.size, kernel.slot, kernel.across
    column = f"({times('column', side)} + dx)" if side > 1 else "column"
    start = times(f"({times(column, conv.stride[1])} + {times('kx', conv.dilation[1])})", channels)
    line = f"lines[{times('dy', conv.stride[0])} + ky]" if side > 1 else "lines[ky]"
    number = f"(group * {own_out} + out)" if groups > 1 else "out"
    sums = f"""\
for (int ky = 0; ky < {kernel.rows}; ++ky)
    for (int kx = 0; kx < {across}; ++kx)
        for (int i = 0; i < {slot}; ++i)
            patch[(ky * {across} + kx) * {slot} + i] = {line}[{start} + group * {own_in} + i];
for (int out = 0; out < {own_out}; ++out)
    sums[out] = lenet_sum({name}_bias[{number}], patch, {name}_weight + {number} * {size}, {size});"""
    if side > 1:
        sums = f"""\
int32_t most[{own_out}];
for (int out = 0; out < {own_out}; ++out)
    most[out] = INT32_MIN;
for (int dy = 0; dy < {side}; ++dy)
    for (int dx = 0; dx < {side}; ++dx) {{
{indented(sums, 8)}
        for (int out = 0; out < {own_out}; ++out)
            most[out] = most[out] > sums[out] ? most[out] : sums[out];
    }}"""
    value = output(step.rescale, name, "most[out]" if side > 1 else "sums[out]", number)
    loops = f"""\
for (int column = 0; column < {columns}; ++column)
    for (int group = 0; group < {groups}; ++group) {{
        int32_t sums[{own_out}];
{indented(sums, 8)}
        for (int out = 0; out < {own_out}; ++out)
            y[(row * {columns} + column) * {outputs} + group * {own_out} + out] = {value};
    }}"""
    return f"static int16_t patch[{size}];", loops
