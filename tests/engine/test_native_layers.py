"""The native engine against the torch engine: layers in any order, and random networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.models import Normalize, Residual
from tests.engine.agreement import (
    GRADIENT,
    assert_gradients_agree,
    assert_trainings_agree,
    make_images,
    make_labels,
    make_plan,
    needs_native,
    settings_for,
)

pytestmark = needs_native


def winograd(kernel, padding):
    """Layers whose second convolution has channels enough for Winograd's algorithm."""
    return [nn.Conv2d(3, 18, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(18, 21, kernel, padding=padding)]


def conv(inputs, outputs, kernel=3):
    """A convolution that keeps the size of the maps."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def depthwise(channels, kernel=3, stride=1, padding=1, **options):
    return nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, **options)


def basic(inputs, outputs, stride=1):
    """The body of a basic residual block."""
    first = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    return nn.Sequential(first, nn.BatchNorm2d(outputs), nn.ReLU(), conv(outputs, outputs))


LAYERS = {
    "pool before activation": lambda: [nn.Conv2d(3, 5, 3), nn.MaxPool2d(2), nn.Tanh()],
    "no pool": lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 5), nn.Tanh()],
    "padding": lambda: [nn.Conv2d(3, 5, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(5, 7, 3, padding="same")],
    "uneven padding": lambda: [nn.Conv2d(3, 4, 3, padding=(0, 2)), nn.Conv2d(4, 4, 3, padding=(1, 0)), nn.ReLU()],
    "norm first": lambda: [nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(4)],
    "dropout of maps": lambda: [nn.Conv2d(3, 5, 3), nn.Dropout(0.4), nn.ReLU(), nn.AvgPool2d(2)],
    "norm after pool": lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(5), nn.ReLU()],
    "norm, no activation": lambda: [nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.MaxPool2d(2)],
    "norm, no pool": lambda: [nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 20, 3), nn.ReLU()],
    "pixels pooled": lambda: [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Tanh()],
    "leaky ReLU": lambda: [nn.Conv2d(3, 5, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Conv2d(5, 7, 3), nn.LeakyReLU()],
    "global pool": lambda: [nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(), nn.AdaptiveAvgPool2d(1)],
    "global pool in the middle": lambda: [nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 6, 3, padding=1), nn.Tanh()],
    "Winograd, 5x5": lambda: [*winograd(5, 2), nn.ReLU(), nn.MaxPool2d(2)],
    "Winograd, 5x5, norm before pool": lambda: [*winograd(5, 0), nn.BatchNorm2d(21), nn.ReLU(), nn.MaxPool2d(2)],
    "Winograd, 3x3": lambda: [*winograd(3, 1), nn.Tanh(), nn.AvgPool2d(2)],
    "Winograd rather than winners": lambda: [
        conv(3, 40),
        *(nn.ReLU(), nn.Conv2d(40, 41, 5, padding=(1, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(41)),
    ],
    "Winograd and norm without a pool": lambda: [
        *(
            nn.Conv2d(3, 18, 3, padding=1),
            nn.BatchNorm2d(18),
            nn.ReLU(),
            nn.Conv2d(18, 21, 3, padding=3),
            nn.BatchNorm2d(21),
        ),
        *(nn.Tanh(), nn.Conv2d(21, 16, 5, padding=(0, 2)), nn.BatchNorm2d(16), nn.LeakyReLU(0.1), nn.Conv2d(16, 16, 3)),
        *(nn.BatchNorm2d(16), nn.AdaptiveAvgPool2d(1)),
    ],
    "Winograd, 3x3, no pool": lambda: [*winograd(3, 0), nn.BatchNorm2d(21), nn.ReLU()],
    "strides": lambda: [
        nn.Conv2d(3, 20, 3, 2, padding=1),
        nn.ReLU(),
        nn.Conv2d(20, 17, 3, (1, 2)),
        nn.Conv2d(17, 9, 5, 2, 2),
    ],
    "1x1": lambda: [nn.Conv2d(3, 17, 1), nn.BatchNorm2d(17), nn.ReLU(), nn.Conv2d(17, 8, 1, padding=1), nn.Tanh()],
    "1x1 with strides": lambda: [
        nn.Conv2d(3, 6, 1, 2),
        nn.ReLU(),
        nn.Conv2d(6, 9, 1, (2, 1), padding=(0, 2)),
        nn.ReLU(),
    ],
    "1x1 and pool": lambda: [
        nn.Conv2d(3, 6, 1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 20, 1),
        nn.Tanh(),
        nn.AvgPool2d(2),
    ],
    "depthwise": lambda: [
        conv(3, 21),
        *(depthwise(21), nn.BatchNorm2d(21), nn.ReLU(), depthwise(21, 5, 2, padding=1), nn.Tanh()),
        *(
            depthwise(21, 1, (1, 2), padding=(2, 0)),
            depthwise(21, 3, (2, 1), padding=(0, 4)),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
    ],
    "depthwise of pixels, without bias": lambda: [depthwise(3, bias=False), nn.ReLU(), depthwise(3, 5, padding=6)],
    "groups": lambda: [
        nn.Conv2d(3, 12, 3, groups=3, padding=1),
        *(nn.ReLU(), nn.Conv2d(12, 18, 5, 2, groups=2, padding=3), nn.BatchNorm2d(18), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(18, 9, 1, groups=9), nn.Conv2d(9, 36, 3, (2, 1), groups=3, bias=False), nn.Tanh(), nn.AvgPool2d(2)),
    ],
    "block of depthwise": lambda: [
        conv(3, 8),
        Residual(
            nn.Sequential(depthwise(8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 8, 1)),
            nn.Sequential(depthwise(8, 5, padding=2)),
        ),
        nn.ReLU(),
    ],
    "strides and pool": lambda: [nn.Conv2d(3, 9, 3, 2, 1), nn.BatchNorm2d(9), nn.ReLU(), nn.MaxPool2d(2)],
    "pools that overlap": lambda: [nn.Conv2d(3, 5, 3), nn.MaxPool2d(3, 2, 1), nn.Tanh(), nn.AvgPool2d(3, 1, 1)],
    "pools of any window": lambda: [nn.MaxPool2d(5, (1, 2), (2, 1)), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3)],
    "block without shortcut": lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), Residual(basic(5, 5)), nn.ReLU()],
    "block with shortcut": lambda: [
        conv(3, 5),
        Residual(basic(5, 7, 2), nn.Sequential(nn.Conv2d(5, 7, 1, 2))),
        nn.Tanh(),
    ],
    "block of pixels": lambda: [
        Residual(basic(3, 3)),
        nn.ReLU(),
        Residual(nn.Sequential(conv(3, 18)), nn.Sequential(conv(3, 18, 5))),
    ],
    "blocks in a row": lambda: [conv(3, 6), Residual(basic(6, 6)), Residual(basic(6, 6)), conv(6, 4, 5)],
    "block of a fused pool": lambda: [
        conv(3, 4),
        Residual(nn.Sequential(conv(4, 7), nn.ReLU(), nn.MaxPool2d(2)), nn.Sequential(conv(4, 7), nn.MaxPool2d(2))),
        nn.BatchNorm2d(7),
        nn.ReLU(),
    ],
    "block with dropout": lambda: [
        conv(3, 4),
        Residual(nn.Sequential(nn.Dropout(0.3), conv(4, 4)), nn.Sequential(nn.Dropout(0.2))),
        nn.Dropout(0.1),
    ],
    "activations at the ends": lambda: [
        conv(3, 4),
        Residual(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.Sequential(nn.LeakyReLU(0.1), nn.Tanh())),
        nn.AdaptiveAvgPool2d(1),
        Residual(nn.Sequential(nn.BatchNorm2d(4), nn.Tanh())),
    ],
    "one position, padded": lambda: [
        nn.AdaptiveAvgPool2d(1),
        nn.ReLU(),
        conv(3, 4),
        nn.Tanh(),
        nn.Dropout(0.1),
        conv(4, 4),
    ],
    "block of one position": lambda: [
        nn.AdaptiveAvgPool2d(1),
        nn.Tanh(),
        Residual(nn.Sequential(conv(3, 4)), nn.Sequential(nn.Conv2d(3, 4, 1))),
        Residual(nn.Sequential(conv(4, 4))),
    ],
    "nothing": lambda: [],
}


@pytest.mark.parametrize("layers", LAYERS)
def test_any_order_of_layers(layers):
    torch.manual_seed(0)
    body = [Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]), *LAYERS[layers](), nn.Flatten()]
    features = nn.Sequential(*body)(torch.zeros(2, 17, 15, 3, dtype=torch.uint8)).shape[1]
    tail = [nn.BatchNorm1d(features), nn.Dropout(0.2), nn.Linear(features, 9, bias=False), nn.Tanh(), nn.Linear(9, 4)]
    model = nn.Sequential(*body, *tail).double()
    images, labels = make_images(20, (17, 15, 3)), make_labels(20, 4)
    assert_gradients_agree(model, images, labels, make_plan(20, 7))
    assert_gradients_agree(model, images, labels, make_plan(20, 7), replace(GRADIENT, frozen=2, threads=2))
    expected, found = (engine.logits(model, images, Settings()) for engine in (reference, native))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_training_with_groups(optimizer):
    torch.manual_seed(0)
    layers = [conv(3, 12), depthwise(12), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 18, 3, 2, groups=3), nn.ReLU()]
    layers += [nn.Conv2d(18, 18, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(18, 4)]
    model = nn.Sequential(Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]), *layers).double()
    images, labels, plan = make_images(20, (9, 11, 3)), make_labels(20, 4), make_plan(20, 6, learning_rate=0.01)
    settings = settings_for(optimizer, momentum=0.9, nesterov=True, weight_decay=1e-3)
    assert_trainings_agree(model, images, labels, plan, settings, 1e-7)


@st.composite
def blocks(draw, inputs, outputs, norm, activation):
    """A random residual block; its body may be a single layer, and its shortcut the identity."""
    stride = draw(st.sampled_from([1, 2]))
    norms = lambda: [nn.BatchNorm2d(outputs)] * norm  # noqa: E731
    body = [nn.Conv2d(inputs, outputs, 3, stride, 1)]
    if draw(st.booleans()):
        body += [*norms(), activation(), conv(outputs, outputs, draw(st.sampled_from([1, 3, 5])))]
    if draw(st.booleans()):
        body += [draw(st.sampled_from([*norms(), activation(), nn.Dropout(0.2), nn.MaxPool2d(3, 1, 1)]))]
    if stride == 1 and inputs == outputs and draw(st.booleans()):
        return Residual(nn.Sequential(*body))
    way = [nn.Conv2d(inputs, outputs, 1, stride), *norms()]
    if draw(st.booleans()):
        way = [nn.MaxPool2d(3, stride, 1) if draw(st.booleans()) else nn.AvgPool2d(1, stride), conv(inputs, outputs)]
    return Residual(nn.Sequential(*body), nn.Sequential(*way))


@st.composite
def networks(draw):
    """A random network of convolutions and linear layers, images and labels for it."""
    kernel = draw(st.sampled_from([1, 3, 5]))
    height, width = draw(st.integers(16, 40)), draw(st.integers(16, 40))
    if draw(st.integers(0, 9)) == 0:
        height, width = draw(st.sampled_from([(64, 64), (96, 96), (33, 96)]))
    channels = draw(st.sampled_from([1, 3]))
    classes = draw(st.sampled_from([2, 3, 10, 17, 100, 1000]))
    torch.manual_seed(draw(st.integers(0, 99)))
    padding = draw(st.integers(0, 2))
    widths = st.one_of(st.integers(1, 20), st.sampled_from([6, 16, 32, 40]))
    maps = draw(widths), draw(widths)
    norm, average = draw(st.booleans()), draw(st.booleans())
    activation = draw(st.sampled_from([nn.ReLU, nn.Tanh]))
    layers = [Normalize([0.5] * channels, [0.25] * channels)]
    side = min(height, width)
    for inputs, outputs in ((channels, maps[0]), maps):
        stride, pooled = draw(st.sampled_from([1, 1, 2, (1, 2)])), draw(st.sampled_from([True, True, False]))
        side = ((side + 2 * padding - kernel) // (1 if stride == 1 else 2) + 1) // (1 + pooled)
        assume(side > 0)
        groups = draw(st.sampled_from([n for n in range(1, inputs + 1) if inputs % n == outputs % n == 0]))
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups))
        layers += [nn.BatchNorm2d(outputs)] * norm
        layers.append(activation())
        layers += [nn.AvgPool2d(2) if average else nn.MaxPool2d(2)] * pooled
    for _ in range(draw(st.integers(0, 2))):
        inputs, outputs = outputs, draw(st.sampled_from([outputs, draw(widths)]))
        layers += [draw(blocks(inputs, outputs, norm, activation)), *[activation()] * draw(st.booleans())]
    layers.append(nn.Flatten())
    features = nn.Sequential(*layers)(torch.zeros(2, height, width, channels, dtype=torch.uint8)).shape[1]
    hidden = draw(st.integers(1, 140))
    layers += [nn.Linear(features, hidden), *([nn.BatchNorm1d(hidden)] * norm), activation()]
    layers += [nn.Dropout(0.3)] * draw(st.booleans())
    layers.append(nn.Linear(hidden, classes))
    # Two grey levels make equal values in a pool's window likely. After 1x1 convolutions and pools all images would be
    # equal, and ReLU's input after a batch norm exactly 0.
    levels = draw(st.sampled_from([2, 256])) if kernel > 1 else 256
    count = draw(st.integers(2 if norm else 1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    images = (rng.integers(0, levels, (count, height, width, channels)) * (255 // (levels - 1))).astype(np.uint8)
    return nn.Sequential(*layers).double(), images, rng.integers(0, classes, count)


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks(), st.integers(1, 9), st.sampled_from([0.0, 0.1]), st.integers(1, 2), st.integers(0, 6))
def test_gradients_of_random_networks(network, batch_size, label_smoothing, threads, frozen):
    model, images, labels = network
    has_norm = any(isinstance(layer, nn.BatchNorm1d) for layer in model)
    assume(not has_norm or min(batch_size, len(images)) > 1)
    settings = settings_for("sgd", momentum=0.9, label_smoothing=label_smoothing, threads=threads, frozen=frozen)
    plan = make_plan(len(images), batch_size)
    # With two images, batch norm turns nearly every difference into -1 or 1, which magnifies rounding errors.
    assert_gradients_agree(model, images, labels, plan, settings, 1e-9 if not has_norm or batch_size > 3 else 1e-6)
    expected, found = (engine.logits(model, images, Settings()) for engine in (reference, native))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
