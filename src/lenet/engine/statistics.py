"""Statistics of a network's maps, which describe what an image looks like to its first layers."""

import numpy as np
import torch
from torch import nn

from lenet.models import Normalize
from lenet.models.layers import ACTIVATIONS
from lenet.models.network import output_shapes

MOST_STATISTICS = 1024  # per image; their covariance has the square of this number of values
_BATCH = 256


def statistics_count(model: nn.Sequential, input_shape: tuple[int, int, int]) -> int:
    """Number of values per image that `map_statistics` gives for images of (height, width, channels)."""
    return 2 * sum(_described(model, input_shape).values())


def map_statistics(model: nn.Sequential, images: np.ndarray) -> torch.Tensor:
    """Means, then standard deviations, over the pixels of each map: float32 [N, statistics], computed on one thread.

    The maps are the normalised image's channels and the outputs of the activations, as many of these from the first
    on as give at most 1,024 statistics.

    model: its first layer is Normalize; it is moved to the CPU and set to eval mode
    images: uint8 [N, H, W, C]
    """
    torch.set_num_threads(1)
    model.cpu().eval()
    described = _described(model, images.shape[1:])
    parts = []
    with torch.no_grad():
        for begin in range(0, len(images), _BATCH):
            x = torch.from_numpy(np.array(images[begin : begin + _BATCH]))
            found = []
            for number, layer in enumerate(list(model)[: max(described) + 1]):
                x = layer(x)
                if number in described:
                    pixels = x.flatten(2)
                    mean = pixels.mean(dim=2)  # torch.var_mean takes ten times as long
                    found += [mean, (pixels - mean[:, :, None]).square().mean(dim=2).sqrt()]
            parts.append(torch.cat(found, dim=1))
        return torch.cat(parts)


def _described(model: nn.Sequential, input_shape: tuple[int, ...]) -> dict[int, int]:
    """The layers whose outputs are described, by number, with their numbers of maps."""
    height, width, channels = input_shape
    found: dict[int, int] = {}
    for number, shape in enumerate(output_shapes(model, (channels, height, width))):
        if len(shape) == 3 and isinstance(model[number], (Normalize, *ACTIVATIONS)):
            if found and 2 * (sum(found.values()) + shape[0]) > MOST_STATISTICS:
                break
            found[number] = shape[0]
    return found
