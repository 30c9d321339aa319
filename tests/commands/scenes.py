"""Images for the tests of 'lenet data check', and pairs of what it finds."""

import numpy as np
from PIL import Image


def scene(seed, side=(80, 60)):
    """A photograph-like image: smooth blobs of colour, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(noise).resize(side, Image.Resampling.BICUBIC)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def pairs(check, kind):
    return {(each.file, each.other) for each in check.of(kind)}
