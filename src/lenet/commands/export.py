"""Export: a trained network as one file that needs no lenet, compared with the network before it is written."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from lenet.commands.evaluate import as_trained, own_config
from lenet.commands.predict import chosen_network, load
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError, did_you_mean
from lenet.exports.formats import format_of
from lenet.exports.network import exported
from lenet.exports.onnx import Input
from lenet.exports.proof import made_up, prove
from lenet.exports.result import Export
from lenet.files import check_new_file, written_whole
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run

_SAMPLES = 18  # images that a file may contain


def export(
    run: str | Path | Run,
    file: str | Path,
    *,
    network: int | None = None,
    overwrite: bool = False,
    input: Input | None = None,
    data_dir: str | Path | None = None,
) -> Export:
    """Write a network of a run as one file whose ending chooses the format: .onnx, .c (C99),
    .html (a page that classifies images in the browser), .pt2 (torch.export) or .safetensors (state_dict).

    network: the network's number; by default the best by validation
    overwrite: replace an existing file
    input: of .onnx files: "any" (the default) for images of any height and width, "network" for images of the
        network's size
    data_dir: folder in which the run's dataset is found; by default the run's. Nothing is downloaded

    The file is compared with the network on all test images: the same class, except for ties, and probabilities
    within 1e-5; if the test images are not found, on images that lenet makes up. If it differs, nothing is written.

    Raises InputError if the run, the network or the ending does not exist, if the file exists or cannot be written, if
    the format needs a package that is not installed, or if the file differs from the network.
    """
    file = Path(file)
    format = format_of(file)
    takes = format.inputs[0] if input is None else input
    if takes not in format.inputs:
        hint = did_you_mean(str(input), format.inputs) if len(format.inputs) > 1 else ": leave it out"
        raise InputError(f"no input '{input}' for {file.suffix} files{hint}")
    check_new_file(file, overwrite)  # before the run is read
    with preserved_torch():
        run = run if isinstance(run, Run) else Run(run)
        checkpoint = load(run)
        number = chosen_network(checkpoint, network)
        described = exported(run, checkpoint, number)
        images, test, names, reason = _test_images(run, checkpoint, data_dir)
        samples = images[_spread(test)] if len(test) else made_up(described)[:_SAMPLES]
        trained = checkpoint.networks[number]
        content = format.written(described, trained, samples, takes)
        proof = None
        with TemporaryDirectory(prefix="lenet-export-") as scratch, written_whole(file) as aside:
            aside.write(content)
            aside.flush()
            if compute := format.computer(Path(aside.name), Path(scratch)):
                proof = prove(
                    described, trained, compute, images, test, any_size=takes == "any", reason=reason, names=names
                )
        unproven = "" if proof else f"there is no {format.needs}"
        return Export(file, len(content), described, run.path, takes, format.use(described, takes), proof, unproven)


def _spread(test: NDArray[np.int64]) -> NDArray[np.int64]:
    return test[np.linspace(0, len(test) - 1, min(len(test), _SAMPLES)).astype(np.int64)]


def _test_images(
    run: Run, checkpoint: Checkpoint, data_dir: str | Path | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str], str]:
    """All images, the indices of the test images and what to call these; without any, the reason."""
    none = np.empty((0, *checkpoint.input_shape), np.uint8), np.empty(0, np.int64), list[str]()
    config = own_config(run, checkpoint, data_dir)
    try:
        dataset = as_trained(run, config, download=False)
    except InputError as error:
        return *none, str(error)
    if dataset.images.shape[1:] != checkpoint.input_shape or not len(dataset.test):
        return *none, f"{dataset.source} has none of {'x'.join(map(str, checkpoint.input_shape))}"
    files = dataset.files
    names = [f"test image {n}" + (f" ({files[i]})" if files else "") for n, i in enumerate(dataset.test.tolist())]
    return dataset.images, dataset.test, names, ""
