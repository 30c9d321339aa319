"""PyTorch's global settings, left as they were found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def preserved_torch() -> Iterator[None]:
    """Restores the caller's random state and number of threads: engines set both, and new layers draw weights."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        torch.set_num_threads(threads)
