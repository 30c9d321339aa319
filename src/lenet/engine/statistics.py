"""Statistics of a network's maps, which describe what an image looks like to its first layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lenet.engine.base import Maps
from lenet.layers.network import output_shapes
from lenet.layers.table import ACTIVATIONS, kind_of

MOST_STATISTICS = 1024  # per image; their covariance has the square of this number of values
_BATCH, _PIXELS = 32, 32 * 32 * 32  # at most, of the images whose maps are in memory at once, for each thread


def statistics_count(network: Sequence[Any], input_shape: tuple[int, int, int]) -> int:
    """Number of values per image that `map_statistics` gives for images of (height, width, channels)."""
    return 2 * sum(_described(network, input_shape).values())


def map_statistics(maps: Maps, network: Any, images: np.ndarray) -> np.ndarray:
    """Means, then standard deviations, over the pixels of each map: float32 [N, statistics].

    The maps are the normalised image's channels and the outputs of the activations, as many of these from the first
    on as give at most 1,024 statistics.

    maps: computes them; network: of which, its first layer Normalize
    images: uint8 [N, H, W, C]
    """
    numbers = list(_described(network, images.shape[1:]))
    parts, batch = [], min(_BATCH, max(1, _PIXELS // (images.shape[1] * images.shape[2])))
    for begin in range(0, len(images), batch):
        found = []
        for pixels in maps(np.array(images[begin : begin + batch]), numbers):
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))  # sums of neighbours are fast, and exact to 1e-6
            mean = pixels.mean(axis=2)
            centred = pixels - mean[:, :, None]
            found += [mean, np.sqrt(np.square(centred, out=centred).mean(axis=2))]
        parts.append(np.concatenate(found, axis=1))
    return np.concatenate(parts)


def _described(network: Sequence[Any], input_shape: tuple[int, ...]) -> dict[int, int]:
    """The layers whose outputs are described, by number, with their numbers of maps."""
    height, width, channels = input_shape
    found: dict[int, int] = {}
    for number, shape in enumerate(output_shapes(network, (channels, height, width))):
        if len(shape) == 3 and kind_of(network[number], number).name in ("Normalize", *ACTIVATIONS):
            if found and 2 * (sum(found.values()) + shape[0]) > MOST_STATISTICS:
                break
            found[number] = shape[0]
    return found
