"""What the difference between two runs is worth that were judged on the same images."""

from dataclasses import dataclass
from math import exp, lgamma, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_DRAWS = 5000  # of the bootstrap; its interval's ends then move by some hundredths of a point from seed to seed
_AT_ONCE = 100
_LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """How much more of the same test images the second run's networks classify right than the first's. Shares in 0..1.

    difference: of the mean accuracies; low, high: its 95% interval by the bootstrap, over images and, where a run has
        several networks, over networks (drawn each on their own, which errs on the wide side; Owen 2007)
    networks: how many each run has; images: how many they were judged on
    only_first, only_second: images that of the two best networks (by validation) this one alone has right
    p: McNemar's test of those two numbers (mid-p): how likely so uneven ones are between equally good networks
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
    def better(self) -> Literal["first", "second"] | None:
        """Which run is better; None where that is not shown.

        The interval has to lie on one side of nought. With one network each, McNemar's test must agree too.
        """
        if self.low <= 0 <= self.high or (self.networks == (1, 1) and self.p >= 1 - _LEVEL):
            return None
        return "second" if self.difference > 0 else "first"


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_], best: tuple[int, int], seed: int = 0) -> Paired:
    """Compares two runs by which images each network has right: bool [networks, images], the same images in both.

    best: the number of each run's best network; seed: of the bootstrap
    """
    generator = np.random.default_rng(seed)
    count = first.shape[1]
    drawn = []
    for _ in range(_DRAWS // _AT_ONCE):
        images = generator.integers(count, size=(_AT_ONCE, count))
        times = np.stack([np.bincount(row, minlength=count) for row in images]).astype(np.float32)
        drawn.append(_resampled(second, times, generator) - _resampled(first, times, generator))
    low, high = np.quantile(np.concatenate(drawn), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    one, other = first[best[0]], second[best[1]]
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return Paired(
        difference=float(second.mean() - first.mean()),
        low=float(low),
        high=float(high),
        networks=(len(first), len(second)),
        images=count,
        only_first=only_first,
        only_second=only_second,
        p=mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test, two-sided, as mid-p: of the images that one alone has right, how they fall to the two.

    The mid-p counts the observed outcome half; the plain exact test errs on the safe side by more (Fagerland et al.
    2013).
    """
    total, fewer = only_first + only_second, min(only_first, only_second)

    def probability(k: int) -> float:
        return exp(lgamma(total + 1) - lgamma(k + 1) - lgamma(total - k + 1) - total * log(2))

    return min(1.0, 2 * sum(map(probability, range(fewer + 1))) - probability(fewer))


def _resampled(right: NDArray[np.bool_], times: NDArray[np.float32], generator: np.random.Generator) -> np.ndarray:
    """float [draws]: mean accuracy over networks drawn anew, on images each taken `times`, [draws, images]."""
    each = times @ right.T.astype(np.float32) / right.shape[1]  # [draws, networks]
    networks = right.shape[0]
    if networks == 1:
        return np.asarray(each[:, 0])
    # One network fewer than there are: only so has the mean of so few the spread that fresh networks would give it.
    chosen = generator.integers(networks, size=(len(each), networks - 1))
    return np.asarray(np.take_along_axis(each, chosen, axis=1).mean(axis=1))
