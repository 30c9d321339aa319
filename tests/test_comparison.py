"""Paired differences: McNemar's test against sums of the binomial, the bootstrap against what it should cover."""

from math import comb

import numpy as np
import pytest

from lenet.comparison import Paired, mcnemar, paired


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (5, 5), (3, 9), (9, 3), (40, 61), (0, 20)])
def test_mcnemars_mid_p_is_the_binomials(only_first, only_second):
    total, fewer = only_first + only_second, min(only_first, only_second)
    below = sum(comb(total, k) for k in range(fewer)) / 2**total
    expected = min(1.0, 2 * (below + comb(total, fewer) / 2 ** (total + 1)))
    assert mcnemar(only_first, only_second) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_of_equal_and_of_very_many():
    assert mcnemar(7, 7) == pytest.approx(1.0)
    assert mcnemar(5000, 5000) == pytest.approx(1.0, abs=1e-9)
    assert 0 <= mcnemar(2000, 3000) < 1e-40


def test_the_difference_and_the_counts():
    first = np.array([[True, True, False, False], [True, False, False, False]])
    second = np.array([[True, False, True, True]])
    found = paired(first, second, best=(0, 0))
    assert found.difference == pytest.approx(0.75 - 0.375)
    assert (found.only_first, found.only_second) == (1, 2)
    assert (found.networks, found.images) == ((2, 1), 4)
    assert found.low <= found.difference <= found.high


def test_the_same_seed_gives_the_same_interval_and_turning_round_turns_it_round():
    generator = np.random.default_rng(3)
    first, second = generator.random((2, 1, 500)) < [[[0.6]], [[0.7]]]
    one, again, other = paired(first, second, (0, 0)), paired(first, second, (0, 0)), paired(second, first, (0, 0))
    assert one == again
    assert other.difference == pytest.approx(-one.difference)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=0.01)


@pytest.mark.parametrize("networks", [1, 2, 5])
def test_the_interval_has_the_spread_of_fresh_networks_and_images(networks):
    # Networks differ in how good they are (sd 2 points), images in how hard; what is hard for one is so for most.
    generator = np.random.default_rng(0)
    images, skill = 400, 0.02

    def difference():
        hardness = generator.random(images)

        def run(accuracy):
            ability = accuracy + (generator.normal(0, skill, (networks, 1)) if networks > 1 else 0)
            return hardness + generator.normal(0, 0.15, (networks, images)) < ability

        return paired(run(0.6), run(0.65), (0, 0))

    found = [difference() for _ in range(40)]
    covered = sum(one.low <= 0.05 <= one.high for one in found)
    spread = np.std([one.difference for one in found])
    width = np.mean([one.high - one.low for one in found]) / (2 * 1.96)
    assert covered >= 35
    assert 0.8 < width / spread < 1.6  # what images and networks do together is counted twice: it errs on the wide side


def result(low, high, networks=(1, 1), p=0.01):
    return Paired((low + high) / 2, low, high, networks, 100, 10, 20, p)


@pytest.mark.parametrize(
    ("found", "better"),
    [
        (result(0.01, 0.05), "second"),
        (result(-0.05, -0.01), "first"),
        (result(-0.01, 0.05), None),
        (result(0.0, 0.05), None),
        (result(0.01, 0.05, p=0.06), None),  # single networks: McNemar must agree
        (result(0.01, 0.05, (5, 5), p=0.06), "second"),  # several: it speaks of two of them alone
    ],
)
def test_better_is_said_only_where_it_holds(found, better):
    assert found.better == better
