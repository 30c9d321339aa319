"""Networks as PyTorch modules, built by the layer table."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from lenet.errors import InputError
from lenet.layers.network import parsed
from lenet.layers.table import BY_NAME, Layer, kind_of

_LEAST_DEVIATION = 1 / 255  # avoids division by zero for a constant channel


class Normalize(nn.Module):
    """First layer of every model: uint8 [B, H, W, C] to float [B, C, H, W] by (pixel / 255 - mean) / std.

    mean, std: one value per channel, of pixels scaled to 0..1; a std below 1/255 is raised to it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([float(m) for m in mean]))
        self.register_buffer("std", torch.tensor([max(float(s), _LEAST_DEVIATION) for s in std]))

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        images_nchw = images_nhwc.permute(0, 3, 1, 2).to(self.mean.dtype)
        return (images_nchw / 255 - self.mean[:, None, None]) / self.std[:, None, None]

    def extra_repr(self) -> str:
        return f"channels={len(self.mean)}"


MODULES: dict[str, type[nn.Module]] = {"Normalize": Normalize} | {
    name: getattr(nn, name) for name in BY_NAME if name != "Normalize"
}


def build(layers: Any) -> nn.Sequential:
    """The network for a list from `describe`, with newly initialized weights. Raises InputError, naming the layer."""
    built = []
    for number, layer in enumerate(parsed(layers)):
        try:
            built.append(MODULES[layer.kind.name](**layer.arguments))
        except (TypeError, ValueError, RuntimeError) as error:  # what PyTorch refuses besides
            raise InputError(f"layer {number} ({layer.kind.name}): {str(error).splitlines()[0]}") from None
    return nn.Sequential(*built)


def with_tensors(layers: Iterable[Layer]) -> nn.Sequential:
    """The network in eval mode, whose tensors share memory with those of the layers."""
    layers = list(layers)
    with torch.device("meta"):  # draws no weights
        network = nn.Sequential(*(MODULES[layer.kind.name](**layer.arguments) for layer in layers)).eval()
    tensors = {
        f"{number}.{name}": torch.from_numpy(getattr(layer, name))
        for number, layer in enumerate(layers)
        for name in layer.kind.tensors(layer)
    }
    network.load_state_dict(tensors, assign=True)
    return network


def plain(network: nn.Sequential) -> list[Layer]:
    """The layers without PyTorch, whose arrays share memory with the network's tensors. These must be on the CPU."""
    found = []
    for number, module in enumerate(network):
        kind = kind_of(module, number)
        tensors: dict[str, Any] = {name: getattr(module, name).detach().numpy() for name in kind.tensors(module)}
        if "bias" in kind.arguments:
            tensors.setdefault("bias", None)
        layer = Layer(kind, {name: getattr(module, name) for name in kind.arguments if name not in ("bias", *tensors)})
        vars(layer).update(tensors)
        found.append(layer)
    return found


def parameter_count(model: nn.Module) -> int:
    """Number of values in the model's parameters."""
    return sum(p.numel() for p in model.parameters())
