"""What the writers of C layers share: a layer's code, blocks of outputs, and pieces of text."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lenet.exports.c_text import array

_TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}


@dataclass(frozen=True)
class Layer:
    """One layer's code.

    constants: their definitions; bytes: their size; body: of the function
    in_place: whether the function has only x, no y; variables: bytes of its static variables
    """

    constants: str
    bytes: int
    body: str
    in_place: bool = False
    variables: int = 0


@dataclass(frozen=True)
class Body:
    """The part of a C file that computes a network.

    text: constants, buffers and functions, and `lenet_run`, which sets the logits
    logits: the array that it sets; bytes: of constants; variables: bytes of static variables
    """

    text: str
    logits: str
    bytes: int
    variables: int


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


def part_of(outputs: int) -> int:
    """How many output channels are computed at once: one, or as many as vector registers hold well."""
    return 1 if outputs == 1 else min((8, 16), key=lambda part: (-(-outputs // part) * part, -part))


def block_of(columns: int, apart: int) -> int:
    """How many outputs of a row are computed at once; their inputs are `apart` values apart.

    Measured with gcc 12 at -O2, -O3 and -O3 -march=x86-64-v3: seven are fastest, 5 to 10 times as fast as one. Where
    the inputs are neighbours, gcc vectorizes the wrong loop of more than two.
    """
    most = min(8 if apart > 1 else 2, columns)
    return min(range(1, most + 1), key=lambda block: (-(-columns // block) * block > 1.25 * columns, abs(block - 7)))


def times(value: str, factor: int) -> str:
    """The product as C text."""
    return value if factor == 1 else f"{value} * {factor}"


def indented(lines: list[str], spaces: int) -> str:
    """Lines that stand at a place `spaces` from the margin."""
    return ("\n" + " " * spaces).join(lines)
