"""LeNets: two convolutions, each with an activation and pooling, and linear layers."""

from dataclasses import dataclass
from typing import Literal

from lenet.errors import InputError
from lenet.layers.defaults import (
    average_pool,
    batch_norm,
    conv,
    dropout,
    flatten,
    linear,
    max_pool,
    relu,
    tanh,
)  # fmt: skip
from lenet.layers.table import Layer

# Number of 2x2 poolings after the first that make one of each size: a maximum of maxima is the maximum, and so with
# means. The native engine computes a convolution and its 2x2 pooling as one layer.
_FURTHER_POOLS = {2: 0, 4: 1, 8: 2}


@dataclass(frozen=True)
class LeNet:
    """A LeNet: two convolutions, each with an activation and pooling, up to two hidden linear layers, a last one.

    maps: output channels of the two convolutions
    fc: widths of the hidden linear layers
    kernel, padding: of both convolutions, in pixels
    pool: of windows of 2x2 values, repeated up to the window of pool_sizes; "max-average": the maximum, then means
    pool_sizes: side of the pooling window after each convolution: 2, 4 or 8
    batch_norm: none, after the first linear layer ("first-fc"), or after both convolutions and hidden linear layers
    norm: place of a convolution's batch norm. After the pool the convolution's gradient is zero except where a pool had
        its maximum, which makes the backward pass faster.
    dropout: probability, 0 to less than 1, after the activation of each hidden linear layer
    origin: its source, and what lenet adds to it
    """

    maps: tuple[int, int] = (6, 16)
    fc: tuple[int, ...] = (120, 84)
    kernel: int = 5
    padding: int = 0
    activation: Literal["relu", "tanh"] = "relu"
    pool: Literal["max", "average", "max-average"] = "max"
    pool_sizes: tuple[int, int] = (2, 2)
    batch_norm: Literal["none", "first-fc", "all"] = "none"
    norm: Literal["before-pool", "after-pool"] = "before-pool"
    dropout: float = 0.0
    origin: str = ""

    def described(self) -> str:
        """Its layers on one line."""
        maps, fc = (" and ".join(map(str, widths)) or "none" for widths in (self.maps, self.fc))
        padding = f" padded by {self.padding}" if self.padding else ""
        place = f" {self.norm.replace('-', ' ')}" if self.batch_norm == "all" else ""
        pool = f"{self.pool} pool" + ("" if self.pool_sizes == (2, 2) else " of {} and {}".format(*self.pool_sizes))
        return (
            f"maps {maps} of {self.kernel}x{self.kernel}{padding}, {self.activation}, {pool}, fc {fc}, "
            f"batch norm: {self.batch_norm}{place}, dropout {self.dropout:g}"
        )

    def layers(self, input_shape: tuple[int, int, int], classes: int) -> list[Layer]:
        """The layers after Normalize, for images of (height, width, channels), at least 16 x 16 pixels.

        Raises InputError for images that are too small, and for an option that would change nothing in this shape.
        """
        self._check_effects()
        height, width, channels = input_shape
        activation = relu if self.activation == "relu" else tanh
        pool = average_pool if self.pool == "average" else max_pool
        further = max_pool if self.pool == "max" else average_pool

        layers: list[Layer] = []
        for inputs, outputs, size in zip((channels, self.maps[0]), self.maps, self.pool_sizes, strict=True):
            layers.append(conv(inputs, outputs, self.kernel, padding=self.padding))
            norm: list[Layer] = [batch_norm(outputs)] if self.batch_norm == "all" else []
            pooled: list[Layer] = [activation(), pool(2), *[further(2) for _ in range(_FURTHER_POOLS[size])]]
            layers += norm + pooled if self.norm == "before-pool" else pooled + norm
            height, width = ((side + 2 * self.padding - self.kernel + 1) // size for side in (height, width))
        if height < 1 or width < 1:
            from lenet.data.fit import MAX_SIZE  # only here, since it loads Pillow

            needed = 1
            for size in reversed(self.pool_sizes):
                needed = needed * size + self.kernel - 1 - 2 * self.padding
            mends = [f"{needed}x{needed} or more"] if needed <= MAX_SIZE else []
            mends += ["smaller pool-sizes"] if self.pool_sizes != (2, 2) else []
            raise InputError(
                f"images of {input_shape[0]}x{input_shape[1]} pixels are too small for this LeNet; use "
                + ", or ".join(mends),
                options=["size", "pool_sizes"],
            )

        layers.append(flatten())
        inputs = self.maps[1] * height * width
        for number, outputs in enumerate(self.fc):
            layers.append(linear(inputs, outputs))
            if self.batch_norm == "all" or (self.batch_norm == "first-fc" and number == 0):
                layers.append(batch_norm(outputs, maps=False))
            layers.append(activation())
            if self.dropout:
                layers.append(dropout(self.dropout))
            inputs = outputs
        layers.append(linear(inputs, classes))
        return layers

    def _check_effects(self) -> None:
        """Raises InputError for a pool size that is not supported, and for an option of layers that the shape lacks."""
        for size in self.pool_sizes:
            if size not in _FURTHER_POOLS:
                raise InputError(f"pool-sizes must be 2, 4 or 8, not {size}", options=["pool_sizes"])
        if self.pool == "max-average" and max(self.pool_sizes) == 2:
            raise InputError("pool max-average averages maxima of 2x2 values: give pool-sizes above 2, such as 2 4",
                             options=["pool", "pool_sizes"])  # fmt: skip
        if not self.fc and self.batch_norm == "first-fc":
            raise InputError("batch-norm first-fc needs a hidden linear layer: give fc a width, or use another "
                             "batch-norm", options=["batch_norm", "fc"])  # fmt: skip
        if not self.fc and self.dropout:
            raise InputError("dropout comes after hidden linear layers: give fc a width, or set dropout to 0",
                             options=["dropout", "fc"])  # fmt: skip
        if self.norm == "after-pool" and self.batch_norm != "all":
            raise InputError(f"norm after-pool changes nothing with batch-norm {self.batch_norm}: use batch-norm all, "
                             "or leave norm out", options=["norm", "batch_norm"])  # fmt: skip
