"""The images of a report: as many wrong predictions as fit, on one PNG."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.fit import as_image

_MOST_SIDE = 48  # pixels of an image on the sprite; larger ones are reduced
_FEWEST_BYTES = 64  # of an image, for a first guess
_MEASURED = 64  # images of which the first guess is made


@dataclass(frozen=True, eq=False)
class Sprite:
    """Images side by side. Image k lies in row k // columns and column k % columns; an unused place is black."""

    png: bytes
    count: int
    columns: int
    rows: int


def by_turns(cells: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    """int64 [N]: the positions 0 to N - 1 in the order in which their images are kept, so that each cell has some.

    The first `first` positions come first; then the first image of each cell, then the second, and so on.

    cells: int64 [N], the cell of the confusion matrix that each image belongs to
    """
    ahead, rest = np.arange(min(first, len(cells))), np.arange(min(first, len(cells)), len(cells))
    order = np.argsort(cells[rest], kind="stable")
    sorted_cells = cells[rest][order]
    begins = np.searchsorted(sorted_cells, sorted_cells)
    rank = np.empty(len(rest), np.int64)
    rank[order] = np.arange(len(rest)) - begins
    return np.concatenate([ahead, rest[np.argsort(rank, kind="stable")]])


def sprite_of(images: Sequence[NDArray[np.uint8]], most_bytes: int) -> Sprite:
    """The first of the images, uint8 [H, W, C] of one size, as many as fit into a PNG of this size."""
    if not len(images):
        return Sprite(b"", 0, 1, 1)
    some = _drawn(images[:: max(1, len(images) // _MEASURED)][:_MEASURED])
    count = len(images)
    while count > 0:
        guess = max(_FEWEST_BYTES, len(some.png) / some.count)
        count = min(count, int(most_bytes / guess)) if some.count else 0
        if count <= 0:
            break
        some = _drawn(images[:count])
        if len(some.png) <= most_bytes:
            return some
        count -= 1 + count // 50
    return Sprite(b"", 0, 1, 1)


def _drawn(images: Sequence[NDArray[np.uint8]]) -> Sprite:
    height, width, channels = images[0].shape
    scale = min(1.0, _MOST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    columns = math.ceil(math.sqrt(len(images)))
    rows = -(-len(images) // columns)
    sheet = Image.new("L" if channels == 1 else "RGB", (columns * size[0], rows * size[1]))
    for number, pixels in enumerate(images):
        image = as_image(pixels)
        image = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
        row, column = divmod(number, columns)
        sheet.paste(image, (column * size[0], row * size[1]))
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=len(images) < 2000)
    return Sprite(content.getvalue(), len(images), columns, rows)
