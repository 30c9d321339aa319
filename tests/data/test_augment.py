"""Augmentation of batches: flips and shifts one pixel at a time, rotation and scale beside Pillow, colour, cutout."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lenet.config import Augmentation
from lenet.data.augment import augmented
from lenet.data.plan import _colours, _warps, epoch_plan


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


def make_plan(count=1, **fields):
    """A plan that shows images 0, 1, ... in this order, and changes nothing unless `fields` say so."""
    plain = epoch_plan(np.arange(count), seed=0, epoch=0, epochs=1, batch_size=8, learning_rate=1)
    arrays = {name: None if value is None else np.array(value) for name, value in fields.items()}
    return replace(plain, **{"order": np.arange(count), **arrays})


def drawn_plan(count, image_size, **drawn):
    return epoch_plan(np.arange(count), seed=1, epoch=0, epochs=1, batch_size=8, learning_rate=1,
                      image_size=image_size, augment=Augmentation(**drawn))  # fmt: skip


def make_images(count=8, shape=(16, 17, 3)):
    return np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)


def smooth_image(side):
    """Waves of few pixels per wave would not survive an interpolation; these do."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(2 * np.pi * (x + 0.3 * k)) + np.cos(2 * np.pi * (y - 0.2 * k * x)) for k in range(3)]
    return (127.5 + 60 * np.stack(waves, axis=2)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("flips", "max_shift"), [(None, 0), ("random", 0), (None, 2), ("random", 4), ("random", 15)])
def test_a_batch_equals_one_pixel_at_a_time(channels, flips, max_shift):
    images = make_images(30, (16, 17, channels))
    plan = epoch_plan(np.arange(30)[5:], seed=1, epoch=0, epochs=1, batch_size=8, learning_rate=1,
                      augment=Augmentation(flips, max_shift))  # fmt: skip
    got = augmented(images, plan)
    assert got.dtype == np.uint8
    assert np.array_equal(got, pixel_by_pixel(images, plan.order, plan.flips, plan.shifts))
    assert np.array_equal(augmented(images, plan, slice(3, 9)), got[3:9])
    assert np.array_equal(augmented(images, plan, np.array([4, 2])), got[[4, 2]])


def test_the_flip_comes_before_the_shift():
    row = np.arange(16, dtype=np.uint8)
    images = np.broadcast_to(row[None, None, :, None], (1, 16, 16, 1))
    flip_and_shift = augmented(images, make_plan(flips=[1], shifts=[[0, 2]]))
    # Mirrored: 15 14 ... 0. Then shifted by two pixels, reflected at the border, which is not repeated.
    assert flip_and_shift[0, 0, :, 0].tolist() == [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2]
    up = augmented(images.transpose(0, 2, 1, 3), make_plan(shifts=[[-2, 0]]))
    assert up[0, :, 5, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]


def test_the_images_are_not_changed():
    images = make_images(4, (16, 16, 3))
    before = images.copy()
    for plan in (
        make_plan(4), make_plan(4, shifts=[[3, 3]] * 4), make_plan(4, boxes=[[0, 0, 9, 9]] * 4),
        drawn_plan(4, (16, 16), max_rotation=20.0, max_colour=0.3),
    ):  # fmt: skip
        got = augmented(images, plan)
        got += 1
    assert np.array_equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_identities_leave_every_pixel_as_it_is(channels):
    images = make_images(256, (16, 17, channels))
    images[:, 0, 0, 0] = np.arange(256)
    same = {"warps": [[[65536, 0, 0], [0, 65536, 0]]], "colours": [[4096, 0, 0]], "boxes": [[3, 3, 3, 3]]}
    for name, value in same.items():
        assert np.array_equal(augmented(images, make_plan(256, **{name: value * 256})), images), name


def test_a_warp_that_flips_and_shifts_equals_flip_and_shift():
    images = make_images(40)
    plan = drawn_plan(40, (16, 17), flips="random", max_shift=5)
    # The smallest angle that the option allows for turns nothing at this size.
    warped = drawn_plan(40, (16, 17), flips="random", max_shift=5, max_rotation=1e-6)
    assert not warped.flips.any()
    assert not warped.shifts.any()
    assert np.array_equal(augmented(images, warped), augmented(images, plan))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_by_a_quarter_turn_equals_numpys(turns):
    images = make_images(5, (16, 16, 3))
    zeros, ones = np.zeros(5), np.ones(5)
    warps = _warps((16, 16), zeros, np.zeros((5, 2)), zeros + turns * np.pi / 2, ones)
    assert np.array_equal(augmented(images, make_plan(5, warps=warps)), np.rot90(images, turns, axes=(1, 2)))


