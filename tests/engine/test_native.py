"""The native engine against the torch engine: gradients, weights, buffers, optimizer state and metrics."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.models import SHAPES, Normalize
from tests.engine.agreement import (
    WITHOUT_BATCH_NORM,
    assert_gradients_agree,
    assert_trainings_agree,
    in_float,
    make_images,
    make_labels,
    make_model,
    make_plan,
    needs_native,
    settings_for,
)

pytestmark = needs_native


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
    "muon": settings_for("muon", momentum=0.9, nesterov=True, weight_decay=5e-4),
    "muon without Nesterov": settings_for("muon", momentum=0.9),
    "muon without momentum": settings_for("muon"),
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
    rate = 0.001 if settings.training.optimizer.startswith("adam") else 0.02
    plan = make_plan(397, 8, learning_rate=rate, schedule="one-cycle")
    model = make_model("lenet-dropout", (20, 20, 1), pool="max")
    assert_trainings_agree(model, make_images(397, (20, 20, 1)), make_labels(397), plan, settings, 1e-9)


@pytest.mark.parametrize("hidden", [(90,), (50, 300), (300, 50), (47, 48), (49, 7, 130)])
def test_muon_of_wide_and_tall_matrices(hidden):
    """Threads share the rows of matrices whose shorter side has 48 values or more."""
    torch.manual_seed(0)
    layers, inputs = [nn.Flatten()], 192
    for units in hidden:
        layers += [nn.Linear(inputs, units), nn.Tanh()]
        inputs = units
    model = nn.Sequential(Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]), *layers, nn.Linear(inputs, 10)).double()
    images, labels, plan = make_images(40, (8, 8, 3)), make_labels(40), make_plan(40, 8, learning_rate=0.02)
    settings = settings_for("muon", momentum=0.9, nesterov=True, weight_decay=5e-4)
    assert_trainings_agree(model, images, labels, plan, settings, 1e-9)
    results = []
    for threads in (1, 2, 3, 7):
        trained = copy.deepcopy(model).float()
        native.train(trained, {}, images, labels, plan, replace(settings, threads=threads))
        results.append([tensor.numpy().tobytes() for tensor in trained.state_dict().values()])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", SHAPES)
def test_steps_of_every_shape(name):
    plan = make_plan(200, 8, learning_rate=0.01)
    settings = settings_for("sgd", momentum=0.9)
    tolerance = 1e-9 if name in WITHOUT_BATCH_NORM else 1e-6
    assert_trainings_agree(make_model(name), make_images(200), make_labels(200), plan, settings, tolerance)


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
    labels = make_labels(count)
    assert_gradients_agree(model.float(), images, labels, plan, settings, tolerance=1e-5, soft_targets=soft)


def test_a_model_on_features():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(50, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Dropout(0.3), nn.Linear(30, 7))
    features = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    plan = make_plan(40, 8, learning_rate=0.1)
    assert_gradients_agree(head, features, make_labels(40, 7), plan, tolerance=1e-5)
    expected, found = (engine.logits(head, features, Settings()) for engine in (reference, native))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frozen", range(1, 18))
def test_frozen_layers(frozen):
    model = make_model("lenet5-modern", (20, 20, 3), dropout=0.2)
    images, labels = make_images(24, (20, 20, 3)), make_labels(24)
    reference.train(model, {}, images, labels, make_plan(24, 8, learning_rate=0.1), settings_for("sgd"))
    plan = make_plan(24, 8, learning_rate=0.05)
    assert_trainings_agree(model, images, labels, plan, settings_for("sgd", momentum=0.9, frozen=frozen), 1e-9)


@pytest.mark.parametrize("frozen", range(4))
def test_nothing_may_be_left_to_train(frozen):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3), nn.Flatten(), nn.Flatten(), nn.Flatten())
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    before = model[0].weight.detach().clone()
    plan = make_plan(12, 4, learning_rate=0.1)
    metrics = native.train(model, {}, features, make_labels(12, 3), plan, settings_for("sgd", frozen=frozen))
    assert (metrics.images, metrics.nonfinite_step) == (12, None)
    assert torch.equal(model[0].weight, before) == (frozen > 0)


def test_the_loss_of_a_label_ignores_logits_that_are_infinitely_far():
    features, labels = np.zeros((4, 5), np.float32), np.zeros(4, np.int64)
    plan = make_plan(4, 4, learning_rate=0.0)
    for engine in (reference, native):
        model = nn.Sequential(nn.Linear(5, 3))
        model[0].bias.data = torch.tensor([3e38, 0, -3e38])
        metrics = engine.train(model, {}, features, labels, plan, settings_for("sgd"))
        assert (metrics.loss_sum, metrics.nonfinite_step) == (0.0, None), engine


@pytest.mark.parametrize(("name", "optimizer"), [*((name, "adam") for name in SHAPES), ("lenet-62k", "muon")])
def test_results_are_bit_identical_for_any_threads_and_parts_of_the_plan(name, optimizer):
    images, labels = make_images(150), make_labels(150)
    plan = make_plan(150, 13, learning_rate=0.001)

    def trained(threads, cuts):
        model, state = make_model(name, dropout=0.3 if getattr(SHAPES[name], "fc", True) else 0).float(), {}
        sums = []
        for first, last in zip((0, *cuts), (*cuts, len(plan.steps)), strict=True):
            settings = settings_for(optimizer, threads=threads)
            part = native.train(model, state, images, labels, plan.part(first, last), settings)
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
