"""How an export brings an image to the network's size: pixel for pixel what `lenet.data.fit` does, in whole numbers.

Along an axis of `side` pixels, of which `extent` starting at `start` / 2 are shown by `inner` outputs:

    centre(y) = start * inner + (2 * y + 1) * extent          in units of 1 / (2 * inner) pixel
    reach = 2 * max(extent, inner)
    w(y, i) = max(0, reach - |(2 * i + 1) * inner - centre(y)|)
    weight(y, i) = (w(y, i) * 2^23 + total) // (2 * total)    with total = the sum of w(y, i) over all i
    output(y) = min(255, (sum of weight(y, i) * pixel(i) + 2^21) // 2^22)

crop: extent = min(height, width), start = side - extent, inner = size. squash: extent = side, start = 0, inner = size.
pad: extent = side, start = 0, inner = max(1, round(side * size / max(height, width))), a half to the even number; the
image is at (size - inner) // 2 of a black square.

One axis is resized first, its pixels rounded to 8 bits, then the other: the rows first if `tall_first` and
height - inner height > 2 * max(0, width - inner width), otherwise the columns.
"""

from functools import cache

import numpy as np
from PIL import Image

PRECISION = 22  # bits behind the point of a weight, as in Pillow


@cache
def tall_first() -> bool:
    """Whether the installed Pillow reduces a tall image's height before its width; older versions do not."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 16), np.uint8))
    width_first = image.resize((8, 256), Image.Resampling.BILINEAR).resize((8, 8), Image.Resampling.BILINEAR)
    return image.resize((8, 8), Image.Resampling.BILINEAR).tobytes() != width_first.tobytes()
