"""Confident learning: what is ranked first, what is suggested, and how many labels are estimated to be wrong."""

import numpy as np

from lenet.evaluation.label_errors import confident_joint, estimated_errors, ranked, suggested

# Four images of class 0, four of class 1, and a ninth that is labelled 2.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
PROBABILITIES = np.array([
    [0.90, 0.05, 0.05], [0.80, 0.15, 0.05], [0.70, 0.20, 0.10], [0.05, 0.90, 0.05],
    [0.10, 0.80, 0.10], [0.20, 0.70, 0.10], [0.10, 0.60, 0.30], [0.85, 0.10, 0.05], [0.30, 0.30, 0.40],
])  # fmt: skip


def test_the_least_probable_label_is_ranked_first():
    assert ranked(PROBABILITIES, LABELS)[:3].tolist() == [3, 7, 8]


def test_equally_probable_labels_keep_their_order():
    assert ranked(np.full((4, 2), 0.5), np.array([0, 1, 0, 1])).tolist() == [0, 1, 2, 3]


def test_the_most_probable_other_label_is_suggested():
    found = suggested(PROBABILITIES, LABELS)
    assert found.tolist() == [1, 1, 1, 1, 0, 0, 2, 0, 0]
    assert (found != LABELS).all()


def test_the_confident_joint_counts_images_above_the_mean_probability_of_a_label():
    # The thresholds are (0.9 + 0.8 + 0.7 + 0.05) / 4 = 0.6125, (0.8 + 0.7 + 0.6 + 0.1) / 4 = 0.55, and 0.4.
    assert confident_joint(PROBABILITIES, LABELS).tolist() == [[3, 1, 0], [1, 3, 0], [0, 0, 1]]
    assert estimated_errors(PROBABILITIES, LABELS) == 2


def test_a_class_without_labels_is_never_a_confident_one():
    joint = confident_joint(PROBABILITIES[:8], LABELS[:8])
    assert joint[:, 2].sum() == 0


def test_planted_errors_are_found_and_counted():
    random = np.random.default_rng(0)
    true = random.integers(0, 5, 2000)
    labels, wrong = true.copy(), random.choice(2000, 100, replace=False)
    labels[wrong] = (labels[wrong] + random.integers(1, 5, 100)) % 5
    logits = random.normal(0, 1, (2000, 5)) + 6 * np.eye(5)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert len(set(ranked(probabilities, labels)[:100]) & set(wrong)) >= 98
    assert abs(estimated_errors(probabilities, labels) - 100) <= 15
