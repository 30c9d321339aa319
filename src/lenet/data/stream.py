"""Image files of any number, decoded in threads and brought to one size, in the order of their paths."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lenet.cores import usable_cores
from lenet.data.decode import Room, in_order, threads_for
from lenet.data.fit import fit_image, naming, opened
from lenet.errors import InputError

_TASK = 8  # images that a thread decodes at a time

Decoded = tuple[str, NDArray[np.uint8] | InputError]


def stream(files: Iterable[str], size: int, channels: int, fit: str) -> Iterator[Decoded]:
    """Each path with its image, uint8 [size, size, channels], or with the error that says why it cannot be read.

    Pixels are exactly those of `open_image` and `fit_image`. JPEG files are decoded at full resolution: Pillow's draft
    mode, which decodes at a reduced one, would give other pixels than training had. Memory does not depend on the
    number of files.
    """
    paths, threads = iter(files), usable_cores()
    room = Room()

    def one(path: str) -> NDArray[np.uint8] | InputError:
        try:
            with naming(path), opened(path) as lazy, room.taken(lazy.width * lazy.height):
                return fit_image(lazy, size, channels, fit)
        except InputError as error:
            return error

    def several(some: list[str]) -> list[Decoded]:
        return [(path, one(path)) for path in some]

    with threads_for(threads) as pool:
        for decoded in in_order(pool, several, iter(lambda: list(islice(paths, _TASK)), []), threads):
            yield from decoded
