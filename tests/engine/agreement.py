"""The native engine beside the torch engine: small networks, images and plans, and what must agree."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from lenet.config import TrainingConfig
from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.layers.lenet import LeNet
from lenet.models import SHAPES, Residual, network_of
from tests.plans import plan_of

needs_native = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))


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
    options = {"flips": "random", "max_shift": 3, "seed": 1, "epoch": 0, "epochs": 1} | options
    return plan_of(np.arange(count), batch_size=batch_size, learning_rate=learning_rate, **options)


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


def gradients(engine, model, images, labels, plan, settings, soft_targets=None):
    """Gradients of the plan's first step, by parameter name."""
    state = {}
    engine.train(copy.deepcopy(model), state, images, labels, plan.part(0, 1), settings, soft_targets)
    return {name.split("/")[0]: value.numpy() for name, value in state.items()}


def assert_gradients_agree(model, images, labels, plan, settings=GRADIENT, tolerance=1e-9, soft_targets=None):
    """Each difference's norm is at most `tolerance` times the gradient's, or a thousandth of the whole gradient's."""
    expected = gradients(reference, model, images, labels, plan, settings, soft_targets)
    found = gradients(native, model, images, labels, plan, settings, soft_targets)
    assert found.keys() == expected.keys()
    whole = np.sqrt(sum((g**2).sum() for g in expected.values()))
    for name in expected.keys() - (before_batch_norm(model) if tolerance > 1e-9 else set()):
        scale = max(np.linalg.norm(expected[name]), whole / 1000)
        assert np.linalg.norm(found[name] - expected[name]) <= tolerance * scale, name


def assert_trainings_agree(model, images, labels, plan, settings, tolerance, engine=native):
    """Weights, buffers, optimizer state and metrics after the whole plan."""
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    our_state, their_state = {}, {}
    found = engine.train(ours, our_state, images, labels, plan, settings)
    expected = reference.train(theirs, their_state, images, labels, plan, settings)
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
