"""What a network says about one image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, most probable first; empty if the image could not be read.

    image: the path, or "image 3" for an image without a path at index 3; probabilities: fractions from 0 to 1
    error: why the image could not be read; None if it could
    unknown: whether the image was rejected
    reason: why it was: "unlike the training images" (`reject_unlike`) or "low confidence" (`reject_error`)
    """

    image: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str | None = None
    unknown: bool = False
    reason: str | None = None
