"""The reliability diagram: accuracy over confidence, before and after temperature scaling."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lenet.characters import visible
from lenet.evaluation.calibration import BINS, Calibration, Reliability
from lenet.report.plots import save_figure

_COLOURS = {"before": "tab:blue", "after": "tab:orange"}


def points_of(found: Reliability) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and accuracy in per cent of the bins that hold images."""
    filled = found.images > 0
    return 100 * found.confidence[filled], 100 * found.accuracy[filled]


def draw_reliability(calibration: Calibration, title: str, path: Path) -> None:
    """Accuracy over confidence on the test images, and how many images have which confidence."""
    save_figure(reliability_figure(calibration, title), path)


def reliability_figure(calibration: Calibration, title: str) -> Figure:
    """See `draw_reliability`."""
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    top.plot([0, 100], [0, 100], ":", color="0.4", lw=1, label="perfect calibration")
    edges = np.linspace(0, 100, BINS + 1)
    both = {"before": calibration.before, "after": calibration.after}
    for name, found in both.items():
        said = "uncalibrated" if name == "before" else f"temperature {calibration.temperature:.2f}"
        label = f"{said}: calibration error {100 * found.error:.1f}%"
        top.plot(*points_of(found), "o-", color=_COLOURS[name], ms=4, lw=1.5, label=label)
        percent = 100 * found.images / max(found.images.sum(), 1)
        below.stairs(percent, edges, color=_COLOURS[name], lw=1.5)
    top.set_ylabel("accuracy (%)")
    top.set_ylim(-3, 103)
    top.legend(frameon=False, fontsize=9, loc="upper left")
    below.set_xlabel("confidence: probability of the predicted class (%)")
    below.set_ylabel("test images (%)")
    below.set_xlim(0, 100)
    for axes in (top, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(visible(title), fontsize=11).set_parse_math(False)
    return figure
