"""Output shapes of layers: (layer, input shape) -> output shape, for the layer table.

Each raises ValueError if the layer does not accept the input; the message follows the layer's name in a sentence.
"""

from math import ceil, prod
from typing import Any

from lenet.errors import counted

Shape = tuple[int, ...]


def pair_of(value: Any) -> tuple[int, int]:
    """(rows, columns) of an argument that may be one number for both, as PyTorch's may."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def padding_of(layer: Any) -> tuple[int, int]:
    """(rows, columns) of zeros that a convolution adds on each side; "same" and "valid" are resolved."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":  # stride 1 only, as PyTorch demands
        (tall, wide), (down, right) = map(pair_of, (layer.kernel_size, layer.dilation))
        return down * (tall - 1) // 2, right * (wide - 1) // 2
    return pair_of(layer.padding)


def _takes(what: str, expected: int, found: int) -> None:
    if expected != found:
        raise ValueError(f"expects {counted(expected, what)}, but its input has {found}")


def maps_of(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"expects maps, but its input has {counted(prod(shape), 'feature')}: put it before Flatten")
    channels, height, width = shape
    return channels, height, width


def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, *, up: bool = False) -> int:
    """Number of windows along one side; `up` counts a last partial one, like ceil_mode. Raises ValueError if 0."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (ceil(room / stride) if up else room // stride) + 1
    if up and (count - 1) * stride >= size + padding:
        count -= 1  # as in PyTorch, a window must start inside the image or its left padding
    if count < 1:
        raise ValueError(f"has no output for an input of {size} pixels per side: use larger images")
    return count


def normalized(layer: Any, shape: Shape) -> Shape:
    channels, height, width = maps_of(shape)
    _takes("channel", len(layer.mean), channels)
    return channels, height, width


def convolved(layer: Any, shape: Shape) -> Shape:
    channels, *sides = maps_of(shape)
    _takes("channel", layer.in_channels, channels)
    # PyTorch mirrors fewer pixels than an image has, and repeats at most all.
    spared = {"reflect": 1, "circular": 0}.get(layer.padding_mode)
    if spared is not None and any(pad > side - spared for pad, side in zip(padding_of(layer), sides, strict=True)):
        raise ValueError(f"has {layer.padding_mode} padding too wide for its input of {sides[0]}x{sides[1]} pixels")
    if layer.padding == "same":
        return layer.out_channels, *sides
    parts = (layer.kernel_size, layer.stride, padding_of(layer), layer.dilation)
    rest = zip(sides, *map(pair_of, parts), strict=True)
    return layer.out_channels, *(_windows(*one) for one in rest)


def pooled(layer: Any, shape: Shape) -> Shape:
    channels, *sides = maps_of(shape)
    if getattr(layer, "return_indices", False):
        raise ValueError("has return_indices=True, but a layer must return one tensor: leave it out")
    if any(
        2 * padding > kernel for padding, kernel in zip(pair_of(layer.padding), pair_of(layer.kernel_size), strict=True)
    ):
        raise ValueError(f"has padding {layer.padding}: it must be at most half the kernel size, {layer.kernel_size}")
    parts = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    rest = zip(sides, *map(pair_of, parts), strict=True)
    return channels, *(_windows(*one, up=layer.ceil_mode) for one in rest)


def pooled_to(layer: Any, shape: Shape) -> Shape:
    channels, *sides = maps_of(shape)
    wanted = layer.output_size if isinstance(layer.output_size, (tuple, list)) else (layer.output_size,) * 2
    return channels, *(side if want is None else int(want) for want, side in zip(wanted, sides, strict=True))


def normalized_maps(layer: Any, shape: Shape) -> Shape:
    _takes("channel", layer.num_features, maps_of(shape)[0])
    return shape


def normalized_features(layer: Any, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError("expects features, but its input has maps: put it after Flatten")
    _takes("feature", layer.num_features, shape[0])
    return shape


def flattened(layer: Any, shape: Shape) -> Shape:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise ValueError("must have start_dim=1 and end_dim=-1")
    return (prod(shape),)


def multiplied(layer: Any, shape: Shape) -> Shape:
    if len(shape) != 1:
        raise ValueError(
            f"expects {counted(layer.in_features, 'feature')}, but its input has maps: put a Flatten before it"
        )
    _takes("feature", layer.in_features, shape[0])
    return (layer.out_features,)


def added(layer: Any, shape: Shape, body: Shape, shortcut: Shape) -> Shape:
    """body, shortcut: what the branches return; without layers in its shortcut, that is the input."""
    maps_of(shape)
    if body != shortcut and len(layer.shortcut):
        raise ValueError(f"has a body that returns {body} and a shortcut that returns {shortcut}: they must be equal")
    if body != shortcut:
        raise ValueError(
            f"has a body that returns {body}, which cannot be added to its input of {shape}: give it a shortcut that "
            "returns the same"
        )
    return body
