"""How time and memory grow with the number of images: 10,000 to 1,000,000 colour images of 32x32.

    python benchmarks/data_growth.py [--images 10000,30000,100000,300000,1000000] [--out DIR] [--picture PNG]

Each set is generated into one .npz file, a chunk at a time: ten classes, each a pattern that is shifted, dimmed and
covered by noise. Then lenet, in a process of its own for each step,

- build: reads the file, hashes all images and writes them to the cache;
- open: opens the set from the cache (median of five);
- epoch: `lenet train` with the default network and one epoch, of which training and validation are timed;
- eval: `lenet eval` on all images that it was trained on.

Seconds are CPU seconds of one thread: on a machine that others use they say more. The lines of JSON on standard error,
one per set, have the clock's beside them.

Memory is anonymous memory, the process's highest RssAnon, read 50 times a second; pages of mapped files are not among
it, as the system can drop them at any time. It includes Python and PyTorch, which the line "start" shows alone. Linux
only.

Measured on two busy cores (EPYC, AVX-512): of 1,000,000 images, 3,072 MB, opening takes 0.14 s, an epoch 27 s (30,000
images/s), making the cache 38 s; training takes 358 MB, evaluation 421 MB, making the cache 101 MB. See docs/LOG.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from comparison import machine, table

_COUNTS = "10000,30000,100000,300000,1000000"
_CHUNK = 5000
_PAUSE = 0.02  # seconds between two readings of the memory
_OPENINGS = 5
_TRAINED = 0.8  # of the images, the others are for validation and test
_COLOURS = {"build": "#2b6cb0", "train": "#c05621", "eval": "#6b46c1"}


def generated(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images uint8 [n, 32, 32, 3] and labels int64 [n] of ten classes, `count` in all."""
    random = np.random.default_rng(0)
    patterns = random.normal(0, 1, (10, 4, 4, 3)).repeat(10, axis=1).repeat(10, axis=2).astype(np.float32)  # 40x40
    for begin in range(0, count, _CHUNK):
        labels = random.integers(0, 10, min(_CHUNK, count - begin))
        left, top = random.integers(0, 9, (2, len(labels)))
        contrast = random.uniform(2, 12, (len(labels), 1, 1, 1)).astype(np.float32)
        rows, columns = (corner[:, None] + np.arange(32) for corner in (top, left))
        images = 128 + contrast * patterns[labels[:, None, None], rows[:, :, None], columns[:, None, :]]
        images += 40 * random.standard_normal(images.shape, dtype=np.float32)
        yield np.clip(images, 0, 255).astype(np.uint8), labels


def write_npz(path: Path, count: int) -> None:
    """The generated images as one .npz file with the arrays images and labels, not compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
        labels = []
        with packed.open("images.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, 32, 32, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            for images, some in generated(count):
                file.write(images.data)
                labels.append(some)
        with packed.open("labels.npy", "w") as file:
            np.lib.format.write_array(file, np.concatenate(labels))


def step(name: str, data: str, run: str) -> dict[str, float]:
    """What a process of its own does: one of the steps. Returns its CPU seconds, and those of the clock."""
    import lenet
    from lenet.config import DataConfig
    from lenet.data import load_dataset

    clock = [(time.process_time(), time.perf_counter())]

    def stop(*_: object) -> None:
        clock.append((time.process_time(), time.perf_counter()))

    if name == "load":
        load_dataset(DataConfig(data=data))
    elif name == "train":
        clock.clear()
        lenet.train(data, epochs=1, batch_size=64, threads=1, out=run, watch=stop)  # called before and after the epoch
    elif name == "eval":
        lenet.evaluate(run, split="train")
    if name != "train":
        stop()
    return {"seconds": clock[-1][0] - clock[0][0], "wall": clock[-1][1] - clock[0][1]}


def measured(name: str, data: Path, run: Path) -> dict[str, float]:
    """The step's figures, and "memory": its process's highest anonymous memory in bytes."""
    command = [sys.executable, __file__, "--step", name, "--data", str(data), "--run", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    highest = 0
    while process.poll() is None:
        highest = max(highest, anonymous(process.pid))
        time.sleep(_PAUSE)
    assert process.stdout is not None
    printed = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"the step {name} failed")
    return {**json.loads(printed.splitlines()[-1]), "memory": highest}


def anonymous(pid: int) -> int:
    """The process's anonymous memory in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def growth(count: int, place: Path) -> dict[str, float]:
    """All steps with this many images; what they leave on the disk is removed."""
    data, run = place / f"{count}.npz", place / f"run-{count}"
    write_npz(data, count)
    build = measured("load", data, run)
    opened = [measured("load", data, run) for _ in range(_OPENINGS)]
    train, evaluated = measured("train", data, run), measured("eval", data, run)
    data.unlink()
    return {
        "images": count,
        "build_seconds": build["seconds"],
        "build_wall": build["wall"],
        "open_seconds": median(one["seconds"] for one in opened),
        "open_wall": median(one["wall"] for one in opened),
        "epoch_seconds": train["seconds"],
        "epoch_wall": train["wall"],
        "build_memory": build["memory"],
        "train_memory": train["memory"],
        "eval_memory": evaluated["memory"],
    }


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Seconds, and memory beside the bytes of the images, over the number of images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    counts = [row["images"] for row in rows]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), dpi=100, layout="constrained")
    seconds = {"build the cache": "build_seconds", "train one epoch": "epoch_seconds", "open the cache": "open_seconds"}
    for (label, key), colour in zip(seconds.items(), ("#2b6cb0", "#c05621", "#2f855a"), strict=True):
        left.plot(counts, [row[key] for row in rows], "o-", color=colour, label=label, markersize=4)
    right.plot(counts, [count * 3072 / 1e6 for count in counts], "--", color="#888888", label="the images themselves")
    for name, colour in _COLOURS.items():
        memory = [row[f"{name}_memory"] / 1e6 for row in rows]
        right.plot(counts, memory, "o-", color=colour, label=name, markersize=4)
    for axes, title in ((left, "CPU seconds, one thread"), (right, "Anonymous memory, MB")):
        axes.set(xscale="log", yscale="log", xlabel="images of 32x32x3", title=title)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default=_COUNTS, help="numbers of images, with commas between")
    parser.add_argument("--out", type=Path, help="folder for the images and the cache; 13 GB at 1,000,000 images")
    parser.add_argument("--picture", type=Path, help="also draw the figures, as PNG")
    for name in ("step", "data", "run"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step, options.data, options.run)))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=options.out) as place:
        os.environ["LENET_CACHE"] = str(Path(place, "cache"))
        start = measured("start", Path(place), Path(place))["memory"]
        for count in map(int, options.images.split(",")):
            rows.append(growth(count, Path(place)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(f"{machine()}; start {start / 1e6:.0f} MB")
    print(table([
        {
            "images": f"{row['images']:,}", "build s": row["build_seconds"], "open s": row["open_seconds"],
            "epoch s": row["epoch_seconds"], "images/s": row["images"] * _TRAINED / row["epoch_seconds"],
            "build MB": row["build_memory"] / 1e6, "train MB": row["train_memory"] / 1e6,
            "eval MB": row["eval_memory"] / 1e6,
        }
        for row in rows
    ]))  # fmt: skip
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()
