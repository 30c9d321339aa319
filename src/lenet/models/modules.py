"""Networks as PyTorch modules, built by the layer table."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from lenet.errors import InputError
from lenet.layers.network import every_layer, parsed
from lenet.layers.shapes import Shape, layers_of
from lenet.layers.table import BY_NAME, Layer, kind_of, where

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


class Residual(nn.Module):
    """A residual block: body(x) + shortcut(x). Without layers in the shortcut, that is body(x) + x (He et al. 2016).

    No activation follows; give one as the network's next layer.

    body, shortcut: layers that take maps [B, C, H, W] and return maps; both must return the same shape. Their layers
        are set to inplace=False

    Raises InputError if one of them is not an nn.Sequential.
    """

    body: nn.Sequential
    shortcut: nn.Sequential

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential | None = None) -> None:
        super().__init__()
        for name, branch in (("body", body), ("shortcut", nn.Sequential() if shortcut is None else shortcut)):
            if not isinstance(branch, nn.Sequential):
                raise InputError(f"the {name} of a Residual must be an nn.Sequential, not a {type(branch).__name__}")
            self.add_module(name, branch)
        # A layer that works in place would change the other branch's input.
        for module in self.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum, of the shape of both branches' outputs."""
        return self.body(x) + self.shortcut(x)  # type: ignore[no-any-return]


_OWN: dict[str, type[nn.Module]] = {"Normalize": Normalize, "Residual": Residual}
MODULES: dict[str, type[nn.Module]] = {name: _OWN.get(name) or getattr(nn, name) for name in BY_NAME}


def build(layers: Any) -> nn.Sequential:
    """The network for a list from `describe`, with newly initialized weights. Raises InputError, naming the layer."""
    return _modules(parsed(layers))


def network_of(
    shape: Shape,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
) -> nn.Sequential:
    """A network of this shape, initialized as PyTorch does by default, from torch's global generator.

    The arguments and errors are those of `lenet.layers.shapes.layers_of`.
    """
    return _modules(layers_of(shape, input_shape, classes, mean=mean, std=std))


def _modules(layers: Iterable[Layer], inside: str = "") -> nn.Sequential:
    """New modules for these layers. inside: as for `every_layer`."""
    built = []
    for number, layer in enumerate(layers):
        name = f"{inside}{number}"
        branches = {branch: _modules(getattr(layer, branch), f"{name}.{branch}.") for branch in layer.kind.branches}
        try:
            built.append(MODULES[layer.kind.name](**(layer.arguments | branches)))
        except (TypeError, ValueError, RuntimeError) as error:  # what PyTorch refuses besides
            raise InputError(f"{where(name)} ({layer.kind.name}): {str(error).splitlines()[0]}") from None
    return nn.Sequential(*built)


def with_tensors(layers: Iterable[Layer]) -> nn.Sequential:
    """The network in eval mode, whose tensors share memory with those of the layers."""
    layers = list(layers)
    with torch.device("meta"):  # draws no weights
        network = _modules(layers).eval()
    tensors = {
        f"{place.name}.{name}": torch.from_numpy(getattr(place.layer, name))
        for place in every_layer(layers)
        for name in place.kind.tensors(place.layer)
    }
    network.load_state_dict(tensors, assign=True)
    return network


def plain(network: nn.Sequential, inside: str = "") -> list[Layer]:
    """The layers without PyTorch, whose arrays share memory with the network's tensors. These must be on the CPU.

    inside: as for `every_layer`
    """
    found = []
    for number, module in enumerate(network):
        kind = kind_of(module, f"{inside}{number}")
        tensors: dict[str, Any] = {name: getattr(module, name).detach().numpy() for name in kind.tensors(module)}
        if "bias" in kind.arguments:
            tensors.setdefault("bias", None)
        arguments = {name: getattr(module, name) for name in kind.arguments if name not in ("bias", *tensors)}
        for branch in kind.branches:
            arguments[branch] = tuple(plain(getattr(module, branch), f"{inside}{number}.{branch}."))
        layer = Layer(kind, arguments)
        vars(layer).update(tensors)
        found.append(layer)
    return found


def parameter_count(model: nn.Module) -> int:
    """Number of values in the model's parameters."""
    return sum(p.numel() for p in model.parameters())
