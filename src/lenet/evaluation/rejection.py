"""Rejection: which answers of a network are accepted; from which confidence on they are rarely wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lenet.errors import InputError
from lenet.evaluation.scores import confidences

LEVELS = 20  # coverages that are tried: 5%, 10%, ..., 100% of the validation images
UNLIKE, UNSURE = "unlike the training images", "low confidence"  # why an image is rejected
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Limits:
    """What a network rejects: images with a calibrated confidence below `confidence` or a distance above `distance`.

    distance: from the training images, see `lenet.evaluation.likeness`
    """

    confidence: float = 0.0
    distance: float = math.inf


@dataclass(frozen=True)
class Accepted:
    """What accepting a confidence of at least `threshold` (0..1) means on the validation images.

    accepted: number of images with such a confidence; wrong: how many of them are classified wrongly
    """

    threshold: float
    accepted: int
    wrong: int

    @property
    def bound(self) -> float:
        """Upper Clopper-Pearson bound of the error rate at level 1 - 0.05 / 20, as one of 20 thresholds is chosen."""
        if self.wrong >= self.accepted:
            return 1.0
        from scipy.special import betaincinv  # importing it takes 0.1 s; scipy.stats would take 0.5 s

        return float(betaincinv(self.wrong + 1, self.accepted - self.wrong, 1 - (1 - _CONFIDENCE) / LEVELS))


def acceptance(logits: np.ndarray, labels: np.ndarray) -> list[Accepted]:
    """At most 20 thresholds, from strict to lenient, that accept about 5%, 10%, ..., 100% of the validation images.

    logits: calibrated, float [N, classes]; labels: int64 [N]
    """
    confidence = confidences(logits)
    wrong, ordered = logits.argmax(axis=1) != labels, np.sort(confidence)[::-1]
    counts = [math.ceil(len(ordered) * level / LEVELS) for level in range(1, LEVELS + 1)] if len(ordered) else []
    thresholds = sorted({float(ordered[count - 1]) for count in counts}, reverse=True)
    kept = [confidence >= threshold for threshold in thresholds]
    return [
        Accepted(threshold, int(mask.sum()), int(wrong[mask].sum()))
        for threshold, mask in zip(thresholds, kept, strict=True)
    ]


def rejection(rows: Sequence[Accepted], error: float) -> Accepted:
    """The lowest threshold of which the error rate of accepted images is shown to be at most `error` (0..1).

    What this promises: for images drawn as the validation images were, at most this fraction of the accepted ones is
    misclassified, with 95% confidence (Clopper-Pearson, with Bonferroni's correction for the choice of the threshold,
    similar to Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", 2017). It promises nothing for
    other images, such as those of classes that the network was not trained on. It is a little optimistic in that the
    epoch and the temperature were chosen on the same images.

    Raises InputError if no threshold is strict enough, or the checkpoint has none.
    """
    if not rows:
        raise InputError("no thresholds for reject_error are known, which a training finds: leave reject_error out, or "
                         "train again")  # fmt: skip
    fitting = [row for row in rows if row.bound <= error]
    if not fitting:
        lowest = min(row.bound for row in rows)
        raise InputError(
            f"--reject-error {100 * error:g}% cannot be guaranteed with this network's {rows[-1].accepted:,} "
            f"validation images (lowest possible: {math.ceil(1000 * lowest) / 10:g}%): choose a higher one, or train a "
            "more accurate network, or with more validation images"
        )
    return min(fitting, key=lambda row: row.threshold)


def error_rate(value: float | str) -> float:
    """0.05 or "5%" as a fraction. Raises InputError unless it lies above 0 and below 1."""
    return fraction(value, "reject_error must lie above 0% and below 100%, such as 5% or 0.05")


def fraction(value: float | str, rule: str) -> float:
    """0.05 or "5%" as a fraction. Raises InputError, which states the rule, unless it lies above 0 and below 1."""
    try:
        text = str(value).strip()
        rate = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        rate = math.nan
    if isinstance(value, bool) or not 0 < rate < 1:
        raise InputError(f"{rule}, not {value!s:.40}")
    return rate
