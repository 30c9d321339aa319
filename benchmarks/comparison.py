"""Commands timed in turn, so that changes in the machine's speed affect all of them, and the options they share."""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figures:
    """Values of one measure, one per run."""

    each: list[float]

    @property
    def median(self) -> float:
        """The median of the runs."""
        return median(self.each)


def alternate(commands: Mapping[str, Sequence[str]], repeats: int) -> dict[str, dict[str, Figures]]:
    """Run the scripts in this folder in turn, `repeats` times each.

    commands: name -> script and its arguments. The last line that a script prints is a JSON object; its numbers are
    returned by name of the command and of the number.
    """
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, (script, *arguments) in commands.items():
            command = [sys.executable, str(HERE / script), *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            lines[name].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        name: {
            key: Figures([float(run[key]) for run in runs])
            for key, value in runs[0].items()
            if not isinstance(value, str)
        }
        for name, runs in lines.items()
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as an aligned table with their keys as the header."""
    header = list(rows[0])
    cells = [header, *([_shown(row[key]) for key in header] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def machine() -> str:
    """The processor's name and vector instruction set."""
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        facts = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        facts = {key.strip(): value.strip() for key, value in facts.items()}
        name = facts.get("model name", name)
        flags = " with AVX-512" if "avx512f" in facts.get("flags", "") else " with AVX2"
    return f"{name}{flags}"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options of a script that trains one network on CIFAR-10 and prints its speed as JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--model", default="lenet5-modern")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=4000, help="number of training images")
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return str(value)
