"""Predict: the most probable classes of images, by a network of a run."""

import io
import math
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, Union

import numpy as np
from PIL import Image

from lenet.data.fit import fit_image, open_image, reason, to_8bit
from lenet.data.stream import Decoded, stream
from lenet.engine.base import Settings
from lenet.engine.statistics import map_statistics
from lenet.errors import InputError
from lenet.evaluation.likeness import FEWEST_VALIDATION, unlike_rate
from lenet.evaluation.prediction import Prediction
from lenet.evaluation.rejection import UNLIKE, UNSURE, Limits, error_rate, rejection
from lenet.evaluation.scores import probabilities
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.networks import Networks
from lenet.runs.run import Run

_BATCH = 256  # images whose logits are computed at once
_ONE = (str, bytes, Path, Image.Image, io.IOBase)  # not many images, though some can be iterated

if TYPE_CHECKING:
    import torch

Picture = Union[str, Path, Image.Image, np.ndarray, "torch.Tensor"]


def load(run: str | Path | Run) -> Checkpoint:
    """The trained networks of a run, with class names, input shape and fit. `networks` are plain nn.Sequential.

    Raises InputError if the run does not exist, is not finished, or is damaged.
    """
    return (run if isinstance(run, Run) else Run(run)).checkpoint()


def predict(
    run: str | Path | Run | Checkpoint,
    images: Picture | Iterable[Picture],
    *,
    top: int = 5,
    network: int | None = None,
    calibrated: bool = True,
    reject_error: float | str | None = None,
    reject_unlike: float | str = "auto",
) -> list[Prediction]:
    """The `top` most probable classes of each image.

    images: one image or any iterable of images, of any size: paths, PIL images, or uint8 arrays or tensors [H, W],
        [H, W, C] or [C, H, W] with 1 or 3 channels; an array or tensor of four dimensions is a batch of images
    network: index of the network in the run; by default the one with the best validation score, by the option select
    calibrated: divide the logits by the network's temperature, so that probabilities mean what they say
    reject_error: highest error rate of accepted images, 0.05 or "5%". Images are `unknown` if their calibrated
        confidence is below a threshold chosen on validation images; `lenet.evaluation.rejection` says what it promises
    reject_unlike: fraction of the validation images, those least like the training images, at whose distance images
        become `unknown`, 0.01 or "1%". "auto": 1%, or the lowest possible with fewer than 99 validation images, if the
        run can tell; "none": no image is rejected for its looks. See `lenet.evaluation.likeness`

    An image that cannot be read gets an `error`; the others are predicted. Raises InputError if no image can be read,
    if `top` is below 1, if the run does not have the network, or if no threshold is strict enough for `reject_error` or
    `reject_unlike`.
    """
    checkpoint = run if isinstance(run, Checkpoint) else load(run)
    number = checkpoint.number_of(network)
    _check_top(top)
    limits = limits_of(checkpoint, number, reject_error, reject_unlike)
    size, _, channels = checkpoint.input_shape

    def decoded() -> Iterator[Decoded]:
        for position, image in enumerate(_single(images)):
            name = str(image) if isinstance(image, (str, Path)) else f"image {position}"
            try:
                yield name, fit_image(_opened(image), size, channels, checkpoint.fit)
            except InputError as error:
                yield name, error

    predictions = list(_by_batch(checkpoint, number, decoded(), top, calibrated, limits))
    errors = [one.error for one in predictions if one.error is not None]
    if errors and len(errors) == len(predictions):
        more = f" (and {len(errors) - 1} more images cannot be read)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}{more}")
    return predictions


def predict_files(
    checkpoint: Checkpoint,
    files: Iterable[str],
    *,
    top: int = 5,
    network: int | None = None,
    calibrated: bool = True,
    reject_error: float | str | None = None,
    reject_unlike: float | str = "auto",
) -> Iterator[Prediction]:
    """Predictions of any number of image files, in the order of their paths, in constant memory.

    Each equals, up to rounding, what `predict` returns. Files are decoded in threads while the network predicts earlier
    ones. An image that cannot be read gets an `error`. Raises InputError as `predict` does for its options.
    """
    number = checkpoint.number_of(network)
    _check_top(top)
    limits = limits_of(checkpoint, number, reject_error, reject_unlike)
    size, _, channels = checkpoint.input_shape
    images = stream(files, size, channels, checkpoint.fit)
    return _by_batch(checkpoint, number, images, top, calibrated, limits)


