"""Export: a trained network as one file that needs no lenet, compared with the network before it is written."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.commands.predict import load
from lenet.config import Config, checked
from lenet.data.memory import Images, given_data
from lenet.data.source import MEMORY, Source
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError, did_you_mean
from lenet.exports.formats import Format, Int8, format_of, int8_of
from lenet.exports.network import Exported, read_network
from lenet.exports.onnx import Input
from lenet.exports.proof import Proof, made_up, prove
from lenet.exports.proof_int8 import Costs, IntegerProof, Side, logits_in_turn, prove_integers
from lenet.exports.quantize import CALIBRATION_IMAGES, quantized
from lenet.exports.quantized import logits_of
from lenet.exports.result import Export
from lenet.exports.steps import Conv, Floats, Linear, every_step
from lenet.files import check_new_file, given_file, written_whole
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.kinds import check_not_of_a_run
from lenet.runs.run import Run
from lenet.runs.trained import as_trained, own_config

_SAMPLES = 18  # images that a file may contain
_TIMED = 256  # images on which speed is measured


def export(
    run: str | Path | Run,
    file: str | Path,
    *,
    network: int | None = None,
    overwrite: bool = False,
    input: Input | None = None,
    int8: bool = False,
    data: str | Path | Images | Any = None,
    data_dir: str | Path | None = None,
) -> Export:
    """Write a network of a run as one file whose ending chooses the format: .onnx, .c (C99),
    .html (a page that classifies images in the browser), .pt2 (torch.export) or .safetensors (state_dict).

    network: the network's number; by default the best by validation
    overwrite: replace an existing file
    input: of .onnx files: "any" (the default) for images of any height and width, "network" for images of the
        network's size
    int8: for .onnx and .c files: the network in 8-bit integers, the same in both formats, with ranges from 1,000
        training images. `Export.int8` compares accuracy, size and speed with the float network
    data: the images that the run was trained on, if they were passed from Python or have moved: as for `lenet.train`
    data_dir: folder in which the run's dataset is found; by default the run's. Nothing is downloaded

    The file is compared with the network on all test images: the same class, except for ties, and probabilities
    within 1e-5; if the test images are not found, on images that lenet makes up. If it differs, nothing is written.
    A file of integers must give the same logits as lenet's integers, to the last bit.

    Raises InputError if the run, the network or the ending does not exist, if the file exists, belongs to a run or
    cannot be written, if the format needs a package that is not installed, if `data` are other images, or if the file
    differs from the network.
    """
    file, (named, memory) = given_file(file), given_data(data)
    format = format_of(file)
    takes = format.inputs[0] if input is None else input
    if takes not in format.inputs:
        hint = did_you_mean(str(input), format.inputs) if len(format.inputs) > 1 else ": leave it out"
        raise InputError(f"no input '{input}' for {file.suffix} files{hint}")
    integer_format = int8_of(file) if int8 else None
    check_not_of_a_run(file)
    check_new_file(file, overwrite)  # before the run is read
    with preserved_torch():
        run = run if isinstance(run, Run) else Run(run)
        checkpoint = load(run)
        number = checkpoint.number_of(network)
        described = read_network(run, checkpoint, number)
        config = own_config(run, checkpoint, data_dir)
        if data is not None:
            config = replace(config, **checked({"data": named}))
        pictures = _images(run, checkpoint, number, config, memory, needed=data is not None)
        task = _Task(described, checkpoint.networks[number], pictures, takes)
        write = partial(_write_int8, format, integer_format) if integer_format else partial(_write_float, format)
        with TemporaryDirectory(prefix="lenet-export-") as scratch, written_whole(file) as aside:
            size, proof, costs = write(task, aside, Path(scratch))
        unproven = "" if proof else f"there is no {format.needs}"
        use = format.use(described, takes)
        return Export(file, size, described, run.path, takes, use, proof, unproven, costs)


@dataclass(frozen=True, eq=False)
class _Pictures:
    """The run's images.

    images: all of them, uint8 [N, size, size, C]; labels: int64 [N]
    train, test: indices; names: what to call the test images; reason: why there are none, if so
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    names: list[str]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Task:
    described: Exported
    network: nn.Sequential
    pictures: _Pictures
    takes: Input

    def samples(self) -> NDArray[np.uint8]:
        """Images that the file may contain."""
        test = self.pictures.test
        return self.pictures.images[_spread(test)] if len(test) else made_up(self.described)[:_SAMPLES]


