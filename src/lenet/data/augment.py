"""Flips and shifts of batches in uint8, as the plan lists them: the reference for the engines."""

import numpy as np


def augmented(images_nhwc: np.ndarray, order: np.ndarray, flips: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C]: the images at `order`, mirrored where `flips`, then shifted by `shifts` (see data.plan.Plan).

    Selecting, mirroring and shifting only choose which pixel is read, so one gather does all three.
    """
    if not flips.any() and not shifts.any():
        return np.asarray(images_nhwc[order])
    height, width = images_nhwc.shape[1:3]
    rows = _reflected(np.arange(height) + shifts[:, :1].astype(np.int64), height)
    columns = _reflected(np.arange(width) + shifts[:, 1:].astype(np.int64), width)
    columns = np.where(flips[:, None], width - 1 - columns, columns)
    return np.asarray(images_nhwc[order[:, None, None], rows[:, :, None], columns[:, None, :]])


def _reflected(index: np.ndarray, size: int) -> np.ndarray:
    """Indices outside [0, size), reflected at the border pixel, which is not repeated."""
    index = np.abs(index)
    return np.where(index >= size, 2 * (size - 1) - index, index)
