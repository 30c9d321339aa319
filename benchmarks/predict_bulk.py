"""`lenet predict` on a folder of photographs beside plain Pillow, both on two cores.

    python benchmarks/predict_bulk.py [--images 2000] [--repeats 5] [--data-dir DIR]

The photographs are 640x480 JPEG files: CIFAR-10's images (the digits where CIFAR-10 is missing) enlarged, with sensor
noise. The peers are two processes of plain Pillow: "decode" loads the files and does nothing else, "decode, resize"
also crops and resizes them to 32x32 as every classifier needs them. lenet decodes, resizes and predicts, as the command
line does, and once more without its start (loading Python and PyTorch), which is measured with one image. All take
turns. On a machine that others use, CPU time per photograph says more than photographs per second.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from comparison import machine, table
from PIL import Image

import lenet
from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.data.dataset import find_auto

_WIDTH, _HEIGHT = 640, 480


def write_photographs(folder: Path, count: int, data_dir: str | None) -> int:
    """Write the JPEG files; return their bytes together."""
    dataset = load_dataset(DataConfig(data=find_auto(data_dir), data_dir=data_dir, channels=3))
    random = np.random.default_rng(0)
    noise = [random.normal(0, 4, (_HEIGHT, _WIDTH, 3)).astype(np.float32) for _ in range(8)]
    total = 0
    for number in range(count):
        image = Image.fromarray(dataset.images[number % len(dataset.images)])
        large = np.asarray(image.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC), np.float32)
        pixels = np.clip(large + noise[number % len(noise)], 0, 255).astype(np.uint8)
        path = folder / f"{number:05}.jpg"
        Image.fromarray(pixels).save(path, quality=85)
        total += path.stat().st_size
    return total


def decode(paths: list[str]) -> float:
    """Decode the files with plain Pillow; the CPU seconds that it took."""
    begin = time.process_time()
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return time.process_time() - begin


def decode_and_resize(paths: list[str]) -> float:
    """As `decode`, and crop and resize each to 32x32."""
    begin = time.process_time()
    left = (_WIDTH - _HEIGHT) / 2
    for path in paths:
        with Image.open(path) as image:
            image.resize((32, 32), Image.Resampling.BILINEAR, box=(left, 0, left + _HEIGHT, _HEIGHT))
    return time.process_time() - begin


def predict(run: Path, images: str | Path) -> float:
    """Run the command line; the CPU seconds that it took."""
    command = [sys.executable, "-m", "lenet.cli", "predict", str(run), str(images), "--format", "csv"]
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def timed(work: Callable[[], float]) -> np.ndarray:
    """Wall and CPU seconds of a call that returns its CPU seconds."""
    begin = time.perf_counter()
    cpu = work()
    return np.array([time.perf_counter() - begin, cpu])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        folder, run = Path(place, "photographs"), Path(place, "run")
        folder.mkdir()
        size = write_photographs(folder, options.images, options.data_dir)
        lenet.train("digits", size=32, channels=3, epochs=1, out=run)
        paths = sorted(map(str, folder.iterdir()))
        halves = [paths[::2], paths[1::2]]

        measured: dict[str, list[np.ndarray]] = {name: [] for name in ("decode", "decode, resize", "lenet", "start")}
        with get_context("spawn").Pool(2) as pool:
            pool.map(decode, [half[:8] for half in halves])  # both have loaded Pillow
            for _ in range(options.repeats):
                measured["decode"].append(timed(lambda: sum(pool.map(decode, halves, chunksize=1))))
                measured["decode, resize"].append(timed(lambda: sum(pool.map(decode_and_resize, halves, chunksize=1))))
                measured["lenet"].append(timed(lambda: predict(run, folder)))
                measured["start"].append(timed(lambda: predict(run, paths[0])))
    each = {name: np.array(figures) for name, figures in measured.items()}  # [repeats, (wall, CPU)]
    start = float(np.median(each["start"][:, 0]))
    each["lenet without start"] = each["lenet"] - each.pop("start")
    rows = []
    for name, figures in each.items():
        wall, cpu = np.median(each["decode"] / figures, axis=0)
        row = {"": name, "images/s": float(np.median(options.images / figures[:, 0])), "ratio": float(wall)}
        rows.append(row | {"CPU ms/image": float(np.median(1000 * figures[:, 1] / options.images)), "CPU ratio": cpu})
    print(f"{machine()}, {len(os.sched_getaffinity(0))} cores; medians of {options.repeats} runs, start {start:.1f} s")
    print(f"{options.images:,} photographs of {_WIDTH}x{_HEIGHT}, {size / options.images / 1000:.0f} kB each")
    print(table(rows))


if __name__ == "__main__":
    main()
