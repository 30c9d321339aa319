"""Networks as PyTorch modules: normalization of pixels, and networks built from descriptions."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lenet.errors import InputError
from lenet.models import SHAPES, Normalize, build, describe, network_of


def random_images(shape, count=4):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8))


def test_normalize_scales_pixels_and_puts_channels_first():
    images = random_images((5, 6, 3))
    got = Normalize([0.1, 0.2, 0.3], [0.5, 0.25, 0.125])(images)
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.25), (0.3, 0.125)]):
        assert torch.allclose(got[:, channel], (images[..., channel] / 255 - mean) / std, atol=1e-6)


def test_normalize_raises_std_to_one_grey_level():
    flat = torch.full((1, 16, 16, 1), 77, dtype=torch.uint8)
    assert Normalize([77 / 255], [0.0])(flat).abs().max() < 1e-5
    assert Normalize([76 / 255], [0.0])(flat).flatten()[0].item() == pytest.approx(1.0, abs=1e-4)
    assert Normalize([0.0], [1e-9]).std.item() == pytest.approx(1 / 255)
    assert Normalize([0.0], [0.01]).std.item() == pytest.approx(0.01)


def uncommon():
    """Most kinds of layers, with arguments other than the defaults."""
    return nn.Sequential(
        Normalize([0.3], [0.2]),
        nn.Conv2d(1, 4, (3, 5), stride=2, padding=(1, 2), dilation=1, bias=False, padding_mode="reflect"),
        nn.BatchNorm2d(4, eps=1e-3, momentum=0.3),
        nn.Tanh(),
        nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.Conv2d(4, 6, 3, padding="same", groups=2),
        nn.BatchNorm2d(6, affine=False),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2, stride=1, padding=1, count_include_pad=False),
        nn.AvgPool2d(2, divisor_override=3),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 9, bias=False),
        nn.BatchNorm1d(9, eps=1e-3, momentum=0.3),
        nn.Dropout(0.4),
        nn.Linear(9, 5),
    )


@pytest.mark.parametrize("make", [uncommon, *(lambda s=s: network_of(s, (26, 23, 1), 5) for s in SHAPES.values())])
def test_build_restores_a_described_network(make):
    network = make()
    layers = json.loads(json.dumps(describe(network)))  # as in a file
    again = build(layers)
    again.load_state_dict(network.state_dict())
    images = random_images((26, 23, 1))
    for mode in (True, False):
        for each in (network, again):
            each.train(mode)
            torch.manual_seed(0)  # for dropout
            each.result = each(images)
        assert torch.equal(network.result, again.result)
    assert describe(again) == describe(network)


class Mine(nn.Module):
    def forward(self, x):
        return x


def test_describe_names_an_unsupported_layer():
    with pytest.raises(InputError, match=r"layer 1: Mine is not supported \(supported: .*Conv2d"):
        describe(nn.Sequential(nn.ReLU(), Mine()))
    with pytest.raises(InputError, match="layer 0: Sequential is not supported"):
        describe(nn.Sequential(nn.Sequential(nn.ReLU())))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"kind": "os.system"}], "layer 0: kind 'os.system' is not supported"),
        ([{}], "layer 0: kind None is not supported"),
        ([{"kind": "ReLU"}, {"kind": "Linear", "in_features": 3}], r"layer 1 \(Linear\): argument 'bias' is missing"),
        ([{"kind": "Dropout", "p": 7}], r"layer 0 \(Dropout\): p must be a number from 0 to"),
    ],
)
def test_build_refuses_an_invalid_description(layers, message):
    with pytest.raises(InputError, match=message):
        build(layers)
