"""Images for the command line."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def picture():
    """A function that writes a random image and returns its path."""

    def write(path, seed=0, mode="RGB"):
        channels = {"L": (), "RGB": (3,)}[mode]
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, *channels), np.uint8)).save(path)
        return path

    return write
