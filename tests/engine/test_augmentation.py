"""Engines train on the pixels that the reference in lenet.data.augment computes, at every instruction set level."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lenet import extension
from lenet.config import Augmentation, TrainingConfig
from lenet.data.augment import augmented
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.models import Normalize

pytestmark = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))

LEVELS = [] if native.available() else extension.module.levels()
COUNT = 23
STRONG = {"max_rotation": 180.0, "max_scale": 0.5, "max_shift": 5, "max_colour": 0.5, "cutout_size": 0.4}
DRAWN = {
    "flip": {"flips": "random"},
    "shift": {"max_shift": 4},
    "flip and shift": {"flips": "random", "max_shift": 4},
    "rotate": {"max_rotation": 15.0},
    "scale and flip": {"flips": "random", "max_scale": 0.2},
    "colour": {"max_colour": 0.3},
    "cutout": {"cutout_size": 0.25},
    "shift, colour and cutout": {"max_shift": 2, "max_colour": 0.3, "cutout_size": 0.5},
    "everything, strongly": {"flips": "random", **STRONG},
}


def make_plan(shape, **drawn):
    return epoch_plan(np.arange(COUNT), seed=3, epoch=0, epochs=1, batch_size=COUNT, learning_rate=1.0,
                      image_size=shape[:2], augment=Augmentation(**drawn))  # fmt: skip


def make_images(shape):
    return np.random.default_rng(0).integers(0, 256, (COUNT, *shape), np.uint8)


def pixels_seen(engine, images, plan, threads=1):
    """The pixels that a step trains on, uint8 [positions, H, W, C].

    From zero weights, a step of SGD with learning rate 1 changes class k's weights by (its images' sum - all images'
    sum / classes) / batch size. With a class for each position, and one of no image, the differences are the pixels.
    """
    height, width, channels = images.shape[1:]
    linear = nn.Linear(height * width * channels, COUNT + 1)
    model = nn.Sequential(Normalize([0.0] * channels, [1 / 255] * channels), nn.Flatten(), linear).double()
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    labels = np.empty(COUNT, np.int64)
    labels[plan.order] = np.arange(COUNT)
    plain = TrainingConfig(optimizer="sgd", momentum=0.0, nesterov=False, weight_decay=0.0)
    engine.train(model, {}, images, labels, plan, Settings(plain, threads=threads))
    weight = linear.weight.detach()
    seen = (COUNT * (weight[:-1] - weight[-1])).reshape(COUNT, channels, height, width).permute(0, 2, 3, 1)
    assert torch.allclose(seen, seen.round(), atol=1e-3)
    return seen.round().numpy().astype(np.uint8)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("drawn", DRAWN)
def test_native_engine_sees_the_pixels_of_the_reference_at_every_level(level, drawn, monkeypatch):
    monkeypatch.setenv("LENET_ISA", level)
    for shape in ((32, 32, 3), (17, 19, 3), (16, 16, 1)):
        images, plan = make_images(shape), make_plan(shape, **DRAWN[drawn])
        assert np.array_equal(pixels_seen(native, images, plan), augmented(images, plan)), shape


@pytest.mark.parametrize("shape", [(9, 8, 2), (8, 9, 4), (7, 7, 5), (5, 21, 6), (96, 96, 3)])
def test_any_number_of_channels_and_size_on_two_threads(shape):
    images, plan = make_images(shape), make_plan(shape, flips="random", **STRONG | {"max_shift": 3})
    assert np.array_equal(pixels_seen(native, images, plan, threads=2), augmented(images, plan))


def test_torch_engine_sees_the_pixels_of_the_reference():
    images, plan = make_images((18, 17, 3)), make_plan((18, 17), flips="random", **STRONG)
    assert np.array_equal(pixels_seen(reference, images, plan), augmented(images, plan))


def test_warps_to_very_far_away_read_inside_of_the_image():
    images, plan = make_images((16, 16, 3)), make_plan((16, 16), max_rotation=15.0)
    far = np.array([[[2**24, 0, -(2**28)], [0, -(2**24), 2**28]]], np.int32).repeat(COUNT, axis=0)
    plan = replace(plan, warps=far)
    assert np.array_equal(pixels_seen(native, images, plan), augmented(images, plan))
