"""The networks of a checkpoint. Each becomes an nn.Sequential, or is packed for the native engine, when it is used."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from lenet.engine.native_network import Inference, covers
from lenet.errors import InputError
from lenet.layers.table import Layer

if TYPE_CHECKING:
    from torch import nn


class Networks(Sequence["nn.Sequential"]):
    """Networks that were read from a file. Each becomes an nn.Sequential when it is first asked for."""

    def __init__(self, layers: Sequence[list[Layer]]) -> None:
        self._layers = layers
        self._built: dict[int, nn.Sequential] = {}
        self._packed: dict[int, Inference | None] = {}

    def __len__(self) -> int:
        return len(self._layers)

    @overload
    def __getitem__(self, index: int) -> "nn.Sequential": ...
    @overload
    def __getitem__(self, index: slice) -> "list[nn.Sequential]": ...
    def __getitem__(self, index: int | slice) -> "nn.Sequential | list[nn.Sequential]":
        from lenet.models import with_tensors  # here PyTorch is loaded

        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        if number not in self._built:
            self._built[number] = with_tensors(self._layers[number])
        return self._built[number]

    def inference(self, number: int, input_shape: tuple[int, int, int]) -> Inference | None:
        """The network for images of (height, width, channels) in the native engine, always the same one.

        None if the engine does not support the network or is not installed, or once the network is an nn.Sequential,
        which its user may change.
        """
        if number in self._built:
            return None
        if number not in self._packed:
            self._packed[number] = _packed(self._layers[number], input_shape)
        return self._packed[number]


def _packed(layers: list[Layer], input_shape: tuple[int, int, int]) -> Inference | None:
    height, width, channels = input_shape
    if covers(layers, shape=(channels, height, width)):
        return None
    try:
        return Inference(layers, input_shape)
    except InputError:  # not installed, or LENET_ISA names a level that this processor lacks
        return None
