"""Speed of classifying images of a network's size: lenet's engine, PyTorch, and the exported files.

    python benchmarks/inference.py [RUN] [--batches 1 256] [--repeats 7]

RUN is a run folder; by default the default network is trained on CIFAR-10 for one epoch, since weights do not affect
speed. All candidates use one core and take turns on the same test images. The tables show medians of images per second,
of milliseconds per image, and of the ratio to eager PyTorch within each round. Time is CPU time, which other programs
change less than wall time.

native       lenet's native engine, packed once
eager        the network in PyTorch
onnx         the exported .onnx file (--input network) in ONNX Runtime
C -O2        the exported .c file, one image per call
C -O3        the same with -O3 -march=native
... int8     the files of --int8
"""

import argparse
import ctypes
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from comparison import machine, table

import lenet
from lenet.config import DataConfig
from lenet.data.dataset import load_dataset
from lenet.engine import native as native_engine
from lenet.engine.native_network import Inference
from lenet.exports.c_run import c_compiler
from lenet.models import plain

_SLICE = 0.25  # least duration of a measurement, in seconds
_IMAGES = 4096
_LEVELS = {"-O2": ["-O2"], "-O3": ["-O3", "-march=native"]}

# Compiled with each exported C file, so that a call from Python classifies a batch.
_LOOP = """
void many(const unsigned char *pixels, int count, int size, float *probabilities, int classes) {
    for (int i = 0; i < count; ++i)
        lenet_classify_fitted(pixels + (long)i * size, probabilities + (long)i * classes);
}
"""

Classify = Callable[[np.ndarray], object]


def native(network: torch.nn.Sequential, input_shape: tuple[int, int, int]) -> Classify:
    return Inference(plain(network), input_shape).logits


def eager(network: torch.nn.Sequential) -> Classify:
    network.eval()

    def classify(images: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            result: torch.Tensor = network(torch.from_numpy(images))
        return result

    return classify


def onnx(path: Path) -> Classify:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"image": images})


def compiled(path: Path, flags: list[str], compiler: list[str], classes: int) -> Classify:
    library, source = path.with_suffix(f".{''.join(flags).strip('-')}.so"), path.with_suffix(".loop.c")
    source.write_text(path.read_text() + _LOOP)
    shared = ["-std=c99", "-shared", "-fPIC", str(source), "-o", str(library), "-lm"]
    subprocess.run([*compiler, *flags, *shared], check=True)
    many = ctypes.CDLL(str(library)).many

    def classify(images: np.ndarray) -> np.ndarray:
        probabilities = np.empty((len(images), classes), np.float32)
        size = images[0].size
        many(ctypes.c_void_p(images.ctypes.data), len(images), size, ctypes.c_void_p(probabilities.ctypes.data),
             classes)  # fmt: skip
        return probabilities

    return classify


def candidates(run: str | Path, folder: Path) -> dict[str, Classify]:
    """What is measured, by name."""
    checkpoint = lenet.load(run)
    network = checkpoint.networks[checkpoint.number_of(None)]
    found = {"native": native(network, checkpoint.input_shape), "eager": eager(network)}
    for suffix, files in exported(run, folder).items():
        found[f"onnx{suffix}"] = onnx(files["onnx"])
        if compiler := c_compiler():
            for level, flags in _LEVELS.items():
                found[f"C {level}{suffix}"] = compiled(files["c"], flags, compiler, len(checkpoint.classes))
    return found


def exported(run: str | Path, folder: Path) -> dict[str, dict[str, Path]]:
    """The .onnx and .c files of the network in float32 and, as " int8", in 8-bit integers."""
    found: dict[str, dict[str, Path]] = {}
    for suffix, int8 in (("", False), (" int8", True)):
        found[suffix] = {ending: folder / f"net{suffix.replace(' ', '-')}.{ending}" for ending in ("onnx", "c")}
        for ending, file in found[suffix].items():
            lenet.export(run, file, input="network" if ending == "onnx" else None, int8=int8)
    return found


def rounds(found: dict[str, Classify], images: np.ndarray, batch: int, repeats: int) -> list[dict[str, float]]:
    """Images per second of each candidate in each round."""

    def timed(classify: Classify, calls: int) -> float:
        started = time.process_time()
        for call in range(calls):
            begin = call * batch % (len(images) - batch + 1)
            classify(images[begin : begin + batch])
        return time.process_time() - started

    calls = {}
    for name, classify in found.items():
        timed(classify, 1)
        count = 1
        while (seconds := timed(classify, count)) < _SLICE:
            count = max(2 * count, round(1.2 * count * _SLICE / max(seconds, 1e-6)))
        calls[name] = count
    return [
        {name: calls[name] * batch / timed(one, calls[name]) for name, one in found.items()} for _ in range(repeats)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="run folder (default: one epoch of the default network on CIFAR-10)")
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if min(options.batches) < 1 or max(options.batches) > _IMAGES or options.repeats < 1:
        parser.error(f"--batches are 1 to {_IMAGES}, --repeats 1 or more")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="lenet-bench-") as name:
        folder = Path(name)
        run = options.run
        if run is None:
            run = folder / "run"
            lenet.train("cifar10", epochs=1, out=run, data_dir=options.data_dir)
        height, width, channels = lenet.load(run).input_shape
        if (height, width, channels) != (32, 32, 3):
            sys.exit(f"{run} takes images of {height}x{width}x{channels}, not of CIFAR-10's size: give another run")
        data = load_dataset(DataConfig(data="cifar10", data_dir=options.data_dir), download=False)
        images = np.ascontiguousarray(data.images[data.test[:_IMAGES]])
        found = candidates(run, folder)
        compiler = " ".join(map(shlex.quote, c_compiler() or ["no C compiler"]))
        print(f"{machine()}; one core; native {native_engine.level()}; {compiler}; medians of {options.repeats} rounds")
        for batch in options.batches:
            each = rounds(found, images, batch, options.repeats)
            rows = []
            for name in found:
                rate = median(one[name] for one in each)
                times = median(one[name] / one["eager"] for one in each)
                rows.append({"batch": str(batch), "": name, "images/s": rate, "ms/image": f"{1000 / rate:.3f}",
                             "x eager": f"{times:.1f}"})  # fmt: skip
            print("\n" + table(rows), flush=True)


if __name__ == "__main__":
    main()
