"""Global settings of the process, left as they were found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def preserved_torch(network: nn.Module | None = None) -> Iterator[None]:
    """Restores the caller's random states and number of threads: engines set them, and new layers draw weights.

    Inside, new tensors are float32 on the CPU and record gradients, whatever the caller has set.

    network: the caller's, whose modules are left in training or evaluation mode as they were
    """
    state, threads, other = torch.get_rng_state(), torch.get_num_threads(), random.getstate()
    dtype = torch.get_default_dtype()
    modes = {module: module.training for module in network.modules()} if network else {}
    try:
        torch.set_default_dtype(torch.float32)
        with torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)
        torch.set_num_threads(threads)
        random.setstate(other)
        for module, training in modes.items():
            module.training = training
