"""Safetensors files with a digest, as PyTorch's tensors: the states of a run, and what a transfer starts from."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from lenet.runs.arrays import digest_of, read_arrays, write_arrays
from lenet.runs.run import Run

STATE_MEND = "restore it, or remove it to train this network again from its first epoch"


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a file as `write_arrays` does."""
    write_arrays(path, _arrays(tensors))


def read_tensors(path: Path, *, mend: str = "restore it or train again") -> dict[str, torch.Tensor]:
    """The tensors of a file, by name. Raises InputError as `read_arrays` does."""
    arrays = read_arrays(path, mend=mend)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """The digest that `write_tensors` writes for these tensors."""
    return digest_of(_arrays(tensors))


def saved_state(run: Run, seed: int) -> dict[str, torch.Tensor] | None:
    """The state that the network with this seed resumes from; None if it has not completed an epoch."""
    path = run.state_path(seed)
    return read_tensors(path, mend=STATE_MEND) if path.is_file() else None


def save_state(run: Run, seed: int, state: Mapping[str, torch.Tensor]) -> None:
    """Write one network's state as one file, so that weights, optimizer and history are of the same epoch."""
    write_tensors(run.state_path(seed), state)


def saved_body(run: Run) -> dict[str, torch.Tensor] | None:
    """The tensors that a transfer starts all networks from; None if there are none, or none are saved yet."""
    path = run.state_path("start")
    return read_tensors(path, mend="restore it or start over with --overwrite") if path.is_file() else None


def save_body(run: Run, body: Mapping[str, torch.Tensor]) -> None:
    """Save the tensors that all networks start from, so that the run can resume without the run they are from."""
    write_tensors(run.state_path("start"), body)


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
