"""Mean and standard deviation of the training pixels."""

import numpy as np
import pytest

from lenet.data.statistics import pixel_statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_all_pixels_of_the_chosen_images(channels):
    images = np.random.default_rng(3).integers(0, 256, (60, 16, 16, channels), np.uint8)
    images[..., 0] //= 3
    chosen = np.arange(10, 40)
    mean, deviation = pixel_statistics(images, chosen)
    pixels = images[chosen].reshape(-1, channels) / 255
    assert mean == pytest.approx(pixels.mean(axis=0).tolist())
    assert deviation == pytest.approx(pixels.std(axis=0).tolist())


def test_a_constant_channel_has_deviation_0():
    images = np.full((5, 16, 16, 1), 77, np.uint8)
    mean, deviation = pixel_statistics(images, np.arange(5))
    assert mean == pytest.approx([77 / 255])
    assert deviation == pytest.approx([0], abs=1e-7)


def test_many_images_are_sampled_evenly():
    images = np.zeros((12_000, 2, 2, 1), np.uint8)
    images[6_000:] = 255  # the first 5,000 alone would be black
    assert pixel_statistics(images, np.arange(12_000))[0] == pytest.approx([0.5], abs=0.001)
