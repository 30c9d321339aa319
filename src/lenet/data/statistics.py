"""Mean and standard deviation of the training pixels, for a model's first layer."""

import numpy as np

_SAMPLE = 5000  # images; more do not change the third digit of either, and reading them all takes longer


def pixel_statistics(images_nhwc: np.ndarray, indices: np.ndarray) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) per channel of uint8 [N, H, W, C] at `indices`, scaled to 0..1.

    Over an evenly spaced sample of at most 5,000 images.
    """
    chosen = indices[:: -(-len(indices) // _SAMPLE)]
    counts = np.zeros((images_nhwc.shape[3], 256), dtype=np.int64)
    for index in chosen:
        for channel, pixels in enumerate(images_nhwc[index].reshape(-1, len(counts)).T):
            counts[channel] += np.bincount(pixels, minlength=256)
    values, pixels_each = np.arange(256) / 255, counts[0].sum()
    mean = counts @ values / pixels_each
    variance = counts @ values**2 / pixels_each - mean**2
    return mean.tolist(), np.sqrt(np.maximum(variance, 0)).tolist()
