"""Flips and shifts of batches, compared with one pixel at a time."""

import numpy as np
import pytest

from lenet.data.augment import augmented
from lenet.data.plan import epoch_plan


def reflected(index, size):
    """An index, reflected at the border pixels until it is inside the image."""
    while not 0 <= index < size:
        index = -index if index < 0 else 2 * (size - 1) - index
    return index


def pixel_by_pixel(images, order, flips, shifts):
    _, height, width, channels = images.shape
    result = np.empty((len(order), height, width, channels), np.uint8)
    for position, number in enumerate(order):
        image = images[number][:, ::-1] if flips[position] else images[number]
        dy, dx = (int(shift) for shift in shifts[position])
        for y in range(height):
            for x in range(width):
                result[position, y, x] = image[reflected(y + dy, height), reflected(x + dx, width)]
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("flip", "max_shift"), [(False, 0), (True, 0), (False, 2), (True, 4), (True, 15)])
def test_a_batch_equals_one_pixel_at_a_time(channels, flip, max_shift):
    images = np.random.default_rng(1).integers(0, 256, (30, 16, 17, channels), np.uint8)
    plan = epoch_plan(np.arange(30)[5:], seed=1, epoch=0, epochs=1, batch_size=8, learning_rate=1, flip=flip,
                      max_shift=max_shift)  # fmt: skip
    got = augmented(images, plan.order, plan.flips, plan.shifts)
    assert got.dtype == np.uint8
    assert np.array_equal(got, pixel_by_pixel(images, plan.order, plan.flips, plan.shifts))


def test_the_flip_comes_before_the_shift():
    row = np.arange(16, dtype=np.uint8)
    images = np.broadcast_to(row[None, None, :, None], (1, 16, 16, 1))
    flip_and_shift = augmented(images, np.array([0]), np.array([1], np.uint8), np.array([[0, 2]], np.int8))
    # Mirrored: 15 14 ... 0. Then shifted by two pixels, reflected at the border, which is not repeated.
    assert flip_and_shift[0, 0, :, 0].tolist() == [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2]
    up = augmented(images.transpose(0, 2, 1, 3), np.array([0]), np.array([0], np.uint8), np.array([[-2, 0]], np.int8))
    assert up[0, :, 5, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]


def test_the_images_are_not_changed():
    images = np.random.default_rng(2).integers(0, 256, (4, 16, 16, 3), np.uint8)
    before = images.copy()
    for shift in (0, 3):
        got = augmented(images, np.arange(4), np.zeros(4, np.uint8), np.full((4, 2), shift, np.int8))
        got += 1
    assert np.array_equal(images, before)
