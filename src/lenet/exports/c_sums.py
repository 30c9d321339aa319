"""Convolutions and linear layers of bytes as C functions: sums of products of bytes and int8 weights.

Most functions have their loops twice, of which the compiler takes one: portable ones of int16, which compilers turn
into vector instructions, and ones of `integers.c` for processors that multiply bytes four at a time. Sums of integers
are the same in any order. Maps are stored [row][column][channel].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.exports.c_code import Layer, constants, indented, times
from lenet.exports.quantized import Integer, Rescale, Weighted
from lenet.exports.steps import Conv, Linear, MaxPool

_LANES = 8  # sums of a vector of integers.c


def output(rescale: Rescale, name: str, value: str, channel: str) -> str:
    """The output's value of an int32 sum."""
    divisor = f"{name}_divisor[{channel}]"
    if rescale.output is None:
        return f"(float){value} / {divisor}"
    return f"lenet_byte({value}, {divisor}, {rescale.low}, {rescale.output.zero})"


def bias_of(step: Weighted, groups: int = 1) -> NDArray[np.int32]:
    """The bias for inputs from which nothing is subtracted."""
    weight = step.weight.astype(np.int64)
    if isinstance(step.step, (Conv, Linear)):
        inputs = step.zeros.astype(np.int64).reshape(groups, -1).repeat(len(weight) // groups, axis=0)
        shifts = (weight.reshape(*weight.shape[:2], -1).sum(axis=2) * inputs).sum(axis=1)
    else:
        shifts = weight * step.zeros
    return np.asarray(step.bias - shifts, np.int32)


@dataclass(frozen=True)
class _Kernel:
    """How the inputs of one output lie in `lines`, and its weights in an array.

    rows: of the kernel; across: pieces of such a row; length: values of a piece; slot: the same with zeros
    apart: values between the inputs of neighbouring outputs
    side: of the square of outputs of which the largest counts; 1 if no pool follows
    """

    rows: int
    across: int
    length: int
    slot: int
    apart: int
    side: int

    @property
    def size(self) -> int:
        """The number of weights of an output."""
        return _padded(self.rows * self.across * self.slot)


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
    kernel = _Kernel(kernel_y, across, length, slot, conv.stride[1] * channels, 2 if pool else 1)
    weight = np.zeros((outputs, kernel_y * across, slot), np.int8)
    weight[:, :, :length] = step.weight.transpose(0, 2, 3, 1).reshape(outputs, kernel_y * across, length)
    arrays = _arrays(step, weight.reshape(outputs, -1), conv.groups)

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
        static, loops = map(_either, _of_vectors(step, conv, name, kernel, columns), (static, loops))
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
    return Layer(text, bytes, body, variables=variables, more=_packed(outputs, kernel.size) if vectors else 0)


def linear_of_bytes(step: Weighted, name: str) -> Layer:
    outputs, inputs = step.weight.shape
    size, blocks = _padded(inputs), _vectors(outputs)
    together = _near_full(blocks, 8)
    portable = f"""\
for (int out = 0; out < {outputs}; ++out)
    sums[out] = lenet_sum({name}_bias[out], wide, {name}_weight + out * {size}, {size});"""
    vectors = f"""\
{_packing(name, outputs, size)}
for (int begin = 0; begin < {blocks}; begin += {together}) {{
    const int first = {_LANES} * (begin < {blocks - together} ? begin : {blocks - together});
{indented(_first_sums(name, together, 1), 4)}
    for (int i = 0; i < {size}; i += 8) {{
        const int8_t *weights = packed + first * {size} + i * {_LANES};
{indented(_products(size, together, ["wide + i"], 2), 8)}
    }}
{indented([f"_mm256_storeu_si256((void *)(sums + first + {_LANES * b}), s0_{b});" for b in range(together)], 4)}
}}"""
    body = f"""\
static lenet_input wide[{size}];
int32_t sums[{_LANES * blocks}];
for (int i = 0; i < {inputs}; ++i)
    wide[i] = x[i];
{_either(vectors, portable)}
for (int out = 0; out < {outputs}; ++out)
    y[out] = {output(step.rescale, name, "sums[out]", "out")};"""
    text, bytes = constants(name, **_arrays(step, step.weight))
    return Layer(text, bytes, body, variables=2 * size, more=_packed(outputs, size))


def _arrays(step: Weighted, weight: NDArray[np.int8], groups: int = 1) -> dict[str, Any]:
    """The layer's constants; zeros after each output's weights, and biases and divisors of whole vectors."""
    outputs, inputs = weight.shape
    padded = np.zeros((outputs, _padded(inputs)), np.int8)
    padded[:, :inputs] = weight
    more = (0, _LANES * _vectors(outputs) - outputs)
    bias, divisor = np.pad(bias_of(step, groups), more), np.pad(step.rescale.divisor, more, constant_values=1)
    return {"weight": padded, "bias": bias, "divisor": divisor}


def _padded(count: int) -> int:
    """The next multiple of 16, for which compilers use vector instructions without a remainder; added weights are 0."""
    return -(-count // 16) * 16


def _vectors(outputs: int) -> int:
    return -(-outputs // _LANES)


def _near_full(count: int, most: int) -> int:
    """The largest part of at most `most` with which parts cover `count` with little computed twice."""
    parts = range(1, min(count, most) + 1)
    return max(parts, key=lambda part: (-(-count // part) * part <= 1.25 * count, part))


def _either(vectors: str, portable: str) -> str:
    return f"#ifdef LENET_VNNI\n{vectors}\n#else\n{portable}\n#endif"


def _portable(step: Weighted, conv: Conv, name: str, kernel: _Kernel, columns: int) -> tuple[str, str]:
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


def _of_vectors(step: Weighted, conv: Conv, name: str, kernel: _Kernel, columns: int) -> tuple[str, str]:
    """The same with vectors of eight outputs: one or two of them at several places at once."""
    assert step.rescale.output
    outputs, side, size, vectors = conv.output[0], kernel.side, kernel.size, _vectors(conv.output[0])
    together = 2 if vectors % 2 == 0 else 1
    block = _near_full(columns, max(1, {1: 8, 2: 6}[together] // side**2))  # 8 or 12 sums, of at least 16 registers
    # gcc moves all sums at the end of a loop, which therefore adds several products to each.
    fours = next(count for count in (4, 3, 2, 1) if -(-kernel.length // 4) % count == 0)
    places = [(dy, p * side + dx) for p in range(block) for dy in range(side) for dx in range(side)]
    bytes = [f"bytes{dy}{_plus(column * kernel.apart)}" for dy, column in places]
    start = f"{times('column', side * kernel.apart)} + i"
    pointers = [f"const uint8_t *bytes{dy} = lines[ky{_plus(dy * conv.stride[0])}] + {start};" for dy in range(side)]
    stored = []
    for p in range(block):
        for b in range(together):
            most, *others = [f"s{place}_{b}" for place in range(p * side**2, (p + 1) * side**2)]
            for other in others:
                most = f"_mm256_max_epi32({most}, {other})"
            to, count = f"to{_plus(p * outputs + _LANES * b)}", _stored(outputs, b)
            stored.append(f"lenet_bytes({most}, {name}_divisor + first{_plus(_LANES * b)}, {step.rescale.low}, "
                          f"{step.rescale.output.zero}, {to}, {count});")  # fmt: skip
    loops = f"""\
for (int begin = 0; begin < {columns}; begin += {block}) {{
    const int column = begin < {columns - block} ? begin : {columns - block};
    for (int first = 0; first < {_LANES * vectors}; first += {_LANES * together}) {{
        uint8_t *to = y + (row * {columns} + column) * {outputs} + first;
{indented(_first_sums(name, together, len(places)), 8)}
        for (int ky = 0; ky < {kernel.rows}; ++ky)
            for (int i = 0; i < {kernel.length}; i += {4 * fours}) {{
{indented(pointers, 16)}
                const int8_t *weights = packed + first * {size} + (ky * {kernel.slot} + i) * {_LANES};
{indented(_products(size, together, bytes, fours), 16)}
            }}
{indented(stored, 8)}
    }}
}}"""
    return _packing(name, outputs, size), loops


def _packed(outputs: int, size: int) -> int:
    """The bytes of weights in the order of vectors."""
    return _LANES * _vectors(outputs) * size


def _packing(name: str, outputs: int, size: int) -> str:
    """The weights in the order of vectors, packed by the first call."""
    return f"""\
static int8_t packed[{_packed(outputs, size)}];
static int ready;
if (!ready)
    lenet_pack({name}_weight, {outputs}, {size}, packed);
ready = 1;"""


def _first_sums(name: str, together: int, places: int) -> list[str]:
    """The variables of the sums, a vector for each place and eight outputs, which begin with the bias."""
    return [
        f"__m256i s0_{b} = lenet_load({name}_bias + first{_plus(_LANES * b)})"
        + "".join(f", s{place}_{b} = s0_{b}" for place in range(1, places))
        + ";"
        for b in range(together)
    ]


def _products(size: int, together: int, places: Sequence[str], fours: int) -> list[str]:
    """Four inputs of each place times their weights of each vector, added to the sums; then the next four."""
    return [
        line
        for four in range(fours)
        for b in range(together)
        for line in (
            f"const __m256i w{four}_{b} = lenet_load(weights{_plus(_LANES * (b * size + 4 * four))});",
            *(
                f"s{n}_{b} = lenet_dot(s{n}_{b}, {bytes}{_plus(4 * four)}, w{four}_{b});"
                for n, bytes in enumerate(places)
            ),
        )
    ]


def _stored(outputs: int, b: int) -> str:
    """How many bytes of vector b are outputs."""
    rest = outputs % _LANES
    if rest == 0:
        return str(_LANES)
    return f"first + {_LANES * (b + 1)} <= {outputs} ? {_LANES} : {rest}"


def _plus(offset: int) -> str:
    return f" + {offset}" if offset else ""
