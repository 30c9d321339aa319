"""Networks with every kind of layer."""

import numpy as np
import pytest
import torch
from torch import nn

from lenet.data.fit import fit_array
from lenet.exports.formats import FORMATS
from lenet.exports.network import Exported, Provenance, steps_of
from lenet.models import Normalize, Residual

CHANNELS, SIDE, CLASSES = 3, 16, 5


def _networks():
    """Name to the layers after Normalize, for 16x16 colour images and 5 classes."""
    conv, pool = nn.Conv2d, nn.MaxPool2d
    flat = lambda features: [nn.Flatten(), nn.Linear(features, CLASSES)]  # noqa: E731
    return {
        "lenet": [
            conv(3, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), pool(2), nn.Flatten(), nn.Linear(144, 12),
            nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.5), nn.Linear(12, CLASSES),
        ],
        "norm after pool": [
            conv(3, 4, 3), nn.ReLU(), pool(2), nn.BatchNorm2d(4), conv(4, 6, 3, bias=False), nn.LeakyReLU(0.1),
            nn.AvgPool2d(2), nn.BatchNorm2d(6), *flat(24),
        ],
        "norm before zeros": [
            nn.BatchNorm2d(3), conv(3, 4, 3, padding=1), nn.GELU(), nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4),
            nn.Dropout(), conv(4, 4, 2, padding="same"), nn.GELU("tanh"), nn.AdaptiveAvgPool2d(1), *flat(4),
        ],
        "norm before mirrored": [
            conv(3, 4, 3), nn.Tanh(), nn.BatchNorm2d(4),
            conv(4, 6, (3, 2), padding=(1, 2), padding_mode="reflect", groups=2),
            pool(3, 2, ceil_mode=True, padding=1), *flat(6 * 8 * 9),
        ],
        "strides": [
            conv(3, 4, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(0, 1)), nn.ReLU(),
            pool((2, 3), (1, 2), dilation=(2, 1)), nn.BatchNorm2d(4), nn.AvgPool2d(3, 2, 1, ceil_mode=True),
            *flat(48),
        ],
        "padding modes": [
            conv(3, 4, 4, padding="same", padding_mode="circular"), nn.ReLU(),
            nn.AvgPool2d(3, 2, 1, count_include_pad=False),
            conv(4, 4, 3, padding=1, padding_mode="replicate", groups=4), nn.AdaptiveAvgPool2d((3, 5)),
            nn.Flatten(), nn.BatchNorm1d(60), nn.ReLU(), nn.Flatten(), nn.Linear(60, CLASSES, bias=False),
        ],
        "no linear layer": [
            conv(3, 4, 3, padding="valid"), nn.ReLU(), pool(3, 3, 1, 2, ceil_mode=True),
            conv(4, CLASSES, 3, dilation=2, padding="same"), nn.AvgPool2d(5, divisor_override=7), nn.Flatten(),
        ],
        "residual": [
            conv(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
            Residual(nn.Sequential(conv(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 6, 3, padding=1),
                                   nn.BatchNorm2d(6))), nn.ReLU(),
            Residual(nn.Sequential(conv(6, 9, 3, stride=2, padding=1), nn.BatchNorm2d(9), nn.ReLU(),
                                   conv(9, 9, 3, padding=1), nn.BatchNorm2d(9)),
                     nn.Sequential(conv(6, 9, 1, stride=2))), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), *flat(9),
        ],
        # A sum that ends in a batch norm; first layers that must not change the shortcut's input.
        "residual of all kinds": [
            conv(3, 4, 3, padding=1),
            Residual(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), conv(4, 4, 3, padding=1, groups=4), nn.Tanh(),
                                   conv(4, 8, 1)),
                     nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(4), conv(4, 8, 1), nn.LeakyReLU(0.2))),
            nn.BatchNorm2d(8), Residual(nn.Sequential(nn.BatchNorm2d(8))),
            nn.MaxPool2d(2), nn.ReLU(), Residual(nn.Sequential(nn.AvgPool2d(3, 1, 1)), nn.Sequential(nn.ReLU())),
            *flat(512),
        ],
        "residual at the end": [
            conv(3, CLASSES, 5, 3), Residual(nn.Sequential(conv(5, 5, 3, padding=1))), nn.AdaptiveAvgPool2d(1),
            Residual(nn.Sequential(conv(5, 5, 1))), nn.Flatten(),
        ],
        "one linear layer": [nn.Flatten(), nn.Linear(768, CLASSES)],
        "maps to classes": [conv(3, 1, 3), nn.AdaptiveAvgPool2d((1, 5)), nn.BatchNorm2d(1), nn.Flatten()],
    }  # fmt: skip


