"""Thresholds of confidence, and what they promise."""

import numpy as np
import pytest
from scipy.stats import binom

from lenet.errors import InputError
from lenet.evaluation.rejection import LEVELS, Accepted, acceptance, error_rate, rejection
from lenet.evaluation.scores import probabilities


def drawn(seed, count):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, 4))
    labels = (probabilities(logits).cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return logits, np.minimum(labels, 3)


def test_rows_count_the_accepted_images_and_their_errors():
    logits, labels = drawn(0, 1000)
    rows = acceptance(logits, labels)
    assert [row.accepted for row in rows] == list(range(50, 1001, 50))
    confidence, wrong = probabilities(logits).max(axis=1), logits.argmax(axis=1) != labels
    for row in rows:
        assert row.wrong == wrong[confidence >= row.threshold].sum()


def test_few_or_equal_confidences_give_few_rows():
    assert acceptance(np.zeros((0, 3)), np.zeros(0, int)) == []
    assert len(acceptance(np.zeros((50, 2)), np.zeros(50, int))) == 1
    assert len(acceptance(*drawn(0, 7))) == 7


def test_bound_is_that_of_clopper_and_pearson():
    bound = Accepted(0.5, 200, 6).bound
    assert binom.cdf(6, 200, bound) == pytest.approx(0.05 / LEVELS)
    assert Accepted(0.5, 3, 3).bound == 1


def test_the_promise_holds_in_at_least_95_of_100_validation_sets():
    logits, labels = drawn(1, 100_000)
    confidence, wrong = probabilities(logits).max(axis=1), logits.argmax(axis=1) != labels
    broken = 0
    for seed in range(200):
        chosen = rejection(acceptance(*drawn(seed + 2, 800)), 0.15)
        broken += wrong[confidence >= chosen.threshold].mean() > 0.15
    assert broken <= 10


def test_the_lowest_threshold_that_fits_is_chosen():
    rows = [Accepted(0.9, 500, 0), Accepted(0.8, 1000, 10), Accepted(0.5, 2000, 400)]
    assert rejection(rows, 0.05) == rows[1]
    assert rejection(rows, 0.4) == rows[2]
    with pytest.raises(
        InputError, match=r"--reject-error 0\.1% cannot be guaranteed .* 2,000 .*lowest possible: 1\.2%"
    ):
        rejection(rows, 0.001)
    with pytest.raises(InputError, match="no thresholds for reject_error are known"):
        rejection([], 0.05)


def test_error_rate_is_a_fraction_or_per_cent():
    assert error_rate(0.05) == error_rate("5%") == error_rate(" 0.05") == 0.05
    for value in (0, 1, "5", "100%", "-1%", "nan", "five", "", "%", True):
        with pytest.raises(InputError, match=r"reject_error must lie above 0% and below 100%.*not "):
            error_rate(value)
