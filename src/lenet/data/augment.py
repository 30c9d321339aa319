"""Augmentation of batches in uint8, as the plan lists it: the reference for the engines.

Integers only, so that every engine, on every processor, sees the same pixels. native/augment.cpp computes the same.
"""

import numpy as np

from lenet.data.plan import COLOUR_BITS, GREY, MAP_BITS, Plan

_PLACE_BITS = 4  # places between pixels are sixteenths, so that four weights of a value fit into 16 bits
_LUMA = np.array([77, 150, 29])  # of red, green and blue, of 256: Rec. 601, as in Pillow

_ALL = slice(None)


def augmented(images_nhwc: np.ndarray, plan: Plan, at: slice | np.ndarray = _ALL) -> np.ndarray:
    """uint8 [n, H, W, C]: the images at some positions of the plan, by default all, augmented as it says.

    In this order: flips and shifts, or warps instead; colours; boxes.
    """
    order = plan.order[at]
    if plan.warps is not None:
        result = _warped(images_nhwc[order], plan.warps[at])
    else:
        result = shifted(images_nhwc, order, plan.flips[at], plan.shifts[at])
    if plan.colours is not None:
        result = _coloured(result, plan.colours[at])
    if plan.boxes is not None:
        for image, (top, left, bottom, right) in zip(result, plan.boxes[at], strict=True):
            image[top:bottom, left:right] = GREY
    return result


def shifted(images_nhwc: np.ndarray, order: np.ndarray, flips: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C]: the images at `order`, mirrored where `flips`, then shifted (see `Plan`).

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


def _warped(images: np.ndarray, warps: np.ndarray) -> np.ndarray:
    """Bilinear interpolation at places rounded to sixteenths of a pixel."""
    count, height, width, _ = images.shape
    y, x = np.arange(height)[:, None], np.arange(width)
    dropped = MAP_BITS - _PLACE_BITS
    places = []
    for axis, size in enumerate((height, width)):
        down, across, offset = (warps[:, axis, k, None, None].astype(np.int64) for k in range(3))
        place = (down * y + across * x + offset + (1 << (dropped - 1))) >> dropped
        places.append(_folded(place, (size - 1) << _PLACE_BITS))
    (row, down), (column, across) = (np.divmod(place, 1 << _PLACE_BITS) for place in places)
    below, beside = np.minimum(row + 1, height - 1), np.minimum(column + 1, width - 1)
    number = np.arange(count)[:, None, None]
    total = np.full(images.shape, 1 << (2 * _PLACE_BITS - 1), np.int32)
    for rows, of_row in ((row, 16 - down), (below, down)):
        for columns, of_column in ((column, 16 - across), (beside, across)):
            total += (of_row * of_column).astype(np.int32)[..., None] * images[number, rows, columns]
    return np.asarray((total >> 2 * _PLACE_BITS).astype(np.uint8))


def _folded(place: np.ndarray, last: int) -> np.ndarray:
    """Places outside [0, last] reflected at its ends, from at most twice `last` away; farther away it stops."""
    return np.asarray(last - np.abs(last - np.abs(np.clip(place, -2 * last, 2 * last))))


def _coloured(images: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The luma of an image without three channels is its value."""
    gain, of_luma, offset = (colours[:, k, None, None, None] for k in range(3))
    luma = (images @ _LUMA + 128)[..., None] >> 8 if images.shape[3] == 3 else images
    mixed = (gain * images + of_luma * luma + offset + (1 << (COLOUR_BITS - 1))) >> COLOUR_BITS
    return np.asarray(np.clip(mixed, 0, 255).astype(np.uint8))
