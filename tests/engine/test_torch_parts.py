"""The torch engine on a plan in parts and in chunks, on losses that are not finite, and on features."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lenet.config import Augmentation
from lenet.data.plan import epoch_plan
from lenet.engine import torch as engine
from lenet.engine.base import Settings
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


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [3]])
def test_training_in_parts_is_bit_identical_to_the_whole_plan(optimizer, cuts):
    a_plan = plan(flips="random", max_shift=2)
    settings = settings_for(optimizer=optimizer, momentum=0.9)
    whole, parts = network(dropout=0.2), network(dropout=0.2)
    whole_state, parts_state = {}, {}
    expected = engine.train(whole, whole_state, IMAGES, LABELS, a_plan, settings)
    got = type(expected)()
    for first, last in zip([0, *cuts], [*cuts, 99], strict=True):
        got += engine.train(parts, parts_state, IMAGES, LABELS, a_plan.part(first, last), settings)
    assert_equal(parts, whole.state_dict())
    assert parts_state.keys() == whole_state.keys()
    assert all(torch.equal(value, whole_state[name]) for name, value in parts_state.items())
    assert (got.images, got.correct) == (expected.images, expected.correct)
    assert got.loss_sum == pytest.approx(expected.loss_sum)


def test_a_plan_longer_than_one_chunk():
    # Images are gathered in chunks of 512; 97 divides neither 512 nor 1300.
    indices = np.resize(np.arange(60), 1_300)
    a_plan = epoch_plan(
        indices,
        seed=1,
        epoch=0,
        epochs=1,
        batch_size=97,
        learning_rate=0.001,
        augment=Augmentation("random", 3),
    )
    one, other = network("lenet5"), network("lenet5")
    plain_loop(other, torch.optim.SGD(other.parameters()), a_plan, LABELS[a_plan.order])
    assert engine.train(one, {}, IMAGES, LABELS, a_plan, settings_for(optimizer="sgd")).images == 1_300
    assert_close(one, other.state_dict())


def test_batches_larger_than_one_chunk():
    indices = np.resize(np.arange(60), 1_300)
    a_plan = epoch_plan(indices, seed=1, epoch=0, epochs=1, batch_size=600, learning_rate=0.01)
    one, other = network("lenet5"), network("lenet5")
    plain_loop(other, torch.optim.SGD(other.parameters()), a_plan, LABELS[a_plan.order])
    engine.train(one, {}, IMAGES, LABELS, a_plan, settings_for(optimizer="sgd"))
    assert_close(one, other.state_dict())


def test_a_loss_that_is_not_finite_stops_training_before_its_update():
    a_plan = plan(schedule="constant", learning_rate=1e30)
    model, once = network("lenet-dropout"), network("lenet-dropout")
    metrics = engine.train(model, {}, IMAGES, LABELS, a_plan, settings_for(optimizer="sgd"))
    engine.train(once, {}, IMAGES, LABELS, a_plan.part(0, 1), settings_for(optimizer="sgd"))
    # The first update makes the weights overflow; the second step detects it and updates nothing.
    assert metrics.nonfinite_step == 1
    assert metrics.images == 16
    assert np.isfinite(metrics.loss_sum)
    assert_equal(model, once.state_dict())


def test_weights_that_are_not_finite_stop_training_at_the_first_step():
    model, state = network(), {}
    with torch.no_grad():
        model[-1].bias[3] = torch.nan
    before = copied(model)
    metrics = engine.train(model, state, IMAGES, LABELS, plan(), settings_for())
    assert metrics.nonfinite_step == 0
    assert (metrics.images, metrics.loss, metrics.accuracy) == (0, 0.0, 0.0)
    for name, p in model.named_parameters():
        assert torch.equal(p.nan_to_num(), before[name].nan_to_num())


def test_a_model_on_features():
    features = RNG.normal(size=(60, 12)).astype(np.float32)
    model = initialised(nn.Sequential(nn.Linear(12, 10)), 0)
    other = initialised(nn.Sequential(nn.Linear(12, 10)), 0)
    a_plan = plan()
    engine.train(model, {}, features, LABELS, a_plan, settings_for(optimizer="sgd"))
    optimizer = torch.optim.SGD(other.parameters())
    for (begin, end), rate in zip(a_plan.steps.tolist(), a_plan.learning_rates, strict=True):
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        at = a_plan.order[begin:end]
        functional.cross_entropy(other(torch.from_numpy(features[at])), torch.from_numpy(LABELS[at])).backward()
        optimizer.step()
    assert_close(model, other.state_dict())
    assert engine.logits(model, features, Settings()).shape == (60, 10)
