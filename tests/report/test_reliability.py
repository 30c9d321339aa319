"""The reliability diagram."""

import numpy as np

from lenet.evaluation.calibration import Calibration, reliability
from lenet.report.reliability import points_of, reliability_figure


def test_diagram_shows_filled_bins_before_and_after():
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 4, (500, 3)), random.integers(0, 3, 500)
    found = Calibration(2.0, reliability(logits, labels), reliability(logits / 2, labels))
    figure = reliability_figure(found, "a $title$")
    diagonal, before, after = figure.axes[0].lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 100]
    for line, one in ((before, found.before), (after, found.after)):
        confidence, accuracy = points_of(one)
        assert len(confidence) == (one.images > 0).sum()
        assert list(line.get_xdata()) == list(confidence)
        assert list(line.get_ydata()) == list(accuracy)
    assert f"{100 * found.after.error:.1f}%" in after.get_label()
    figure.canvas.draw()