def _write_float(format: Format, task: _Task, aside: BinaryIO, scratch: Path) -> tuple[int, Proof | None, None]:
    content = format.written(task.described, task.network, task.samples(), task.takes)
    aside.write(content)
    aside.flush()
    proof, pictures = None, task.pictures
    if compute := format.computer(Path(aside.name), scratch):
        proof = prove(
            task.described, task.network, compute, pictures.images, pictures.test,
            any_size=task.takes == "any", reason=pictures.reason, names=pictures.names,
        )  # fmt: skip
    return len(content), proof, None


def _write_int8(
    float_format: Format, format: Int8, task: _Task, aside: BinaryIO, scratch: Path
) -> tuple[int, IntegerProof | None, Costs]:
    described, pictures = task.described, task.pictures
    if pictures.reason:
        raise InputError(f"--int8 needs the run's images, to find the ranges of activations: {pictures.reason}")
    some = np.random.default_rng(0).permutation(pictures.train)[:CALIBRATION_IMAGES]
    integers = quantized(described, pictures.images[np.sort(some)])
    samples = task.samples()
    content = format.written(described, integers, samples, task.takes)
    aside.write(content)
    aside.flush()
    proof, path, test = None, Path(aside.name), pictures.test
    logits = logits_in_turn(lambda some: logits_of(integers, some), pictures.images, test)
    if compute := format.computer(path, scratch):
        proof = prove_integers(
            described, integers, compute, pictures.images, test, logits,
            any_size=task.takes == "any", names=pictures.names,
        )  # fmt: skip
    plain = scratch / "float"
    plain.write_bytes(float_format.written(described, task.network, samples, task.takes))
    plain_logits = logits_in_turn(
        lambda some: torch_engine.logits(task.network, some, Settings()), pictures.images, test
    )
    labels = pictures.labels[test]
    timed = np.resize(samples, (_TIMED, *samples.shape[1:]))
    weights = 4 * sum(step.weight.size for step in every_step(described.steps) if isinstance(step, (Conv, Linear)))
    sides = (
        Side(_accuracy(plain_logits, labels), weights, plain.stat().st_size, format.speed(plain, scratch, timed)),
        Side(_accuracy(logits, labels), integers.weight_bytes, len(content), format.speed(path, scratch, timed)),
    )
    return len(content), proof, Costs(*sides, len(test))


def _accuracy(logits: Floats, labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _spread(test: NDArray[np.int64]) -> NDArray[np.int64]:
    return test[np.linspace(0, len(test) - 1, min(len(test), _SAMPLES)).astype(np.int64)]


def _images(
    run: Run, checkpoint: Checkpoint, number: int, config: Config, memory: Source | None, needed: bool
) -> _Pictures:
    """The run's images, with the training images of network `number`; without any, the reason.

    needed: raise InputError for the reason
    """
    empty = np.empty(0, np.int64)
    none = partial(_Pictures, np.empty((0, *checkpoint.input_shape), np.uint8), empty, empty, empty, [])
    try:
        dataset = as_trained(run, config, memory, download=False)
    except InputError as error:
        if needed:
            raise
        passed = "they were passed from Python: pass them again, as data, to lenet.export"
        return none(passed if config.data == MEMORY else str(error))
    reason = "" if len(dataset.test) else f"{dataset.source} has no test images"
    if dataset.images.shape[1:] != checkpoint.input_shape:
        found, wanted = ("x".join(map(str, shape)) for shape in (dataset.images.shape[1:], checkpoint.input_shape))
        reason = f"the images of {dataset.source} are {found}, the network takes {wanted}"
    if reason and needed:
        raise InputError(f"{reason}: pass the images that the run was trained on", options=["data"])
    if reason:
        return none(reason)
    files = dataset.files
    names = [f"test image {n}" + (f" ({files[i]})" if files else "") for n, i in enumerate(dataset.test.tolist())]
    own = dataset.for_network(checkpoint.seeds[number] - config.seed)  # with folds, each network has its own
    return _Pictures(dataset.images, dataset.labels, own.train, dataset.test, names)
