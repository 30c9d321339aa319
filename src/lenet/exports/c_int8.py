"""The layers of a quantized network as C functions of bytes. Maps are stored [row][column][channel].

The sums are int32 (`c_sums.py`); `integers.c` makes them bytes.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lenet.exports.arithmetic import window_weights
from lenet.exports.c_code import Body, Layer, constants, flatten, max_pool
from lenet.exports.c_program import Node, Program, Value
from lenet.exports.c_sums import conv_of_bytes, linear_of_bytes, output, pool_of_sums
from lenet.exports.c_text import real
from lenet.exports.c_weights import bias_of
from lenet.exports.quantized import Added, Averaged, Integer, Looked, Moved, Quantized, Weighted
from lenet.exports.steps import Conv, Flatten, Linear, MaxPool


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
    calls = "\n    ".join(["lenet_mention();", *program.calls])
    run = f"static void lenet_run(const uint8_t *pixels) {{\n    {calls}\n}}\n"
    shared = Path(__file__).with_name("integers.c").read_text(encoding="utf-8")
    text = "\n".join([shared, program.definitions(), *program.functions, run])
    return Body(text, last.array, program.constants, program.variables, program.more)


def _nodes(steps: Sequence[Integer]) -> list[Node]:
    """A convolution and the pool after it are one node where that is possible."""
    found, gives, left = [], "uint8_t", deque(steps)
    while left:
        step = left.popleft()
        if isinstance(step, (Weighted, Averaged)) and step.rescale.output is None:
            gives = "float"
        branches = (_nodes(step.body), _nodes(step.shortcut)) if isinstance(step, Added) else ()
        pool = pool_of_sums(step, left[0]) if left else None
        whole = step.step
        if pool:
            left.popleft()
            whole = replace(whole, output=pool.output)
        found.append(Node(whole, partial(_layer, step, pool), gives, branches))
    return found


def _layer(step: Integer, pool: MaxPool | None, name: str) -> Layer | None:
    match step:
        case Weighted(step=Conv() as conv):
            return conv_of_bytes(step, conv, pool, name)
        case Weighted(step=Linear()):
            return linear_of_bytes(step, name)
        case Weighted():
            return _scale(step, name)
        case Averaged():
            return _averaged(step, name)
        case Looked():
            body = f"for (int i = 0; i < {prod(step.step.input)}; ++i)\n    y[i] = {name}_values[x[i]];"
            return Layer(*constants(name, values=step.values), body)
        case Moved(step=MaxPool() as alone):
            return max_pool(alone, "uint8_t", "0")
        case Moved(step=Flatten() as flat):
            return flatten(flat)
        case Added():
            return _added(step, name)
    raise AssertionError(step)


def _scale(step: Weighted, name: str) -> Layer:
    channels = step.step.input[0]
    value = output(step.rescale, name, f"(x[i * {channels} + c] * {name}_weight[c] + {name}_bias[c])", "c")
    body = f"""\
for (int i = 0; i < {prod(step.step.input) // channels}; ++i)
    for (int c = 0; c < {channels}; ++c)
        y[i * {channels} + c] = {value};"""
    arrays = {"weight": step.weight, "bias": bias_of(step), "divisor": step.rescale.divisor}
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
    value = output(step.rescale, name, "sum", "0" if same else f"row * {columns} + column")
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
    value = output(step.rescale, name, f"{one} * (x[i] - {zero}) + {other} * (z[i] - {zero_too})", "0")
    body = f"for (int i = 0; i < {prod(step.step.output)}; ++i)\n    y[i] = {value};"
    return Layer(*constants(name, divisor=step.rescale.divisor), body)
