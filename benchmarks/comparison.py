"""Commands timed in turns, so that a machine whose speed drifts is fair to all of them."""

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
    """One figure's values, a run each."""

    each: list[float]

    @property
    def median(self) -> float:
        """The value to quote."""
        return median(self.each)


def alternate(commands: Mapping[str, Sequence[str]], repeats: int) -> dict[str, dict[str, Figures]]:
    """Run each script beside this file `repeats` times, in turns; each prints its figures as JSON in its last line."""
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
    """The rows as aligned text, their keys the header."""
    header = list(rows[0])
    cells = [header, *([_shown(row[key]) for key in header] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def machine() -> str:
    """The processor's name and what vectors it has."""
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        facts = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        facts = {key.strip(): value.strip() for key, value in facts.items()}
        name = facts.get("model name", name)
        flags = " with AVX-512" if "avx512f" in facts.get("flags", "") else " with AVX2"
    return f"{name}{flags}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return str(value)
