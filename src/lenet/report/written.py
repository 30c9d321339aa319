"""What is printed of a written report."""

from collections.abc import Mapping
from pathlib import Path

from lenet.errors import counted

_PARTS = {
    "scores": "confusion matrix and classes", "mistakes": "images of mistakes", "calibration": "reliability",
    "filters": "filters", "live": "live network", "curves": "learning curves", "copies": "copies",
    "importance": "what mattered", "confirmation": "confirmation",
}  # fmt: skip


def report_lines(file: Path, size: int, missing: Mapping[str, str]) -> list[str]:
    """The file, and the parts that are left out, once for each reason."""
    lines = [f"report  {file}, {counted(size, 'byte')}"]
    for reason in dict.fromkeys(missing.values()):
        parts = [_PARTS[part] for part, why in missing.items() if why == reason]
        lines.append(f"note    without {', '.join(parts)}: {reason}")
    return lines
