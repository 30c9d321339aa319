"""What the native engine does not support: (layer, whether its input is flattened) -> a reason, or None."""

from collections.abc import Callable
from typing import Any

from lenet.layers.outputs import pair_of

MOST_POOLED = 15  # the place of a maximum in its window is a byte


def only_maps(layer: Any, flat: bool) -> str | None:
    return "comes after Flatten" if flat else None


def conv(layer: Any, flat: bool) -> str | None:
    if (kernel := pair_of(layer.kernel_size)) not in ((1, 1), (3, 3), (5, 5)):
        return f"has kernel size {kernel} (supported: 1x1, 3x3 and 5x5)"
    if max(stride := pair_of(layer.stride)) > 2:
        return f"has stride {stride} (supported: 1 and 2)"
    if pair_of(layer.dilation) != (1, 1):
        return "has a dilation other than 1"
    if layer.padding_mode != "zeros":
        return f"has padding mode '{layer.padding_mode}' (supported: 'zeros')"
    return only_maps(layer, flat)


def pool(layer: Any, flat: bool) -> str | None:
    kernel = pair_of(layer.kernel_size)
    if kernel[0] != kernel[1] or kernel[0] > MOST_POOLED:
        return f"has kernel size {kernel} (supported: squares up to {MOST_POOLED}x{MOST_POOLED})"
    if layer.ceil_mode or pair_of(getattr(layer, "dilation", 1)) != (1, 1):
        return "has ceil_mode or a dilation other than 1"
    if pair_of(layer.padding) != (0, 0) and not getattr(layer, "count_include_pad", True):
        return "has padding and count_include_pad=False"
    for option in ("return_indices", "divisor_override"):
        if getattr(layer, option, None):
            return f"has {option}"
    return only_maps(layer, flat)


def norm(flattened: bool) -> Callable[[Any, bool], str | None]:
    def uncovered(layer: Any, flat: bool) -> str | None:
        if not layer.affine:
            return "has affine=False"
        if flat != flattened:
            return "comes after Flatten" if flat else "needs a Flatten before it"
        return None

    return uncovered
