"""Which of two runs has the higher test accuracy, and how sure that is, from their predictions of the same images."""

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
    networks: how many each run has; images: how many test images
    only_first, only_second: images that only this one of the two best networks (by validation) classifies correctly
    p: McNemar's test of these two counts. It ignores the choice of seed, so it decides nothing here
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
        """Whether the interval covers the choice of seed too; the spread over seeds takes two networks a side."""
        return min(self.networks) > 1

    @property
    def better(self) -> Literal["first", "second"] | None:
        """The run with the higher accuracy where the interval covers seeds and excludes 0, else None."""
        if not self.covers_seeds or self.low <= 0 <= self.high:
            return None
        return "second" if self.difference > 0 else "first"


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_], best: tuple[int, int]) -> Paired:
    """Compare two runs by which images each network classifies correctly: bool [networks, images], the same images.

    best: the number of each run's best network by validation
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

    images: variance of the difference by the choice of test images, for these networks
    seeds: (first, second) variance of each run's mean accuracy by the choice of its networks, on these images
    interaction: the variance that both of them contain, since which images are hard differs from network to network
    networks: how many each run has; count: number of test images

    The variances of two or three independent parts are each multiplied by the square of their own quantile of
    Student's t, then added: this interval covers at least 95% for any true variances (Banerjee 1960), where
    Welch's, with few networks, does not. It is never narrower than the choice of images alone requires, and covers
    that alone where a run has one network. benchmarks/comparison_coverage.py compares it with others.
    """
    from scipy.special import stdtrit  # loading it takes a tenth of a second

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
    """McNemar's exact test, two-sided, as mid-p, of the images that only one of two networks classifies correctly.

    The mid-p counts half of the observed outcome's probability; the plain exact test is more conservative (Fagerland
    et al. 2013).
    """
    from scipy.special import bdtr

    fewer, total = min(only_first, only_second), only_first + only_second
    return float(min(1.0, bdtr(fewer, total, 0.5) + (bdtr(fewer - 1, total, 0.5) if fewer else 0.0)))


def _image_variance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Variance of the difference by the choice of images.

    Two images are added, one that only each run classifies correctly: without them few images on which the runs agree
    give a variance near 0 (Bonett and Price 2012).
    """
    each = np.append(second.mean(axis=0) - first.mean(axis=0), (1.0, -1.0))
    return float(each.var(ddof=1) / len(each))


def _seed_variances(right: NDArray[np.bool_]) -> tuple[float, float]:
    """Variance of a run's mean accuracy by the choice of networks, and the part of it that is interaction; 0 for one.

    Among networks, an image's variance is on average that of their accuracies plus the interaction of both (two-way
    analysis of variance).
    """
    networks, count = right.shape
    if networks == 1:
        return 0.0, 0.0
    accuracies = float(right.mean(axis=1).var(ddof=1))
    interaction = max(float(right.var(axis=0, ddof=1).mean()) - accuracies, 0.0) / max(count - 1, 1)
    return accuracies / networks, interaction / networks
