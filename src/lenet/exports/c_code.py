"""What the writers of float and int8 C layers share: functions, pools, blocks of outputs, and pieces of text."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lenet.exports.c_text import array
from lenet.exports.steps import Flatten, MaxPool, Step

_TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}


@dataclass(frozen=True)
class Layer:
    """One layer's code.

    constants: their definitions; bytes: their size; body: of the function
    in_place: whether the function has only x, no y; variables: bytes of its static variables
    more: further bytes of them if it is compiled for a processor with VNNI
    """

    constants: str
    bytes: int
    body: str
    in_place: bool = False
    variables: int = 0
    more: int = 0


@dataclass(frozen=True)
class Body:
    """The part of a C file that computes a network.

    text: constants, buffers and functions, and `lenet_run`, which sets the logits
    logits: the array that it sets; bytes: of constants; variables: bytes of static variables
    more: further bytes of them if the file is compiled for a processor with VNNI
    """

    text: str
    logits: str
    bytes: int
    variables: int
    more: int = 0


def constants(name: str, **arrays: Any) -> tuple[str, int]:
    """Definitions of arrays, of the type of their values (float32 if these are floats), and their bytes."""
    text, size = "", 0
    for key, values in arrays.items():
        found = np.asarray(values)
        if found.dtype.kind == "f":
            found = found.astype(np.float32)
        text += array(_TYPES[found.dtype.name], f"{name}_{key}", found)
        size += found.nbytes
    return text, size


def function(step: Step, layer: Layer, name: str, arguments: str) -> str:
    """The step's constants and its function."""
    shapes = f"{'x'.join(map(str, step.input))} to {'x'.join(map(str, step.output))}"
    body = f"static void {name}({arguments}) {{\n{indented(layer.body, 4)}\n}}\n"
    return f"/* {step.where}, {shapes} */\n{layer.constants}\n{body}"


def block_of(columns: int) -> int:
    """How many outputs of a row are computed at once.

    Seven are fastest of 4 to 8, measured with gcc 12 and clang 14 at -O2, -O3, and -O3 with AVX2 and with AVX-512.
    """
    return min(
        range(1, min(8, columns) + 1), key=lambda block: (-(-columns // block) * block > 1.25 * columns, abs(block - 7))
    )


def times(value: str, factor: int) -> str:
    """The product as C text."""
    return value if factor == 1 else f"{value} * {factor}"


def max_pool(step: MaxPool, kind: str, least: str) -> Layer:
    """kind: the C type of the values; least: a value that none is below."""
    channels, height, width = step.input
    _, rows, columns = step.output
    top, left, *_ = step.padding
    row, column = (
        f"{times(place, stride)} + {times(offset, dilation)}" + (f" - {before}" if before else "")
        for place, offset, stride, dilation, before in zip(
            ("row", "column"), ("ky", "kx"), step.stride, step.dilation, (top, left), strict=True
        )
    )
    row_lines, column_lines = [f"const int r = {row};"], [f"const int c = {column};"]
    if any(step.padding):
        row_lines += [f"if (r < 0 || r >= {height})", "    continue;"]
        column_lines += [f"if (c < 0 || c >= {width})", "    continue;"]
    body = f"""\
for (int row = 0; row < {rows}; ++row)
    for (int column = 0; column < {columns}; ++column) {{
        {kind} *most = y + (row * {columns} + column) * {channels};
        for (int channel = 0; channel < {channels}; ++channel)
            most[channel] = {least};
        for (int ky = 0; ky < {step.kernel[0]}; ++ky) {{
{indented(row_lines, 12)}
            for (int kx = 0; kx < {step.kernel[1]}; ++kx) {{
{indented(column_lines, 16)}
                const {kind} *values = x + (r * {width} + c) * {channels};
                for (int channel = 0; channel < {channels}; ++channel)
                    most[channel] = values[channel] > most[channel] ? values[channel] : most[channel];
            }}
        }}
    }}"""
    return Layer("", 0, body)


def flatten(step: Flatten) -> Layer | None:
    """From channels last to channel by channel; None if that changes nothing."""
    channels, height, width = step.input
    if channels == 1 or height * width == 1:
        return None
    body = f"""\
for (int c = 0; c < {channels}; ++c)
    for (int i = 0; i < {height * width}; ++i)
        y[c * {height * width} + i] = x[i * {channels} + c];"""
    return Layer("", 0, body)


def indented(text: str | list[str], spaces: int) -> str:
    """Lines at a place `spaces` from the margin; those of the preprocessor stay at the margin."""
    lines = text.splitlines() if isinstance(text, str) else text
    return "\n".join(line if line.startswith("#") else " " * spaces + line for line in lines)
