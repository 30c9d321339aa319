"""Probably wrong labels, from out-of-fold probabilities: how probable each label is to be wrong.

The model: an image's true label has the probabilities q = softmax(log(p) / t), where p are those of the networks, and a
label i was given as j with the probability N[i, j]. N is counted among anchors, images whose class is all but certain
(after Patrini et al. 2017): of those predicted as a class the most confident tenth, or 30 if that is more. Their labels
show which classes were confused by whoever labelled them, and which errors are random. Counts are few, so they are
shrunk towards equal probabilities, as far as the counts themselves allow (empirical Bayes). Anchors of a weak network
are not certain at all, so only a part of the counted noise is taken: s and the temperature t are the values under which
the given labels are most likely, with the noise I + s (N - I).

Confident learning (Northcutt, Jiang, Chuang, JAIR 2021) has the mean probability of a class as threshold instead, so it
counts hard images too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_ANCHORS = 0.1  # of the images predicted as a class, but at least
_LEAST = 30
_TEMPERATURES = (0.05, 20.0)
_STRENGTHS = 10.0 ** np.arange(0, 4.25, 0.25)  # images that a prior counts as
_TINY = 1e-12  # added to probabilities before their logarithm is taken


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What is probable of the labels of N images.

    noise: float64 [classes, classes], the probability that the row's class was given as the column's
    wrong: float64 [N], the probability that the label is wrong
    suggested: int64 [N], the most probable label other than the given one
    right: float64 [N], the probability that the suggested label is the true one
    ranked: int64 [N], positions, the most probably wrong label first
    """

    noise: Floats
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
    logs -= logs.max(axis=1, keepdims=True)
    classes, every = probabilities.shape[1], np.arange(len(labels))
    noise = noise_matrix(probabilities, labels)

    def true(log_temperature: float) -> Floats:
        """[N, classes]: the probability of each true label before the given one is known."""
        raised = np.exp(logs / np.exp(log_temperature))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def likelihoods(q: Floats) -> tuple[Floats, Floats]:
        """[N]: the probability of the given labels without noise, and with it."""
        return q[every, labels], (q * noise[:, labels].T).sum(axis=1)

    def cost(log_temperature: float) -> float:
        without, noisy = likelihoods(true(log_temperature))
        return -float(np.log(without + _scale(without, noisy) * (noisy - without) + _TINY).mean())

    low, high = np.log(_TEMPERATURES)
    q = true(minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-3}).x)
    noise = np.eye(classes) + _scale(*likelihoods(q)) * (noise - np.eye(classes))
    found = q * noise[:, labels].T
    found /= np.maximum(found.sum(axis=1, keepdims=True), _TINY)
    # Not 1 - found[label]: of the many that are all but certain, the order would be lost to rounding.
    own, others = found[every, labels].copy(), found
    others[every, labels] = -1
    suggested = np.asarray(others.argmax(axis=1), dtype=np.int64)
    right = others[every, suggested]
    wrong = np.clip(1 - own, 0, 1)
    return LabelErrors(noise, wrong, suggested, np.minimum(right, wrong), np.argsort(own, kind="stable"))


def _scale(without: Floats, noisy: Floats) -> float:
    """The part of the noise, 0 to 1, that makes the labels most likely; the log-likelihood is concave in it."""
    low, high = 0.0, 1.0
    gain = noisy - without
    for _ in range(40):
        middle = (low + high) / 2
        rising = float((gain / (without + middle * gain + _TINY)).sum()) > 0
        low, high = (middle, high) if rising else (low, middle)
    return (low + high) / 2


def noise_matrix(probabilities: Floats, labels: Labels) -> Floats:
    """float64 [classes, classes]: the probability that the row's class was given as the column's; rows sum to 1."""
    classes = probabilities.shape[1]
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    counts = np.zeros((classes, classes))
    for number in range(classes):
        own = np.flatnonzero(predicted == number)
        first = own[np.argsort(-confidence[own], kind="stable")[: max(_LEAST, round(_ANCHORS * len(own)))]]
        counts[number] = np.bincount(labels[first], minlength=classes)
    images, right = counts.sum(axis=1), np.diag(counts)
    rate = 1 - right.sum() / max(images.sum(), 1)
    rates = _shrunk(np.stack([right, images - right], axis=1), np.array([1 - rate, rate]))[:, 1]
    others = counts[~np.eye(classes, dtype=bool)].reshape(classes, classes - 1)
    spread = _shrunk(others, np.full(classes - 1, 1 / (classes - 1)))
    noise = np.diag(1 - rates)
    noise[~np.eye(classes, dtype=bool)] = (rates[:, None] * spread).ravel()
    return noise


def _shrunk(counts: Floats, mean: Floats) -> Floats:
    """Each row's frequencies, shrunk towards `mean` by the Dirichlet prior that makes the counts most likely.

    counts: float64 [rows, values]; mean: float64 [values]
    """
    mean = np.maximum(mean, _TINY)
    total = counts.sum(axis=1)

    def evidence(strength: float) -> float:
        prior = strength * mean
        each = gammaln(counts + prior).sum(axis=1) - gammaln(prior).sum()
        return float((each + gammaln(strength) - gammaln(strength + total)).sum())

    strength = max(_STRENGTHS, key=evidence)
    return np.asarray((counts + strength * mean) / (total + strength)[:, None])
