"""McNemar's test against binomial sums, and confidence intervals against simulated runs."""

from math import comb
from statistics import NormalDist

import numpy as np
import pytest

from lenet.evaluation.comparison import Paired, half_width, mcnemar, paired


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (5, 5), (3, 9), (9, 3), (40, 61), (0, 20)])
def test_mcnemar_equals_the_binomial_mid_p_value(only_first, only_second):
    total, fewer = only_first + only_second, min(only_first, only_second)
    below = sum(comb(total, k) for k in range(fewer)) / 2**total
    expected = min(1.0, 2 * (below + comb(total, fewer) / 2 ** (total + 1)))
    assert mcnemar(only_first, only_second) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_of_equal_and_of_large_counts():
    assert mcnemar(7, 7) == pytest.approx(1.0)
    assert mcnemar(5000, 5000) == pytest.approx(1.0, abs=1e-9)
    assert 0 <= mcnemar(2000, 3000) < 1e-40


def test_difference_and_counts_by_hand():
    first = np.array([[True, True, False, False], [True, False, False, False]])
    second = np.array([[True, False, True, True]])
    found = paired(first, second, best=(0, 0))
    assert found.difference == pytest.approx(0.75 - 0.375)
    assert (found.only_first, found.only_second) == (1, 2)
    assert (found.networks, found.images) == ((2, 1), 4)
    assert -1 <= found.low < found.difference < found.high <= 1


def test_swapping_the_runs_mirrors_the_interval():
    generator = np.random.default_rng(3)
    first, second = generator.random((2, 3, 500)) < [[[0.6]], [[0.7]]]
    one, other = paired(first, second, (0, 0)), paired(second, first, (0, 0))
    assert other.difference == pytest.approx(-one.difference)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


def test_half_width_multiplies_each_variance_by_its_own_quantile():
    # Quantiles of Student's t at 97.5%: 2.7764 and 4.3027 for 4 and 2 degrees of freedom, 1.9602 for 10,001.
    parts = 2.7764**2 * 4e-4 + 4.3027**2 * 9e-4 + 1.9602**2 * (5e-4 - 1e-4)
    assert half_width(5e-4, (4e-4, 9e-4), 1e-4, (5, 3), 10_000) == pytest.approx(parts**0.5, rel=1e-4)
    assert half_width(5e-4, (0, 0), 1e-4, (5, 3), 10_000) == pytest.approx(
        1.9602 * 5e-4**0.5, rel=1e-4
    )  # choice of images only
    assert half_width(5e-4, (4e-4, 0), 1e-4, (5, 1), 10_000) == pytest.approx(1.9602 * 5e-4**0.5, rel=1e-4)


DRAWS = 2000
THREE_ERRORS = 3 * (0.05 * 0.95 / DRAWS) ** 0.5  # three standard errors of a rate of 5%: 1.5 percentage points


class Simulated:
    """Pairs of runs of equal true accuracy; the model of benchmarks/comparison_coverage.py.

    ability: normal over seeds, with this standard deviation in points of accuracy; difficulty: normal over images
    """

    def __init__(self, images, accuracy=0.75, seed=0):
        self.images, self.accuracy, self.generator = images, accuracy, np.random.default_rng(seed)

    def pair(self, networks, seed_sds, difference=0.0):
        common = self.generator.normal(0, 0.6**0.5, self.images)
        runs = []
        for count, points, accuracy in zip(
            networks, seed_sds, (self.accuracy, self.accuracy + difference), strict=True
        ):
            level = NormalDist().inv_cdf(accuracy)
            spread = points / 100 / NormalDist().pdf(level)
            ability = level * (1 + spread**2) ** 0.5 + self.generator.normal(0, spread, (count, 1))
            run = common + self.generator.normal(0, 0.1**0.5, self.images)
            runs.append(run + self.generator.normal(0, 0.3**0.5, (count, self.images)) < ability)
        return paired(*runs, (0, 0))

    def better(self, networks, seed_sds, difference=0.0, draws=DRAWS):
        """Fraction of simulated pairs in which one run is better."""
        return sum(self.pair(networks, seed_sds, difference).better is not None for _ in range(draws)) / draws


@pytest.mark.parametrize(
    ("networks", "seed_sds"),
    [
        ((2, 2), (2.0, 2.0)),
        ((2, 5), (2.0, 0.0)),
        ((2, 10), (2.0, 0.5)),
        ((5, 5), (0.5, 0.5)),
    ],
)
def test_of_equally_good_runs_one_is_better_in_at_most_5_percent(networks, seed_sds):
    # A percentile bootstrap over networks and images finds 12 to 18% with two networks each, two and five, two and ten.
    wrong = Simulated(1000, 0.95).better(networks, seed_sds)
    assert wrong <= 0.05 + THREE_ERRORS


@pytest.mark.parametrize("networks", [(1, 5), (5, 1), (1, 1)])
def test_no_run_of_one_network_makes_a_run_better(networks):
    assert Simulated(1000, 0.95).better(networks, (1.0, 1.0), draws=200) == 0


@pytest.mark.parametrize("images", [2, 20, 100])
def test_few_images_do_not_make_one_of_two_equally_good_runs_better(images):
    for accuracy in (0.5, 0.95):
        assert Simulated(images, accuracy).better((2, 2), (0.0, 0.0)) <= 0.05 + THREE_ERRORS


def test_a_large_true_difference_makes_a_run_better():
    assert Simulated(1000).better((5, 5), (0.5, 0.5), difference=0.05, draws=100) > 0.9
    assert Simulated(1000).better((10, 10), (0.5, 0.5), difference=0.03, draws=100) > 0.9


def test_the_interval_of_two_single_networks_contains_their_true_difference_in_95_percent():
    # Two fixed networks, whose true accuracies differ by 5 percentage points, on new images in each draw.
    simulated = Simulated(400, 0.6)
    found = [simulated.pair((1, 1), (0.0, 0.0), 0.05) for _ in range(DRAWS)]
    coverage = sum(one.low <= 0.05 <= one.high for one in found) / DRAWS
    assert abs(coverage - 0.95) <= THREE_ERRORS
    assert not any(one.covers_seeds or one.better for one in found)


def result(low, high, networks=(2, 2), p=0.01):
    return Paired((low + high) / 2, low, high, networks, 100, 10, 20, p)


@pytest.mark.parametrize(
    ("found", "better"),
    [
        (result(0.01, 0.05), "second"),
        (result(-0.05, -0.01), "first"),
        (result(-0.01, 0.05), None),
        (result(0.0, 0.05), None),
        (result(0.01, 0.05, (1, 1)), None),
        (result(0.01, 0.05, (1, 20)), None),
        (result(0.01, 0.05, (20, 1)), None),
        (result(0.01, 0.05, (5, 5), p=0.9), "second"),  # whatever McNemar's test says
    ],
)
def test_better_requires_an_interval_over_seeds_that_excludes_zero(found, better):
    assert found.better == better
