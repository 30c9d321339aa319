"""The formats of exported files, by the ending of a file's name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lenet.errors import InputError, did_you_mean
from lenet.exports.network import Exported
from lenet.exports.onnx import INPUTS, Input, onnx_bytes, onnx_computer, onnx_use
from lenet.exports.proof import Compute


@dataclass(frozen=True)
class Format:
    """One format.

    meaning: what such a file is, for messages and help
    written: (network as steps, network, which images it takes) to the file's content
    computer: a written file to the function that computes probabilities with it; raises InputError if it does not run
    use: what a file takes and gives, in a line
    inputs: which images a file may be made for, the default first
    """

    meaning: str
    written: Callable[[Exported, nn.Sequential, Input], bytes]
    computer: Callable[[Path, Exported], Compute]
    use: Callable[[Exported, Input], str]
    inputs: tuple[Input, ...] = ("any",)


FORMATS: dict[str, Format] = {
    ".onnx": Format(
        "ONNX, for ONNX Runtime and others",
        lambda exported, network, takes: onnx_bytes(exported, takes),
        lambda path, exported: onnx_computer(path),
        onnx_use,
        INPUTS,
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
