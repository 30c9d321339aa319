"""The formats of exported files, by the ending of a file's name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.errors import InputError, did_you_mean
from lenet.exports.c import CHECKS, c_text, c_use
from lenet.exports.c_run import c_computer, c_speed
from lenet.exports.network import Exported
from lenet.exports.onnx import INPUTS, Input, onnx_bytes, onnx_computer, onnx_speed, onnx_use
from lenet.exports.page import page_bytes, page_checks, page_use
from lenet.exports.page_run import page_computer
from lenet.exports.proof import Compute, network_probabilities
from lenet.exports.proof_int8 import integer_results
from lenet.exports.pytorch import (
    pt2_bytes,
    pt2_computer,
    pt2_use,
    safetensors_bytes,
    safetensors_computer,
    safetensors_use,
)  # fmt: skip
from lenet.exports.quantized import Quantized


@dataclass(frozen=True)
class Format:
    """One format.

    written: (network as steps, network, some images of its size, which images the file takes) to the file's content
    computer: a written file, and a folder for what it needs to run, to the function that computes probabilities with
        it, or None if `needs` is missing here; raises InputError if the file does not run
    use: what a file takes and gives, in a line
    needs: what `computer` needs that is not a package
    inputs: which images a file may be made for, the default first
    int8: the same for networks in 8-bit integers; None: the format has none
    """

    written: Callable[[Exported, nn.Sequential, NDArray[np.uint8], Input], bytes]
    computer: Callable[[Path, Path], Compute | None]
    use: Callable[[Exported, Input], str]
    needs: str = ""
    inputs: tuple[Input, ...] = ("any",)
    int8: "Int8 | None" = None


@dataclass(frozen=True)
class Int8:
    """How a format holds a network in 8-bit integers.

    written: (network, its integers, some images of its size, which images the file takes) to the file's content
    computer: as that of `Format`, for a function that gives the logits too, after the probabilities
    speed: a written file, float or int8, a folder for what it needs to run, and images of the network's size, to images
        per second on one core; None if `needs` is missing
    """

    written: Callable[[Exported, Quantized, NDArray[np.uint8], Input], bytes]
    computer: Callable[[Path, Path], Compute | None]
    speed: Callable[[Path, Path, NDArray[np.uint8]], float | None]


def _c(exported: Exported, network: nn.Sequential, images: NDArray[np.uint8], takes: Input) -> bytes:
    checks, shapes = _c_checks(exported, images)
    wanted = [network_probabilities(exported, network, checks.reshape(shape)) for shape in shapes]
    return c_text(exported, checks, np.concatenate(wanted)).encode()


def _c_int8(exported: Exported, integers: Quantized, images: NDArray[np.uint8], takes: Input) -> bytes:
    checks, shapes = _c_checks(exported, images)
    wanted = [integer_results(exported, integers, checks.reshape(shape))[0] for shape in shapes]
    return c_text(exported, checks, np.concatenate(wanted), integers).encode()


def _c_checks(exported: Exported, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[tuple[int, ...]]]:
    """The check images, and how they are shaped: as they are, as one tall and as one wide image."""
    checks = np.resize(images[:: max(1, len(images) // CHECKS)], (CHECKS, *images.shape[1:]))  # repeated if too few
    side, _, channels = exported.input_shape
    return checks, [
        (CHECKS, side, side, channels),
        (1, CHECKS * side, side, channels),
        (1, side, CHECKS * side, channels),
    ]


def _page(exported: Exported, network: nn.Sequential, images: NDArray[np.uint8], takes: Input) -> bytes:
    return page_bytes(exported, page_checks(exported, network, images))


FORMATS: dict[str, Format] = {
    ".onnx": Format(
        written=lambda exported, network, images, takes: onnx_bytes(exported, takes),
        computer=lambda path, scratch: onnx_computer(path),
        use=onnx_use,
        inputs=INPUTS,
        int8=Int8(
            written=lambda exported, integers, images, takes: onnx_bytes(exported, takes, integers),
            computer=lambda path, scratch: onnx_computer(path, logits=True),
            speed=lambda path, scratch, images: onnx_speed(path, images),
        ),
    ),
    ".c": Format(
        written=_c,
        computer=c_computer,
        use=lambda exported, takes: c_use(exported),
        needs="C compiler (set CC)",
        int8=Int8(written=_c_int8, computer=partial(c_computer, integers=True), speed=c_speed),
    ),
    ".html": Format(
        written=_page,
        computer=page_computer,
        use=lambda exported, takes: page_use(exported),
        needs="Node.js here; the page verifies its check images when it loads",
    ),
    ".pt2": Format(
        written=lambda exported, network, images, takes: pt2_bytes(exported, network),
        computer=lambda path, scratch: pt2_computer(path),
        use=lambda exported, takes: pt2_use(exported),
        inputs=("network",),
    ),
    ".safetensors": Format(
        written=lambda exported, network, images, takes: safetensors_bytes(exported, network),
        computer=lambda path, scratch: safetensors_computer(path),
        use=lambda exported, takes: safetensors_use(exported),
        inputs=("network",),
    ),
}


def format_of(file: Path) -> Format:
    """The format for the file's ending. Raises InputError if there is none."""
    ending = file.suffix.lower()
    if ending not in FORMATS:
        known = ", ".join(FORMATS)
        if not ending:
            raise InputError(f"{file} has no ending, which chooses the format: give it one of {known}")
        raise InputError(f"{file}: no format '{ending}'{did_you_mean(ending, FORMATS)}")
    return FORMATS[ending]


def int8_of(file: Path) -> Int8:
    """How the format of the file's ending holds integers. Raises InputError if it does not."""
    known = format_of(file).int8
    if known is None:
        endings = " and ".join(ending for ending, format in FORMATS.items() if format.int8)
        raise InputError(f"--int8 is for {endings} files, not {file.suffix}: leave it out or choose another ending")
    return known
