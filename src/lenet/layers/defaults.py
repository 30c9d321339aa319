"""Layers of the named networks, with PyTorch's default arguments."""

from collections.abc import Iterable
from typing import Any

from lenet.layers.table import BY_NAME, Layer


def _layer(kind: str, **arguments: Any) -> Layer:
    return Layer(BY_NAME[kind], arguments)


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0) -> Layer:
    """Conv2d with a square kernel, and the same stride and padding in both directions."""
    sides = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": 1}
    return _layer(
        "Conv2d", in_channels=inputs, out_channels=outputs, **{name: (side, side) for name, side in sides.items()},
        groups=1, padding_mode="zeros", bias=True,
    )  # fmt: skip


def linear(inputs: int, outputs: int) -> Layer:
    """Linear."""
    return _layer("Linear", in_features=inputs, out_features=outputs, bias=True)


def batch_norm(channels: int, *, maps: bool = True) -> Layer:
    """BatchNorm2d, or BatchNorm1d if not of maps."""
    kind = "BatchNorm2d" if maps else "BatchNorm1d"
    return _layer(kind, num_features=channels, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True)


def max_pool(side: int) -> Layer:
    """MaxPool2d with windows that do not overlap."""
    return _layer("MaxPool2d", kernel_size=side, stride=side, padding=0, dilation=1, ceil_mode=False)


def average_pool(side: int) -> Layer:
    """AvgPool2d with windows that do not overlap."""
    return _layer(
        "AvgPool2d", kernel_size=side, stride=side, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None,
    )  # fmt: skip


def mean_of_maps() -> Layer:
    """AdaptiveAvgPool2d to one value per map."""
    return _layer("AdaptiveAvgPool2d", output_size=1)


def flatten() -> Layer:
    """Flatten."""
    return _layer("Flatten", start_dim=1, end_dim=-1)


def relu() -> Layer:
    """ReLU."""
    return _layer("ReLU")


def tanh() -> Layer:
    """Tanh."""
    return _layer("Tanh")


def dropout(p: float) -> Layer:
    """Dropout with probability p."""
    return _layer("Dropout", p=p)


def residual(body: Iterable[Layer], shortcut: Iterable[Layer] = ()) -> Layer:
    """Residual."""
    return _layer("Residual", body=tuple(body), shortcut=tuple(shortcut))


def normalize(mean: Iterable[float], std: Iterable[float]) -> Layer:
    """Normalize, the first layer of every network."""
    return _layer("Normalize", mean=list(mean), std=list(std))
