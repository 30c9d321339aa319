"""Predict: the most probable classes of images, by a network of a run."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, Union

import numpy as np
from PIL import Image

from lenet.data.fit import fit_image, open_image, reason, to_8bit
from lenet.data.stream import Decoded, stream
from lenet.errors import InputError
from lenet.evaluation.prediction import Prediction
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.predictor import Predictor
from lenet.runs.run import Run

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
    predictor = Predictor.of(
        checkpoint,
        top=top,
        network=network,
        calibrated=calibrated,
        reject_error=reject_error,
        reject_unlike=reject_unlike,
    )
    size, _, channels = checkpoint.input_shape

    def decoded() -> Iterator[Decoded]:
        for position, image in enumerate(_single(images)):
            name = str(image) if isinstance(image, (str, Path)) else f"image {position}"
            try:
                yield name, fit_image(_opened(image), size, channels, checkpoint.fit)
            except InputError as error:
                yield name, error

    predictions = list(predictor.predictions(decoded()))
    errors = [one.error for one in predictions if one.error is not None]
    if errors and len(errors) == len(predictions):
        more = f" (and {len(errors) - 1} more images cannot be read)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}{more}")
    return predictions


def predict_files(predictor: Predictor, files: Iterable[str]) -> Iterator[Prediction]:
    """Predictions of any number of image files, in the order of their paths, in constant memory.

    Each equals, up to rounding, what `predict` returns. Files are decoded in threads while the network predicts earlier
    ones. An image that cannot be read gets an `error`.
    """
    size, _, channels = predictor.checkpoint.input_shape
    return predictor.predictions(stream(files, size, channels, predictor.checkpoint.fit))


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
