"""The command that writes a network as a file: export."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from lenet.cli.flags import DataDirOfRun, RunFolder, Whole
from lenet.cli.interrupt import loading
from lenet.report.console import PlainConsole


def export(
    run: RunFolder, file: Path, /, *, network: Whole | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    input: Literal["any", "network"] | None = None, int8: Annotated[bool, Parameter(negative="")] = False,
    data_dir: DataDirOfRun = None,
) -> None:  # fmt: skip
    """Write a trained network as one file that needs no lenet.

    The file takes raw pixels and gives calibrated probabilities. It is written
    only if it equals the network on all test images: the same class, except for
    ties, and probabilities within 1e-5; with --int8, if it equals lenet's own
    integers. Without a C compiler (.c) or Node.js (.html) it is written without
    this comparison.

    Parameters
    ----------
    file
        File to write. Its ending chooses the format: .onnx (needs "lenet[export]"),
        .c (one C99 file), .html (a page that classifies images in the browser), .pt2
        (torch.export) or .safetensors (state_dict).
    network
        Number of the network: 0, 1, ... Default: the best by validation.
    overwrite
        Replace an existing file.
    input
        Images that an .onnx file takes: any (of any height and width; the default) or network (of the network's size).
        A .c or .html file takes any; .pt2 and .safetensors take images of the network's size.
    int8
        Write the network in 8-bit integers, for .onnx and .c files. Weights take a quarter of the memory; the accuracy
        may change, and is printed. Ranges come from 1,000 training images.
    """
    with loading():
        from lenet.commands.export import export as run_export
        from lenet.report.export import export_lines

    written = run_export(run, file, network=network, overwrite=overwrite, input=input, int8=int8, data_dir=data_dir)
    PlainConsole().lines(*export_lines(written))
