"""The torch engine against a plain PyTorch training loop over the same plan."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lenet.data.plan import dropout_keep
from lenet.engine import torch as engine
from lenet.engine.base import Settings
from lenet.engine.choice import choose
from lenet.models import SHAPES
from lenet.training.training import initialised
from tests.engine.torch_loop import (
    IMAGES,
    LABELS,
    RNG,
    assert_close,
    assert_equal,
    copied,
    network,
    plain_loop,
    plan,
    settings_for,
)

OPTIMIZERS = {
    "sgd": ({}, lambda p: torch.optim.SGD(p, lr=1, fused=True)),
    "sgd weight decay": ({"weight_decay": 0.03}, lambda p: torch.optim.SGD(p, lr=1, fused=True, weight_decay=0.03)),
    "sgd momentum": (
        {"momentum": 0.9, "weight_decay": 5e-4},
        lambda p: torch.optim.SGD(p, lr=1, fused=True, momentum=0.9, weight_decay=5e-4),
    ),
    "sgd nesterov": (
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=1, fused=True, momentum=0.8, nesterov=True, weight_decay=0.01),
    ),
    "sgd nesterov without momentum": ({"nesterov": True}, lambda p: torch.optim.SGD(p, lr=1, fused=True)),
    "adam": ({}, lambda p: torch.optim.Adam(p, lr=1, fused=True)),
    "adam momentum": ({"momentum": 0.9, "nesterov": True}, lambda p: torch.optim.Adam(p, lr=1, fused=True)),
    "adam weight decay": (
        {"weight_decay": 0.05},
        lambda p: torch.optim.Adam(p, lr=1, fused=True, weight_decay=0.05),
    ),
    "adamw": ({"weight_decay": 0.05}, lambda p: torch.optim.AdamW(p, lr=1, fused=True, weight_decay=0.05)),
}


@pytest.mark.parametrize("which", OPTIMIZERS)
@pytest.mark.parametrize("shape", ["lenet5", "lenet5-modern"])
def test_trains_as_a_plain_loop_with_torch_optim(which, shape):
    changes, make = OPTIMIZERS[which]
    a_plan = plan(flips="random", max_shift=2, learning_rate=0.002 if which.startswith("adam") else 0.05)
    one, other = network(shape), network(shape)
    optimizer = make(other.parameters())
    losses, right = plain_loop(other, optimizer, a_plan, LABELS[a_plan.order])
    state = {}
    settings = settings_for(optimizer=which.split()[0], **changes)
    metrics = engine.train(one, state, IMAGES, LABELS, a_plan, settings)
    assert_equal(one, other.state_dict())
    assert metrics.images == 50
    assert metrics.loss_sum == pytest.approx(losses, rel=1e-5)
    assert metrics.correct == right
    assert metrics.nonfinite_step is None
    # The optimizer state equals torch.optim's.
    expected = {
        f"{name}/{piece}": value
        for name, p in other.named_parameters()
        for piece, value in optimizer.state[p].items()
        if value is not None
    }
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def test_a_few_epochs_lower_the_loss():
    # Guards the comparison above: both loops could agree while training nothing.
    model, state = network(), {}
    losses = [
        engine.train(model, state, IMAGES, LABELS, plan(epoch=epoch, epochs=8, learning_rate=0.01), settings_for())
        for epoch in range(8)
    ]
    assert losses[-1].loss < losses[0].loss / 2
    assert losses[-1].accuracy > losses[0].accuracy + 0.3


def test_label_smoothing_equals_pytorchs():
    a_plan, one, other = plan(), network(), network()
    losses, _ = plain_loop(other, torch.optim.SGD(other.parameters()), a_plan, LABELS[a_plan.order], 0.2)
    metrics = engine.train(one, {}, IMAGES, LABELS, a_plan, settings_for(optimizer="sgd", label_smoothing=0.2))
    assert_close(one, other.state_dict())
    assert metrics.loss_sum == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_class_weights_equal_pytorchs(smoothing, soft):
    weights = torch.linspace(0.1, 3, 10)
    a_plan, one, other = plan(), network(), network()
    targets = RNG.dirichlet(np.ones(10), 50).astype(np.float32) if soft else LABELS[a_plan.order]
    losses, right = plain_loop(
        other, torch.optim.SGD(other.parameters()), a_plan, targets, smoothing, class_weights=weights
    )
    settings = settings_for(optimizer="sgd", label_smoothing=smoothing, class_weights=tuple(weights.tolist()))
    metrics = engine.train(one, {}, IMAGES, LABELS, a_plan, settings, targets if soft else None)
    assert_close(one, other.state_dict())
    assert metrics.loss_sum == pytest.approx(losses, rel=1e-5)
    assert metrics.correct == right


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_targets_are_by_position_in_the_plan(smoothing):
    a_plan, one, other = plan(), network(), network()
    soft = RNG.dirichlet(np.ones(10), 50).astype(np.float32)
    losses, right = plain_loop(other, torch.optim.SGD(other.parameters()), a_plan, soft, smoothing)
    soft.setflags(write=False)
    settings = settings_for(optimizer="sgd", label_smoothing=smoothing)
    metrics = engine.train(one, {}, IMAGES, LABELS, a_plan, settings, soft)
    assert_close(one, other.state_dict())
    assert metrics.loss_sum == pytest.approx(losses, rel=1e-5)
    assert metrics.correct == right


def test_one_hot_soft_targets_equal_labels():
    a_plan, one, other = plan(), network(), network()
    hard = np.eye(10, dtype=np.float32)[LABELS[a_plan.order]]
    first = engine.train(one, {}, IMAGES, LABELS, a_plan, settings_for(), hard)
    second = engine.train(other, {}, IMAGES, LABELS, a_plan, settings_for())
    assert_close(one, other.state_dict(), atol=1e-5)
    assert first.correct == second.correct


def test_dropout_uses_the_plans_mask():
    # Only one layer precedes the dropout, so the test can compute the dropout's output itself.
    model = initialised(nn.Sequential(nn.Linear(20, 30), nn.Dropout(0.4), nn.Linear(30, 10)), 0)
    other = initialised(nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10)), 0)
    other.load_state_dict({name.replace("2.", "1."): tensor for name, tensor in model.state_dict().items()})
    features = RNG.normal(size=(60, 20)).astype(np.float32)
    a_plan = plan(batch_size=12)
    optimizer = torch.optim.SGD(other.parameters(), lr=1)
    for (begin, end), rate in zip(a_plan.steps.tolist(), a_plan.learning_rates, strict=True):
        keep = torch.from_numpy(dropout_keep(a_plan.dropout_key, 1, np.arange(begin, end), 30, 0.4))
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        hidden = other[0](torch.from_numpy(features[a_plan.order[begin:end]])) * keep / 0.6
        functional.cross_entropy(other[1](hidden), torch.from_numpy(LABELS[a_plan.order[begin:end]])).backward()
        optimizer.step()
    engine.train(model, {}, features, LABELS, a_plan, settings_for(optimizer="sgd"))
    assert_close(model, {name.replace("1.", "2."): tensor for name, tensor in other.state_dict().items()})


def test_logits_are_computed_in_eval_mode():
    model = network("lenet5-modern", dropout=0.5)
    engine.train(model, {}, IMAGES, LABELS, plan(), settings_for())
    before = copied(model)
    got = engine.logits(model, IMAGES, Settings())
    with torch.no_grad():
        assert np.array_equal(got, model.eval()(torch.from_numpy(IMAGES)).numpy())
    assert got.dtype == np.float32
    assert got.shape == (60, 10)
    assert_equal(model, before)


@pytest.mark.parametrize("frozen", [5, 9, 14, 17])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_frozen_layers_do_not_change(frozen, optimizer):
    model = network("lenet5-modern", dropout=0.3)
    before = copied(model)
    state = {}
    settings = settings_for(optimizer=optimizer, momentum=0.9, weight_decay=0.1, frozen=frozen)
    engine.train(model, state, IMAGES, LABELS, plan(), settings)
    for name, tensor in model.state_dict().items():
        layer = int(name.split(".")[0])
        if layer < frozen:  # weights, running statistics and num_batches_tracked
            assert torch.equal(tensor, before[name]), name
        elif layer > 0:
            assert not torch.equal(tensor, before[name]), name
    assert {int(name.split(".")[0]) < frozen for name in state} == {False}


def test_frozen_layers_run_in_eval_mode():
    # A head trained on the frozen layers' output in eval mode becomes the same as one trained behind them.
    whole = network("lenet5-modern", dropout=0.3)
    engine.train(whole, {}, IMAGES, LABELS, plan(), settings_for())  # running statistics other than 0 and 1
    frozen = 17  # all but the second dropout and the last linear layer
    assert [type(layer) for layer in whole][frozen:] == [nn.Dropout, nn.Linear]
    whole[frozen].p = 0.0  # its mask depends on the layer's number, which differs in the head
    body, head = whole[:frozen], initialised(whole[frozen:], 7)
    whole[-1].load_state_dict(head[-1].state_dict())
    with torch.no_grad():
        features = body.eval()(torch.from_numpy(IMAGES)).numpy()
    one = engine.train(whole, {}, IMAGES, LABELS, plan(), settings_for(frozen=frozen))
    other = engine.train(head, {}, features, LABELS, plan(), settings_for())
    assert one.loss_sum == pytest.approx(other.loss_sum, rel=1e-5)
    assert torch.allclose(whole[-1].weight, head[-1].weight, atol=1e-6)


def test_a_layer_that_is_unfrozen_later_counts_its_own_adam_steps():
    model, state = network("lenet5"), {}
    engine.train(model, state, IMAGES, LABELS, plan(), settings_for(frozen=8))
    engine.train(model, state, IMAGES, LABELS, plan(epoch=1), settings_for())
    steps = {name: int(value) for name, value in state.items() if name.endswith("/step")}
    assert steps["1.weight/step"] == 4
    assert steps["12.weight/step"] == 8


def test_torchs_global_generator_is_neither_used_nor_changed():
    models = []
    for seed in (1, 2):
        model = network("lenet5-modern", dropout=0.5)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        engine.train(model, {}, IMAGES, LABELS, plan(flips="random", max_shift=2), settings_for())
        engine.logits(model, IMAGES, Settings())
        assert torch.equal(torch.get_rng_state(), before)
        models.append(model)
    assert_equal(models[0], models[1].state_dict())


@pytest.mark.parametrize("augmented_images", [False, True])
def test_memory_mapped_images_cause_no_warning(tmp_path, augmented_images):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    labels = LABELS.copy()
    labels.setflags(write=False)
    one, other = network(), network()
    a_plan = plan(flips="random" if augmented_images else None, max_shift=2 * augmented_images)
    engine.train(one, {}, mapped, labels, a_plan, settings_for())  # warnings are errors in this test suite
    engine.train(other, {}, IMAGES, LABELS, a_plan, settings_for())
    assert_equal(one, other.state_dict())
    assert np.array_equal(engine.logits(one, mapped, Settings()), engine.logits(other, IMAGES, Settings()))
    assert np.array_equal(mapped, IMAGES)


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_trained_by_the_chosen_engine(name):
    model = network(name)
    choice = choose("torch", model, settings_for())
    assert choice.name == "torch"
    assert choice.why
    metrics = choice.engine.train(model, {}, IMAGES, LABELS, plan(), settings_for())
    assert metrics.images == 50
    assert np.isfinite(metrics.loss)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_cuda_trains_as_the_cpu_does(optimizer):
    a_plan = plan(flips="random", max_shift=2, learning_rate=0.01)
    here, there = network(dropout=0.2), network(dropout=0.2)
    here_state, there_state = {}, {}
    settings = settings_for(optimizer=optimizer, momentum=0.9)
    one = engine.train(here, here_state, IMAGES, LABELS, a_plan, settings)
    other = engine.train(there, there_state, IMAGES, LABELS, a_plan, replace(settings, device="cuda"))
    assert other.loss_sum == pytest.approx(one.loss_sum, rel=1e-3)
    # The optimizer state of one device can be used on the other.
    engine.train(there.cpu(), there_state, IMAGES, LABELS, plan(epoch=1), settings)
    assert np.isfinite(engine.logits(there, IMAGES, replace(settings, device="cuda"))).all()
