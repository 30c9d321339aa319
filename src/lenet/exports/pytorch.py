"""A network as PyTorch's own files: a state_dict in safetensors, or a program of torch.export."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from lenet.exports.network import Exported, metadata
from lenet.exports.proof import Compute, in_batches
from lenet.models import build, describe

_FACTS = "lenet.json"  # of a .pt2 file, the metadata of the other formats


class _Calibrated(nn.Module):
    """uint8 images [N, H, W, C] to (probabilities, logits)."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.network(image)
        return torch.softmax(logits / self.temperature, dim=1), logits


def safetensors_bytes(exported: Exported, network: nn.Sequential) -> bytes:
    """The network's state_dict; the metadata holds its list of layers as JSON, and what other formats hold."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors, metadata(exported) | {"layers": json.dumps(describe(network))})


def safetensors_computer(path: Path) -> Compute:
    """Builds the network from the layers in the file's metadata, and loads the weights."""
    with safetensors.safe_open(path, "pt") as file:
        facts = file.metadata()
    network = build(json.loads(facts["layers"])).eval()
    network.load_state_dict(safetensors.torch.load_file(path))
    return _computer(_Calibrated(network, float(facts["temperature"])))


def pt2_bytes(exported: Exported, network: nn.Sequential) -> bytes:
    """The program of torch.export: uint8 images [N, H, W, C], N of any number, to (probabilities, logits)."""
    example = torch.zeros((2, *exported.input_shape), dtype=torch.uint8)
    module = _Calibrated(network, exported.temperature).eval()
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("images")},))
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={_FACTS: json.dumps(metadata(exported))})
    return file.getvalue()


def pt2_computer(path: Path) -> Compute:
    """Runs the program."""
    return _computer(torch.export.load(io.BytesIO(path.read_bytes())).module())


def _computer(module: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]) -> Compute:
    def compute(images: NDArray[np.uint8]) -> NDArray[np.floating]:
        with torch.no_grad():
            probabilities, _ = module(torch.from_numpy(images.copy()))
        return probabilities.numpy()

    return in_batches(compute)


def safetensors_use(exported: Exported) -> str:
    """How the file is used, in a line."""
    return "a PyTorch state_dict; the metadata 'layers' lists the layers"


def pt2_use(exported: Exported) -> str:
    """How the file is used, in a line."""
    side, _, channels = exported.input_shape
    return (
        f"torch.export.load(FILE).module(): uint8 [images, {side}, {side}, {channels}] ({exported.colours}) to "
        "probabilities and logits"
    )
