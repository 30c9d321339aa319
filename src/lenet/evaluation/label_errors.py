"""Probably wrong labels, from out-of-fold probabilities: confident learning (Northcutt, Jiang, Chuang, JAIR 2021)."""

import numpy as np
from numpy.typing import NDArray


def ranked(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of all images, the most probably wrong label first: by the probability of the given label.

    probabilities: float64 [N, classes], of networks that were not trained on the image; labels: int64 [N]
    """
    return np.argsort(given_probability(probabilities, labels), kind="stable")


def given_probability(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [N]: the probability of each image's given label ("self-confidence")."""
    return np.asarray(probabilities[np.arange(len(labels)), labels])


def suggested(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [N]: the most probable label other than the given one."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1
    return np.asarray(others.argmax(axis=1), dtype=np.int64)


def confident_joint(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [classes, classes]: images by given label (row) and the label that they confidently have (column).

    An image confidently has a label whose probability is at least the mean of that probability over the images with
    this label; of several, the most probable. Images that confidently have none are not counted.
    """
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=given_probability(probabilities, labels), minlength=classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    above = np.where(probabilities >= thresholds - 1e-9, probabilities, -1.0)
    confident = above.max(axis=1) >= 0
    pairs = labels[confident] * classes + above[confident].argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def estimated_errors(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> int:
    """The number of images that confidently have another label than the given one."""
    joint = confident_joint(probabilities, labels)
    return int(joint.sum() - np.trace(joint))
