"""The start of `lenet predict`: one image, by the native engine and, as without it, by PyTorch.

    python benchmarks/predict_start.py [--repeats 7]

Both classify the same digit in a new process, in turn; bytecode is compiled before. LENET_NATIVE_DIR names an empty
folder for PyTorch's turn. The figures are medians of wall and CPU seconds. On a machine that others use, CPU seconds
say more.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from comparison import machine, table
from PIL import Image

import lenet
from lenet.config import DataConfig
from lenet.data import load_dataset


def started(run: Path, image: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of one prediction in a new process."""
    before, begun = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "lenet.cli", "predict", str(run), str(image)]
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    wall, after = time.perf_counter() - begun, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        run, image, empty = (Path(place, name) for name in ("run", "digit.png", "empty"))
        empty.mkdir()
        lenet.train("digits", epochs=1, out=run)
        Image.fromarray(load_dataset(DataConfig(data="digits")).images[0][:, :, 0]).save(image)
        # Installed packages have bytecode; a checkout may be used without writing it.
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        plain["PYTHONPYCACHEPREFIX"] = str(Path(place, "bytecode"))
        environments = {"native": plain, "PyTorch": plain | {"LENET_NATIVE_DIR": str(empty)}}
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in environments}
        for number in range(options.repeats + 1):
            for name, environment in environments.items():
                seconds = started(run, image, environment)
                if number:  # the first compiles
                    measured[name].append(seconds)
    rows = []
    for name, figures in measured.items():
        wall, cpu = np.median(figures, axis=0)
        ratio = np.median(np.divide(measured["PyTorch"], figures), axis=0)
        rows.append({"": name, "s": float(wall), "ratio": float(ratio[0]), "CPU s": float(cpu), "CPU ratio": ratio[1]})
    print(f"{machine()}; medians of {options.repeats} runs")
    print(table(rows))


if __name__ == "__main__":
    main()
