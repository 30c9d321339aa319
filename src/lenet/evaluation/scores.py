"""Scores of a classifier's logits against the true labels."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_SOME = 8192  # images
_MOST_CROSSED = 1000  # classes; the matrix of 20,000 would take 3.2 GB


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one network on one set of images. Precision, recall, F1 and accuracy lie in 0..1.

    labels, predicted: int64 [images], numbers into `classes`; counts: int64 [classes], images of each class
    precision, recall, f1: float64 [classes]; 0 where a class has no images, or is never predicted
    loss: mean cross-entropy in nats, without label smoothing; NaN if only the predicted classes are known
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    loss: float

    @property
    def images(self) -> int:
        """Number of images evaluated."""
        return len(self.labels)

    @property
    def correct(self) -> int:
        """Number of images classified correctly."""
        return int((self.labels == self.predicted).sum())

    @property
    def accuracy(self) -> float:
        """Fraction of the images classified correctly."""
        return self.correct / max(self.images, 1)

    @property
    def interval(self) -> list[float]:
        """The 95% confidence interval [low, high] of the accuracy; see `wilson_interval`."""
        return list(wilson_interval(self.correct, self.images))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images: each class counts the same, however few images it has."""
        return self._mean_over_classes(self.recall)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have images."""
        return self._mean_over_classes(self.f1)

    @property
    def has_matrix(self) -> bool:
        """Whether `confusion` is shown, as a picture or a table: for up to 1,000 classes."""
        return len(self.classes) <= _MOST_CROSSED

    @property
    def confusion(self) -> np.ndarray:
        """int64 [classes, classes], images of the row's class that were predicted as the column's.

        Computed at each call. It takes 8 bytes x classes**2, which nothing else here does; see `has_matrix`.
        """
        count = len(self.classes)
        cells = np.bincount(self.labels * count + self.predicted, minlength=count * count)
        return cells.reshape(count, count)

    def confused(self) -> list[tuple[int, int, int]]:
        """(images, true class, predicted class) of each pair of classes that was confused, in the classes' order."""
        wrong = self.labels != self.predicted
        pairs = self.labels[wrong] * len(self.classes) + self.predicted[wrong]
        found = zip(*np.unique(pairs, return_counts=True), strict=True)
        return [(int(images), *divmod(int(pair), len(self.classes))) for pair, images in found]

    def _mean_over_classes(self, values: np.ndarray) -> float:
        present = self.counts > 0
        return float(values[present].mean()) if present.any() else 0.0


def scores(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Scores:
    """Scores of float [N, classes] logits against int64 [N] labels; `classes` are the class names."""
    return predicted_scores(
        logits.argmax(axis=1), labels, classes, cross_entropy(logits, labels) if len(labels) else 0.0
    )


def predicted_scores(
    predicted: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], loss: float = float("nan")
) -> Scores:
    """Scores of int64 [N] predicted classes against int64 [N] labels; both are numbers into `classes`."""
    count = len(classes)
    counts = np.bincount(labels, minlength=count)
    right = np.bincount(labels[labels == predicted], minlength=count).astype(np.float64)
    precision = right / np.maximum(np.bincount(predicted, minlength=count), 1)
    recall = right / np.maximum(counts, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return Scores(classes, labels, predicted, counts, precision, recall, f1, loss)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats of float [N, classes] logits, N > 0; not finite where the logits are not."""
    log_probability = np.empty(len(labels))
    with np.errstate(all="ignore"):
        for some in rows(len(labels)):
            wide = logits[some].astype(np.float64)
            wide -= wide.max(axis=1, keepdims=True)
            log_probability[some] = wide[np.arange(len(wide)), labels[some]] - np.log(np.exp(wide).sum(axis=1))
        return float(-log_probability.mean())


def rows(count: int) -> Iterator[slice]:
    """Slices of up to 8,192 of `count` rows: in float64 all logits take far more memory than they do."""
    return (slice(begin, begin + _SOME) for begin in range(0, count, _SOME))


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """The 95% confidence interval (low, high) of an accuracy: the score interval of Wilson (1927).

    It covers the choice of test images. How accuracy varies from seed to seed it cannot tell.
    """
    z = 1.959963984540054  # the normal distribution's 97.5% quantile
    rate, correction = correct / images, z * z / images
    centre = (rate + correction / 2) / (1 + correction)
    half = z / (1 + correction) * np.sqrt(rate * (1 - rate) / images + correction / (4 * images))
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of float [N, classes] logits, as float64."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def confidences(logits: np.ndarray) -> np.ndarray:
    """float64 [N]: the highest of the `probabilities` of each row."""
    highest = np.empty(len(logits))
    for some in rows(len(logits)):
        highest[some] = probabilities(logits[some]).max(axis=1)
    return highest


def mean_sd(values: Sequence[float]) -> dict[str, float | int | list[float] | None]:
    """{"mean", "sd", "n", "each"}; sd is the sample standard deviation (n - 1), None for a single value."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "n": len(values), "each": [float(value) for value in values]}


def per_class_csv(scores: Scores) -> str:
    """CSV with one line per class: precision, recall, F1 and number of images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "precision", "recall", "f1", "images"])
    for number, name in enumerate(scores.classes):
        rates = (scores.precision[number], scores.recall[number], scores.f1[number])
        writer.writerow([name, *(f"{rate:.4f}" for rate in rates), scores.counts[number]])
    return text.getvalue()


def confusion_csv(scores: Scores) -> str:
    """CSV with one row per true class and one column per predicted class: numbers of images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true \\ predicted", *scores.classes])
    for name, row in zip(scores.classes, scores.confusion, strict=True):
        writer.writerow([name, *row.tolist()])
    return text.getvalue()
