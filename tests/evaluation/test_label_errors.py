"""Wrong labels: how many are estimated, how probable each is, and in which order they come."""

import numpy as np
import pytest

from lenet.evaluation.label_errors import label_errors

CLASSES = 5


def planted(wrong, images=3000, sharpness=3.0, classes=CLASSES):
    """Probabilities of a good classifier, labels of which so many are wrong, and which those are."""
    random = np.random.default_rng(0)
    true = random.integers(0, classes, images)
    logits = random.normal(0, 1, (images, classes)) + sharpness * np.eye(classes)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels, chosen = true.copy(), random.choice(images, wrong, replace=False)
    labels[chosen] = (labels[chosen] + random.integers(1, classes, wrong)) % classes
    return probabilities, labels, labels != true


@pytest.mark.parametrize("wrong", [0, 30, 150, 600])
@pytest.mark.parametrize("sharpness", [2.0, 4.0])
def test_the_number_of_wrong_labels_is_estimated(wrong, sharpness):
    probabilities, labels, _ = planted(wrong, sharpness=sharpness)
    assert abs(label_errors(probabilities, labels).estimated - wrong) <= 10 + 0.15 * wrong


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_probabilities_that_are_too_sharp_or_too_flat_change_nothing(temperature):
    probabilities, labels, _ = planted(150)
    changed = probabilities ** (1 / temperature)
    changed /= changed.sum(axis=1, keepdims=True)
    found, again = label_errors(probabilities, labels), label_errors(changed, labels)
    assert again.estimated == pytest.approx(found.estimated, abs=3)
    np.testing.assert_allclose(again.wrong, found.wrong, atol=0.05)


def test_of_labels_that_are_wrong_with_a_probability_so_many_are_wrong():
    found, bad = (lambda p, labels, bad: (label_errors(p, labels), bad))(*planted(600, images=20_000, sharpness=2.5))
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1)):
        some = (found.wrong >= low) & (found.wrong <= high)
        assert bad[some].mean() == pytest.approx(found.wrong[some].mean(), abs=0.08)


def test_classes_that_were_confused_are_told_from_random_errors():
    """A tenth of class 0 is labelled 1, and so a network gives 1 a tenth of the probability of every such image."""
    random = np.random.default_rng(0)
    true = random.integers(0, CLASSES, 20_000)
    logits = random.normal(0, 1, (20_000, CLASSES)) + 4 * np.eye(CLASSES)[true]
    clean = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    noise = np.eye(CLASSES)
    noise[0, :2] = 0.9, 0.1
    labels = true.copy()
    confused = (true == 0) & (random.random(20_000) < 0.1)
    labels[confused] = 1
    found = label_errors(clean @ noise, labels)
    assert found.noise[0, 1] == pytest.approx(0.1, abs=0.05)
    assert found.noise.diagonal()[1:].min() > 0.97
    assert found.estimated == pytest.approx(confused.sum(), rel=0.3)
    assert confused[found.ranked[: confused.sum()]].mean() > 0.8
    assert (found.suggested[confused] == 0).mean() > 0.95


def test_the_rows_of_the_noise_are_probabilities():
    for wrong in (0, 600):
        noise = label_errors(*planted(wrong)[:2]).noise
        np.testing.assert_allclose(noise.sum(axis=1), 1)
        assert (noise >= 0).all()
        assert noise.diagonal().mean() == pytest.approx(1 - wrong / 3000, abs=0.03)


def test_wrong_labels_are_ranked_first_in_the_order_of_their_probability():
    probabilities, labels, bad = planted(150)
    found = label_errors(probabilities, labels)
    assert bad[found.ranked[:75]].mean() > 0.9
    assert (np.diff(found.wrong[found.ranked]) <= 1e-12).all()
    assert sorted(found.ranked) == list(range(3000))


def test_the_most_probable_other_label_is_suggested():
    probabilities, labels, _ = planted(150)
    found = label_errors(probabilities, labels)
    assert (found.suggested != labels).all()
    true = probabilities.argmax(axis=1)
    disagree = true != labels
    assert (found.suggested[disagree] == true[disagree]).all()
    assert (found.right <= found.wrong + 1e-12).all()
    assert (found.right >= 0).all()


def test_two_classes_one_image_per_class_and_certain_probabilities_are_no_special_case():
    for probabilities, labels in (
        (np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])),
        (np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 1])),
    ):
        found = label_errors(probabilities, labels)
        assert np.isfinite(found.wrong).all()
        assert ((found.wrong >= 0) & (found.wrong <= 1)).all()
