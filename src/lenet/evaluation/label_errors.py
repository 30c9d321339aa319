"""Probably wrong labels, from out-of-fold probabilities: how probable each label is to be wrong.

The model: an image's true label has the probabilities q = softmax(log(p) / T), where p are those of the networks; a
fraction e of the labels was replaced by one of the other classes, each equally probable (symmetric label noise,
Natarajan et al. 2013). T and e are the values under which the given labels are most likely. Confident learning
(Northcutt, Jiang, Chuang, JAIR 2021) counts the images above a class's mean probability, so it counts hard images too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_TEMPERATURES = (0.05, 20.0)
_MOST_WRONG = 0.5  # largest fraction of wrong labels that is considered
_TINY = 1e-12  # added to probabilities before their logarithm is taken


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What is probable of the labels of N images.

    temperature, fraction: T and e of the model
    wrong: float64 [N], the probability that the label is wrong
    suggested: int64 [N], the most probable label other than the given one
    right: float64 [N], the probability that the suggested label is the true one
    ranked: int64 [N], positions, the most probably wrong label first
    """

    temperature: float
    fraction: float
    wrong: Floats
    suggested: Labels
    right: Floats
    ranked: Labels

    @property
    def estimated(self) -> int:
        """The estimated number of wrong labels."""
        return round(float(self.wrong.sum()))


def label_errors(probabilities: Floats, labels: Labels) -> LabelErrors:
    """Fit the model to the labels, int64 [N].

    probabilities: float64 [N, classes], of networks that were not trained on the image
    """
    logs = np.log(probabilities + _TINY)

    def cost(log_temperature: float) -> float:
        given = _of(_sharpened(logs, np.exp(log_temperature)), labels)
        return -_log_likelihood(given, _fraction(given, logs.shape[1]), logs.shape[1])

    low, high = np.log(_TEMPERATURES)
    temperature = float(np.exp(minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-3}).x))
    true = _sharpened(logs, temperature)
    given, others = _of(true, labels), true.copy()
    others[np.arange(len(labels)), labels] = -1
    suggested = np.asarray(others.argmax(axis=1), dtype=np.int64)
    fraction = _fraction(given, logs.shape[1])
    spread = fraction / (logs.shape[1] - 1)
    likelihood = (1 - fraction) * given + spread * (1 - given)
    wrong, right = (spread * each / np.maximum(likelihood, _TINY) for each in (1 - given, _of(true, suggested)))
    return LabelErrors(temperature, fraction, wrong, suggested, right, np.argsort(given, kind="stable"))


def _sharpened(logs: Floats, temperature: float) -> Floats:
    """The probabilities of the logarithms at this temperature."""
    raised = np.exp((logs - logs.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _of(probabilities: Floats, labels: Labels) -> Floats:
    """float64 [N]: the probability of each image's label."""
    return np.asarray(probabilities[np.arange(len(labels)), labels])


def _log_likelihood(given: Floats, fraction: float, classes: int) -> float:
    return float(np.log((1 - fraction) * given + fraction * (1 - given) / (classes - 1) + _TINY).mean())


def _fraction(given: Floats, classes: int) -> float:
    """The fraction of wrong labels that makes the labels most likely; the log-likelihood is concave in it.

    given: float64 [N], the probability of each image's label
    """
    low, high = 0.0, _MOST_WRONG
    gain = (1 - given) / (classes - 1) - given
    for _ in range(40):
        middle = (low + high) / 2
        rising = (gain / (given + middle * gain + _TINY)).sum() > 0
        low, high = (middle, high) if rising else (low, middle)
    return (low + high) / 2
