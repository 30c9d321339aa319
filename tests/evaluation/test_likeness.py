"""The distance of images from the training images, and what its threshold promises."""

import math

import numpy as np
import pytest

from lenet.errors import InputError
from lenet.evaluation.likeness import FEWEST_VALIDATION, likeness


def drawn(seed, count, features=4):
    """float32 [count, features], normally distributed, with correlations and unequal deviations."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(0, 1, (features, features)) * 10.0 ** np.arange(features)
    return (random.normal(0, 1, (count, features)) @ mixing + 5).astype(np.float32)


def test_distance_is_that_of_mahalanobis_but_for_the_ridge():
    train = drawn(0, 5000)
    found = likeness(train, drawn(1, 100))
    wide = train.astype(np.float64)
    mean, deviation = wide.mean(0), wide.std(0)
    inverse = np.linalg.inv(np.corrcoef(wide.T) + 0.01 * np.eye(4))
    others = drawn(2, 50).astype(np.float64)
    scaled = (others - mean) / deviation
    expected = np.einsum("ni,ij,nj->n", scaled, inverse, scaled)
    assert found.distance(others.astype(np.float32)) == pytest.approx(expected, rel=1e-3)
    assert found.distance(found.mean[None])[0] == 0
    far = found.distance(np.array([[math.nan, 0, 0, 0], [math.inf, 0, 0, 0]], np.float32))
    assert np.isinf(far).all()


def test_images_like_the_validation_images_are_rejected_at_the_rate_on_average():
    for rate, text in ((0.05, "5%"), (0.01, "auto")):
        rejected = []
        for seed in range(60):
            found = likeness(drawn(seed, 500), drawn(seed + 100, 199))
            new = found.distance(drawn(seed + 200, 2000))
            rejected.append((new > found.threshold(text)).mean())
        assert 0.6 * rate < np.mean(rejected) < 1.3 * rate


def test_thresholds_are_validation_distances():
    found = likeness(drawn(0, 300), drawn(1, 199))
    assert found.threshold("auto") == found.threshold(0.01) == found.threshold("1%") == float(found.distances[197])
    assert found.threshold("0.5%") == float(found.distances[198])
    assert found.rejected(found.threshold("0.5%")) == 0
    assert found.rejected(found.threshold("5%")) == pytest.approx(9 / 199)
    assert found.threshold("none") == math.inf
    with pytest.raises(InputError, match=r"--reject-unlike 0\.4% is too low for 199 .*lowest possible: 0\.5%"):
        found.threshold(0.004)
    for value in (0, 1, "5", "-1%", "nan", "never", "", True):
        with pytest.raises(InputError, match="reject_unlike must be auto, none, or lie above 0% and below 100%"):
            found.threshold(value)


def test_few_validation_images_raise_the_default_rate_and_too_few_give_no_likeness():
    train = drawn(0, 300)
    assert likeness(train, drawn(1, FEWEST_VALIDATION - 1)) is None
    few = likeness(train, drawn(1, FEWEST_VALIDATION))
    assert few.threshold("auto") == float(few.distances[-1])


def test_fewer_images_than_statistics_constant_ones_and_odd_ones_are_tolerated():
    train, val, other = (drawn(seed, count, 12) for seed, count in ((0, 5), (1, 30), (2, 30)))
    train[:, 3], val[:, 3], other[:, 3] = 1, 1, 1
    found = likeness(train, val)
    assert (found.distance(other) <= found.threshold("auto")).mean() > 0.8
    other[:, 3] = 2
    assert not (found.distance(other) <= found.threshold("auto")).any()
    assert likeness(train[:1], val) is not None
    train[0, 0] = math.nan
    assert likeness(train, val) is None
