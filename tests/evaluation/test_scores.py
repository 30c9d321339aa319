"""Scores against small tables computed by hand."""

import tracemalloc

import numpy as np
import pytest
import torch

from lenet.evaluation.scores import (
    confusion_csv,
    cross_entropy,
    mean_sd,
    per_class_csv,
    predicted_scores,
    probabilities,
    scores,
    wilson_interval,
)

CLASSES = ("cat", "dog, big", "eel", "fox")
# True and predicted: cat 2 right and 1 as dog; dog 1 right and 1 as cat; eel never predicted, its only one as dog;
# fox has no images, and is predicted for none.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 1])
LOGITS = np.eye(4, dtype=np.float32)[PREDICTED] * 3 - 1


def test_scores_equal_those_by_hand():
    got = scores(LOGITS, LABELS, CLASSES)
    assert got.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert got.confused() == [(1, 0, 1), (1, 1, 0), (1, 2, 1)]
    assert (got.images, got.correct, got.counts.tolist()) == (6, 3, [3, 2, 1, 0])
    assert got.accuracy == pytest.approx(3 / 6)
    assert got.precision.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert got.recall.tolist() == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert got.f1.tolist() == pytest.approx([2 / 3, 2 / 5, 0, 0])


def test_loss_is_the_mean_cross_entropy_as_pytorch_computes_it():
    want = torch.nn.functional.cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(LABELS)).item()
    assert scores(LOGITS, LABELS, CLASSES).loss == pytest.approx(want, rel=1e-6)
    assert cross_entropy(1000 * LOGITS[:2], LABELS[:2]) == 0
    assert not np.isfinite(cross_entropy(np.full((2, 4), np.nan, np.float32), LABELS[:2]))


def test_scores_of_no_images_are_zero():
    got = scores(np.empty((0, 4), np.float32), np.empty(0, np.int64), CLASSES)
    assert got.images == 0
    assert got.accuracy == 0
    assert got.loss == 0
    assert got.f1.tolist() == [0, 0, 0, 0]


def test_csv_files_hold_the_scores():
    got = scores(LOGITS, LABELS, CLASSES)
    assert per_class_csv(got).splitlines() == [
        "class,precision,recall,f1,images",
        "cat,0.6667,0.6667,0.6667,3",
        '"dog, big",0.3333,0.5000,0.4000,2',
        "eel,0.0000,0.0000,0.0000,1",
        "fox,0.0000,0.0000,0.0000,0",
    ]
    assert confusion_csv(got).splitlines() == [
        'true \\ predicted,cat,"dog, big",eel,fox',
        "cat,2,1,0,0",
        '"dog, big",1,1,0,0',
        "eel,0,1,0,0",
        "fox,0,0,0,0",
    ]


def test_probabilities_of_large_logits_do_not_overflow():
    logits = np.array([[0, np.log(3)], [1000, 1000], [-2000, 0]], np.float32)
    assert probabilities(logits) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5], [0, 1]]))


def test_mean_and_sample_standard_deviation():
    assert mean_sd([0.7]) == {"mean": 0.7, "sd": None, "n": 1, "each": [0.7]}
    several = {"mean": pytest.approx(7 / 3), "sd": pytest.approx((7 / 3) ** 0.5), "n": 3, "each": [1, 2, 4]}
    assert mean_sd([1, 2, 4]) == several


def test_balanced_accuracy_and_macro_f1_count_each_class_the_same():
    # 8 images of class 0, all correct; 2 of class 1, one correct; class 2 has no images and is never predicted.
    labels = np.array([0] * 8 + [1] * 2)
    predicted = np.array([0] * 8 + [1, 0])
    one = scores(np.eye(3)[predicted] * 5, labels, ("a", "b", "c"))
    assert one.accuracy == pytest.approx(0.9)
    assert one.balanced_accuracy == pytest.approx((1 + 0.5) / 2)
    assert one.macro_f1 == pytest.approx((2 * 8 / (2 * 8 + 1) + 2 * 1 / (2 * 1 + 1)) / 2)


@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    # By the formula of Wilson (1927) in rational arithmetic; the first is the usual textbook example's shape.
    [(26, 36, 0.5601, 0.8415), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (7470, 10000, 0.7384, 0.7554)],
)
def test_wilson_interval_is_that_of_the_formula(correct, images, low, high):
    assert wilson_interval(correct, images) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_agrees_with_scipy():
    from scipy.stats import binomtest

    for correct, images in ((1, 3), (17, 20), (180, 180), (5000, 10000)):
        there = binomtest(correct, images).proportion_ci(method="wilson")
        assert wilson_interval(correct, images) == pytest.approx((there.low, there.high))


def test_scores_of_predicted_classes_alone_are_those_of_logits():
    found, wanted = predicted_scores(PREDICTED, LABELS, CLASSES), scores(LOGITS, LABELS, CLASSES)
    for name in ("confusion", "counts", "precision", "recall", "f1"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert np.isnan(found.loss)


def test_scores_are_those_of_the_confusion_matrix_to_the_last_bit():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 40, (2, 500))
    found = predicted_scores(predicted, labels, tuple(map(str, range(50))))
    confusion, right = found.confusion, np.diag(found.confusion).astype(np.float64)
    precision, recall = right / np.maximum(confusion.sum(axis=0), 1), right / np.maximum(confusion.sum(axis=1), 1)
    assert found.precision.tolist() == precision.tolist()
    assert found.recall.tolist() == recall.tolist()
    assert found.f1.tolist() == (2 * precision * recall / np.maximum(precision + recall, 1e-12)).tolist()
    assert found.accuracy == float(np.trace(confusion) / 500)
    assert found.balanced_accuracy == float(recall[confusion.sum(axis=1) > 0].mean())
    off = confusion - np.diag(np.diag(confusion))
    assert found.confused() == [(int(off[pair]), *map(int, pair)) for pair in zip(*np.nonzero(off), strict=True)]


def test_scores_of_many_classes_take_memory_of_classes_and_images_alone():
    names, labels = tuple(map(str, range(3000))), np.arange(3000)
    tracemalloc.start()
    try:
        found = predicted_scores(labels[::-1].copy(), labels, names)
        figures = found.accuracy, found.balanced_accuracy, found.macro_f1, found.interval, len(found.confused())
        text = per_class_csv(found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert figures == (0.0, 0.0, 0.0, [0.0, pytest.approx(0.00128, abs=1e-5)], 3000)
    assert len(text.splitlines()) == 3001
    assert peak < 3000**2  # bytes; as int64, a matrix takes 8 times as many
