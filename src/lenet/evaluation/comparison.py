"""Difference between two runs' test accuracies, with a confidence interval, from predictions of the same images."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """The difference between the test accuracies of two runs. Accuracies lie in 0..1.

    difference: mean accuracy of the second run's networks minus that of the first's
    low, high: its 95% confidence interval; see `half_width`
    networks: number of networks of each run
    images: number of test images
    only_first, only_second: images that only one of the two best networks (by validation) classifies correctly
    p: p-value of McNemar's test of these two counts; `better` does not use it, since it ignores the choice of seed
    """

    difference: float
    low: float
    high: float
    networks: tuple[int, int]
    images: int
    only_first: int
    only_second: int
    p: float

    @property
    def covers_seeds(self) -> bool:
        """Whether the interval includes the variation between seeds, which takes at least two networks per run."""
        return min(self.networks) > 1

    @property
    def better(self) -> Literal["first", "second"] | None:
        """The run with the higher accuracy if the interval includes seeds and excludes 0, else None."""
        if not self.covers_seeds or self.low <= 0 <= self.high:
            return None
        return "second" if self.difference > 0 else "first"


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_], best: tuple[int, int]) -> Paired:
    """Compare two runs by which images each network classifies correctly: bool [networks, images], the same images.

    best: index of each run's best network by validation
    """
    count, networks = first.shape[1], (len(first), len(second))
    difference = float(second.mean() - first.mean())
    seeds, interaction = zip(*(_seed_variances(right) for right in (first, second)), strict=True)
    half = float(half_width(_image_variance(first, second), seeds, sum(interaction), networks, count))
    one, other = first[best[0]], second[best[1]]
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return Paired(
        difference=difference,
        low=max(difference - half, -1.0),
        high=min(difference + half, 1.0),
        networks=networks,
        images=count,
        only_first=only_first,
        only_second=only_second,
        p=mcnemar(only_first, only_second),
    )


def half_width(images: Any, seeds: Any, interaction: Any, networks: tuple[int, int], count: int) -> NDArray[np.float64]:
    """Half the width of the 95% interval of the difference between two runs' mean accuracies. Broadcasts over arrays.

    images: variance of the difference due to the choice of test images, for these networks
    seeds: (first, second) variance of each run's mean accuracy due to the choice of networks, on these images
    interaction: variance contained in both, since which images are hard differs between networks
    networks: number of networks of each run
    count: number of test images

    Each independent variance is multiplied by the square of its own quantile of Student's t; then they are added. The
    interval covers at least 95% for any true variances (Banerjee 1960); Welch's does not with few networks. It is
    never narrower than the interval for the choice of images alone, and equals that if a run has one network.
    benchmarks/comparison_coverage.py compares it with other intervals.
    """
    from scipy.special import stdtrit  # importing it takes 0.1 s

    def squared_quantile(freedom: int) -> float:
        return float(stdtrit(freedom, (1 + _LEVEL) / 2)) ** 2

    only_images = squared_quantile(count + 1) * np.asarray(images)
    if min(networks) == 1:
        return np.sqrt(only_images)
    both = squared_quantile(count + 1) * np.maximum(images - interaction, 0)
    for variance, number in zip(seeds, networks, strict=True):
        both = both + squared_quantile(number - 1) * variance
    return np.asarray(np.sqrt(np.maximum(both, only_images)))


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of McNemar's exact test of the images that only one of two networks classifies correctly.

    The mid-p value counts half of the observed outcome's probability (Fagerland et al. 2013).
    """
    from scipy.special import bdtr

    fewer, total = min(only_first, only_second), only_first + only_second
    return float(min(1.0, bdtr(fewer, total, 0.5) + (bdtr(fewer - 1, total, 0.5) if fewer else 0.0)))


def _image_variance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Variance of the difference due to the choice of images.

    Two images are added, each classified correctly by one run only: without them the variance of few images on which
    the runs agree is near 0 (Bonett and Price 2012).
    """
    each = np.append(second.mean(axis=0) - first.mean(axis=0), (1.0, -1.0))
    return float(each.var(ddof=1) / len(each))


def _seed_variances(right: NDArray[np.bool_]) -> tuple[float, float]:
    """Variance of a run's mean accuracy due to the choice of networks, and its interaction part; 0 for one network.

    The variance over networks, averaged over images, is that of the networks' accuracies plus the interaction of
    networks and images (two-way analysis of variance).
    """
    networks, count = right.shape
    if networks == 1:
        return 0.0, 0.0
    accuracies = float(right.mean(axis=1).var(ddof=1))
    interaction = max(float(right.var(axis=0, ddof=1).mean()) - accuracies, 0.0) / max(count - 1, 1)
    return accuracies / networks, interaction / networks
