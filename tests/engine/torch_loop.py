"""Networks, plans and images for the tests of the torch engine, and a plain PyTorch training loop over a plan."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from lenet.config import TrainingConfig
from lenet.data.augment import augmented
from lenet.engine.base import Settings
from lenet.models import SHAPES, network_of
from lenet.training.training import initialised
from tests.plans import plan_of

GREY = (16, 16, 1)
RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (60, *GREY), np.uint8)
LABELS = RNG.integers(0, 10, 60)


def settings_for(optimizer="adam", frozen=0, class_weights=None, **training):
    """Settings without momentum and weight decay, unless given."""
    plain = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    return Settings(TrainingConfig(optimizer=optimizer, **(plain | training)), frozen, class_weights=class_weights)


def network(name="lenet5-modern", seed=0, **changes):
    return initialised(network_of(replace(SHAPES[name], **changes), GREY, 10), seed)


def plan(count=50, **changes):
    wanted = {"seed": 1, "epoch": 0, "epochs": 2, "batch_size": 16, "learning_rate": 0.05, "schedule": "one-cycle"}
    return plan_of(np.arange(60)[60 - count :], **(wanted | changes))


def copied(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(model, state):
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def assert_close(model, state, atol=1e-6):
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, state[name], rtol=1e-5, atol=atol), name


def plain_loop(model, optimizer, a_plan, targets, label_smoothing=0.0, class_weights=None):
    """A plain PyTorch training loop on LABELS. Returns (summed loss, number correct).

    targets: of the loss, by position in the plan; with soft ones and class weights the mean over a batch divides by the
        sum of its labels' weights, as with labels
    """
    criterion = nn.CrossEntropyLoss(class_weights, label_smoothing=label_smoothing)
    torch.set_num_threads(1)  # as in the engine, since the order of sums depends on it
    model.train()
    losses, right = 0.0, 0
    for (begin, end), rate in zip(a_plan.steps.tolist(), a_plan.learning_rates, strict=True):
        part = slice(begin, end)
        x = augmented(IMAGES, a_plan, part)
        y, labels = torch.from_numpy(targets[part]), torch.from_numpy(LABELS[a_plan.order[part]])
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        optimizer.zero_grad()
        logits = model(torch.from_numpy(x))
        loss = criterion(logits, y)
        if y.ndim == 2 and class_weights is not None:
            loss = loss * len(y) / class_weights[labels].sum()
        loss.backward()
        optimizer.step()
        losses += loss.item() * (end - begin)
        right += int((logits.argmax(1) == labels).sum())
    return losses, right