def limits_of(
    checkpoint: Checkpoint, number: int, reject_error: float | str | None, reject_unlike: float | str
) -> Limits:
    """What network `number` rejects. Raises InputError as `predict` does."""
    confidence, distance = 0.0, math.inf
    if reject_error is not None:
        confidence = rejection(checkpoint.acceptance[number], error_rate(reject_error)).threshold
    if likeness := checkpoint.likeness[number]:
        distance = likeness.threshold(reject_unlike)
    elif reject_unlike not in ("auto", "none"):
        unlike_rate(reject_unlike)
        raise InputError(
            f"the run cannot tell which images are unlike its training images: it has fewer than {FEWEST_VALIDATION} "
            "validation images, or an older version of lenet wrote it; leave reject_unlike out, or train again"
        )
    return Limits(confidence, distance)


def _by_batch(
    checkpoint: Checkpoint, number: int, images: Iterator[Decoded], top: int, calibrated: bool, limits: Limits
) -> Iterator[Prediction]:
    while batch := list(islice(images, _BATCH)):
        pixels = [image for _, image in batch if not isinstance(image, InputError)]
        predicted = iter(_predicted(checkpoint, number, pixels, top, calibrated, limits) if pixels else [])
        for path, image in batch:
            if isinstance(image, InputError):
                yield Prediction(path, error=str(image))
            else:
                yield Prediction(path, *next(predicted))


def _predicted(
    checkpoint: Checkpoint, number: int, pixels: list[np.ndarray], top: int, calibrated: bool, limits: Limits
) -> list[tuple[tuple[str, ...], tuple[float, ...], None, bool, str | None]]:
    """All but the name of the predictions of these images, uint8 [size, size, C] each, by network `number`."""
    logits, statistics = _computed(checkpoint, number, np.stack(pixels), limits.distance < math.inf)
    scaled = probabilities(logits / checkpoint.temperature[number])
    ranked = _ranked(scaled if calibrated else probabilities(logits), checkpoint.classes, top)
    reasons = np.where(scaled.max(axis=1) < limits.confidence, UNSURE, "").astype(object)
    likeness = checkpoint.likeness[number]
    if likeness and statistics is not None:
        reasons[likeness.distance(statistics) > limits.distance] = UNLIKE
    return [(*one, None, bool(reason), reason or None) for one, reason in zip(ranked, reasons, strict=True)]


def _check_top(top: int) -> None:
    if not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1:
        raise InputError(f"top must be a whole number of at least 1, not {top}")


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


def _ranked(
    probability: np.ndarray, classes: tuple[str, ...], top: int
) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """The names and probabilities of the `top` classes of each row of float [N, classes] probabilities."""
    order = np.argsort(-probability, axis=1, kind="stable")[:, :top]
    return [
        (tuple(classes[index] for index in best), tuple(float(row[index]) for index in best))
        for row, best in zip(probability, order, strict=True)
    ]


def _single(images: Picture | Iterable[Picture]) -> Iterator[Picture]:
    """The single images."""
    if isinstance(images, np.ndarray) or _is_tensor(images):
        return (images[index] for index in range(len(images))) if images.ndim == 4 else iter([images])
    if isinstance(images, _ONE) or not isinstance(images, Iterable):
        return iter([images])
    return iter(images)


def _is_tensor(value: object) -> "TypeGuard[torch.Tensor]":
    """Whether this is a tensor, which can only be if PyTorch is loaded."""
    loaded = sys.modules.get("torch")
    return loaded is not None and isinstance(value, loaded.Tensor)


def _of_file(path: Path) -> Image.Image:
    """The image in this file. Raises InputError if it cannot be read, or is what only the command line takes."""
    text = str(path)
    if os.path.isdir(text):  # noqa: PTH112 (Path.is_dir raises for long names)
        raise InputError(f"'{text}' is a folder: give its images, such as sorted(Path({text!r}).glob('*.png'))")
    if "*" in text and not os.path.lexists(text):
        raise InputError(f"no image at '{text}': give the images that match, such as sorted(glob.glob({text!r}))")
    return open_image(path)


def _opened(image: Picture) -> Image.Image:
    """The image as a PIL image. Raises InputError if it cannot be read or is not an image."""
    if isinstance(image, Image.Image):
        try:
            return to_8bit(image)
        except MemoryError:
            raise
        except Exception as error:  # Pillow reads the pixels of an opened file only now
            raise InputError(f"cannot read the PIL image ({reason(error)})") from None
    if isinstance(image, (str, Path)):
        return _of_file(Path(image))
    if _is_tensor(image):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(f"an image must be a path, a PIL image, an array or a tensor, not {type(image).__name__}")
    pixels = image
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3) and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size or (*pixels.shape, 1)[2] not in (1, 3):
        raise InputError(
            f"an image must be uint8 [H, W], [H, W, C] or [C, H, W] with 1 or 3 channels, not {image.dtype} "
            f"{list(image.shape)}"
        )
    return Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    )
