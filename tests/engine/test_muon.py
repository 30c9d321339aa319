"""Muon in the torch engine: its update of a weight beside that of SGD. test_native.py compares the engines."""

import copy

import pytest
import torch
from torch import nn

from lenet.engine import torch as engine
from lenet.models import Normalize
from tests.engine.agreement import make_images, make_labels, make_model, make_plan, settings_for

RATE = 0.05


def updates(model, optimizer, **options):
    """Each parameter's change in one step, divided by minus the learning rate."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plan = make_plan(16, 16, learning_rate=RATE, schedule="constant")
    engine.train(model, {}, make_images(16), make_labels(16), plan, settings_for(optimizer, **options))
    return {name: (before[name] - p.detach()) / RATE for name, p in model.named_parameters()}


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}])
@pytest.mark.parametrize("changes", [{}, {"maps": (80, 6)}])  # the first of 80 maps has more rows than columns
def test_all_weights_but_the_last_move_along_sgds_singular_vectors_by_nearly_equal_amounts(changes, options):
    plain, found = (updates(make_model("lenet5", **changes), name, **options) for name in ("sgd", "muon"))
    *whole, last = (name for name, update in found.items() if update.ndim > 1)
    assert (len(whole), last) == (4, "12.weight")
    for name in whole:
        rows, columns = found[name].flatten(1).shape
        left, values, right = torch.linalg.svd(plain[name].flatten(1), full_matrices=False)
        amounts = left.T @ found[name].flatten(1) @ right.T / max(1, rows / columns) ** 0.5
        between = amounts - torch.diag(amounts.diagonal())
        assert between.abs().max() < 1e-6
        large = amounts.diagonal()[values > 0.02 * values.norm()]
        assert len(large) > 3
        assert large.min() > 0.6
        assert large.max() < 1.3
    for name in found.keys() - set(whole):
        assert torch.equal(found[name], plain[name])


def test_weights_with_groups_are_left_to_sgd():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2), nn.Conv2d(6, 8, 1), nn.Flatten()]
    model = nn.Sequential(Normalize([0.5] * 3, [0.25] * 3), *layers, nn.Linear(8 * 28 * 28, 10)).double()
    plain, found = (updates(copy.deepcopy(model), name) for name in ("sgd", "muon"))
    assert [name for name in found if not torch.equal(found[name], plain[name])] == ["4.weight"]


def test_a_network_of_convolutions_alone():
    torch.manual_seed(0)
    normalize = Normalize([0.5] * 3, [0.25] * 3)
    model = nn.Sequential(normalize, nn.Conv2d(3, 10, 5, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    plan = make_plan(16, 8, learning_rate=RATE)
    assert engine.train(model, {}, make_images(16), make_labels(16), plan, settings_for("muon")).images == 16
