"""Predict: labels for images, from a trained run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lenet.data.fit import fit_image, open_image
from lenet.engine import Settings
from lenet.engine import torch as torch_engine
from lenet.errors import InputError
from lenet.evaluation.scores import probabilities
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run

Picture = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """One image's most probable classes, best first."""

    image: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def load(run: str | Path | Run) -> Checkpoint:
    """The trained networks of a run: plain nn.Sequential members, the class names, the input's shape and fit.

    Raises InputError where the run does not exist, is not finished, or is damaged.
    """
    return (run if isinstance(run, Run) else Run(run)).checkpoint()


def predict(
    run: str | Path | Run | Checkpoint, images: Picture | Sequence[Picture], *, top: int = 5, member: int | None = None
) -> list[Prediction]:
    """The `top` most probable classes of each image.

    images: paths, PIL images, or uint8 arrays [H, W], [H, W, 1] or [H, W, 3], of any size
    member: which network of the run (0, 1, ...); by default the best by validation

    Raises InputError for an image that cannot be read, or a member that isn't there.
    """
    checkpoint = run if isinstance(run, Checkpoint) else load(run)
    number = chosen_member(checkpoint, member)
    if top < 1:
        raise InputError(f"top must be at least 1, not {top}")
    several = list(images) if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    if not several:
        return []
    size, _, channels = checkpoint.input_shape
    pixels = np.stack([fit_image(_opened(image), size, channels, checkpoint.fit) for image in several])
    shares = probabilities(torch_engine.logits(checkpoint.members[number], pixels, Settings()))
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    return [
        Prediction(
            image=str(image) if isinstance(image, (str, Path)) else f"image {position}",
            classes=tuple(checkpoint.classes[index] for index in best),
            probabilities=tuple(float(share[index]) for index in best),
        )
        for position, (image, share, best) in enumerate(zip(several, shares, order, strict=True))
    ]


def chosen_member(checkpoint: Checkpoint, member: int | None) -> int:
    """The member's number, or the best's by validation. Raises InputError where it isn't there."""
    if member is None:
        return checkpoint.best
    if not 0 <= member < len(checkpoint.members):
        raise InputError(f"no member {member}: the run has members 0 to {len(checkpoint.members) - 1}")
    return member


def _opened(image: Picture) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        shaped = image.ndim in (2, 3) and image.size > 0 and (*image.shape, 1)[2] in (1, 3)
        if image.dtype != np.uint8 or not shaped:
            raise InputError(
                f"an image array must be uint8 [H, W], [H, W, 1] or [H, W, 3], not {image.dtype} {list(image.shape)}"
            )
        return Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    return open_image(Path(image))
