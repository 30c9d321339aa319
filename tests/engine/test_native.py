"""The native engine against the torch engine: gradients, weights, buffers, optimizer state and metrics."""

import copy
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

from lenet import extension
from lenet.config import TrainingConfig
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.models import SHAPES, Normalize, Residual, network_of
from lenet.models.lenet import LeNet

pytestmark = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))


def settings_for(optimizer="adam", *, frozen=0, threads=1, class_weights=None, **training):
    """Settings without momentum and weight decay, unless given."""
    plain = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    return Settings(TrainingConfig(optimizer=optimizer, **(plain | training)), frozen, threads, "cpu", class_weights)


def in_float(name):
    """Tolerance of gradients in float32. In a deep network a ReLU's input near 0 may differ in sign."""
    return 3e-5 if isinstance(SHAPES[name], LeNet) else 1e-2


# After one step of SGD with momentum, the momentum is the gradient.
GRADIENT = settings_for(optimizer="sgd", momentum=0.9)
WITHOUT_BATCH_NORM = [name for name, shape in SHAPES.items() if getattr(shape, "batch_norm", "all") == "none"]


def make_images(count, shape=(32, 32, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def make_labels(count, classes=10, seed=0):
    return np.random.default_rng(seed).integers(0, classes, count)


def make_plan(count, batch_size, *, learning_rate=0.0, **options):
    options = {"flip": True, "max_shift": 3, "seed": 1, "epoch": 0, "epochs": 1} | options
    return epoch_plan(np.arange(count), batch_size=batch_size, learning_rate=learning_rate, **options)


def make_model(name="lenet5-tuned", input_shape=(32, 32, 3), classes=10, seed=0, **changes):
    torch.manual_seed(seed)
    return network_of(replace(SHAPES[name], **changes), input_shape, classes).double()


def before_batch_norm(layers, inside=""):
    """Names of the biases directly before batch norm: their true gradient is 0, what engines compute is rounding."""
    names = set()
    for number, (layer, after) in enumerate(pairwise([*layers, None])):
        if isinstance(layer, Residual):
            for branch in ("body", "shortcut"):
                names |= before_batch_norm([*getattr(layer, branch), after], f"{inside}{number}.{branch}.")
        if isinstance(after, nn.BatchNorm1d | nn.BatchNorm2d):
            names.add(f"{inside}{number}.bias")
    return names


def gradients(engine, model, images, targets, plan, settings):
    """Gradients of the plan's first step, by parameter name."""
    state = {}
    engine.train(copy.deepcopy(model), state, images, targets, plan.part(0, 1), settings)
    return {name.split("/")[0]: value.numpy() for name, value in state.items()}


def assert_gradients_agree(model, images, targets, plan, settings=GRADIENT, tolerance=1e-9):
    """Each difference's norm is at most `tolerance` times the gradient's, or a thousandth of the whole gradient's."""
    expected = gradients(reference, model, images, targets, plan, settings)
    found = gradients(native, model, images, targets, plan, settings)
    assert found.keys() == expected.keys()
    whole = np.sqrt(sum((g**2).sum() for g in expected.values()))
    for name in expected.keys() - (before_batch_norm(model) if tolerance > 1e-9 else set()):
        scale = max(np.linalg.norm(expected[name]), whole / 1000)
        assert np.linalg.norm(found[name] - expected[name]) <= tolerance * scale, name


def assert_trainings_agree(model, images, targets, plan, settings, tolerance, engine=native):
    """Weights, buffers, optimizer state and metrics after the whole plan."""
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    our_state, their_state = {}, {}
    found = engine.train(ours, our_state, images, targets, plan, settings)
    expected = reference.train(theirs, their_state, images, targets, plan, settings)
    assert found.images == expected.images
    assert found.correct == expected.correct
    assert found.loss_sum == pytest.approx(expected.loss_sum, rel=1e-7)
    assert our_state.keys() == their_state.keys()
    noise = before_batch_norm(model)
    for name, tensor in theirs.state_dict().items():
        if name not in noise:
            torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=tolerance, atol=tolerance)
    for key, tensor in their_state.items():
        if key.split("/")[0] not in noise:
            torch.testing.assert_close(our_state[key], tensor, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_of_every_shape(name):
    images, labels, plan = make_images(24), make_labels(24), make_plan(24, 9)
    assert_gradients_agree(make_model(name), images, labels, plan)
    assert_gradients_agree(make_model(name).float(), images, labels, plan, tolerance=in_float(name))


OPTIONS = {
    "sgd": settings_for("sgd"),
    "decay": settings_for("sgd", weight_decay=0.01),
    "momentum": settings_for("sgd", momentum=0.9, weight_decay=5e-4),
    "nesterov without momentum": settings_for("sgd", nesterov=True),
    "nesterov": settings_for("sgd", momentum=0.9, nesterov=True, weight_decay=5e-4),
    "adam": settings_for("adam"),
    "adam ignores momentum": settings_for("adam", momentum=0.9, nesterov=True),
    "adam-decay": settings_for("adam", weight_decay=0.01),
    "adamw": settings_for("adamw", weight_decay=0.1),
    "smoothing": settings_for("sgd", momentum=0.9, label_smoothing=0.1),
    "class weights": settings_for("sgd", momentum=0.9, class_weights=tuple(np.linspace(0.1, 4, 10))),
    "class weights and smoothing": settings_for("adam", label_smoothing=0.2, class_weights=(*(0.5,) * 9, 20.0)),
    "frozen": settings_for("adam", frozen=4),
    "two threads": settings_for("adam", threads=2),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_fifty_steps_with_every_option(option):
    settings = OPTIONS[option]
    rate = 0.001 if settings.training.optimizer != "sgd" else 0.02
    plan = make_plan(397, 8, learning_rate=rate, schedule="one-cycle")
    model = make_model("lenet-dropout", (20, 20, 1), pool="max")
    assert_trainings_agree(model, make_images(397, (20, 20, 1)), make_labels(397), plan, settings, 1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_fifty_steps_of_every_shape(name):
    plan = make_plan(400, 8, learning_rate=0.01)
    settings = settings_for("sgd", momentum=0.9)
    tolerance = 1e-9 if name in WITHOUT_BATCH_NORM else 1e-6
    assert_trainings_agree(make_model(name), make_images(400), make_labels(400), plan, settings, tolerance)


@pytest.mark.parametrize("classes", [2, 3, 10, 17, 100])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_class_weights_of_random_batches(classes, label_smoothing):
    weights = np.random.default_rng(classes).lognormal(sigma=1.5, size=classes)
    settings = settings_for("sgd", momentum=0.9, class_weights=tuple(weights), label_smoothing=label_smoothing)
    model = make_model("lenet5", (16, 16, 1), classes)
    images, labels = make_images(30, (16, 16, 1)), make_labels(30, classes)
    for batch_size in (1, 7, 30):
        for threads in (1, 2):
            plan = make_plan(30, batch_size)
            assert_gradients_agree(model, images, labels, plan, replace(settings, threads=threads))


def test_equal_class_weights_change_nothing():
    images, labels, plan = make_images(40, (16, 16, 1)), make_labels(40), make_plan(40, 8, learning_rate=0.01)
    model = make_model("lenet5", (16, 16, 1))
    results = []
    for weights in (None, (1.0,) * 10):
        trained = copy.deepcopy(model)
        metrics = native.train(trained, {}, images, labels, plan, settings_for("sgd", class_weights=weights))
        results.append((metrics, [tensor.numpy().tobytes() for tensor in trained.state_dict().values()]))
    assert results[0] == results[1]


@pytest.mark.parametrize("class_weights", [None, tuple(np.linspace(0.2, 3, 10))])
def test_soft_targets(class_weights):
    classes, count = 10, 30
    soft = np.random.default_rng(0).dirichlet(np.ones(classes), count).astype(np.float32)
    plan = make_plan(count, 8, learning_rate=0.1)
    settings = settings_for("sgd", momentum=0.9, label_smoothing=0.1, class_weights=class_weights)
    model = make_model("lenet5", (16, 16, 1))
    images = make_images(count, (16, 16, 1))
    # In float32, since PyTorch requires soft targets in the logits' type.
    assert_gradients_agree(model.float(), images, soft, plan, settings, tolerance=1e-5)


def test_a_model_on_features():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(50, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Dropout(0.3), nn.Linear(30, 7))
    features = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    plan = make_plan(40, 8, learning_rate=0.1)
    assert_gradients_agree(head, features, make_labels(40, 7), plan, tolerance=1e-5)
    expected, found = (engine.logits(head, features, Settings()) for engine in (reference, native))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def winograd(kernel, padding):
    """Layers whose second convolution has channels enough for Winograd's algorithm."""
    return [nn.Conv2d(3, 18, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(18, 21, kernel, padding=padding)]


def conv(inputs, outputs, kernel=3):
    """A convolution that keeps the size of the maps."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


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


@pytest.mark.parametrize("frozen", range(1, 18))
def test_frozen_layers(frozen):
    model = make_model("lenet5-modern", (20, 20, 3), dropout=0.2)
    images, labels = make_images(24, (20, 20, 3)), make_labels(24)
    reference.train(model, {}, images, labels, make_plan(24, 8, learning_rate=0.1), settings_for("sgd"))
    plan = make_plan(24, 8, learning_rate=0.05)
    assert_trainings_agree(model, images, labels, plan, settings_for("sgd", momentum=0.9, frozen=frozen), 1e-9)


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
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding))
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


@pytest.mark.parametrize("name", SHAPES)
def test_results_are_bit_identical_for_any_threads_and_parts_of_the_plan(name):
    images, labels = make_images(150), make_labels(150)
    plan = make_plan(150, 13, learning_rate=0.001)

    def trained(threads, cuts):
        model, state = make_model(name, dropout=0.3 if getattr(SHAPES[name], "fc", True) else 0).float(), {}
        sums = []
        for first, last in zip((0, *cuts), (*cuts, len(plan.steps)), strict=True):
            part = native.train(model, state, images, labels, plan.part(first, last), settings_for(threads=threads))
            sums.append(part.correct)
        return {**model.state_dict(), **state}, sum(sums)

    first, correct = trained(1, [])
    for threads, cuts in ((2, []), (3, []), (1, [1, 4]), (2, [3, 3, 5])):
        again, correct_again = trained(threads, cuts)
        assert correct_again == correct
        for key, tensor in first.items():
            assert torch.equal(tensor, again[key]), key


@pytest.mark.parametrize("name", SHAPES)
def test_logits(name):
    model, images = make_model(name), make_images(77)
    reference.train(model, {}, images, make_labels(77), make_plan(77, 11, learning_rate=0.01), settings_for("sgd"))
    expected = reference.logits(model, images, Settings())
    for threads in (1, 2):
        np.testing.assert_allclose(
            native.logits(model, images, Settings(threads=threads)), expected, rtol=1e-6, atol=1e-7
        )
    assert native.logits(model, images[:0], Settings()).shape == (0, 10)


def test_each_engine_resumes_the_others_state():
    model, images, labels = make_model("lenet5"), make_images(80), make_labels(80)
    plan, settings = make_plan(80, 8, learning_rate=0.002), settings_for("adam")
    both, state = copy.deepcopy(model), {}
    native.train(both, state, images, labels, plan.part(0, 4), settings)
    reference.train(both, state, images, labels, plan.part(4, 7), settings)
    native.train(both, state, images, labels, plan.part(7, 10), settings)
    one, its_state = copy.deepcopy(model), {}
    reference.train(one, its_state, images, labels, plan, settings)
    assert state["1.weight/step"].item() == 10
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(both.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)


def test_a_nonfinite_loss_stops_before_its_update():
    images, labels = make_images(50), make_labels(50)
    settings = settings_for("sgd", momentum=0.9)
    model = make_model("lenet-dropout").float()
    metrics = native.train(model, {}, images, labels, make_plan(50, 10, learning_rate=1e25), settings)
    assert metrics.nonfinite_step is not None
    assert metrics.images == 10 * metrics.nonfinite_step > 0
    assert np.isfinite(metrics.loss_sum)

    model = make_model("lenet-dropout").float()
    with torch.no_grad():
        model[1].bias[0] = torch.nan
    before, state = copy.deepcopy(model.state_dict()), {}
    metrics = native.train(model, state, images, labels, make_plan(50, 10, learning_rate=0.1), settings)
    assert (metrics.nonfinite_step, metrics.images, state) == (0, 0, {})
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items() if name != "1.bias")


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_zero_during_a_call_only(threads):
    tiny = np.float32(1e-40)
    model = make_model("lenet-dropout", dropout=0.0).float()
    state, settings = {}, settings_for("adam", threads=threads)
    images, labels, plan = make_images(16), make_labels(16), make_plan(16, 8, learning_rate=1e-3)
    native.train(model, state, images, labels, plan, settings)
    with torch.no_grad():
        model[8].bias.fill_(-1e6)  # ReLU then outputs 0, so all gradients of this layer are 0
    state["8.weight/exp_avg"].fill_(float(tiny))
    native.train(model, state, images, labels, plan, settings)
    assert (state["8.weight/exp_avg"] == 0).all()
    assert tiny * np.float32(0.5) != 0  # the caller's floating-point mode is unchanged


def _gradients_at(level):
    """Compare gradients in a process with LENET_ISA=level, which prints the level it used."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_native as t\n"
        "for name in t.SHAPES:\n"
        "    t.assert_gradients_agree(t.make_model(name), t.make_images(24), t.make_labels(24), t.make_plan(24, 9))\n"
        "    t.assert_gradients_agree(t.make_model(name).float(), t.make_images(24), t.make_labels(24),"
        " t.make_plan(24, 9), tolerance=t.in_float(name))\n"
        "print(t.native.level())"
    )
    folder = str(Path(__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", code, folder], env=os.environ | {"LENET_ISA": level}, capture_output=True, text=True
    )


def test_gradients_at_every_level_of_this_processor():
    best = native.level()
    for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4"):
        if level <= best:
            done = _gradients_at(level)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == level


def test_unknown_levels_are_refused(monkeypatch):
    monkeypatch.setenv("LENET_ISA", "avx9")
    with pytest.raises(InputError, match="LENET_ISA=avx9: no such level"):
        native.level()
    monkeypatch.setenv("LENET_ISA", "x86-64-v4")
    monkeypatch.setattr(extension, "module", type("Old", (), {"levels": staticmethod(lambda: ["x86-64-v2"])}))
    with pytest.raises(InputError, match="not supported by this processor"):
        native.level()


def test_a_missing_extension_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(extension, "module", None)
    monkeypatch.setattr(extension, "_missing", "no module")
    assert "C++17 compiler" in native.available()
    with pytest.raises(InputError, match="is not installed"):
        native.logits(make_model(), make_images(1), Settings())


_NO_MORE_THREADS = """
import resource, sys
import numpy as np, torch
from pathlib import Path
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine.base import Settings
from lenet.models import SHAPES, network_of

torch.manual_seed(0)
model = network_of(SHAPES["lenet5-modern"], (16, 16, 1), 10)
images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 1), dtype=np.uint8)
plan = epoch_plan(np.arange(64), seed=0, epoch=0, epochs=1, batch_size=32, learning_rate=0.1)
if sys.argv[1] == "limited":  # enough memory for the call, but not for the stacks of 200 threads
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
native.train(model, {}, images, np.zeros(64, np.int64), plan, Settings(threads=200))
print(sum(float(p.double().sum()) for p in model.state_dict().values()))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_training_continues_with_identical_results_if_threads_cannot_be_created():
    outputs = []
    for mode in ("limited", "free"):
        command = [sys.executable, "-c", _NO_MORE_THREADS, mode]
        outputs.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert outputs[0] == outputs[1]
