"""Global settings of the process, left as they were found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def preserved_torch() -> Iterator[None]:
    """Restores the caller's random states and number of threads: engines set them, and new layers draw weights."""
    state, threads, other = torch.get_rng_state(), torch.get_num_threads(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        torch.set_num_threads(threads)
        random.setstate(other)
