"""The state of a training: what is kept from one epoch to the next, as tensors by name, and checked when read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from lenet.runs.metrics import EpochRow, checked_row

_HISTORY = "history:json"
_PARTS = ("model", "optimizer", "best", "average")  # of State, each tensors by name


@dataclass
class State:
    """Weights, optimizer state, best weights by validation (empty before the first epoch), averaged weights (empty
    without weight averaging), and all epochs so far."""

    model: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    history: list[EpochRow]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copies of all tensors, named "PART:NAME" with this class's names, and the epochs, uint8 JSON text."""
        history = json.dumps([asdict(row) for row in self.history]).encode()
        tensors = {f"{part}:{name}": tensor for part in _PARTS for name, tensor in getattr(self, part).items()}
        tensors[_HISTORY] = torch.frombuffer(bytearray(history), dtype=torch.uint8)
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def read_state(tensors: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor], seed: int) -> State:
    """The state, from what `State.tensors` returned.

    like: the network's tensors by name; seed: the network's seed

    Raises ValueError if it is not a valid state of this network.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in _PARTS}
    state = State(**parts, history=history_of(tensors))
    for key, tensor in tensors.items():
        part, _, name = key.partition(":")
        if part in parts:
            parts[part][name] = tensor.clone()
        elif key != _HISTORY:
            raise ValueError(f"unknown tensor {key}")
    check_like(state.model, like, "model:")
    if state.best or any(row.failed_step is None for row in state.history):
        check_like(state.best, like, "best:")
    if state.average:
        check_like(state.average, like, "average:")
    for key, tensor in state.optimizer.items():
        name, _, piece = key.rpartition("/")
        shape = () if piece == "step" or name not in like else like[name].shape
        if name not in like or tensor.shape != shape or tensor.dtype != torch.float32:
            raise ValueError(f"optimizer:{key} does not fit the network")
    epochs = [row.epoch for row in state.history]
    if not epochs and (state.optimizer or state.best or state.average):
        raise ValueError("it has trained weights but no epochs")
    if epochs != list(range(1, len(epochs) + 1)) or {row.seed for row in state.history} - {seed}:
        raise ValueError("its history is not that of this network")
    failed = bool(state.history) and state.history[-1].failed_step is not None
    if not failed and not all(tensor.isfinite().all() for part in parts.values() for tensor in part.values()):
        raise ValueError("it holds NaN or infinity")
    return state


def history_of(tensors: Mapping[str, torch.Tensor]) -> list[EpochRow]:
    """The epochs of a state. Raises ValueError if they are missing or damaged."""
    packed = tensors.get(_HISTORY)
    if packed is None or packed.dtype != torch.uint8:
        raise ValueError("it has no history")
    try:
        listed = json.loads(packed.numpy().tobytes())
    except RecursionError:
        listed = None
    if not isinstance(listed, list):
        raise ValueError("its history is damaged")
    try:
        return [checked_row(values) for values in listed]
    except ValueError as error:
        raise ValueError(f"its history is damaged ({error})") from None


def check_like(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], part: str = "") -> None:
    """Raises ValueError if names, shapes or dtypes differ. part: prefix of the names in the message."""
    for name in sorted(found.keys() | wanted.keys()):
        one, other = found.get(name), wanted.get(name)
        if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
            raise ValueError(f"{part}{name} does not fit the network")
