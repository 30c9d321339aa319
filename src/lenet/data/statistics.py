"""Mean and standard deviation of the training pixels, for a model's first layer."""

import numpy as np

_SAMPLE = 5000  # images; more do not change the third digit of either, and reading them all takes longer


def pixel_statistics(images_nhwc: np.ndarray, indices: np.ndarray) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) per channel of uint8 [N, H, W, C] at `indices`, scaled to 0..1.

    Over an evenly spaced sample of at most 5,000 images.
    """
    chosen = indices[:: -(-len(indices) // _SAMPLE)]
    pixels = images_nhwc[chosen].reshape(-1, images_nhwc.shape[3])
    counts = np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
    values = np.arange(256) / 255
    mean = counts @ values / len(pixels)
    variance = counts @ values**2 / len(pixels) - mean**2
    return mean.tolist(), np.sqrt(np.maximum(variance, 0)).tolist()
