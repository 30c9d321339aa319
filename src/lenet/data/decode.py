"""The images of a folder, decoded in threads and brought to one size."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.cores import free_memory, usable_cores
from lenet.data.allocation import allocate, contiguous
from lenet.data.fit import MOST_PIXELS, fit_image, opened, reason, to_8bit
from lenet.data.folders import Found, few
from lenet.data.progress import progress
from lenet.data.published import Arrays
from lenet.errors import InputError

_NAMED_AT_MOST = 20
_AHEAD = 16  # tasks per thread that wait or are done
SMALL = 16_384  # bytes per file; below it threads cost more time at Python's lock than they gain
BAR_FROM = 500  # images; fewer are decoded before a bar could be read
BYTES_PER_PIXEL = 12  # at most, while an image is decoded and converted
Item = TypeVar("Item")
Result = TypeVar("Result")


def decode(root: Path, found: Found, size: int, fit: str, *, grey: bool = False) -> Arrays:
    """The images of `found` as uint8 [N, size, size, C]: C is 1 if every image holds grey alone, otherwise 3.

    grey: convert every image to grey; C is then 1. As in prediction, this comes before the resize.
    Raises InputError naming every image that cannot be read, and if the images do not fit into the free memory.
    """
    images, is_grey = decode_all(
        lambda index: opened(root / found.files[index]),
        found.files,
        str(root),
        size,
        fit,
        grey=grey,
        threads=usable_cores() if found.stamps[:, 0].sum() >= SMALL * len(found.files) else 1,
    )
    train_count = found.splits.count("train")
    if is_grey.all():
        images = contiguous(images[..., :1], str(root))
    return Arrays(images, found.labels, train_count, found.classes, grey or bool(is_grey[: train_count or None].all()))


def decode_all(
    opening: Callable[[int], AbstractContextManager[Image.Image]],
    names: Sequence[str],
    where: str,
    size: int,
    fit: str,
    *,
    grey: bool,
    threads: int,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Images as uint8 [N, size, size, 1 if grey else 3], and bool [N]: which of them hold grey alone.

    opening: opens image `index`; threads: number of threads that call it, with 1 in ascending order
    names, where: of each image and of all, for errors, which are those of `decode`
    """
    count = len(names)
    images = allocate((count, size, size, 1 if grey else 3), where)
    is_grey = np.full(count, grey, dtype=np.bool_)
    room = Room()

    def decode_one(index: int) -> None:
        with opening(index) as lazy, room.taken(lazy.width * lazy.height):
            image = to_8bit(lazy)
            images[index] = fit_image(image, size, images.shape[3], fit)
            if not grey and _is_grey(images[index]):
                # The resize may have removed the last trace of colour, so the whole image decides.
                is_grey[index] = image.mode == "L" or _is_grey(np.asarray(image))

    failures = read_each(decode_one, count, threads)
    if failures:
        listed = few([f"{names[index]} ({failures[index]})" for index in sorted(failures)], _NAMED_AT_MOST)
        raise InputError(
            f"{len(failures)} of {count} images in {where} cannot be read: {listed}; replace or remove them"
            + (" ('lenet data check' lists all)" if len(failures) > _NAMED_AT_MOST else "")
        )
    return images, is_grey


def read_each(read: Callable[[int], None], count: int, threads: int) -> dict[int, str]:
    """Call `read` with each index below `count`, in so many threads; returns by index why it failed.

    With one thread, in ascending order. A progress bar is shown. Raises MemoryError.
    """
    failures: dict[int, str] = {}

    def read_some(indices: range) -> int:
        for index in indices:
            try:
                read(index)
            except MemoryError:
                raise
            except Exception as error:  # Pillow raises errors of any kind for damaged files
                failures[index] = reason(error)
        return len(indices)

    batch = 64 if threads == 1 else 1
    bar = progress("reading images", count, in_bytes=False, hidden=count < BAR_FROM)
    with threads_for(threads) as pool, bar as advance:
        some = (range(begin, min(begin + batch, count)) for begin in range(0, count, batch))
        for done in in_order(pool, read_some, some, threads):
            advance(done)
    return failures


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """work(item) of each item, in order; as many as 16 per thread wait or are done, while the caller uses a result."""
    tasks: deque[Future[Result]] = deque()
    for item in items:
        tasks.append(pool.submit(work, item))
        if len(tasks) >= threads * _AHEAD:
            yield tasks.popleft().result()
    while tasks:
        yield tasks.popleft().result()


class Room:
    """The pixels that images that are decoded at the same time share: half the free memory's, at least one image's."""

    def __init__(self) -> None:
        self._free = self._whole = max(MOST_PIXELS, free_memory() // (2 * BYTES_PER_PIXEL))
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait until so many pixels are free, and take them while the block runs."""
        pixels = min(pixels, self._whole)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


@contextmanager
def threads_for(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for decoding (Pillow releases Python's lock) that Ctrl-C or an error need not wait for."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