NAMES = tuple(_networks())


@pytest.fixture(params=NAMES)
def any_network(request):
    """Each network in turn, with batch norm statistics and weights that are not the initial ones, in eval mode."""
    return _network(request.param)


def _network(name):
    torch.manual_seed(0)
    network = nn.Sequential(Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.25)), *_networks()[name])
    return with_statistics(network)


def with_statistics(network):
    """The network in eval mode, with batch norm statistics and weights that are not the initial ones."""
    with torch.no_grad():
        for name, tensor in network.named_buffers():
            if "running" in name:
                tensor.uniform_(0.5, 1.5)
        for layer in network.modules():
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.affine:
                layer.weight.uniform_(-1.5, 1.5)
                layer.bias.uniform_(-1, 1)
    return network.eval()


@pytest.fixture(scope="session")
def network_named():
    """A function that makes the network of `any_network` with this name."""
    return _network


@pytest.fixture(scope="session")
def normalized():
    """A function that makes a network of layers for colour images, as those of `any_network`."""
    return lambda *layers: with_statistics(nn.Sequential(Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.25)), *layers))


@pytest.fixture
def some_images():
    """uint8 [20, 16, 16, 3]; among them a black and a white image."""
    images = np.random.default_rng(0).integers(0, 256, (20, SIDE, SIDE, CHANNELS), np.uint8)
    images[0], images[1] = 0, 255
    return images


@pytest.fixture(scope="session")
def as_exported():
    """A function that describes a network for 16x16 colour images and 5 classes, or as `changes` say."""

    def describe(network, **changes):
        shape = changes.get("input_shape", (SIDE, SIDE, CHANNELS))
        values = {
            "steps": steps_of(network, shape), "mean": network[0].mean.numpy(), "std": network[0].std.numpy(),
            "classes": tuple("abcde"), "input_shape": shape, "fit": "crop", "temperature": 1.5,
            "provenance": Provenance("0", "x", None, None, 0, 0),
        }  # fmt: skip
        return Exported(**values | changes)

    return describe


@pytest.fixture
def write(tmp_path):
    """A function that writes a network as net.ENDING, with check images of its size, and returns the path."""

    def written(ending, described, network, images):
        path = tmp_path / f"net{ending}"
        path.write_bytes(FORMATS[ending].written(described, network, images, "any"))
        return path

    return written


def _network_of_pixels():
    return nn.Sequential(Normalize((0.0,) * 3, (1.0,) * 3), nn.Flatten())


@pytest.fixture
def pixels_as_logits(as_exported):
    """A function of a side and a fit: a network whose logits are all pixels, channel by channel, divided by 255."""

    def describe(side, fit):
        classes = tuple(map(str, range(side * side * 3)))
        return as_exported(_network_of_pixels(), input_shape=(side, side, 3), fit=fit, classes=classes)

    return describe


@pytest.fixture
def write_of_pixels(write, pixels_as_logits):
    """A function of an ending, a side and a fit: `write` for the network of `pixels_as_logits`."""

    def written(ending, side, fit):
        images = np.random.default_rng(1).integers(0, 256, (4, side, side, 3), np.uint8)
        return write(ending, pixels_as_logits(side, fit), _network_of_pixels(), images)

    return written


@pytest.fixture
def shows_fitted():
    """Whether such a network's probabilities are those of the image as lenet fits it, pixel for pixel.

    They are the softmax of the pixels, whose logarithms differ as the pixels do.
    """

    def shows(probabilities, image, side, fit):
        logs = np.log(probabilities.reshape(3, side, side).transpose(1, 2, 0)) * 1.5 * 255
        fitted = fit_array(image, side, fit)[0].astype(np.int64)
        return bool((np.rint(logs - logs.max() + fitted.max()) == fitted).all())

    return shows


@pytest.fixture
def other_sizes():
    """A function of the network's side: images of many sizes, uint8 [1, H, W, 3] each."""

    def images(side):
        random = np.random.default_rng(0)
        sizes = [
            (1, 1),
            (1, 90),
            (90, 1),
            (side, side),
            (side + 1, side),
            (side, side - 1),
            (3, 2),
            (47, 200),
            (200, 47),
        ]
        for height, width in [*sizes, *random.integers(1, 130, (60, 2)).tolist()]:
            yield random.integers(0, 256, (1, height, width, 3), np.uint8)

    return images
