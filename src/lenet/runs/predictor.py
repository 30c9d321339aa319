"""One network of a checkpoint, ready to classify images: logits, calibration and rejection."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lenet.data.stream import Decoded
from lenet.engine.base import Settings
from lenet.engine.statistics import map_statistics
from lenet.errors import InputError
from lenet.evaluation.likeness import FEWEST_VALIDATION, unlike_rate
from lenet.evaluation.prediction import Prediction
from lenet.evaluation.rejection import UNLIKE, UNSURE, Limits, error_rate, rejection
from lenet.evaluation.scores import probabilities
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.networks import Networks

_BATCH = 256  # images whose logits are computed at once


@dataclass(frozen=True, eq=False)
class Predictor:
    """Network `number` of a checkpoint, and how its predictions are given.

    top: number of classes for each image; calibrated: whether probabilities are; limits: which images are rejected
    """

    checkpoint: Checkpoint
    number: int
    top: int
    calibrated: bool
    limits: Limits

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        *,
        top: int = 5,
        network: int | None = None,
        calibrated: bool = True,
        reject_error: float | str | None = None,
        reject_unlike: float | str = "auto",
    ) -> "Predictor":
        """The predictor for these arguments of `lenet.predict`. Raises InputError as that does."""
        number = checkpoint.number_of(network)
        if not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1:
            raise InputError(f"top must be a whole number of at least 1, not {top}")
        limits = _limits(checkpoint, number, reject_error, reject_unlike)
        return cls(checkpoint, number, int(top), calibrated, limits)

    def predictions(self, images: Iterator[Decoded]) -> Iterator[Prediction]:
        """A prediction for each image, in their order; those that could not be decoded have an `error`."""
        while batch := list(islice(images, _BATCH)):
            names = [name for name, image in batch if not isinstance(image, InputError)]
            pixels = [image for _, image in batch if not isinstance(image, InputError)]
            predicted = iter(self._predicted(names, np.stack(pixels)) if pixels else [])
            for name, image in batch:
                yield Prediction(name, error=str(image)) if isinstance(image, InputError) else next(predicted)

    def _predicted(self, names: list[str], images: np.ndarray) -> list[Prediction]:
        """Of uint8 [N, size, size, C] images with these names."""
        logits, statistics = _computed(self.checkpoint, self.number, images, self.limits.distance < math.inf)
        calibrated = probabilities(logits / self.checkpoint.temperature[self.number])
        shown = calibrated if self.calibrated else probabilities(logits)
        reasons = np.where(calibrated.max(axis=1) < self.limits.confidence, UNSURE, "").astype(object)
        likeness = self.checkpoint.likeness[self.number]
        if likeness and statistics is not None:
            reasons[likeness.distance(statistics) > self.limits.distance] = UNLIKE
        classes, order = self.checkpoint.classes, np.argsort(-shown, axis=1, kind="stable")[:, : self.top]
        return [
            Prediction(
                name,
                tuple(classes[index] for index in best),
                tuple(float(row[index]) for index in best),
                unknown=bool(reason),
                reason=reason or None,
            )
            for name, row, best, reason in zip(names, shown, order, reasons, strict=True)
        ]


def _limits(
    checkpoint: Checkpoint, number: int, reject_error: float | str | None, reject_unlike: float | str
) -> Limits:
    """What network `number` rejects."""
    confidence, distance = 0.0, math.inf
    if reject_error is not None:
        confidence = rejection(checkpoint.acceptance[number], error_rate(reject_error)).threshold
    if likeness := checkpoint.likeness[number]:
        distance = likeness.threshold(reject_unlike)
    elif reject_unlike not in ("auto", "none"):
        unlike_rate(reject_unlike)
        raise InputError(
            f"the run cannot tell which images are unlike its training images: it has fewer than {FEWEST_VALIDATION} "
            "validation images; leave reject_unlike out, or train again with more"
        )
    return Limits(confidence, distance)


def _computed(
    checkpoint: Checkpoint, number: int, images: np.ndarray, described: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The logits of uint8 [N, size, size, C] images and, if `described`, the statistics of their maps.

    The native engine computes them where it can, since it is loaded in a fraction of the time that PyTorch takes. The
    results differ by rounding.
    """
    networks = checkpoint.networks
    if isinstance(networks, Networks) and (inference := networks.inference(number, checkpoint.input_shape)):
        logits = finite(inference.logits(images), number)
        if not described:
            return logits, None
        return logits, map_statistics(inference.maps, inference.layers, images)
    from lenet.engine import torch as torch_engine  # only here PyTorch is loaded
    from lenet.engine.preserved import preserved_torch

    network = networks[number]
    with preserved_torch(network):
        logits = finite(torch_engine.logits(network, images, Settings()), number)
        if logits.shape[1] != len(checkpoint.classes):
            raise InputError(f"network {number} gives {logits.shape[1]} logits for the checkpoint's "
                             f"{len(checkpoint.classes)} classes: set its classes too")  # fmt: skip
        if not described:
            return logits, None
        return logits, map_statistics(torch_engine.maps(network, checkpoint.input_shape), network, images)


def finite(logits: np.ndarray, number: int) -> np.ndarray:
    """The logits of network `number`. Raises InputError if one is infinite or NaN."""
    if not np.isfinite(logits).all():
        raise InputError(f"network {number} gives values that are not finite: its weights are too large; train again")
    return logits
