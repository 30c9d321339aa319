"""Likeness: whether an image looks like the training images, or is of another kind and should not be classified.

An image is described by the mean and the standard deviation of each map of a network's first layers (see
`lenet.engine.statistics`). Its distance is the squared Mahalanobis distance of this description from those of the
training images, as in Lee, Lee, Lee, Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples",
NeurIPS 2018, but with one normal distribution for all classes and layers. docs/LOG.md compares it with other scores.
"""

import math
from dataclasses import dataclass

import numpy as np

from lenet.errors import InputError
from lenet.evaluation.rejection import fraction

DEFAULT_RATE = 0.01
FEWEST_VALIDATION = 20  # with fewer images, one in twenty or more images of the right kind would be rejected
_LEAST_DEVIATION = 1e-3  # of a statistic; one that is constant on the training images must not outweigh all others
_RIDGE = 0.01  # added to the diagonal of the correlations, which are singular with fewer images than statistics


@dataclass(frozen=True, eq=False)
class Likeness:
    """What a network's training and validation images look like.

    mean: float32 [F], mean statistics of the training images
    whitening: float32 [F, F]; (statistics - mean) @ whitening has length 0 for the mean, and its squared length is
        the distance
    distances: float32 [V], those of the validation images, ascending
    """

    mean: np.ndarray
    whitening: np.ndarray
    distances: np.ndarray

    def distance(self, statistics: np.ndarray) -> np.ndarray:
        """float32 [N], 0 or more, for statistics float32 [N, F]; infinite where they are not finite."""
        with np.errstate(all="ignore"):
            squared: np.ndarray = np.square((statistics - self.mean) @ self.whitening).sum(axis=1)
        squared[~np.isfinite(squared)] = math.inf
        return squared

    def threshold(self, rate: float | str) -> float:
        """The distance above which at most `rate` of images like the validation images lie, on average over them.

        rate: "auto", which is 1% or the lowest that the number of validation images V allows, 1 / (V + 1); "none", for
            which the threshold is infinite; otherwise a fraction, 0.01 or "1%"

        It is the split conformal threshold (Vovk, Gammerman, Shafer 2005). It promises nothing about how many other
        images are rejected. Raises InputError for an invalid rate, or one below 1 / (V + 1).
        """
        if rate == "none":
            return math.inf
        count = len(self.distances)
        lowest = 1 / (count + 1)
        wanted = max(DEFAULT_RATE, lowest) if rate == "auto" else unlike_rate(rate)
        beyond = math.floor((count + 1) * wanted + 1e-9)
        if not beyond:
            raise InputError(
                f"--reject-unlike {100 * wanted:g}% is too low for {count:,} validation images (lowest possible: "
                f"{math.ceil(1000 * lowest) / 10:g}%): choose a higher one, or train with more validation images"
            )
        return float(self.distances[count - beyond])

    def rejected(self, threshold: float) -> float:
        """The fraction of the validation images that lie above the threshold."""
        return float((self.distances > threshold).mean())


def likeness(train: np.ndarray, val: np.ndarray) -> Likeness | None:
    """The likeness from the statistics of training and validation images, float32 [N, F] and [V, F].

    None with fewer than 20 validation images, and for statistics that are not finite.
    """
    if len(val) < FEWEST_VALIDATION or not np.isfinite(train).all() or not np.isfinite(val).all():
        return None
    wide = train.astype(np.float64)
    mean = wide.mean(axis=0)
    deviation = wide.std(axis=0).clip(min=_LEAST_DEVIATION)
    scaled = (wide - mean) / deviation
    correlation = scaled.T @ scaled / len(scaled)
    np.fill_diagonal(correlation, 1 + _RIDGE)
    # With correlation = L Lᵀ, the rows of L⁻¹ whiten: the squared length of L⁻¹ x is xᵀ correlation⁻¹ x.
    inverse = np.linalg.inv(np.linalg.cholesky(correlation))
    whitening = np.ascontiguousarray(inverse.T / deviation[:, None], np.float32)
    found = Likeness(mean.astype(np.float32), whitening, np.empty(0, np.float32))
    distances = np.sort(found.distance(val))
    return Likeness(found.mean, found.whitening, distances) if np.isfinite(distances).all() else None


def unlike_rate(value: float | str) -> float:
    """0.01 or "1%" as a fraction. Raises InputError unless it lies above 0 and below 1."""
    return fraction(value, "reject_unlike must be auto, none, or lie above 0% and below 100%, such as 1% or 0.01")
