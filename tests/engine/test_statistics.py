"""Means and deviations of maps, by which images are compared with the training images."""

import numpy as np
import pytest
import torch
from torch import nn

from lenet.engine import native
from lenet.engine import torch as engine
from lenet.engine.native_network import Inference
from lenet.engine.statistics import MOST_STATISTICS, map_statistics, statistics_count
from lenet.models import SHAPES, Normalize, network_of, plain

IMAGES = np.random.default_rng(0).integers(0, 256, (300, 16, 20, 3), np.uint8)


def network(*layers):
    return nn.Sequential(Normalize([0.4] * 3, [0.2] * 3), *layers)


def test_statistics_are_of_the_normalised_image_and_of_the_maps_after_each_activation():
    model = network_of(SHAPES["lenet5-modern"], (16, 20, 3), 4)
    found = map_statistics(engine.maps(model.train(), IMAGES.shape[1:]), model, IMAGES)
    assert found.shape == (300, 2 * (3 + 6 + 16)) == (300, statistics_count(model, (16, 20, 3)))
    with torch.no_grad():
        normalised = model[0](torch.from_numpy(IMAGES))
        first = model[1:4](normalised)
    for maps, start in ((normalised, 0), (first, 6)):
        count = maps.shape[1]
        mean, deviation = maps.mean((2, 3)), maps.std((2, 3), correction=0)
        assert np.allclose(found[:, start : start + count], mean, atol=1e-5)
        assert np.allclose(found[:, start + count : start + 2 * count], deviation, atol=1e-5)


@pytest.mark.parametrize("layers", [[nn.Flatten(), nn.Linear(960, 4)], [nn.Flatten(), nn.Linear(960, 8), nn.ReLU()]])
def test_a_network_without_convolutions_is_described_by_its_pixels(layers):
    assert map_statistics(engine.maps(network(*layers), IMAGES.shape[1:]), network(*layers), IMAGES).shape == (300, 6)


def test_later_layers_are_left_out_where_there_would_be_too_many_statistics():
    wide = network(nn.Conv2d(3, 500, 3), nn.ReLU(), nn.Conv2d(500, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3840, 2))
    assert statistics_count(wide, (16, 20, 3)) == 2 * (3 + 500) < MOST_STATISTICS
    assert map_statistics(engine.maps(wide, IMAGES.shape[1:]), wide, IMAGES[:2]).shape == (2, 1006)


@pytest.mark.skipif(native.available() is not None, reason=str(native.available()))
@pytest.mark.parametrize("name", SHAPES)
def test_the_native_engine_gives_the_same_statistics(name):
    model = network_of(SHAPES[name], (20, 24, 3), 4).eval()
    images = np.random.default_rng(1).integers(0, 256, (300, 20, 24, 3), np.uint8)
    expected = map_statistics(engine.maps(model, images.shape[1:]), model, images)
    inference = Inference(plain(model), images.shape[1:])
    found = map_statistics(inference.maps, inference.layers, images)
    assert np.allclose(found, expected, atol=1e-5)
    assert np.array_equal(map_statistics(native.maps(model, images.shape[1:]), model, images), found)
