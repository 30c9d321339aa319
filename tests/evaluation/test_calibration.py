"""Temperature scaling and the expected calibration error."""

import numpy as np
import pytest

from lenet.evaluation.calibration import BINS, HIGHEST, LOWEST, fit_temperature, reliability
from lenet.evaluation.scores import cross_entropy, probabilities


def drawn(count=20_000, classes=5, seed=0):
    """Logits, and labels drawn from their softmax: a calibrated network."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, classes)).astype(np.float32)
    labels = (probabilities(logits).cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_by_which_calibrated_logits_were_multiplied_is_found(temperature):
    logits, labels = drawn()
    scaled = logits * temperature
    found = fit_temperature(scaled, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    best = cross_entropy(scaled / found, labels)
    assert best < min(cross_entropy(scaled / (found * factor), labels) for factor in (0.97, 1.03))
    assert fit_temperature(scaled, labels) == found


def test_temperature_is_one_with_few_errors_and_stays_in_its_range():
    logits, labels = np.repeat(np.eye(3, dtype=np.float32), 1000, axis=0), np.repeat(np.arange(3), 1000)
    assert fit_temperature(logits, labels) == 1
    for wrong, found in ((9, 1), (10, LOWEST)):
        labels[:wrong] = 1
        assert fit_temperature(1e-3 * logits, labels) == found
    assert fit_temperature(logits, (labels + 1) % 3) == HIGHEST  # nearly all wrong: uniform is best
    assert fit_temperature(logits + 1e4, labels) > 0


def test_calibration_error_is_the_mean_gap_weighted_by_images():
    # Two classes: confidence 0.9 with 3 of 4 right, confidence 0.6 with 1 of 2 right.
    confidence, right = np.array([0.9] * 4 + [0.6] * 2), np.array([1, 1, 1, 0, 1, 0], bool)
    logits = np.stack([np.log(confidence), np.log(1 - confidence)], axis=1)
    found = reliability(logits, np.where(right, 0, 1))
    assert found.images.sum() == 6
    assert found.images[int(np.ceil(0.9 * BINS)) - 1] == 4
    assert found.error == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.1)


def test_calibrated_logits_have_a_low_error_and_sharpened_ones_a_high_one():
    logits, labels = drawn()
    assert reliability(logits, labels).error < 0.015
    assert reliability(4 * logits, labels).error > 0.1
    assert reliability(logits[:0], labels[:0]).error == 0
