"""Calibration: whether a network that is 80% sure is right 80% of the time, and one temperature that mends it.

Temperature scaling and the expected calibration error: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural
Networks", ICML 2017.
"""

from dataclasses import dataclass

import numpy as np

from lenet.evaluation.scores import confidences, probabilities, rows

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # a temperature lies between these
_HALVINGS = 40  # of the interval of 1 / T, whose ends are reached to 2e-11
_FEWEST_WRONG = 10  # with fewer wrong validation images, one image more or less moves the temperature too far


@dataclass(frozen=True, eq=False)
class Reliability:
    """A network's confidence, the probability of the predicted class, beside its accuracy, in bins of confidence.

    Bin k of 15 holds the images with confidence in (k/15, (k+1)/15].

    images: int64 [15], images per bin
    confidence, accuracy: float64 [15], means over the bin's images, 0..1; 0 in empty bins
    """

    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1: sum over bins of images / N * |accuracy - confidence|."""
        gaps = self.images * np.abs(self.accuracy - self.confidence)
        return float(gaps.sum() / max(self.images.sum(), 1))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A network's temperature, fitted on validation images, and its reliability on test images without and with it."""

    temperature: float
    before: Reliability
    after: Reliability


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T in 0.05..20 that minimises the cross-entropy of logits / T, float [N, classes], N > 0.

    1 if fewer than ten images are classified wrongly, which say too little. The cross-entropy is convex in 1 / T; its
    derivative is the mean of (expected logit - logit of the label).
    """
    if (logits.argmax(axis=1) != labels).sum() < _FEWEST_WRONG:
        return 1.0

    def slope(inverse: float) -> float:
        each = np.empty(len(labels))
        for some in rows(len(labels)):
            wide = logits[some].astype(np.float64)
            wide -= wide.max(axis=1, keepdims=True)
            given = wide[np.arange(len(wide)), labels[some]]
            each[some] = (probabilities(wide * inverse) * wide).sum(axis=1) - given
        return float(each.mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) <= 0:
        return LOWEST
    # Bisection, since importing scipy.optimize for its root finders takes 0.3 to 1.1 s of every training.
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) >= 0 else (middle, high)
    return 2 / (low + high)


def reliability(logits: np.ndarray, labels: np.ndarray) -> Reliability:
    """The reliability of float [N, classes] logits against int64 [N] labels."""
    confidence, right = confidences(logits), logits.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    images = np.bincount(bins, minlength=BINS)
    means = [np.bincount(bins, weights, BINS) / np.maximum(images, 1) for weights in (confidence, right)]
    return Reliability(images, *means)
