"""Global settings of the process, left as they were found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def preserved_torch(network: nn.Module | None = None) -> Iterator[None]:
    """Restores the caller's random states and number of threads: engines set them, and new layers draw weights.

    network: the caller's, whose modules are left in training or evaluation mode as they were
    """
    state, threads, other = torch.get_rng_state(), torch.get_num_threads(), random.getstate()
    modes = {module: module.training for module in network.modules()} if network else {}
    try:
        yield
    finally:
        torch.set_rng_state(state)
        torch.set_num_threads(threads)
        random.setstate(other)
        for module, training in modes.items():
            module.training = training