@pytest.mark.parametrize(("angle", "scale"), [(20, 1.0), (-35, 1.0), (0, 1.25), (0, 0.8), (10, 1.1)])
def test_rotation_and_scale_equal_pillows(angle, scale):
    side = 48
    image = smooth_image(side)
    warps = _warps((side, side), np.zeros(1), np.zeros((1, 2)), np.deg2rad([angle]), np.array([scale]))
    got = augmented(image[None], make_plan(warps=warps))[0]
    cosine, sine, centre = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale, side / 2
    # Pillow's coordinates count from the corner of the first pixel.
    matrix = (cosine, -sine, centre * (1 - cosine + sine), sine, cosine, centre * (1 - cosine - sine))
    expected = Image.fromarray(image).transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    inner = slice(side // 4, -side // 4)  # further out Pillow has no pixels, and ours are reflected
    difference = got[inner, inner].astype(int) - np.asarray(expected)[inner, inner]
    assert np.abs(difference).max() <= 2
    if angle:  # a positive angle turns counter-clockwise, as in Pillow and torchvision
        turned = Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR)
        if scale == 1:
            assert np.abs(got[inner, inner].astype(int) - np.asarray(turned)[inner, inner]).max() <= 2


def test_outside_of_the_image_its_reflection_shows():
    image = smooth_image(20)
    warps = np.array([[[65536, 0, -7 << 16], [0, 65536, 9 << 16]]])
    got = augmented(image[None], make_plan(warps=warps))[0]
    for y, x in ((0, 0), (3, 15), (12, 19)):
        assert np.array_equal(got[y, x], image[reflected(y - 7, 20), reflected(x + 9, 20)])


def test_half_a_pixel_is_the_mean_of_two():
    image = np.zeros((1, 16, 16, 1), np.uint8)
    image[0, 4, :, 0] = np.arange(16) * 10
    got = augmented(image, make_plan(warps=[[[65536, 0, 0], [0, 65536, 32768]]]))[0]
    assert got[4, :15, 0].tolist() == [10 * x + 5 for x in range(15)]


def mixed(colour, brightness=1.0, contrast=1.0, saturation=1.0):
    """The colour of one pixel after a change, in uint8."""
    factors = (np.array([factor]) for factor in (brightness, contrast, saturation))
    image = np.array(colour, np.uint8).reshape(1, 1, 1, -1)
    return augmented(image, make_plan(colours=_colours(*factors))).ravel().tolist()


def test_brightness_contrast_and_saturation():
    assert mixed((100, 50, 200), brightness=1.2) == [120, 60, 240]
    assert mixed((100, 50, 250), brightness=1.2) == [120, 60, 255]
    assert mixed((128, 28, 228), contrast=0.5) == [128, 78, 178]
    assert mixed((128, 0, 255), contrast=1.5) == [128, 0, 255]
    luma = round(0.299 * 100 + 0.587 * 50 + 0.114 * 200)
    assert mixed((100, 50, 200), saturation=0.0) == [luma] * 3
    assert mixed((70, 70, 70), saturation=1.5) == [70] * 3
    assert mixed((100, 50, 200), saturation=1.2) == pytest.approx([1.2 * v - 0.2 * luma for v in (100, 50, 200)], abs=1)


def test_grey_has_brightness_and_contrast_but_no_saturation():
    assert mixed((100,), brightness=1.2, saturation=0.5) == mixed((100,), brightness=1.2) == [120]
    assert mixed((28,), contrast=0.5) == [78]


def test_a_box_becomes_grey():
    images = make_images(2)
    got = augmented(images, make_plan(2, boxes=[[2, 3, 5, 17], [0, 0, 0, 0]]))
    expected = images.copy()
    expected[0, 2:5, 3:17] = 128
    assert np.array_equal(got, expected)
