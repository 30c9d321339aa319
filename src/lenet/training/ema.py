"""Weight averaging: an exponential moving average of a network's weights and buffers over the steps of its training.

Polyak & Juditsky 1992; the decay rises with the number of steps, so that the first weights are soon forgotten.
"""

import copy
from collections.abc import Mapping

import torch
from torch import nn

STEPS = 8  # steps from one update to the next: an update per step would cost more calls of the engine than it gains


def update(average: dict[str, torch.Tensor], model: nn.Module, decay: float, steps: int, done: int) -> None:
    """Move the average towards the model's tensors, in place; an empty average becomes a copy of them.

    decay: per step, 0 to less than 1; steps: number of steps since the last update; done: number since the start
    """
    keep = min(decay, (1 + done) / (10 + done)) ** steps
    for name, tensor in model.state_dict().items():
        if name not in average or not tensor.is_floating_point():
            average[name] = tensor.detach().clone()
        else:
            average[name].lerp_(tensor.to(average[name].device), 1 - keep)


def averaged(model: nn.Sequential, average: Mapping[str, torch.Tensor]) -> nn.Sequential:
    """A copy of the network with the averaged tensors; the network itself while there is no average."""
    if not average:
        return model
    network = copy.deepcopy(model)
    network.load_state_dict(average)
    return network
