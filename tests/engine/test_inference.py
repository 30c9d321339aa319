"""A network of the native engine that is packed once: every call gives the same bits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.engine.native_network import Inference
from lenet.errors import InputError
from lenet.models import SHAPES, Normalize, network_of, plain

pytestmark = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))

IMAGES = np.random.default_rng(0).integers(0, 256, (77, 20, 24, 3), np.uint8)


@pytest.fixture(params=SHAPES)
def model(request):
    torch.manual_seed(0)
    return network_of(SHAPES[request.param], (20, 24, 3), 4).eval()


def test_all_calls_give_the_same_bits_as_a_fresh_network(model):
    inference = Inference(plain(model), (20, 24, 3))
    expected = Inference(plain(model), (20, 24, 3)).logits(IMAGES)
    np.testing.assert_allclose(expected, reference.logits(model, IMAGES, Settings()), rtol=1e-4, atol=1e-5)
    assert np.array_equal(native.logits(model, IMAGES, Settings()), expected)
    for begin, end in ((0, 77), (5, 6), (0, 0), (30, 70), (76, 77), (0, 77)):
        assert np.array_equal(inference.logits(IMAGES[begin:end]), expected[begin:end])


@pytest.mark.parametrize("place", range(4))
def test_a_nan_in_a_pooling_window_is_kept(place):
    """Where the pixel is bright the second convolution has inf - inf; a max pool returns NaN wherever it stands."""
    network = nn.Sequential(
        Normalize([0.0], [0.1]), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64, 2),
    )  # fmt: skip
    with torch.no_grad():
        network[1].weight.fill_(3e38)
        network[1].bias.zero_()
        network[2].weight.copy_(torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1))
    images = np.zeros((1, 16, 16, 1), np.uint8)
    images[0, 6 + place // 2, 4 + place % 2] = 255
    assert np.isnan(reference.logits(network, images, Settings())).all()
    assert np.isnan(native.logits(network, images, Settings())).all()


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 20, 24, 3), 0.5),
        np.full((2, 20, 24, 3), 7),
        np.zeros((2, 3, 20, 24), np.uint8).transpose(0, 2, 3, 1),
    ],
)
def test_arrays_of_another_type_or_order_are_not_converted(images):
    network = Inference(plain(network_of(SHAPES["lenet5"], (20, 24, 3), 4)), (20, 24, 3))
    with pytest.raises(TypeError, match="incompatible function arguments"):
        network.logits(images)


def test_threads_do_not_change_the_bits(model):
    one, two = (Inference(plain(model), (20, 24, 3), threads) for threads in (1, 2))
    assert np.array_equal(one.logits(IMAGES), two.logits(IMAGES))


def test_it_has_its_own_weights(model):
    inference = Inference(plain(model), (20, 24, 3))
    expected = inference.logits(IMAGES)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.zero_()
    assert np.array_equal(inference.logits(IMAGES), expected)


def test_threads_may_share_it(model):
    inference = Inference(plain(model), (20, 24, 3))
    expected = inference.logits(IMAGES)
    with ThreadPoolExecutor(4) as pool:
        for begin, found in enumerate(pool.map(lambda begin: inference.logits(IMAGES[begin : begin + 9]), range(60))):
            assert np.array_equal(found, expected[begin : begin + 9])


def test_a_head_on_features():
    features = np.random.default_rng(1).normal(size=(40, 12)).astype(np.float32)
    head = nn.Sequential(nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 3)).eval()
    inference = Inference(plain(head), (12,))
    expected = reference.logits(head, features, Settings())
    for count in (40, 1):
        np.testing.assert_allclose(inference.logits(features[:count]), expected[:count], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(24, 20, 3), (20, 24, 1), (20, 24), (1440,)])
def test_images_of_another_shape_are_refused(shape):
    inference = Inference(plain(network_of(SHAPES["lenet5"], (20, 24, 3), 4)), (20, 24, 3))
    with pytest.raises(InputError, match=r"images must have the shape \[20, 24, 3\]"):
        inference.logits(np.zeros((2, *shape), np.uint8))
